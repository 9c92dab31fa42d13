"""The rules, pair by pair: what each event means in each stage, and that nothing else is possible."""

from __future__ import annotations

from dataclasses import replace
from typing import get_args

import pytest

from hopperd.errors import TransitionError
from hopperd.pipeline import events as e
from hopperd.pipeline.delivering import DELIVERED_IN_PART
from hopperd.pipeline.events import Event, Step
from hopperd.pipeline.job import OPEN_STAGES, Export, Job, Policy, Stage, TaskDocument, TaskStatus, Twin
from hopperd.pipeline.machine import advance, next_step, upload_expired
from hopperd.pipeline.moves import PERHAPS_DELIVERED_TWICE, PERHAPS_PAID_TWICE
from hopperd.pipeline.results import NO_RESULT, REMOVED, RESULTS_ALLOWED
from hopperd.pipeline.transitions import ONCE_ONLY, TRANSITIONS
from tests.support.jobs import HOLD, NOW, WEATHER, document, job, one_of_each, original, remote, result, staged, task

S = Stage
POLICY = Policy()


def in_stage(stage: Stage) -> Job:
    one = job(stage)
    if stage is S.FETCHED:
        export = Export(name=b"sub/invoice.xlsx", staged_as="0001", size_bytes=10, sha256="ab" * 32)
        one = replace(one, exports=(export,))
    return one


@pytest.mark.parametrize("stage", list(Stage))
@pytest.mark.parametrize("event", one_of_each(), ids=lambda event: event.name)
def test_every_pair_is_in_the_table_or_changes_nothing(stage: Stage, event: Event) -> None:
    before = in_stage(stage)
    if stage is S.SUBMITTING and isinstance(event, e.Released | e.Retried | e.Forgotten):
        with pytest.raises(TransitionError):  # a Run is being asked for: nobody may order anything
            advance(before, event, NOW, POLICY)
        before = replace(before, hold=HOLD)
    if (stage, type(event)) not in TRANSITIONS:
        with pytest.raises(TransitionError, match=event.name):
            advance(before, event, NOW, POLICY)
        return
    after = advance(before, event, NOW, POLICY)
    assert after.stage in TRANSITIONS[(stage, type(event))]
    assert after.version == before.version + 1
    assert after.id == before.id
    if after.stage is not before.stage:
        assert after.stages[-1].stage is after.stage


def test_the_table_knows_every_event_there_is() -> None:
    assert {kind for _, kind in TRANSITIONS} == set(get_args(Event))
    assert {type(event) for event in one_of_each()} == set(get_args(Event))


def test_every_open_stage_has_a_next_step_and_a_finished_one_has_none() -> None:
    for stage in OPEN_STAGES:
        assert next_step(job(stage), NOW) is not None
        assert next_step(job(stage, hold=HOLD), NOW) is None
    assert next_step(job(S.DONE), NOW) is None
    assert next_step(job(S.FAILED), NOW) is None


def test_only_the_run_is_announced_before_it_is_performed() -> None:
    assert dict(ONCE_ONLY) == {Step.RUN: e.RunIntended()}
    intended = advance(job(S.UPLOADED), ONCE_ONLY[Step.RUN], NOW, POLICY)
    assert intended.stage is S.SUBMITTING
    assert next_step(intended, NOW) is Step.SETTLE_DOUBT, "after a crash the intent is a doubt, never a second Run"


# ------------------------------------------------------------------------------------------------------------ doubts


def doubted(policy: Policy, own_death: bool, times: int) -> Job:
    one = job(S.UPLOADED)
    for _ in range(times):
        one = advance(one, e.RunIntended(), NOW, policy)
        one = advance(one, e.RunDoubted(what="cut", own_death=own_death), NOW, policy)
        if one.hold:
            break
    return one


def test_resubmit_asks_again_and_says_so() -> None:
    one = doubted(POLICY, own_death=False, times=1)
    assert (one.stage, one.doubts, one.hold) == (S.UPLOADED, 1, None)
    assert PERHAPS_PAID_TWICE in one.notes
    assert one.due_at > NOW


