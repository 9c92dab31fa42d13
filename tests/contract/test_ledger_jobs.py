"""What every store of the ledger must do with jobs: open, record, give out what is due, let go."""

from __future__ import annotations

from dataclasses import replace

import pytest
import structlog

from hopperd.errors import Stale
from hopperd.ledger.store import Store
from hopperd.pipeline.events import Claimed, Event, RunAccepted, RunIntended, TaskSeen, Uploaded
from hopperd.pipeline.job import Job, JobId, RemoteFile, Stage, Task, TaskStatus
from hopperd.pipeline.letters import Mailing
from hopperd.ports import FolderMark, JobQuery, Pause, Wanted
from tests.support.stores import HOLD, NOW, POSTPONED, job_id, moved, new_job, opened, original

pytestmark = pytest.mark.asyncio


def task(number: str = "7") -> Task:
    return Task(
        id=f"task-{number}",
        number=number,
        status=TaskStatus.RUNNING,
        status_text="Processing",
        raw={"Id": f"task-{number}", "secret": "of the service"},
    )


# ------------------------------------------------------------------------------------------------------ one job


async def test_an_opened_job_is_found_as_it_was(ledger: Store) -> None:
    job = await opened(ledger, new_job(1, name="Rechnung ä.pdf".encode(), priority=3, group=b"batch"))
    assert await ledger.get(job.id) == job
    assert await ledger.get(job_id(2)) is None
    assert await ledger.get_many([job.id, job_id(2)]) == {job.id: job}


async def test_claiming_is_repeatable(ledger: Store) -> None:
    first = await opened(ledger, new_job(1))
    later = await ledger.record(first, moved(first, Stage.UPLOADED), RunIntended(), NOW)
    assert await opened(ledger, new_job(1, name=b"another.pdf")) == later
    assert len(await ledger.history(first.id)) == 2


async def test_each_event_is_a_row_of_history(ledger: Store) -> None:
    job = await ledger.open(new_job(1), Claimed(adopted=True), twins=True)
    remote = RemoteFile(id="f1", token="very secret", expiring=NOW + 1)
    after = moved(job, Stage.UPLOADED)
    await ledger.record(job, after, Uploaded(position=0, remote=remote, pages=2), NOW + 5)
    await ledger.record(after, moved(after, Stage.SUBMITTED), RunAccepted(task=task()), NOW + 6)
    claimed, uploaded, accepted = await ledger.history(job.id)
    assert (claimed.version, claimed.event, claimed.stage, claimed.at) == (0, "claimed", Stage.CLAIMED, NOW)
    assert claimed.detail == {"adopted": True}
    assert (uploaded.version, uploaded.event, uploaded.stage, uploaded.at) == (1, "uploaded", Stage.UPLOADED, NOW + 5)
    assert uploaded.detail == {"position": 0, "remote": {"id": "f1", "expiring": NOW + 1}, "pages": 2}
    assert accepted.detail["task"]["number"] == "7"
    assert "secret" not in str([claimed.detail, uploaded.detail, accepted.detail])
    assert await ledger.history(job_id(9)) == []


async def test_a_lost_race_is_stale_and_changes_nothing(ledger: Store) -> None:
    job = await opened(ledger, new_job(1))
    won = await ledger.record(job, moved(job, due_at=NOW + 1), POSTPONED, NOW)
    with pytest.raises(Stale):
        await ledger.record(job, moved(job, Stage.ABANDONED), POSTPONED, NOW)
    assert await ledger.get(job.id) == won
    assert len(await ledger.history(job.id)) == 2


async def test_a_job_nobody_opened_is_stale(ledger: Store) -> None:
    with pytest.raises(Stale):
        await ledger.record(new_job(1), moved(new_job(1)), POSTPONED, NOW)


async def test_a_record_leads_from_one_version_to_the_next(ledger: Store) -> None:
    job = await opened(ledger, new_job(1))
    with pytest.raises(ValueError, match="one version to the next"):
        await ledger.record(job, job, POSTPONED, NOW)


