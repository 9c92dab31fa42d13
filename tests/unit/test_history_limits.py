"""Promise: the history has limits by age and by rows; duplicates are known for longer than their jobs."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path
from typing import Any

import pytest

from hopperd.ledger.store import Store
from hopperd.pipeline.events import FiledAway
from hopperd.pipeline.identity import bytes_digest
from hopperd.pipeline.job import Stage
from hopperd.settings import HistoryLimits
from hopperd.workers import upkeep
from hopperd.workers.parts import Parts
from tests.support.stores import NOW, export, job_id, moved, new_job, opened
from tests.support.virtual import VirtualClock, VirtualLoop

DAY = 86_400.0


def kept(
    tmp_path: Path, limits: HistoryLimits, finished: int, still_open: int, untidy: int = 0
) -> tuple[list[str], Any]:
    """The jobs known after some rounds of upkeep (the n-th finished n days before NOW), and how many digests are."""
    loop = VirtualLoop()
    asyncio.set_event_loop(loop)

    async def live() -> tuple[list[int], int]:
        store = Store.open_state(tmp_path / "state", inline=True)
        numbers = {}
        digests = []
        for number in range(finished + still_open):
            at = NOW - number * DAY
            job = await opened(store, new_job(number, id=job_id(number, at), opened_at=at))
            numbers[job.id] = number
            if number < finished:
                tidy = number >= finished - untidy
                after = moved(job, Stage.DELIVERED, at, outcome="delivered", exports=(export(),), tidy_remote=tidy)
                job = await store.record(job, after, FiledAway(), at)
                await store.record(job, moved(job, Stage.DONE, at), FiledAway(), at)
                digests.append(bytes_digest(job))
        nothing: Any = None
        parts = Parts(
            ledger=store,
            clock=VirtualClock(loop, NOW),
            inspector=nothing,
            accounts={},
            folders={},
            random=random.Random(1),
            history=limits,
        )
        working = upkeep.Upkeep(parts)
        for _ in range(20):
            await working.round()
            await asyncio.sleep(2)
        known = await store.get_many(list(numbers))
        still_known = await store.delivered_among("us", digests)
        await store.close()
        return sorted(numbers[job_id] for job_id in known), len(still_known)

    try:
        return loop.run_until_complete(live())
    finally:
        loop.close()
        asyncio.set_event_loop(None)


def test_jobs_finished_longer_ago_leave_the_ledger_and_open_ones_never(tmp_path: Path) -> None:
    known, digests = kept(tmp_path, HistoryLimits(days=5, rows=0), finished=10, still_open=3)
    assert known == [0, 1, 2, 3, 4, 10, 11, 12]
    assert digests == 10, "what was delivered is known as a duplicate for as long as duplicates_days says"


@pytest.mark.parametrize(("rows", "left"), [(6, [0, 1, 2, 10, 11, 12]), (13, [*range(13)]), (1, [10, 11, 12])])
def test_of_too_many_jobs_the_ones_that_finished_first_leave(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rows: int, left: list[int]
) -> None:
    monkeypatch.setattr(upkeep, "PURGED_AT_ONCE", 3)
    monkeypatch.setattr(upkeep, "COUNTED_AT_ONCE", 4)
    known, digests = kept(tmp_path, HistoryLimits(days=0, rows=rows), finished=10, still_open=3)
    assert known == left
    assert digests == 10


def test_a_job_that_is_still_to_be_tidied_at_the_service_stays(tmp_path: Path) -> None:
    known, _ = kept(tmp_path, HistoryLimits(days=5, rows=0), finished=10, still_open=0, untidy=2)
    assert known == [0, 1, 2, 3, 4, 8, 9]


def test_without_limits_nothing_leaves(tmp_path: Path) -> None:
    known, _ = kept(tmp_path, HistoryLimits(days=0, rows=0), finished=4, still_open=1)
    assert known == [*range(5)]
