"""What each event means until the service has taken a Run: doubts, weather, uploads, poison."""

from __future__ import annotations

from dataclasses import replace

import pytest

from hopperd.errors import TransitionError
from hopperd.pipeline import events as e
from hopperd.pipeline.events import Step
from hopperd.pipeline.job import OPEN_STAGES, Job, Policy, Stage
from hopperd.pipeline.machine import advance, next_step, upload_expired
from hopperd.pipeline.moves import PERHAPS_PAID_TWICE
from tests.support.jobs import HOLD, NOW, WEATHER, in_stage, job, original, remote

S = Stage
POLICY = Policy()

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
