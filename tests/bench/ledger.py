"""Durable records per second, and how long each takes: `python tests/bench/ledger.py`.

1, 16, 64 and 1,000 writers at once, against a bare sqlite3 loop that writes the same rows with the same durability and
as many to a transaction. To reach: 20,000/s at 64 writers, or `ratio` (ours over the bare loop's at 64) 0.5.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

sys.path[0] = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from hopperd.ledger.rows import history_row, job_row
from hopperd.ledger.store import Store
from hopperd.pipeline.events import RunIntended
from hopperd.pipeline.job import Job
from tests.bench.harness import alternating, options, quantile, report, scratch
from tests.support.stores import NOW, moved, new_job, opened

TASK = {"id": "5eeb7bf728613d1e04a70782", "number": "1126563", "status": "InProgress", "progress": 0.5, "documents": []}


async def _write(store: Store, job: Job, records: int, waits: list[float]) -> None:
    for _ in range(records):
        began = time.perf_counter()
        job = await store.record(job, moved(job), RunIntended(), NOW)
        waits.append(time.perf_counter() - began)


async def _measure(state: Path, writers: int, records: int) -> dict[str, float]:
    store = Store.open_state(state)
    jobs: Sequence[Job] = await asyncio.gather(*(opened(store, new_job(n, task=TASK)) for n in range(writers)))
    waits: list[float] = []
    began, cpu = time.perf_counter(), time.process_time()
    await asyncio.gather(*(_write(store, job, records, waits) for job in jobs))
    seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
    await store.close()
    total = writers * records
    return {
        "per_second": total / seconds,
        "cpu_us": cpu / total * 1e6,
        "median_ms": 1000 * quantile(waits, 0.5),
        "p99_ms": 1000 * quantile(waits, 0.99),
    }


def _bare(state: Path, writers: int, records: int) -> dict[str, float]:
    """The same two rows a record, made beforehand, `writers` of them to a transaction."""
    state.mkdir(exist_ok=True)
    connection = sqlite3.connect(state / "bare.db", isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    jobs = [job_row(new_job(n, task=TASK)) for n in range(writers)]
    names = list(jobs[0])
    connection.execute(f"CREATE TABLE jobs ({', '.join(names)}, PRIMARY KEY (id))")
    connection.executemany(f"INSERT INTO jobs VALUES ({', '.join('?' * len(names))})", [_plain(job) for job in jobs])
    history = history_row(new_job(0, task=TASK), RunIntended(), NOW)
    connection.execute(f"CREATE TABLE history ({', '.join(history)})")
    wide = f"INSERT INTO history VALUES ({', '.join('?' * len(history))})"
    began, cpu = time.perf_counter(), time.process_time()
    for turn in range(records):
        connection.execute("BEGIN IMMEDIATE")
        connection.executemany(
            "UPDATE jobs SET version = ?, document = ?, due_at = ? WHERE id = ?",
            [(turn, job["document"], NOW + turn, job["id"]) for job in jobs],
        )
        connection.executemany(wide, [_plain(history)] * writers)
        connection.execute("COMMIT")
    seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
    connection.close()
    return {"per_second": writers * records / seconds, "cpu_us": cpu / (writers * records) * 1e6}


def _plain(row: dict[str, Any]) -> list[Any]:
    return [value if isinstance(value, int | float | str | bytes | None) else str(value) for value in row.values()]


def main() -> None:
    arguments = options(__doc__, runs={"type": int, "default": None})
    sizes = ((1, 50), (64, 20)) if arguments.short else ((1, 400), (16, 400), (64, 400), (1_000, 40))
    found: dict[int, tuple[dict[str, float], dict[str, float]]] = {}
    for writers, records in sizes:

        def ours(writers: int = writers, records: int = records) -> dict[str, float]:
            with scratch(arguments, "ledger") as root:
                return asyncio.run(_measure(root, writers, records))

        def bare(writers: int = writers, records: int = records) -> dict[str, float]:
            with scratch(arguments, "ledger") as root:
                return _bare(root, writers, records)

        our, their = alternating(arguments.runs or (1 if arguments.short else 3), ours, bare)
        found[writers] = our, their
    rows = [
        [
            n,
            our["per_second"],
            bare["per_second"],
            our["per_second"] / bare["per_second"],
            our["cpu_us"],
            our["median_ms"],
            our["p99_ms"],
        ]
        for n, (our, bare) in found.items()
    ]
    columns = ["writers", "records/s", "bare loop's", "ratio", "CPU µs each", "median ms", "p99 ms"]
    our, their = found[64]
    report(
        "ledger",
        columns,
        rows,
        ratio=round(our["per_second"] / their["per_second"], 3),
        per_second=round(our["per_second"]),
        writers={n: our for n, (our, _) in found.items()},
    )


if __name__ == "__main__":
    main()
