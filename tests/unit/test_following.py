"""What each event means while the service works: what a look at the task shows, and what is gone."""

from __future__ import annotations

from dataclasses import replace

import pytest

from hopperd.pipeline import events as e
from hopperd.pipeline.job import Job, Policy, Stage, TaskDocument, TaskStatus
from hopperd.pipeline.machine import advance
from hopperd.pipeline.moves import PERHAPS_DELIVERED_TWICE, PERHAPS_PAID_TWICE
from hopperd.pipeline.results import NO_RESULT, REMOVED, RESULTS_ALLOWED
from tests.support.jobs import NOW, document, job, original, remote, staged, task

S = Stage
POLICY = Policy()


def seen(status: TaskStatus, *documents_: object, **changes: object) -> Job:
    return advance(job(S.SUBMITTED), e.TaskSeen(task=task(status, tuple(documents_), **changes)), NOW, POLICY)  # type: ignore[arg-type]


def test_done_with_results_is_captured_and_matched_by_the_source_file_id() -> None:
    one = job(S.SUBMITTED, originals=(original(b"g/a.pdf", remote=remote(1)), original(b"g/b.pdf", remote=remote(2))))
    answer = task(TaskStatus.DONE, (document(remote(2).id), document(remote(1).id, results=2)))
    one = advance(one, e.TaskSeen(task=answer), NOW, POLICY)
    assert one.stage is S.CAPTURED
    assert [found.original for found in one.results] == [1, 0, 0]


def test_results_near_their_expiry_are_due_before_all_others_and_the_nearest_first() -> None:
    def captured(expires_in: float) -> Job:
        held = replace(remote(1), expiring=NOW + expires_in)
        one = job(S.SUBMITTED, originals=(original(b"a.pdf", remote=held),))
        return advance(one, e.TaskSeen(task=task(TaskStatus.DONE, (document(held.id),))), NOW, POLICY)

    assert captured(7 * 86400).due_at == NOW
    assert captured(3600).due_at < captured(7200).due_at < NOW


def test_done_without_results_fails_and_says_so() -> None:
    one = seen(TaskStatus.DONE, document(results=0))
    assert one.failure is not None
    assert one.failure.reason == "no-result"
    assert seen(TaskStatus.DONE).stage is S.ABANDONED


def test_all_documents_removed_by_the_verifier_is_done_and_not_failed() -> None:
    one = seen(TaskStatus.DONE, document(results=0, is_moved=True))
    assert (one.stage, one.outcome) == (S.DELIVERED, "removed")


def a_group_of_two(*documents_: TaskDocument) -> Job:
    one = job(S.SUBMITTED, originals=(original(b"g/a.pdf", remote=remote(1)), original(b"g/b.pdf", remote=remote(2))))
    return advance(one, e.TaskSeen(task=task(TaskStatus.DONE, documents_)), NOW, POLICY)


def test_a_group_with_a_file_that_has_no_result_delivers_what_there_is_and_fails_visibly() -> None:
    for documents_ in ((document(remote(1).id), document(remote(2).id, results=0)), (document(remote(1).id),)):
        one = a_group_of_two(*documents_)
        assert (one.stage, len(one.results)) == (S.CAPTURED, 1)
        assert [found.note for found in one.originals] == [None, NO_RESULT]
        one = advance(one, e.Fetched(staged=(staged(0),)), NOW, POLICY)
        one = advance(one, e.Delivered(), NOW, POLICY)
        assert one.failure is not None
        assert (one.stage, one.failure.reason, len(one.delivered_exports)) == (S.ABANDONED, "incomplete", 1)
        assert "g/b.pdf" in one.failure.what
        again = advance(one, e.Retried(), NOW, POLICY)
        assert PERHAPS_DELIVERED_TWICE in again.notes
        assert (again.exports, [found.note for found in again.originals]) == ((), [None, None])