async def test_a_finished_job_can_be_forgotten_with_its_history(ledger: Store) -> None:
    job = await opened(ledger, new_job(1))
    assert not await ledger.forget(job.id), "an open job is not forgotten"
    done = await ledger.record(job, moved(job, Stage.DONE, task_id="t"), POSTPONED, NOW)
    assert await ledger.forget(done.id)
    assert await ledger.get(done.id) is None
    assert await ledger.history(done.id) == []
    assert await ledger.job_with_task("t") is None
    assert not await ledger.forget(done.id)


@pytest.mark.parametrize(
    "name",
    [
        b"\xff\xfe",
        b"line\nbreak.pdf",
        b"-rf",
        b"'\"; DROP TABLE jobs",
        b"x" * 255,
        b"a\xcc\x88.pdf",
        b"\xed\xa0\x80",
        b"%_/",
    ],
)
async def test_odd_names_come_back_byte_for_byte(ledger: Store, name: bytes) -> None:
    job = new_job(1, name=name, group=name, originals=(replace(original(name), filed_as=name),))
    assert await opened(ledger, job) == job
    found = await ledger.get(job.id)
    assert found == job
    assert await ledger.page(JobQuery(folder="us")) == [job]


async def test_text_of_the_service_that_is_no_unicode_stops_nothing(ledger: Store) -> None:
    job = await opened(ledger, new_job(1))
    await ledger.record(job, moved(job, task={"note": "half \ud83d", "more": [1, None]}), TaskSeen(task=task()), NOW)
    found = await ledger.get(job.id)
    assert found is not None
    assert found.task == {"note": "half \ufffd", "more": [1, None]}


# ---------------------------------------------------------------------------------------------- what is to be done


async def test_due_jobs_come_by_priority_then_by_due_time(ledger: Store) -> None:
    for number, (priority, due_at) in enumerate([(0, 5), (0, 1), (9, 7), (0, 99), (9, 3)]):
        await opened(ledger, new_job(number, priority=priority, due_at=NOW + due_at))
    due = await ledger.due("main", [Stage.CLAIMED], NOW + 10, 10, ())
    assert [job.id for job in due] == [job_id(n) for n in (4, 2, 1, 0)]
    assert [job.id for job in await ledger.due("main", [Stage.CLAIMED], NOW + 10, 2, ())] == [job_id(4), job_id(2)]
    some = await ledger.due("main", [Stage.CLAIMED], NOW + 10, 2, {job_id(4), job_id(1)})
    assert [job.id for job in some] == [job_id(2), job_id(0)]


async def test_only_open_jobs_of_the_account_and_stage_that_nobody_holds_are_due(ledger: Store) -> None:
    await opened(ledger, new_job(1, stage=Stage.SUBMITTED))
    await opened(ledger, new_job(2, account="other"))
    await opened(ledger, new_job(3, hold=HOLD))
    await opened(ledger, new_job(4, stage=Stage.DONE))
    await opened(ledger, new_job(5, stage=Stage.FAILED))
    right = await opened(ledger, new_job(6))
    assert await ledger.due("main", [Stage.CLAIMED, Stage.DONE, Stage.FAILED], NOW, 10, ()) == [right]
    assert await ledger.due("main", [], NOW, 10, ()) == []
    assert await ledger.due("main", [Stage.CLAIMED], NOW, 0, ()) == []


async def test_due_jobs_of_some_folders_only(ledger: Store) -> None:
    us = await opened(ledger, new_job(1))
    eu = await opened(ledger, new_job(2, folder="eu", due_at=NOW + 1))
    await opened(ledger, new_job(3, folder="au"))
    assert await ledger.due("main", [Stage.CLAIMED], NOW + 1, 9, (), {"us", "eu"}) == [us, eu]
    assert await ledger.due("main", [Stage.CLAIMED], NOW + 1, 9, (), set()) == []


