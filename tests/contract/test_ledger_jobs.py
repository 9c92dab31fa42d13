"""What every store of the ledger must do with jobs: open, record, find again, list, let go."""

from __future__ import annotations

from dataclasses import replace

import pytest
import structlog
from sqlalchemy import update

from hopperd.errors import Stale
from hopperd.ledger import queries
from hopperd.ledger.store import Store
from hopperd.ledger.tables import account_pauses, jobs
from hopperd.pipeline.events import (
    Claimed,
    Event,
    Postponed,
    Rebuilt,
    RunAccepted,
    RunIntended,
    TaskSeen,
    Uploaded,
    Weather,
)
from hopperd.pipeline.job import OPEN_STAGES, Hold, Job, JobId, RemoteFile, Stage, Task, TaskStatus
from hopperd.pipeline.letters import Mailing
from hopperd.ports import FolderMark, JobQuery, Pause, Wanted
from tests.support.stores import NOW, job_id, moved, new_job, opened, original, spoil

pytestmark = pytest.mark.asyncio

HOLD = Hold(reason="doubt", what="nobody knows", do="look", since=NOW)
POSTPONED = Postponed(weather=Weather(kind="server", what="it rains"))


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


# ------------------------------------------------------------------------------------------------------ looking


async def ids(ledger: Store, **query: object) -> list[int]:
    page = await ledger.page(JobQuery(**query))  # type: ignore[arg-type]
    return [next(n for n in range(1_000) if job_id(n) == job.id) for job in page]


async def test_a_page_is_newest_first_and_goes_on_from_its_cursor(ledger: Store) -> None:
    for number in range(5):
        await opened(ledger, new_job(number))
    assert await ids(ledger, limit=2) == [4, 3]
    assert await ids(ledger, limit=2, before=job_id(3)) == [2, 1]
    assert await ids(ledger, limit=0) == []


async def test_a_page_keeps_to_what_was_asked_for(ledger: Store) -> None:
    await opened(ledger, new_job(0))
    await opened(ledger, new_job(1, folder="eu", account="other", opened_at=NOW - 100))
    await opened(ledger, new_job(2, hold=HOLD))
    await opened(ledger, new_job(3, stage=Stage.SUBMITTED, verification_url="u"))
    await opened(ledger, new_job(4, stage=Stage.ABANDONED))
    await opened(ledger, new_job(5, stage=Stage.FAILED, opened_at=NOW + 100))
    await opened(ledger, new_job(6, stage=Stage.DONE))
    assert await ids(ledger, folder="eu") == [1]
    assert await ids(ledger, account="other") == [1]
    assert await ids(ledger, held=True) == [2]
    assert await ids(ledger, held=False, stages=[Stage.CLAIMED]) == [1, 0]
    assert await ids(ledger, waiting_for_person=True) == [3]
    assert await ids(ledger, failed=True) == [5, 4]
    assert await ids(ledger, failed=False) == [6, 3, 2, 1, 0]
    assert await ids(ledger, failed=False, stages=[Stage.FAILED]) == []
    assert await ids(ledger, stages=[Stage.DONE, Stage.FAILED]) == [6, 5]
    assert await ids(ledger, stages=OPEN_STAGES) == [4, 3, 2, 1, 0]
    assert await ids(ledger, stages=[]) == []
    assert await ids(ledger, opened_before=NOW) == [1]
    assert await ids(ledger, in_stage_since=NOW) == [1]
    assert await ids(ledger, entered_since=NOW + 1) == [5]
    assert await ids(ledger, stages=[Stage.FAILED], entered_since=NOW + 1, limit=1) == [5]


