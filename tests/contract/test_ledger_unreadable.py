"""Rows that cannot be read take nothing from the others, in every store of the ledger."""

from __future__ import annotations

import pytest
from sqlalchemy import update

from hopperd.ledger.store import Store
from hopperd.ledger.tables import account_pauses, jobs
from hopperd.pipeline.events import Rebuilt
from hopperd.pipeline.job import Stage
from hopperd.ports import JobQuery, Pause, Wanted
from tests.support.stores import NOW, POSTPONED, moved, new_job, opened, spoil

pytestmark = pytest.mark.asyncio


def _wanted(limit: int) -> list[Wanted]:
    return [Wanted(account="main", stages=(Stage.CLAIMED,), limit=limit)]


async def test_jobs_that_cannot_be_read_take_no_place_among_those_that_are_due(ledger: Store) -> None:
    in_hand = await opened(ledger, new_job(50, due_at=NOW - 200))
    assert (await ledger.pick_up(_wanted(1), NOW, set(), {"us"}))[0] == [[in_hand]]
    spoiled = [await opened(ledger, new_job(number, due_at=NOW - 100)) for number in range(40)]
    whole = [await opened(ledger, new_job(number, due_at=NOW - 50 + number)) for number in range(40, 44)]
    await spoil(ledger, *spoiled)
    assert await ledger.due("main", (Stage.CLAIMED,), NOW, 3, {in_hand.id}) == whole[:3]
    for _ in range(2):  # the first time they are not known yet
        (found,), _next = await ledger.pick_up(_wanted(2), NOW, {in_hand.id}, {"us"})
        assert found == whole[:2]


async def test_a_job_that_can_be_read_again_goes_on(ledger: Store) -> None:
    job = await opened(ledger, new_job(1))
    await spoil(ledger, job)
    assert await ledger.pick_up(_wanted(2), NOW, set(), {"us"}) == ([[]], None)
    await spoil(ledger, job, stage=job.stage.value + '","notes":["mended"],"stage":"' + job.stage.value)
    (found,), _next = await ledger.pick_up(_wanted(2), NOW, set(), {"us"})
    assert [one.id for one in found] == [job.id]


async def test_jobs_that_cannot_be_read_keep_nobody_from_being_tidied(ledger: Store) -> None:
    done = [await opened(ledger, new_job(n, stage=Stage.DONE, tidy_remote=True, due_at=NOW - 9 + n)) for n in range(5)]
    await spoil(ledger, *done[:3])
    assert await ledger.tidy_due("main", NOW, 2) == done[3:]


async def test_jobs_that_cannot_be_read_end_no_page_before_its_time(ledger: Store) -> None:
    made = [await opened(ledger, new_job(number)) for number in range(6)]
    await spoil(ledger, *made[2:5])
    assert await ledger.page(JobQuery(limit=2)) == [made[5], made[1]]
    assert await ledger.page(JobQuery(limit=2, before=made[1].id)) == [made[0]]
    assert await ledger.page(JobQuery(text="invoice", limit=2)) == [made[5], made[1]]


async def test_jobs_that_cannot_be_read_are_let_go_in_their_time_and_nothing_of_them_stays(ledger: Store) -> None:
    first = await opened(ledger, new_job(1, content=b"same"))
    await ledger.record(first, failed := moved(first, Stage.FAILED), POSTPONED, NOW)
    still_open = await opened(ledger, new_job(2, content=b"other"))
    await spoil(ledger, failed, still_open)
    assert await ledger.purge(NOW + 1) == 1
    assert await ledger.history(first.id) == []
    assert await ledger.open_job_ids() == [still_open.id], "what is open is not let go"
    await ledger.restore([moved(still_open)], Rebuilt(read_from="work"), NOW)
    assert await ledger.open_job_ids() == [still_open.id]


async def test_a_stage_that_nobody_knows_takes_nothing_from_the_backlog_but_itself(ledger: Store) -> None:
    job, other = await opened(ledger, new_job(1)), await opened(ledger, new_job(2))
    await ledger._pump.do(lambda c: c.execute(update(jobs).where(jobs.c.id == other.id).values(stage="archived")))
    assert [(cell.stage, cell.jobs) for cell in await ledger.backlog(NOW, ())] == [(job.stage, 1)]


async def test_a_pause_that_cannot_be_read_is_a_pause_until_a_person_ends_it(ledger: Store) -> None:
    whole = Pause(reason="person", what="w", do="d", since=NOW, by_person=True)
    for name in ("main", "other"):
        await ledger.set_account_pause(name, whole)
    spoilt = update(account_pauses).where(account_pauses.c.name == "other").values(document='{"reason":7}')
    await ledger._pump.do(lambda c: c.execute(spoilt))
    found = await ledger.account_pauses()
    assert found["main"] == whole
    assert (found["other"].reason, found["other"].by_person, found["other"].scope) == ("unreadable", True, "all")
    await ledger.set_account_pause("other", None)
    assert set(await ledger.account_pauses()) == {"main"}