async def test_the_next_due_time_is_that_of_an_open_job_nobody_holds(ledger: Store) -> None:
    assert await ledger.next_due(NOW) is None
    await opened(ledger, new_job(1, due_at=NOW))
    await opened(ledger, new_job(2, due_at=NOW + 1, hold=HOLD))
    await opened(ledger, new_job(3, due_at=NOW + 2, stage=Stage.DONE))
    assert await ledger.next_due(NOW) is None
    await opened(ledger, new_job(4, due_at=NOW + 9))
    await opened(ledger, new_job(5, due_at=NOW + 4))
    assert await ledger.next_due(NOW) == NOW + 4


async def test_who_waits_for_a_person_takes_no_place(ledger: Store) -> None:
    await opened(ledger, new_job(1, stage=Stage.SUBMITTING))
    await opened(ledger, new_job(2, stage=Stage.SUBMITTED))
    await opened(ledger, new_job(3, stage=Stage.SUBMITTED, verification_url="https://verify"))
    await opened(ledger, new_job(4, stage=Stage.SUBMITTED, verification_url=""))
    await opened(ledger, new_job(5, stage=Stage.CAPTURED))
    await opened(ledger, new_job(6, stage=Stage.SUBMITTED, account="other"))
    await opened(ledger, new_job(7, folder="eu", hold=HOLD))
    await opened(ledger, new_job(8, folder="eu", stage=Stage.SUBMITTING, hold=HOLD))
    wanted = [Wanted(account=account, stages=tuple(Stage), limit=10) for account in ("main", "other")]
    await ledger.pick_up(wanted, NOW, (), {"us", "eu"})  # of several nodes, each counts what it carries
    assert sorted(await ledger.in_flight("main")) == [job_id(1), job_id(2)]
    assert await ledger.open_jobs() == {"us": 4}
    assert await ledger.unfinished() == 4


async def test_who_waits_for_a_job_that_cannot_move_cannot_move_either(ledger: Store) -> None:
    holder = await opened(ledger, new_job(1, content=b"same"))
    await opened(ledger, new_job(2, content=b"same"))
    assert await ledger.unfinished() == 2
    await ledger.record(holder, moved(holder, hold=HOLD), POSTPONED, NOW)
    assert await ledger.unfinished() == 0


async def test_tidying_is_for_finished_jobs_whose_time_has_come(ledger: Store) -> None:
    await opened(ledger, new_job(1, stage=Stage.DELIVERED, tidy_remote=True))
    await opened(ledger, new_job(2, stage=Stage.DONE))
    await opened(ledger, new_job(3, stage=Stage.DONE, tidy_remote=True, due_at=NOW + 9))
    first = await opened(ledger, new_job(4, stage=Stage.DONE, tidy_remote=True, due_at=NOW - 1))
    second = await opened(ledger, new_job(5, stage=Stage.DONE, tidy_remote=True, due_at=NOW))
    assert await ledger.tidy_due("main", NOW, 9) == [first, second]
    assert await ledger.tidy_due("main", NOW, 1) == [first]
    assert await ledger.tidy_due("other", NOW, 9) == []


async def test_what_is_untidy_or_doubtful_is_counted(ledger: Store) -> None:
    assert (await ledger.untidied(), (await ledger.doubts()).open) == (0, 0)
    await opened(ledger, new_job(1, stage=Stage.DONE, tidy_remote=True, doubts=1))
    await opened(ledger, new_job(2, doubts=2, hold=HOLD))
    await opened(ledger, new_job(3))
    assert (await ledger.untidied(), (await ledger.doubts()).open) == (1, 1)


async def test_after_the_clock_stepped_no_due_time_is_too_far_ahead(ledger: Store) -> None:
    await opened(ledger, new_job(1, due_at=NOW + 10_000))
    near = await opened(ledger, new_job(2, due_at=NOW + 10))
    await opened(ledger, new_job(3, due_at=NOW + 10_000, stage=Stage.DONE))
    assert await ledger.clamp_due(NOW, 60) == 1
    clamped = await ledger.get(job_id(1))
    assert clamped is not None
    assert (clamped.due_at, clamped.version) == (NOW + 60, 0)
    assert await ledger.get(near.id) == near
    assert await ledger.clamp_due(NOW, 60) == 0


