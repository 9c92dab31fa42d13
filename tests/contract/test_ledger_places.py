"""The intent to Run is recorded only where the account has a place for its task, however many want the last one."""

from __future__ import annotations

import asyncio

import pytest

from hopperd.errors import NoRoom, Stale
from hopperd.ledger.store import Store
from hopperd.pipeline.events import RunIntended
from hopperd.pipeline.job import Job, Stage
from tests.support.stores import NOW, moved, new_job, opened

pytestmark = pytest.mark.asyncio


async def uploaded(ledger: Store, number: int, **fields: object) -> Job:
    return await opened(ledger, new_job(number, stage=Stage.UPLOADED, **fields))


async def intend(ledger: Store, job: Job, most: int | None) -> Job:
    return await ledger.record(job, moved(job, Stage.SUBMITTING), RunIntended(), NOW, most_in_flight=most)


async def test_of_many_at_once_as_many_as_there_are_places_are_recorded(ledger: Store) -> None:
    jobs = [await uploaded(ledger, number) for number in range(20)]
    answers = await asyncio.gather(*(intend(ledger, job, 7) for job in jobs), return_exceptions=True)
    assert sum(isinstance(answer, Job) for answer in answers) == 7
    assert sum(isinstance(answer, NoRoom) for answer in answers) == 13
    for job, answer in zip(jobs, answers, strict=True):
        now = await ledger.get(job.id)
        assert now is not None and now.stage is (Stage.UPLOADED if isinstance(answer, NoRoom) else Stage.SUBMITTING)
        assert len(await ledger.history(job.id)) == (1 if isinstance(answer, NoRoom) else 2), "a refusal left a trace"


async def test_a_place_that_comes_free_is_had_by_the_next(ledger: Store) -> None:
    first, second = await uploaded(ledger, 1), await uploaded(ledger, 2)
    first = await intend(ledger, first, 1)
    with pytest.raises(NoRoom, match="1 tasks of main"):
        await intend(ledger, second, 1)
    first = await ledger.record(first, moved(first, Stage.SUBMITTED), RunIntended(), NOW)
    with pytest.raises(NoRoom):
        await intend(ledger, second, 1)
    await ledger.record(first, moved(first, Stage.CAPTURED), RunIntended(), NOW)
    assert (await intend(ledger, second, 1)).stage is Stage.SUBMITTING


async def test_other_accounts_and_tasks_that_wait_for_a_person_take_no_place(ledger: Store) -> None:
    await opened(ledger, new_job(1, stage=Stage.SUBMITTED, account="another"))
    await opened(ledger, new_job(2, stage=Stage.SUBMITTED, verification_url="https://x"))
    assert (await intend(ledger, await uploaded(ledger, 3), 1)).stage is Stage.SUBMITTING


async def test_a_lost_race_is_said_before_a_want_of_room(ledger: Store) -> None:
    """A commit that reported trouble may have taken effect: who asks again must not hear that there is no room."""
    job = await uploaded(ledger, 1)
    await intend(ledger, job, 1)
    with pytest.raises(Stale) as lost:
        await intend(ledger, job, 1)
    assert not isinstance(lost.value, NoRoom)


async def test_without_a_limit_nobody_counts(ledger: Store) -> None:
    for number in range(3):
        assert (await intend(ledger, await uploaded(ledger, number), None)).stage is Stage.SUBMITTING
