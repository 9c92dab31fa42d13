"""Promise: the same bytes are not paid for twice. Who has them, who waits, and how each end is told."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from hopperd.ledger.store import Store
from hopperd.pipeline.events import Changed, Delivered, FiledAway, Forgotten, Postponed, Retried, TwinEnded, Weather
from hopperd.pipeline.identity import bytes_digest
from hopperd.pipeline.job import Job, Original, Stage, Twin
from tests.support.stores import NOW, export, job_id, moved, new_job, opened, original

pytestmark = pytest.mark.asyncio

LATER = NOW + 1_000
POSTPONED = Postponed(weather=Weather(kind="server", what="it rains"))


def same(number: int, **fields: Any) -> Job:
    return new_job(number, content=b"the same bytes", **fields)


async def now_is(ledger: Store, job: Job) -> Job:
    found = await ledger.get(job.id)
    assert found is not None
    return found


async def delivered(ledger: Store, job: Job, name: bytes = b"a.json", at: float = NOW) -> Job:
    after = moved(job, Stage.DELIVERED, outcome="delivered", exports=(export(name),))
    return await ledger.record(job, after, Delivered(), at)


async def abandoned(ledger: Store, job: Job, at: float = NOW) -> Job:
    return await ledger.record(job, moved(job, Stage.ABANDONED, outcome="failed"), Forgotten(), at)


async def waiting(ledger: Store, number: int) -> Job:
    """A job that waits for its twin, not due before LATER."""
    job = await opened(ledger, same(number))
    assert job.twin is not None
    return await ledger.record(job, moved(job, due_at=LATER), TwinEnded(twin=job.twin), NOW)


def other_bytes(job: Job, content: bytes) -> tuple[Original, ...]:
    return (original(job.originals[0].name, content),)


async def changed(ledger: Store, job: Job, content: bytes) -> Job:
    originals = other_bytes(job, content)
    return await ledger.record(job, moved(job, originals=originals), Changed(originals=originals), NOW)


# ------------------------------------------------------------------------------------------------------ opening


async def test_the_second_of_two_twins_is_told_of_the_first(ledger: Store) -> None:
    first = await opened(ledger, same(1))
    second = await opened(ledger, same(2))
    assert first.twin is None
    assert second.twin == Twin(job=first.id)
    assert await ledger.get(second.id) == second


async def test_the_same_bytes_in_another_folder_are_another_matter(ledger: Store) -> None:
    await opened(ledger, same(1))
    assert (await opened(ledger, same(2, folder="eu"))).twin is None
    assert (await opened(ledger, new_job(3, content=b"other bytes"))).twin is None


async def test_a_delivered_twin_is_named_with_its_exports(ledger: Store) -> None:
    first = await opened(ledger, same(1))
    await delivered(ledger, first, b"r\xffsum\xc3\xa9.json")
    second = await opened(ledger, same(2))
    assert second.twin == Twin(job=first.id, delivered=True, exports=("r%FFsumé.json",))
    assert await ledger.take_bytes(second) == second.twin


async def test_a_delivered_twin_is_known_after_it_was_forgotten(ledger: Store) -> None:
    first = await delivered(ledger, await opened(ledger, same(1)))
    done = await ledger.record(first, moved(first, Stage.DONE), FiledAway(), NOW)
    assert await ledger.forget(done.id)
    assert (await opened(ledger, same(2))).twin == Twin(job=first.id, delivered=True, exports=("a.json",))


async def test_groups_are_the_same_whatever_the_order_of_their_members(ledger: Store) -> None:
    a, b = original(b"g/a.pdf", b"A"), original(b"g/b.pdf", b"B")
    first = await opened(ledger, new_job(1, group=b"g", originals=(a, b)))
    second = await opened(ledger, new_job(2, group=b"h", originals=(b, a)))
    third = await opened(ledger, new_job(3, group=b"i", originals=(a,)))
    single = await opened(ledger, new_job(4, originals=(a,)))
    assert second.twin == Twin(job=first.id)
    assert third.twin is None
    assert single.twin is None, "a group of one is not the file alone"
    assert bytes_digest(single) == a.sha256


# ------------------------------------------------------------------------------------------- how the first one ends


async def test_who_waits_is_woken_when_its_twin_delivers(ledger: Store) -> None:
    first = await opened(ledger, same(1))
    second = await waiting(ledger, 2)
    bystander = await opened(ledger, new_job(3, due_at=LATER))
    await delivered(ledger, first, at=NOW + 7)
    assert (await now_is(ledger, second)).due_at == NOW + 7
    assert (await now_is(ledger, bystander)).due_at == LATER
    assert await ledger.take_bytes(second) == Twin(job=first.id, delivered=True, exports=("a.json",))


async def test_who_waits_takes_the_bytes_of_a_twin_that_failed(ledger: Store) -> None:
    first = await opened(ledger, same(1))
    second, third = await waiting(ledger, 2), await waiting(ledger, 3)
    await abandoned(ledger, first, at=NOW + 7)
    assert (await now_is(ledger, second)).due_at == NOW + 7
    assert (await now_is(ledger, third)).due_at == NOW + 7
    assert await ledger.take_bytes(second) is None
    assert await ledger.take_bytes(second) is None, "taking is repeatable"
    assert await ledger.take_bytes(third) == Twin(job=second.id)


async def test_what_the_verifier_removed_was_not_delivered(ledger: Store) -> None:
    first = await opened(ledger, same(1))
    second = await waiting(ledger, 2)
    await ledger.record(first, moved(first, Stage.DELIVERED, outcome="removed"), POSTPONED, NOW)
    assert (await now_is(ledger, second)).due_at == NOW
    assert await ledger.take_bytes(second) is None


async def test_who_is_about_to_wait_for_a_twin_that_has_just_ended_looks_at_once(ledger: Store) -> None:
    first = await opened(ledger, same(1))
    second = await opened(ledger, same(2))
    await delivered(ledger, first)
    assert second.twin is not None
    recorded = await ledger.record(second, moved(second, due_at=LATER), TwinEnded(twin=second.twin), NOW)
    assert recorded.due_at == NOW
    assert await ledger.get(second.id) == recorded


async def test_a_duplicate_that_is_filed_away_takes_nothing_from_the_first(ledger: Store) -> None:
    first = await delivered(ledger, await opened(ledger, same(1)))
    second = await opened(ledger, same(2))
    filed = await ledger.record(second, moved(second, Stage.DELIVERED, outcome="duplicate"), POSTPONED, NOW)
    await ledger.record(filed, moved(filed, Stage.DONE), FiledAway(), NOW)
    third = await opened(ledger, same(3))
    assert third.twin is not None
    assert (third.twin.job, third.twin.delivered) == (first.id, True)


async def test_bytes_of_a_job_that_finished_without_delivering_are_free(ledger: Store) -> None:
    await abandoned(ledger, await opened(ledger, same(1)))
    assert (await opened(ledger, same(2))).twin is None


async def test_bytes_taken_for_a_job_that_never_was_are_free(ledger: Store) -> None:
    assert await ledger.take_bytes(same(1)) is None
    assert (await opened(ledger, same(2))).twin is None


# ------------------------------------------------------------------------------------------------- "again" and retry


async def test_where_duplicates_are_wanted_they_leave_their_delivery_behind(ledger: Store) -> None:
    again = await opened(ledger, same(1), twins=False)
    assert again.twin is None
    assert (await opened(ledger, same(2))).twin is None, "it takes nothing before it delivers"
    await abandoned(ledger, await now_is(ledger, same(2)))
    await delivered(ledger, again)
    assert (await opened(ledger, same(3))).twin == Twin(job=again.id, delivered=True, exports=("a.json",))


async def test_the_first_to_deliver_stays_the_first(ledger: Store) -> None:
    held = await opened(ledger, same(1))
    again = await opened(ledger, same(2), twins=False)
    third = await waiting(ledger, 3)
    await delivered(ledger, again, b"again.json")
    assert (await now_is(ledger, third)).due_at == NOW, "who waited for the other is woken as well"
    await delivered(ledger, held, b"held.json")
    assert await ledger.take_bytes(third) == Twin(job=again.id, delivered=True, exports=("again.json",))


async def test_a_retried_job_takes_its_bytes_again(ledger: Store) -> None:
    first = await abandoned(ledger, await opened(ledger, same(1)))
    failed = await ledger.record(first, moved(first, Stage.FAILED), FiledAway(), NOW)
    await ledger.record(failed, moved(failed, Stage.CLAIMED, outcome=None), Retried(), NOW)
    assert (await opened(ledger, same(2))).twin == Twin(job=first.id)


async def test_a_retried_job_leaves_the_bytes_to_who_has_them_now(ledger: Store) -> None:
    first = await abandoned(ledger, await opened(ledger, same(1)))
    second = await opened(ledger, same(2))
    retried = await ledger.record(first, moved(first, Stage.CLAIMED, outcome=None), Retried(), NOW)
    assert retried.twin is None, "a person ordered it"
    assert await ledger.take_bytes(second) is None


# --------------------------------------------------------------------------------------------------- other bytes


async def test_a_file_that_changed_gives_its_old_bytes_back_and_takes_the_new(ledger: Store) -> None:
    first = await opened(ledger, same(1))
    second = await waiting(ledger, 2)
    after = await changed(ledger, first, b"new bytes")
    assert after.twin is None
    assert (await now_is(ledger, second)).due_at == NOW
    assert await ledger.take_bytes(second) is None
    assert (await opened(ledger, new_job(3, content=b"new bytes"))).twin == Twin(job=first.id)


async def test_a_file_that_changed_into_a_known_one_waits_for_it(ledger: Store) -> None:
    other = await opened(ledger, new_job(1, content=b"known"))
    job = await opened(ledger, same(2))
    after = await changed(ledger, job, b"known")
    assert after.twin == Twin(job=other.id)
    assert await ledger.get(job.id) == after


async def test_a_twin_that_changed_waits_no_longer(ledger: Store) -> None:
    await opened(ledger, same(1))
    after = await changed(ledger, await waiting(ledger, 2), b"something else")
    assert after.twin is None
    assert (await opened(ledger, new_job(3, content=b"something else"))).twin == Twin(job=job_id(2))


async def test_where_duplicates_are_wanted_a_change_takes_nothing(ledger: Store) -> None:
    await opened(ledger, new_job(1, content=b"known"))
    again = await opened(ledger, same(2), twins=False)
    assert (await changed(ledger, again, b"known")).twin is None


async def test_a_change_that_lost_its_race_gives_nothing_back(ledger: Store) -> None:
    first = await opened(ledger, same(1))
    await ledger.record(first, moved(first), POSTPONED, NOW)
    with pytest.raises(Exception, match="version"):
        await changed(ledger, first, b"new bytes")
    assert (await opened(ledger, same(2))).twin == Twin(job=first.id)


# ------------------------------------------------------------------------------------------------------- forgetting


async def test_delivered_digests_are_kept_as_long_as_the_folder_says(ledger: Store) -> None:
    for number in range(3):
        job = await opened(ledger, new_job(number))
        await delivered(ledger, job, at=NOW + number)
    pending = await opened(ledger, same(9, opened_at=NOW - 9))
    assert [await ledger.purge_digests(NOW + 2, limit=1) for _ in range(3)] == [1, 1, 0]
    assert (await opened(ledger, replace(new_job(0), id=job_id(10)))).twin is None
    assert (await opened(ledger, replace(new_job(2), id=job_id(12)))).twin is not None
    assert (await opened(ledger, same(13))).twin == Twin(job=pending.id)
