"""Whatever happens to twins in whatever order: at most one of them goes on, and nobody waits for nobody."""

from __future__ import annotations

import asyncio
import os
import tempfile
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from hopperd.ledger.store import Store
from hopperd.pipeline.events import Delivered, Forgotten, Retried, TwinEnded
from hopperd.pipeline.job import Job, Stage
from tests.support.stores import NOW, export, moved, new_job, opened

FAR = NOW + 1e6
IN_MEMORY = "/dev/shm" if os.path.isdir("/dev/shm") else None
MOVES = st.lists(
    st.tuples(st.sampled_from(["open", "look", "deliver", "abandon", "retry", "forget"]), st.integers(0, 5)),
    min_size=1,
    max_size=25,
)


async def _move(store: Store, jobs: dict[int, Job], what: str, number: int) -> None:
    job = jobs.get(number)
    if what == "open" and job is None:
        jobs[number] = await opened(store, new_job(number, content=b"the same"))
        return
    if job is None:
        return
    now = await store.get(job.id)
    if now is None:
        return
    goes_on = now.stage is Stage.CLAIMED and now.twin is None
    after: Job | None = None
    event: Any = Delivered()
    if what == "look" and now.stage is Stage.CLAIMED and now.twin is not None:
        twin = await store.take_bytes(now)
        waits = {"due_at": FAR} if twin is not None and not twin.delivered else {}
        stage = Stage.DELIVERED if twin is not None and twin.delivered else now.stage
        outcome = "duplicate" if stage is Stage.DELIVERED else None
        after, event = moved(now, stage, twin=twin, outcome=outcome, **waits), TwinEnded(twin=twin)
    elif what == "deliver" and goes_on:
        after = moved(now, Stage.DELIVERED, outcome="delivered", exports=(export(),))
    elif what == "abandon" and now.stage is Stage.CLAIMED:
        after, event = moved(now, Stage.ABANDONED, outcome="failed"), Forgotten()
    elif what == "retry" and now.stage is Stage.ABANDONED:
        after, event = moved(now, Stage.CLAIMED, outcome=None, twin=None), Retried()
    elif what == "forget":
        await store.forget(now.id)
    if after is not None:
        jobs[number] = await store.record(now, after, event, NOW)


async def _play(moves: list[tuple[str, int]]) -> None:
    with tempfile.TemporaryDirectory(dir=IN_MEMORY) as state:
        store = Store.open_state(state, inline=True)
        jobs: dict[int, Job] = {}
        ordered = set()
        for what, number in moves:
            await _move(store, jobs, what, number)
            if what == "retry":
                ordered.add(number)
            await _judge(store, jobs, ordered)
        assert await store.integrity() == []
        await store.close()


async def _judge(store: Store, jobs: dict[int, Job], ordered: set[int]) -> None:
    now = {number: await store.get(job.id) for number, job in jobs.items()}
    going = [n for n, job in now.items() if job and job.stage is Stage.CLAIMED and not job.twin and n not in ordered]
    assert len(going) <= 1, f"promise 3 broken: jobs {going} would each pay for the same bytes"
    alive = {job.id for job in now.values() if job and job.stage is Stage.CLAIMED}
    for job in now.values():
        if job and job.stage is Stage.CLAIMED and job.twin and not job.twin.delivered and job.twin.job not in alive:
            assert job.due_at < FAR, f"promise 7 broken: {job.id} waits in silence for {job.twin.job}"


@settings(max_examples=60, deadline=None)
@given(MOVES)
def test_of_twins_at_most_one_goes_on_and_none_waits_for_nothing(moves: list[tuple[str, int]]) -> None:
    asyncio.run(_play(moves))