def test_a_file_of_a_group_that_the_verifier_removed_fails_nobody() -> None:
    one = a_group_of_two(document(remote(1).id), document(remote(2).id, results=0, is_moved=True))
    assert [found.note for found in one.originals] == [None, REMOVED]
    one = advance(one, e.Fetched(staged=(staged(0),)), NOW, POLICY)
    assert advance(one, e.Delivered(), NOW, POLICY).outcome == "delivered"


def test_a_task_made_from_somebody_elses_files_is_held_and_nothing_of_it_fetched() -> None:
    one = a_group_of_two(document(remote(1).id), document("f" * 24))
    assert one.hold is not None
    assert (one.stage, one.hold.reason, one.results) == (S.SUBMITTING, "foreign-task", ())
    assert (one.task_id, one.task, one.tasks_before) == (None, None, ()), "it is never deleted at the service"
    assert one.doubts == 1
    asked_again = advance(one, e.Released(), NOW, POLICY)
    assert (asked_again.stage, PERHAPS_PAID_TWICE in asked_again.notes) == (S.UPLOADED, True)
    assert advance(one, e.Released(task_id="right"), NOW, POLICY).stage is S.SUBMITTED


def test_documents_that_do_not_say_their_source_are_taken_by_their_position() -> None:
    one = a_group_of_two(document(None), document(None))
    assert [found.original for found in one.results] == [0, 1]
    rebuilt = job(S.SUBMITTED, originals=(original(b"a.pdf"),))  # nobody knows any more what was uploaded
    seen_ = advance(rebuilt, e.TaskSeen(task=task(TaskStatus.DONE, (document("f" * 24),))), NOW, POLICY)
    assert seen_.stage is S.CAPTURED


def test_a_task_with_more_results_than_can_be_carried_fails_and_says_so() -> None:
    assert a_group_of_two(document(remote(1).id, results=RESULTS_ALLOWED), document(remote(2).id, results=0)).results
    one = a_group_of_two(document(remote(1).id, results=RESULTS_ALLOWED), document(remote(2).id))
    assert one.failure is not None
    assert (one.failure.reason, one.results) == ("too-many-results", ())


def test_failed_task_fails_the_file() -> None:
    one = seen(TaskStatus.FAILED)
    assert one.failure is not None
    assert one.failure.reason == "task-failed"


def test_canceled_goes_back_to_uploaded_for_nothing_was_processed() -> None:
    one = seen(TaskStatus.CANCELED)
    assert (one.stage, one.task_id, one.tasks_before) == (S.UPLOADED, None, ("task-1",))
    assert one.doubts == 0


def test_waiting_for_a_person_is_no_stage_and_never_expires() -> None:
    one = job(S.SUBMITTED, submitted_at=NOW - 1e8)
    policy = Policy(verification_base="https://portal/verification/")
    answer = task(TaskStatus.WAITS_FOR_PERSON, verification_id="ab/12?")
    for _ in range(100):
        one = advance(one, e.TaskSeen(task=answer), NOW, policy)
    assert (one.stage, one.verification_url) == (S.SUBMITTED, "https://portal/verification/ab%2F12%3F")
    assert one.due_at - NOW >= 30
    one = advance(one, e.TaskSeen(task=task(TaskStatus.RUNNING)), NOW, policy)
    assert one.verification_url is None


@pytest.mark.parametrize(("others_pass", "looks"), [(True, 3), (False, 20)])
def test_a_task_that_is_gone_is_believed_soon_where_others_are_known_and_late_where_none_is(
    others_pass: bool, looks: int
) -> None:
    gone = e.TaskGone(what="404", others_pass=others_pass)
    one = replace(job(S.SUBMITTED), attempts=7)  # weather before it counts for nothing
    for _ in range(looks - 1):
        one = advance(one, gone, NOW, POLICY)
        assert one.stage is S.SUBMITTED
        assert NOW < one.due_at <= NOW + 60
    one = advance(one, gone, NOW, POLICY)
    assert one.failure is not None
    assert one.failure.reason == "task-gone"
