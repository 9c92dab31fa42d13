"""Duplicates, and what a person orders."""

from __future__ import annotations

from hopperd.pipeline import events as e
from hopperd.pipeline.events import Step
from hopperd.pipeline.job import Policy, Stage, Twin
from hopperd.pipeline.machine import advance, next_step
from tests.support.jobs import NOW, job, original

S = Stage
POLICY = Policy()


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