def test_after_the_doubts_allowed_the_job_is_held_all_the_same() -> None:
    one = doubted(Policy(doubts_allowed=3), own_death=False, times=10)
    assert one.doubts == 3
    assert one.hold is not None
    assert one.hold.reason == "doubt"
    assert one.stage is S.SUBMITTING


def test_our_own_deaths_do_not_use_up_the_doubts_allowed() -> None:
    one = doubted(Policy(doubts_allowed=3), own_death=True, times=10)
    assert (one.doubts, one.doubts_foreign, one.hold) == (10, 0, None)


def test_hold_holds_at_once_and_nothing_was_paid_twice() -> None:
    for own_death in (True, False):
        one = doubted(Policy(on_doubt="hold"), own_death=own_death, times=1)
        assert one.hold is not None
        assert one.stage is S.SUBMITTING
        assert one.notes == ()


def test_release_after_a_doubt_asks_again_and_names_it() -> None:
    held = doubted(Policy(on_doubt="hold"), own_death=False, times=1)
    released = advance(held, e.Released(), NOW, POLICY)
    assert (released.stage, released.hold) == (S.UPLOADED, None)
    assert PERHAPS_PAID_TWICE in released.notes


def test_release_with_a_task_settles_the_doubt_without_a_run() -> None:
    held = doubted(Policy(on_doubt="hold"), own_death=False, times=1)
    released = advance(held, e.Released(task_id="t9"), NOW, POLICY)
    assert (released.stage, released.task_id, released.hold) == (S.SUBMITTED, "t9", None)
    with pytest.raises(TransitionError):
        advance(job(S.CLAIMED, hold=HOLD), e.Released(task_id="t9"), NOW, POLICY)


# ----------------------------------------------------------------------------------------------------------- weather


def test_weather_delays_and_never_fails_however_long() -> None:
    for stage in OPEN_STAGES:
        if stage is S.SUBMITTING:
            continue
        one = in_stage(stage)
        for _ in range(2000):
            one = advance(one, e.Postponed(weather=WEATHER), NOW, POLICY)
        assert (one.stage, one.hold) == (stage, None)
        assert NOW + 5 <= one.due_at <= NOW + 60


def test_a_declined_run_waits_longer_and_longer() -> None:
    one, delays = job(S.UPLOADED), []
    for _ in range(6):
        one = advance(one, e.RunIntended(), NOW, POLICY)
        one = advance(one, e.RunDeclined(weather=replace(WEATHER, jitter=0.0)), NOW, POLICY)
        delays.append(one.due_at - NOW)
    assert delays == [5, 10, 20, 40, 60, 60]


def test_retry_after_is_obeyed() -> None:
    weather = e.Weather(kind="rate", what="429", retry_after_seconds=120)
    assert advance(job(S.CLAIMED), e.Postponed(weather=weather), NOW, POLICY).due_at >= NOW + 120


def test_five_server_errors_on_one_file_while_others_pass_hold_it() -> None:
    weather = e.Weather(kind="server", what="500", others_pass=True)
    one = job(S.CLAIMED)
    for _ in range(4):
        one = advance(one, e.Postponed(weather=weather), NOW, POLICY)
        assert one.hold is None
    one = advance(one, e.Postponed(weather=weather), NOW, POLICY)
    assert one.hold is not None
    assert one.hold.reason == "server-errors"


def test_server_errors_for_everybody_hold_nobody() -> None:
    one = job(S.CLAIMED)
    for _ in range(50):
        one = advance(one, e.Postponed(weather=e.Weather(kind="server", what="500")), NOW, POLICY)
    assert one.hold is None


# ------------------------------------------------------------------------------------------------ uploads and groups


def test_a_group_is_uploaded_when_its_last_original_is() -> None:
    one = job(S.CLAIMED, originals=(original(b"g/a.pdf"), original(b"g/b.pdf")), group=b"g")
    one = advance(one, e.Uploaded(position=0, remote=remote(1), pages=2), NOW, POLICY)
    assert one.stage is S.CLAIMED
    one = advance(one, e.Uploaded(position=1, remote=remote(2), pages=3), NOW, POLICY)
    assert (one.stage, one.pages) == (S.UPLOADED, 5)


