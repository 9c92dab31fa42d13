"""The rules, pair by pair: what each event means in each stage, and that nothing else is possible."""

from __future__ import annotations

from dataclasses import replace
from typing import get_args

import pytest

from hopperd.errors import TransitionError
from hopperd.pipeline import events as e
from hopperd.pipeline.events import Event, Step
from hopperd.pipeline.job import OPEN_STAGES, Policy, Stage
from hopperd.pipeline.machine import advance, next_step
from hopperd.pipeline.transitions import ONCE_ONLY, TRANSITIONS
from tests.support.jobs import HOLD, NOW, in_stage, job, one_of_each

S = Stage
POLICY = Policy()


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
