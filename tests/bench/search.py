"""A search by part of a name over many jobs, and what it makes others wait.

`python tests/bench/search.py [JOBS] [FOLDER]`.

Each text is searched for a few times; meanwhile another caller asks the ledger for one
job again and again, and writes.
"""

from __future__ import annotations

import asyncio
import os
import random
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import Any

sys.path[0] = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from sqlalchemy import Connection

from hopperd.ledger import pages, prepared, search, statements
from hopperd.ledger.rows import NAMES_END, job_row
from hopperd.ledger.store import Store
from hopperd.pipeline.events import RunIntended
from hopperd.pipeline.job import Job, Stage
from hopperd.ports import JobQuery
from tests.support.stores import NOW, moved, new_job, opened

WORDS = ("invoice", "rechnung", "factura", "scan", "acme", "globex", "umbrella", "initech", "march", "2026")
TEXTS = (
    "zzqq",
    "0012345",
    "0999999",
    "12345",
    "invoice",
    "acme-globex",
    "march/2026-scan-00001",
    "qx",
    "q",
    "0",
    ".pdf",
)
TRIES = 5
AT_ONCE = 20_000


def rows(jobs: int) -> Iterator[dict[str, Any]]:
    draw = random.Random(1)
    done = moved(new_job(0), Stage.DONE, outcome="delivered")
    row = job_row(done)
    for number in range(jobs):
        name = f"{draw.choice(WORDS)}/{draw.choice(WORDS)}-{draw.choice(WORDS)}-{number:07d}.pdf"
        job_id = f"01m{number:015d}"
        document = row["document"].replace("invoice-0.pdf", name).replace(done.id, job_id)
        yield row | {"id": job_id, "names": name + NAMES_END, "document": document, "entered_at": NOW + number / 10}


async def fill(store: Store, jobs: int) -> None:
    some: list[dict[str, Any]] = []

    def write(connection: Connection, what: list[dict[str, Any]]) -> None:
        prepared.run_many(connection, statements.INSERT_JOB, what)
        for start in range(0, len(what), 500):
            search.added(connection, [row["id"] for row in what[start : start + 500]])

    for row in rows(jobs):
        some.append(row)
        if len(some) == AT_ONCE:
            await store._pump.do(partial(write, what=some))
            some = []
    if some:
        await store._pump.do(partial(write, what=some))


async def others(store: Store, job: Job, waits: list[float]) -> None:
    while True:
        began = time.perf_counter()
        await store.get(job.id)
        job = await store.record(job, replace(moved(job)), RunIntended(), NOW)
        waits.append(time.perf_counter() - began)
        await asyncio.sleep(0.001)


def note_slices(slices: list[tuple[float, float]]) -> None:
    """Wall and processor time of each slice, on the ledger's own thread, in milliseconds."""
    go_on = pages.Search.go_on

    def timed(self: pages.Search, connection: Connection) -> bool:
        began, cpu = time.perf_counter(), time.thread_time()
        goes_on = go_on(self, connection)
        slices.append(((time.perf_counter() - began) * 1e3, (time.thread_time() - cpu) * 1e3))
        return goes_on

    pages.Search.go_on = timed  # type: ignore[method-assign]


async def main(jobs: int, folder: str | None) -> None:
    with tempfile.TemporaryDirectory(dir=folder) as state:
        store = Store.open_state(state)
        began = time.perf_counter()
        await fill(store, jobs)
        print(f"{jobs:,} jobs written in {time.perf_counter() - began:.0f} s")
        job = await opened(store, new_job(1))
        waits: list[float] = []
        slices: list[tuple[float, float]] = []
        note_slices(slices)
        asking = asyncio.create_task(others(store, job, waits))
        await asyncio.sleep(3)
        waits.sort()
        print(
            f"others without a search: median {waits[len(waits) // 2] * 1e3:.1f} ms, longest {waits[-1] * 1e3:.1f} ms"
        )
        print("text                       found   best ms  worst ms  CPU ms  slice: longest, CPU ms  others: longest")
        for text in TEXTS:
            waits.clear()
            took = []
            slices.clear()
            for _ in range(TRIES):
                began = time.perf_counter()
                found = await store.page(JobQuery(text=text, limit=50))
                took.append((time.perf_counter() - began) * 1e3)
            theirs = sorted(waits) or [0.0]
            cpu, longest = sum(one[1] for one in slices) / TRIES, [max(one[i] for one in slices) for i in (0, 1)]
            print(
                f"{text:26} {len(found):5} {min(took):9.1f} {max(took):9.1f} {cpu:7.1f}"
                f" {longest[0]:18.1f} {longest[1]:7.1f} {theirs[-1] * 1e3:24.1f}"
            )
        asking.cancel()
        await store.close()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000, sys.argv[2] if len(sys.argv) > 2 else None))
