"""Memory of the daemon in four plights, and over time: `python tests/bench/memory.py [--minutes M] [--only NAME]`.

10,000 open jobs; 1,000,000 finished jobs in the history; a backlog of 1,000,000 files; files of 200 MB in flight; a
steady load. To reach: 120 MiB in each (`ratio` is the largest over that), and flat under load (`growth`: the last
quarter's median over the second quarter's).
"""

from __future__ import annotations

import asyncio
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

sys.path[0] = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from tests.bench import service
from tests.bench.harness import fill_inbox, make_invoices, median, options, report, rss, scratch
from tests.bench.search import fill
from tests.bench.start import open_jobs
from tests.support.line import Line

ALLOWED_MIB = 120.0


@contextmanager
def daemon(root: Path, *, before: Callable[[], None] | None = None, **more: Any) -> Iterator[tuple[Line, list[float]]]:
    """A running daemon, and its memory in MiB, looked at ten times a second."""
    account = more.pop("account", "requests_per_second = 200\nuploads_at_once = 8\ntasks_in_flight = 20000")
    folder = more.pop("folder", "quiet_seconds = 0.2\nsweep_seconds = 30")
    seen: list[float] = []
    with service.running(**more) as server, Line(root, account=account, folder=folder) as line:
        line.url = server.url
        line.configure()
        if before is not None:
            line.started()
            assert line.stop() == 0
            before()
        line.started()
        stop = threading.Event()

        def look() -> None:
            while not stop.wait(0.1):
                assert line.daemon is not None
                seen.append(rss(line.daemon.pid) / 2**20)

        looking = threading.Thread(target=look)
        looking.start()
        try:
            yield line, seen
        finally:
            stop.set()
            looking.join()
            line.kill()


def jobs(root: Path, size: int, seconds: float) -> list[float]:
    def before() -> None:
        asyncio.run(open_jobs(root, size, due_at=time.time()))

    with daemon(root, before=before) as (_, seen):
        time.sleep(seconds)
    return seen


def history(root: Path, size: int, seconds: float) -> list[float]:
    async def write() -> None:
        from hopperd.ledger.store import Store

        store = Store.open_state(root / "state")
        await fill(store, size)
        await store.close()

    with daemon(root, before=lambda: asyncio.run(write())) as (line, seen):
        make_invoices(root / "in", 20, 20_000)
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            line.json("list")
            line.asked("/v1/status")
            time.sleep(0.5)
    return seen


def backlog(root: Path, size: int, seconds: float) -> list[float]:
    fill_inbox(root / "in", size)
    with daemon(root) as (_, seen):
        time.sleep(seconds)
    return seen


def large(root: Path, size: int, seconds: float) -> list[float]:
    with daemon(root, folder="quiet_seconds = 0.2\nmax_size_bytes = 1000000000") as (_, seen):
        make_invoices(root / "in", 4, size)
        time.sleep(seconds)
    return seen


def load(root: Path, size: int, seconds: float) -> list[float]:
    """`size` files, whenever fewer than that wait."""
    with daemon(root, processing=1.0) as (_, seen):
        until, first = time.monotonic() + seconds, 0
        while time.monotonic() < until:
            waiting = len(os.listdir(root / "in"))
            if waiting < size:
                (root / "aside-in").mkdir(exist_ok=True)
                for path in make_invoices(root / "aside-in", size, 50_000, first=first):
                    os.rename(path, root / "in" / path.name)
                first += size
            time.sleep(0.5)
    return seen


PLIGHTS: dict[str, tuple[Callable[[Path, int, float], list[float]], int, int]] = {
    "open jobs": (jobs, 10_000, 100),
    "finished jobs": (history, 1_000_000, 200),
    "files waiting": (backlog, 1_000_000, 500),
    "bytes in each of four files": (large, 200_000_000, 2_000_000),
    "files waiting under load": (load, 200, 20),
}


def main() -> None:
    arguments = options(__doc__, minutes={"type": float, "default": None}, only={"default": None})
    seconds = 3.0 if arguments.short else 30.0
    rows, figures = [], {}
    growth = 1.0
    for name, (plight, size, short) in PLIGHTS.items():
        if arguments.only is not None and arguments.only not in name:
            continue
        lasts = 60.0 * arguments.minutes if plight is load and arguments.minutes else seconds
        with scratch(arguments, "memory") as root:
            seen = plight(root, short if arguments.short else size, lasts)
        quarter = max(1, len(seen) // 4)
        steady = median(seen[-quarter:]) / median(seen[quarter : 2 * quarter])
        growth = steady if plight is load else growth
        rows.append([f"{short if arguments.short else size:,} {name}", max(seen), median(seen[-quarter:]), steady])
        figures[name.replace(" ", "_")] = round(max(seen), 1)
    report(
        "memory",
        ["", "most MiB", "at the end MiB", "end over second quarter"],
        rows,
        ratio=round(max(figures.values()) / ALLOWED_MIB, 3),
        growth=round(growth, 3),
        most_mib=figures,
    )


if __name__ == "__main__":
    main()
