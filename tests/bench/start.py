"""How long a start takes: `python tests/bench/start.py`.

A restart with 100,000 open jobs, each with its original in work/, until the first request reaches the service: 3 s to
reach. And `hopperd --help`: CPU beyond what the interpreter alone needs, 150 ms to reach.
"""

from __future__ import annotations

import asyncio
import os
import resource
import subprocess
import sys
import time
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

sys.path[0] = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from sqlalchemy import Connection

from hopperd.ledger import records
from hopperd.ledger.store import Store
from hopperd.pipeline.events import Claimed
from hopperd.pipeline.job import Identity, Job, JobId, Original, Stage, new_job_id
from tests.bench import service
from tests.bench.harness import cost, median, options, pdf, report, scratch, wait_until
from tests.support.line import Line
from tests.support.stores import moved, new_job

AT_ONCE = 2_000


def cpu_of(*command: str, runs: int) -> tuple[float, float]:
    """Median CPU and wall seconds of a command."""
    cpu, wall = [], []
    for _ in range(runs + 1):
        before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        subprocess.run([sys.executable, *command], stdout=subprocess.DEVNULL, check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        wall.append(time.perf_counter() - began)
        cpu.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return median(cpu[1:]), median(wall[1:])  # the first one may have to read from the disk


async def open_jobs(root: Path, count: int, *, due_at: float) -> None:
    """Jobs whose task is at the service, each with its original in work/, as a daemon would have left them."""
    store = Store.open_state(root / "state")
    small, work = pdf(0, 0), root / "work"

    def write(connection: Connection, jobs: list[Job]) -> None:
        for job in jobs:
            records.open_job(connection, job, Claimed(), with_twins=False)

    for start in range(0, count, AT_ONCE):
        jobs = [_job(work, number, small, due_at) for number in range(start, min(count, start + AT_ONCE))]
        await store._pump.do(partial(write, jobs=jobs))
    await store.close()


def _job(work: Path, number: int, content: bytes, due_at: float) -> Job:
    name = b"invoice-%07d.pdf" % number
    job_id: JobId = new_job_id(due_at - 60.0, number.to_bytes(5, "big"))
    folder = work / job_id
    folder.mkdir()
    path = folder / name.decode()
    path.write_bytes(content)
    found = path.stat()
    identity = Identity(device=found.st_dev, inode=found.st_ino, size_bytes=found.st_size, mtime_ns=found.st_mtime_ns)
    job = new_job(number, id=job_id, opened_at=due_at - 60.0, due_at=due_at)
    first: Original = replace(job.originals[0], name=name, identity=identity)
    job = moved(job, Stage.SUBMITTED, at=due_at - 50.0, originals=(first,), submitted_at=due_at - 50.0)
    return replace(job, version=0, task_id=f"{number + 1:024x}", task_number=str(number), due_at=due_at + number / 50.0)


def restart(root: Path, jobs: int) -> dict[str, Any]:
    with service.running() as server, Line(root, account="requests_per_second = 50\ntasks_in_flight = 100000") as line:
        line.url = server.url
        line.configure()
        line.started()  # makes the folders and their markers
        assert line.stop() == 0
        asyncio.run(open_jobs(root, jobs, due_at=time.time()))
        server.forget()
        began = time.monotonic()
        process = line.start()
        wait_until(lambda: bool(server.arrivals()), "the first request", 120, every=0.02)
        first = min(at for at, *_ in server.arrivals()) - began
        time.sleep(3.0)
        used = cost(process.pid)
        line.kill()
    return {
        "first_request_seconds": first,
        "cpu_seconds_by_then_and_3_s": used.cpu_seconds,
        "rss_mib": used.rss_bytes / 2**20,
    }


def main() -> None:
    arguments = options(__doc__, jobs={"type": int, "default": None})
    jobs = arguments.jobs or (200 if arguments.short else 100_000)
    runs = 3 if arguments.short else 15
    bare, bare_wall = cpu_of("-c", "pass", runs=runs)
    help_, help_wall = cpu_of("-m", "hopperd", "--help", runs=runs)
    found: dict[int, dict[str, Any]] = {}
    for count in sorted({min(100, jobs), jobs}):
        with scratch(arguments, "start") as root:
            found[count] = restart(root, count)
    beyond = 1000 * (help_ - bare)
    rows: list[list[object]] = [
        [f"restart with {count:,} open jobs: first request", f"{one['first_request_seconds']:.2f} s", "3 s"]
        for count, one in found.items()
    ]
    rows.append(["hopperd --help, CPU beyond the interpreter's", f"{beyond:.0f} ms", "150 ms"])
    report(
        "start",
        ["", "measured", "to reach"],
        rows,
        ratio=round(max(found[jobs]["first_request_seconds"] / 3.0, beyond / 150.0), 3),
        help_cpu_ms=round(beyond, 1),
        help_wall_ms=round(1000 * (help_wall - bare_wall), 1),
        jobs=jobs,
        **found[jobs],
    )


if __name__ == "__main__":
    main()
