"""What is to be told outside is in the ledger with what it tells, or not at all; and what people were told is kept."""

from __future__ import annotations

import json

import pytest

from hopperd.errors import Stale
from hopperd.ledger.store import Store
from hopperd.pipeline.events import FiledAway, PutOnHold
from hopperd.pipeline.job import Failure, Hold, Job, Stage
from hopperd.pipeline.letters import Letter, Mailing
from tests.support.stores import NOW, export, moved, new_job, opened

pytestmark = pytest.mark.asyncio

MAILING = Mailing(
    hooks=frozenset({"us"}), channels=("notices/webhook", "notices/apprise"), kinds=frozenset({"failed", "held"})
)
HOLD = Hold(reason="doubt", what="nobody knows", do="look", since=NOW)


def letter(name: str, at: float = NOW) -> Letter:
    return Letter(id=name, channel="notices/webhook", at=at, document="{}")


async def delivered(ledger: Store, job: Job) -> Job:
    before = await ledger.record(job, moved(job, Stage.DELIVERED, exports=(export(),)), FiledAway(), NOW)
    after = moved(before, Stage.DONE, outcome="delivered", exports=(export(),))
    return await ledger.record(before, after, FiledAway(), NOW)


async def test_a_delivery_is_told_with_its_receipt_in_the_folder_that_wants_it(ledger: Store) -> None:
    ledger.mailing = MAILING
    called: list[None] = []
    ledger.on_letters = lambda: called.append(None)
    done = await delivered(ledger, await opened(ledger, new_job(1)))
    await delivered(ledger, await opened(ledger, new_job(2, folder="eu")))
    (waiting,) = await ledger.letters_due("hook/us", NOW, 10)
    told = json.loads(waiting.document)
    assert (told["job"], told["outcome"], told["exports"][0]["name"]) == (done.id, "delivered", "invoice.json")
    assert (await ledger.letters_waiting()).keys() == {"hook/us"}
    assert len(called) == 1


async def test_a_lost_race_tells_nothing(ledger: Store) -> None:
    ledger.mailing = MAILING
    job = await opened(ledger, new_job(1))
    await ledger.record(job, moved(job, hold=HOLD), PutOnHold(hold=HOLD), NOW)
    with pytest.raises(Stale):
        await ledger.record(job, moved(job, hold=HOLD), PutOnHold(hold=HOLD), NOW)
    (held,) = await ledger.letters_due("notices/webhook", NOW, 10)
    assert json.loads(held.document)["what"] == "nobody knows"
    assert len(await ledger.letters_due("notices/apprise", NOW, 10)) == 1


async def test_what_a_person_did_is_no_news(ledger: Store) -> None:
    ledger.mailing = MAILING
    job = await opened(ledger, new_job(1))
    by_person = Hold(reason="person", what="wait", do="", since=NOW)
    held = await ledger.record(job, moved(job, hold=by_person), PutOnHold(hold=by_person), NOW)
    forgotten = Failure(reason="forgotten", fault="us", what="", do="")
    await ledger.record(held, moved(held, Stage.ABANDONED, failure=forgotten), FiledAway(), NOW)
    assert await ledger.letters_waiting() == {}


async def test_a_letter_waits_until_it_was_taken(ledger: Store) -> None:
    await ledger.post([letter("a", NOW), letter("b", NOW + 1)], {})
    await ledger.postpone_letters(["a"], NOW + 60, "nobody answered")
    (b,) = await ledger.letters_due("notices/webhook", NOW + 59, 10)
    assert (b.id, b.attempts, b.trouble) == ("b", 0, None)
    await ledger.letters_taken(["b"])
    (a,) = await ledger.letters_due("notices/webhook", NOW + 60, 10)
    assert (a.id, a.attempts, a.trouble) == ("a", 1, "nobody answered")
    waiting = (await ledger.letters_waiting())["notices/webhook"]
    assert (waiting.letters, waiting.oldest_at, waiting.next_due) == (1, NOW, NOW + 60)


async def test_a_letter_may_come_again_and_the_oldest_of_too_many_go(ledger: Store) -> None:
    await ledger.post([letter(f"{number:02d}", NOW + number) for number in range(10)], {})
    await ledger.post([letter("09", NOW + 9)], {})
    assert await ledger.trim_letters("notices/webhook", 3) == 7
    left = await ledger.letters_due("notices/webhook", NOW + 100, 10)
    assert [one.id for one in left] == ["07", "08", "09"]


async def test_what_people_were_told_is_kept_and_forgotten(ledger: Store) -> None:
    await ledger.post([], {"account/main": "credentials", "folder/us": "gone"})
    await ledger.post([], {"account/main": None})
    assert await ledger.told() == {"folder/us": "gone"}


async def test_a_clock_that_stepped_back_strands_no_letter(ledger: Store) -> None:
    await ledger.post([letter("a")], {})
    await ledger.postpone_letters(["a"], NOW + 1e6, "")
    await ledger.clamp_due(NOW, 3600.0)
    assert (await ledger.letters_waiting())["notices/webhook"].next_due == NOW + 3600.0


async def test_every_job_that_came_in_is_delivered_failed_held_or_open(ledger: Store) -> None:
    jobs = [await opened(ledger, new_job(number)) for number in range(5)]
    await delivered(ledger, jobs[0])
    await ledger.record(jobs[1], moved(jobs[1], Stage.FAILED), FiledAway(), NOW)
    await ledger.record(jobs[2], moved(jobs[2], hold=HOLD), PutOnHold(hold=HOLD), NOW)
    assert await ledger.came_in(NOW - 1, NOW + 1) == {"delivered": 1, "failed": 1, "held": 1, "open": 2}
    assert sum((await ledger.came_in(NOW + 1, NOW + 2)).values()) == 0


async def test_doubts_are_counted_also_once_the_job_is_finished(ledger: Store) -> None:
    from hopperd.pipeline.moves import PERHAPS_DELIVERED_TWICE
    from hopperd.ports import JobQuery

    jobs = [await opened(ledger, new_job(number)) for number in range(4)]
    await ledger.record(jobs[0], moved(jobs[0], doubts=1), FiledAway(), NOW)
    paid = await ledger.record(jobs[1], moved(jobs[1], Stage.DONE, doubts=2), FiledAway(), NOW)
    after = moved(jobs[2], Stage.DONE, notes=(PERHAPS_DELIVERED_TWICE,))
    twice = await ledger.record(jobs[2], after, FiledAway(), NOW)
    doubts = await ledger.doubts()
    assert (doubts.open, doubts.finished, doubts.perhaps_delivered_twice) == (1, 1, 1)
    found = await ledger.page(JobQuery(perhaps_twice=True))
    assert [job.id for job in found] == [twice.id, paid.id, jobs[0].id]
    assert found[1].doubts == 2


async def test_jobs_are_counted_in_slices_by_id(ledger: Store) -> None:
    jobs = [await opened(ledger, new_job(number)) for number in range(5)]
    assert await ledger.count_slice("", 3) == (3, jobs[2].id)
    assert await ledger.count_slice(jobs[2].id, 3) == (2, jobs[4].id)
    assert await ledger.count_slice(jobs[4].id, 3) == (0, None)