async def test_text_finds_ids_numbers_tasks_and_parts_of_names(ledger: Store) -> None:
    job = await opened(ledger, new_job(0, name="Straße/RÉCHNUNG 100%.pdf".encode()))
    await ledger.record(job, moved(job, Stage.SUBMITTED, task_id="t-77", task_number="4711"), POSTPONED, NOW)
    await opened(ledger, new_job(1, name=b"odd\nname_\xff.PDF"))
    await opened(ledger, new_job(2, name="re\u0301chnung.pdf".encode(), folder="eu"))
    assert await ids(ledger, text=job.id) == [0]
    assert await ids(ledger, text=f" {job.id.upper()} ") == [0]
    assert await ids(ledger, text="t-77") == [0]
    assert await ids(ledger, text="4711") == [0]
    assert await ids(ledger, text="471") == []
    assert await ids(ledger, text="STRASSE") == [0]
    assert await ids(ledger, text="réchnung") == [2, 0]
    assert await ids(ledger, text="réchnung", folder="eu") == [2]
    assert await ids(ledger, text="réchnung", limit=1) == [2]
    assert await ids(ledger, text="0%.") == [0]
    assert await ids(ledger, text="odd name_%ff.pdf") == [1]
    assert await ids(ledger, text="o_d") == []
    assert await ids(ledger, text="x" * 100_000) == []


async def test_a_search_goes_on_past_many_names_that_are_not_asked_for(ledger: Store) -> None:
    await opened(ledger, new_job(0, folder="eu"))
    for number in range(1, queries.IDS_AT_ONCE + 5):
        await opened(ledger, new_job(number))
    assert await ids(ledger, text="invoice", folder="eu") == [0]
    assert len(await ids(ledger, text="invoice-1", limit=3)) == 3


async def test_a_task_is_known_to_be_its_jobs_after_it_was_given_up(ledger: Store) -> None:
    job = await opened(ledger, new_job(1))
    one = await ledger.record(job, moved(job, Stage.SUBMITTED, task_id="first", task_number="1"), POSTPONED, NOW)
    two = await ledger.record(one, moved(one, Stage.UPLOADED, task_id=None, tasks_before=("first",)), POSTPONED, NOW)
    three = await ledger.record(two, moved(two, Stage.SUBMITTED, task_id="second"), POSTPONED, NOW)
    await ledger.record(three, moved(three, task_number="2"), POSTPONED, NOW)
    assert await ledger.job_with_task("first") == job.id
    assert await ledger.job_with_task("second") == job.id
    assert await ledger.job_with_task("third") is None
    assert await ids(ledger, text="2") == [1]


async def test_the_backlog_counts_open_jobs_by_folder_stage_and_age(ledger: Store) -> None:
    assert await ledger.backlog(NOW, (10, 100)) == []
    await opened(ledger, new_job(1, opened_at=NOW - 5))
    await opened(ledger, new_job(2, opened_at=NOW - 50))
    await opened(ledger, new_job(3, opened_at=NOW - 10, hold=HOLD))
    await opened(ledger, new_job(4, opened_at=NOW - 500, stage=Stage.SUBMITTED, verification_url="u", folder="eu"))
    await opened(ledger, new_job(5, stage=Stage.DONE))
    cells = {(c.folder, c.stage, c.age_bucket): c for c in await ledger.backlog(NOW, (10, 100))}
    assert set(cells) == {("us", Stage.CLAIMED, 0), ("us", Stage.CLAIMED, 1), ("eu", Stage.SUBMITTED, 2)}
    middle = cells["us", Stage.CLAIMED, 1]
    assert (middle.account, middle.jobs, middle.held, middle.oldest_opened_at) == ("main", 2, 1, NOW - 50)
    assert cells["eu", Stage.SUBMITTED, 2].waiting_for_person == 1
    (one, two) = await ledger.backlog(NOW, ())
    assert {one.age_bucket, two.age_bucket} == {0}


async def test_open_job_ids_are_all_of_them(ledger: Store) -> None:
    for number, stage in enumerate(Stage):
        await opened(ledger, new_job(number, stage=stage))
    stages = list(Stage)
    assert await ledger.open_job_ids() == [job_id(stages.index(stage)) for stage in OPEN_STAGES]


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


# ------------------------------------------------------------------------------------- rows that cannot be read


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


# --------------------------------------------------------------------------------------------------------- itself


async def test_an_id_of_its_own_stays(ledger: Store) -> None:
    assert len(ledger.ledger_id) == 32
    assert JobId(ledger.ledger_id) == ledger.ledger_id


async def test_a_daemon_whose_ledger_is_its_own_has_no_neighbours(ledger: Store) -> None:
    assert await ledger.nodes() == []
    await ledger.put_back_letters(["no such letter"])