# ------------------------------------------------------------------------------------------- pauses, marks, purging


async def test_pauses_are_set_replaced_and_taken_back(ledger: Store) -> None:
    pause = Pause(reason="credentials", what="401", do="look at the token", since=NOW, by_person=True, scope="runs")
    await ledger.set_account_pause("main", pause)
    await ledger.set_account_pause("main", replace(pause, scope="all"))
    await ledger.set_folder_pause("us", pause)
    assert await ledger.account_pauses() == {"main": replace(pause, scope="all")}
    assert await ledger.folder_pauses() == {"us": pause}
    await ledger.set_account_pause("main", None)
    await ledger.set_account_pause("main", None)
    assert await ledger.account_pauses() == {}
    assert await ledger.folder_pauses() == {"us": pause}


async def test_marks_keep_their_bytes(ledger: Store) -> None:
    await ledger.set_mark(FolderMark(key="us/work", path=b"/srv/\xff\n/work", starts=1))
    await ledger.set_mark(FolderMark(key="us/work", path=b"/srv/\xff\n/work", starts=2))
    assert await ledger.marks() == {"us/work": FolderMark(key="us/work", path=b"/srv/\xff\n/work", starts=2)}


async def test_purging_goes_in_steps_and_only_over_what_finished_before(ledger: Store) -> None:
    for number in range(5):
        await opened(ledger, new_job(number, stage=Stage.DONE, opened_at=NOW - 100 + number))
    open_job = await opened(ledger, new_job(8, opened_at=NOW - 100))
    young = await opened(ledger, new_job(9, stage=Stage.FAILED))
    assert [await ledger.purge(NOW, limit=3) for _ in range(3)] == [3, 2, 0]
    assert await ledger.page(JobQuery()) == [young, open_job]
    assert await ledger.history(job_id(0)) == []


async def test_a_ledger_in_use_contradicts_itself_nowhere(ledger: Store) -> None:
    job = await opened(ledger, new_job(1, content=b"same"))
    await opened(ledger, new_job(2, content=b"same"))
    await ledger.record(job, moved(job, Stage.SUBMITTED, task_id="t", hold=HOLD), POSTPONED, NOW)
    await ledger.clamp_due(NOW, -5)
    assert await ledger.integrity() == []


class Broken:
    """A listener with a mistake in it."""

    def recorded(self, before: Job | None, after: Job, event: Event | Claimed, at: float) -> None:
        raise RuntimeError("a mistake in the charts")

    def answered(self, kind: str, seconds: float) -> None:
        raise RuntimeError("a mistake in the metrics")


async def test_a_mistake_of_who_only_listens_is_logged_and_changes_nothing(ledger: Store) -> None:
    def broken() -> None:
        raise RuntimeError("a mistake in the mailroom")

    ledger.listener, ledger.on_letters = Broken(), broken
    ledger.mailing = Mailing(hooks=frozenset({"us"}))
    with structlog.testing.capture_logs() as logged:
        job = await opened(ledger, new_job(1, stage=Stage.UPLOADED))
        after = await ledger.record(job, moved(job, Stage.SUBMITTING), RunIntended(), NOW)
        done = await ledger.record(after, moved(after, Stage.DONE, outcome="delivered"), POSTPONED, NOW)
        assert await ledger.get(job.id) == done
    assert [line["mistakes"] for line in logged if line["event"] == "ledger.listener-failed"] == [1, 2, 4, 8]


# --------------------------------------------------------------------------------------------------------- itself


async def test_an_id_of_its_own_stays(ledger: Store) -> None:
    assert len(ledger.ledger_id) == 32
    assert JobId(ledger.ledger_id) == ledger.ledger_id


async def test_a_daemon_whose_ledger_is_its_own_has_no_neighbours(ledger: Store) -> None:
    assert await ledger.nodes() == []
    await ledger.put_back_letters(["no such letter"])