def test_an_expired_upload_is_uploaded_again() -> None:
    one = job(S.UPLOADED, originals=(original(remote=remote(1, expiring=NOW + 10)),))
    assert upload_expired(one, NOW)
    assert next_step(one, NOW) is Step.RENEW_UPLOAD
    again = advance(one, e.UploadExpired(what="expired"), NOW, POLICY)
    assert again.stage is S.CLAIMED
    assert again.originals[0].remote is None


def test_an_upload_that_the_service_loses_again_and_again_fails_visibly() -> None:
    one = job(S.UPLOADED)
    for _ in range(3):
        one = advance(one, e.UploadExpired(what="404", said_by_service=True), NOW, POLICY)
        if one.stage is S.ABANDONED:
            break
        one = advance(one, e.Uploaded(position=0, remote=remote(1)), NOW, POLICY)
    assert one.failure is not None
    assert one.failure.reason == "upload-lost"
    assert one.failure.fault == "service"


def test_changed_before_the_run_goes_back_to_claimed_with_new_digests() -> None:
    new = original(b"sub/invoice.pdf")
    one = advance(job(S.UPLOADED), e.Changed(originals=(new,)), NOW, POLICY)
    assert (one.stage, one.originals) == (S.CLAIMED, (new,))


def test_three_deaths_of_the_child_make_a_file_poison() -> None:
    one = job(S.CLAIMED)
    for _ in range(3):
        one = advance(one, e.ChildDied(position=0, what="SIGSEGV"), NOW, POLICY)
    assert one.stage is S.ABANDONED
    assert one.failure is not None
    assert one.failure.reason == "poison"


# ------------------------------------------------------------------------------------------------------------- tasks


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
    answer = task(TaskStatus.WAITS_FOR_PERSON, verification_id="ab12")
    for _ in range(100):
        one = advance(one, e.TaskSeen(task=answer), NOW, policy)
    assert (one.stage, one.verification_url) == (S.SUBMITTED, "https://portal/verification/ab12")
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


# ----------------------------------------------------------------------------------------------- exports and filing


def fetched(policy: Policy = POLICY, results: int = 1) -> Job:
    one = job(S.CAPTURED, results=tuple(result(place) for place in range(results)))
    return advance(one, e.Fetched(staged=tuple(staged(place) for place in range(results))), NOW, policy)


def test_exports_are_named_after_their_original_in_the_same_subfolder() -> None:
    assert [export.name for export in fetched(results=2).exports] == [b"sub/invoice.xlsx", b"sub/invoice-2.xlsx"]


def test_two_originals_with_one_stem_never_share_an_export_name() -> None:
    originals = (original(b"g/a.pdf"), original(b"g/a.png"))
    one = job(S.CAPTURED, originals=originals, results=(result(0, of=0), result(1, of=1)))
    one = advance(one, e.Fetched(staged=(staged(0), staged(1))), NOW, POLICY)
    assert [export.name for export in one.exports] == [b"g/a.xlsx", b"g/a (2).xlsx"]


def test_a_taken_name_is_numbered_and_recorded_before_it_is_tried() -> None:
    one = advance(fetched(), e.ExportNameTaken(position=0, taken=frozenset({b"sub/invoice (2).xlsx"})), NOW, POLICY)
    assert (one.stage, one.exports[0].name) == (S.FETCHED, b"sub/invoice (3).xlsx")


def test_a_taken_name_fails_the_job_where_that_is_wanted() -> None:
    policy = Policy(on_taken="fail")
    one = advance(fetched(policy), e.ExportNameTaken(position=0, taken=frozenset()), NOW, policy)
    assert one.failure is not None
    assert one.failure.reason == "name-taken"


def test_what_was_delivered_before_a_name_was_found_taken_stays_told() -> None:
    policy = Policy(on_taken="fail")
    event = e.ExportNameTaken(position=1, taken=frozenset(), delivered=(0,))
    one = advance(fetched(policy, results=2), event, NOW, policy)
    assert [export.name for export in one.delivered_exports] == [b"sub/invoice.xlsx"]
    assert DELIVERED_IN_PART in one.notes


