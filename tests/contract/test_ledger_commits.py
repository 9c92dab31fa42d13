"""Promise: what the ledger has answered is durable, and nobody's mistake is anybody else's. Group commit, as seen."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from hopperd.errors import LedgerError, Stale
from hopperd.ledger.store import Store
from hopperd.ledger.transactor import Transactor
from hopperd.pipeline.events import Postponed, Weather
from hopperd.pipeline.job import Job
from hopperd.ports import LedgerTrouble
from tests.support.stores import NOW, STORES, job_id, moved, new_job, opened

pytestmark = pytest.mark.asyncio

POSTPONED = Postponed(weather=Weather(kind="server", what="it rains"))


async def bump(ledger: Store, job: Job, **fields: object) -> Job:
    return await ledger.record(job, moved(job, **fields), POSTPONED, NOW)  # type: ignore[arg-type]


async def test_a_thousand_writers_each_get_their_own_answer(ledger: Store) -> None:
    jobs = await asyncio.gather(*(opened(ledger, new_job(n)) for n in range(1_000)))
    for _ in range(3):
        jobs = await asyncio.gather(*(bump(ledger, job) for job in jobs))
    found = await ledger.get_many([job.id for job in jobs])
    assert found == {job.id: job for job in jobs}
    assert {job.version for job in jobs} == {3}
    assert await ledger.integrity() == []


async def test_of_many_who_race_exactly_one_wins(ledger: Store) -> None:
    job = await opened(ledger, new_job(1))
    answers = await asyncio.gather(*(bump(ledger, job, due_at=float(n)) for n in range(50)), return_exceptions=True)
    winners = [answer for answer in answers if isinstance(answer, Job)]
    assert len(winners) == 1
    assert all(isinstance(answer, Stale) for answer in answers if answer not in winners)
    assert await ledger.get(job.id) == winners[0]
    assert len(await ledger.history(job.id)) == 2


async def test_losers_of_a_race_do_not_spoil_the_others(ledger: Store) -> None:
    jobs = await asyncio.gather(*(opened(ledger, new_job(n)) for n in range(20)))
    await asyncio.gather(*(bump(ledger, job) for job in jobs[::2]))
    answers = await asyncio.gather(*(bump(ledger, job) for job in jobs), return_exceptions=True)
    assert [isinstance(answer, Stale) for answer in answers] == [n % 2 == 0 for n in range(20)]
    assert {job.version for job in (await ledger.get_many([job.id for job in jobs])).values()} == {1}


async def test_a_mistake_of_one_caller_fails_that_caller_alone(ledger: Store) -> None:
    jobs = await asyncio.gather(*(opened(ledger, new_job(n)) for n in range(10)))
    poisoned = bump(ledger, jobs[4], due_at="never")
    others = [bump(ledger, job) for job in jobs if job is not jobs[4]]
    answers = await asyncio.gather(
        others[0], poisoned, *others[1:], opened(ledger, new_job(50)), return_exceptions=True
    )
    assert isinstance(answers[1], ValueError)
    assert all(isinstance(answer, Job) for place, answer in enumerate(answers) if place != 1)
    assert await ledger.get(jobs[4].id) == jobs[4]
    assert len(await ledger.history(jobs[4].id)) == 1
    assert {len(await ledger.history(job.id)) for job in jobs if job is not jobs[4]} == {2}


async def test_a_cancelled_caller_takes_nothing_back(ledger: Store) -> None:
    job = await opened(ledger, new_job(1))
    writing = asyncio.ensure_future(bump(ledger, job))
    await asyncio.sleep(0)  # it has asked
    writing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await writing
    found = await ledger.get(job.id)
    assert found is not None
    assert found.version == 1


async def test_closing_writes_what_was_asked_for_before(tmp_path: Path) -> None:
    store = STORES["sqlite"](str(tmp_path))
    jobs = [asyncio.ensure_future(opened(store, new_job(n))) for n in range(600)]
    await asyncio.sleep(0)
    await store.close()
    await asyncio.gather(*jobs)
    with pytest.raises(LedgerError, match="closed"):
        await store.get(job_id(0))
    await store.close()
    again = STORES["sqlite"](str(tmp_path))
    assert len(await again.open_job_ids()) == 600
    await again.close()


async def test_long_things_asked_for_before_closing_are_done_one_after_the_other(tmp_path: Path) -> None:
    store = STORES["sqlite"](str(tmp_path))
    began, may_end = threading.Event(), threading.Event()

    def long(_: Transactor, between: Callable[[], None]) -> None:
        began.set()
        may_end.wait()
        between()

    first = asyncio.ensure_future(store._pump.alone(long))
    assert await asyncio.to_thread(began.wait, 10)
    copies = [asyncio.ensure_future(store.backup(os.fsencode(tmp_path / f"copy-{n}"))) for n in range(2)]
    written = asyncio.ensure_future(opened(store, new_job(1)))
    await asyncio.sleep(0)  # all are asked for
    closing = asyncio.ensure_future(store.close())
    await asyncio.sleep(0)
    may_end.set()
    async with asyncio.timeout(10):
        await asyncio.gather(first, *copies, written, closing)
    assert all((tmp_path / f"copy-{n}").exists() for n in range(2))


@pytest.mark.parametrize("inline", [False, True])
@pytest.mark.parametrize(("when", "written"), [("before-commit", False), ("after-commit", True)])
async def test_an_error_at_the_commit_reaches_every_caller(
    tmp_path: Path, when: str, written: bool, inline: bool
) -> None:
    failing = False

    def tap(moment: str) -> None:
        if failing and moment == when:
            raise LedgerTrouble("the test said so")

    store = Store.open_state(tmp_path, tap=tap, inline=inline)
    jobs = await asyncio.gather(*(opened(store, new_job(n)) for n in range(5)))
    failing = True
    answers = await asyncio.gather(*(bump(store, job) for job in jobs), store.get(jobs[0].id), return_exceptions=True)
    assert all(isinstance(answer, LedgerTrouble) for answer in answers[:5])
    assert isinstance(answers[5], Job), "reading goes on"
    failing = False
    found = await store.get_many([job.id for job in jobs])
    assert {job.version for job in found.values()} == {int(written)}
    assert await store.integrity() == []
    await store.close()