def test_nobody_gives_up_a_job_whose_exports_may_stand_in_out_already() -> None:
    for stage in (S.FETCHED, S.DELIVERED):
        with pytest.raises(TransitionError):
            advance(in_stage(stage), e.Forgotten(), NOW, POLICY)


def test_lost_staging_is_fetched_again_and_marked() -> None:
    one = advance(fetched(), e.StagingLost(), NOW, POLICY)
    assert one.stage is S.CAPTURED
    assert PERHAPS_DELIVERED_TWICE in one.notes


def test_delivered_originals_are_filed_by_the_day_failed_ones_are_not() -> None:
    done = advance(fetched(), e.Delivered(), NOW, POLICY)
    assert done.originals[0].filed_as == b"2026/05/28/sub/invoice.pdf"
    failed = advance(job(S.CLAIMED), e.Refused(failure=job(S.FAILED).failure), NOW, POLICY)  # type: ignore[arg-type]
    assert failed.originals[0].filed_as == b"sub/invoice.pdf"


def test_a_taken_place_in_done_is_numbered() -> None:
    one = advance(fetched(), e.Delivered(), NOW, POLICY)
    one = advance(one, e.FilingNameTaken(position=0, taken=frozenset()), NOW, POLICY)
    assert one.originals[0].filed_as == b"2026/05/28/sub/invoice (2).pdf"


def test_remote_clean_up_is_a_mark_on_a_done_job() -> None:
    done = advance(job(S.DELIVERED), e.FiledAway(), NOW, POLICY)
    assert (done.stage, done.tidy_remote) == (S.DONE, True)
    assert not advance(done, e.RemoteTidied(), NOW, POLICY).tidy_remote
    assert not advance(job(S.DELIVERED), e.FiledAway(), NOW, Policy(keep_remote=True)).tidy_remote
    assert not advance(job(S.ABANDONED), e.FiledAway(), NOW, POLICY).tidy_remote


# ---------------------------------------------------------------------------------------------- duplicates and orders


def test_a_duplicate_of_a_delivered_job_is_filed_unsent() -> None:
    twin = Twin(job=job().id, delivered=True, exports=("a.xlsx",))
    one = advance(job(twin=Twin(job=twin.job)), e.TwinEnded(twin=twin), NOW, POLICY)
    assert (one.stage, one.outcome) == (S.DELIVERED, "duplicate")


def test_a_twin_that_failed_lets_the_second_go_on() -> None:
    one = advance(job(twin=Twin(job=job().id)), e.TwinEnded(twin=None), NOW, POLICY)
    assert one.twin is None
    assert next_step(one, NOW) is Step.UPLOAD


def test_a_second_waits_while_the_first_is_open() -> None:
    one = job(twin=Twin(job=job().id))
    assert next_step(one, NOW) is Step.SETTLE_TWIN
    one = advance(one, e.TwinEnded(twin=Twin(job=job().id)), NOW, POLICY)
    assert one.stage is S.CLAIMED
    assert one.due_at > NOW


def test_on_duplicate_hold_holds_and_release_captures_it_once_more() -> None:
    twin = Twin(job=job().id, delivered=True)
    one = advance(job(twin=twin), e.TwinEnded(twin=twin), NOW, Policy(on_duplicate="hold"))
    assert one.hold is not None
    one = advance(one, e.Released(), NOW, POLICY)
    assert next_step(one, NOW) is Step.UPLOAD


def test_a_failed_job_that_is_retried_begins_with_its_original() -> None:
    one = advance(job(S.FAILED), e.Retried(), NOW, POLICY)
    assert (one.stage, one.outcome, one.failure) == (S.CLAIMED, None, None)
    assert next_step(one, NOW) is Step.RECLAIM
    one = advance(one, e.Reclaimed(originals=(original(),)), NOW, POLICY)
    assert next_step(one, NOW) is Step.UPLOAD


def test_a_forgotten_job_is_abandoned_and_says_so() -> None:
    one = advance(job(S.SUBMITTED), e.Forgotten(), NOW, POLICY)
    assert one.failure is not None
    assert (one.stage, one.failure.reason) == (S.ABANDONED, "forgotten")
