"""Looks at tasks: few, near the time at which they finish, and learned from what was seen."""

from __future__ import annotations

import math
import random

import pytest

from hopperd.pipeline.job import Polling
from hopperd.pipeline.polling import WIDEST_SPREAD, Learned, learn, next_look_seconds, schedule

POLLING = Polling()


def look(
    age: float, looks: int = 0, *, typical: float = 30.0, person: bool = False, jitter: float = 0.5, **more: float
) -> float:
    return next_look_seconds(
        age_seconds=age,
        looks=looks,
        typical_seconds=typical,
        polling=POLLING,
        waits_for_person=person,
        jitter=jitter,
        **more,
    )


def watch(duration: float, learned: Learned, jitter: random.Random) -> tuple[int, float, Learned]:
    """Look until a task is seen to be done: how many looks, the age at the last, and what was learned."""
    age, looks = 0.0, 0
    while age < duration:
        before = age
        age += next_look_seconds(
            age_seconds=age,
            looks=looks,
            typical_seconds=learned.typical_seconds,
            spread=learned.spread,
            polling=POLLING,
            waits_for_person=False,
            jitter=jitter.random(),
        )
        learned = learn(learned, after_seconds=before, by_seconds=age, has_ended=age >= duration)
        looks += 1
    return looks, age, learned


BEST_DELAY = {0.3: 0.0967, 0.5: 0.1601, 1.0: 0.3409}
"""In multiples of the typical duration, at 2.9 looks: the optimum found by dynamic programming."""


@pytest.mark.parametrize("typical", [5.0, 30.0, 300.0])
@pytest.mark.parametrize("spread", [0.3, 0.5, 1.0])
def test_three_looks_and_little_delay_once_learned(typical: float, spread: float) -> None:
    dice = random.Random(f"{typical} {spread}")
    learned, looks, delay, tasks = Learned.fresh(30.0), 0, 0.0, 0
    for task in range(6000):
        duration = typical * math.exp(dice.gauss(0.0, spread))
        looked, age, learned = watch(duration, learned, dice)
        if task >= 200:
            looks, delay, tasks = looks + looked, delay + age - duration, tasks + 1
    assert looks / tasks <= 3.0
    assert delay / tasks <= 1.15 * BEST_DELAY[spread] * typical
    assert learned.typical_seconds == pytest.approx(typical, rel=0.35)
    assert learned.spread == pytest.approx(spread, rel=0.35)


def test_the_first_look_is_near_the_typical_duration() -> None:
    assert 0.6 * 30 < look(0.0) < 30
    assert 0.6 * 300 < look(0.0, typical=300.0) < 300


def test_a_restart_changes_nothing() -> None:
    """The next look depends on the age, not on how many looks there were."""
    assert look(50.0, 1) == look(50.0, 40)


def test_a_look_hastened_by_jitter_is_not_followed_by_one_at_once() -> None:
    first = look(0.0, jitter=0.0)
    assert look(first, 1) > 0.2 * first


def test_gaps_grow_with_age_within_the_bounds() -> None:
    gaps = [look(age, 20) for age in (300.0, 1200.0, 10_000.0, 10**7)]
    assert gaps == sorted(gaps) and gaps[-1] == POLLING.longest_seconds
    assert look(0.0, typical=0.0) == POLLING.shortest_seconds
    assert look(-5.0) > 0


def test_a_task_that_waits_for_a_person_is_looked_at_slowly_and_slower() -> None:
    assert look(0.0, person=True) == 60.0
    assert look(36_000.0, person=True) == 600.0
    assert look(10**9, person=True) == 600.0


def test_a_schedule_ascends_for_every_spread() -> None:
    for spread in (0.0, 0.1, 0.2, 0.4, 0.77, 1.0, 1.5, 9.0):
        ages = schedule(10.0, spread)
        assert list(ages) == sorted(set(ages)) and ages[0] > 0


@pytest.mark.parametrize("spread", [0.2, 0.4])
def test_a_service_that_became_slower_or_faster_is_followed_within_a_hundred_tasks(spread: float) -> None:
    dice, learned = random.Random(7), Learned.fresh(30.0)
    for _ in range(400):
        _, _, learned = watch(5.0 * math.exp(dice.gauss(0.0, spread)), learned, dice)
    for typical in (50.0, 5.0, 7.5):
        for _ in range(100):
            _, _, learned = watch(typical * math.exp(dice.gauss(0.0, spread)), learned, dice)
        assert learned.typical_seconds == pytest.approx(typical, rel=0.3)


def test_one_absurd_task_changes_little() -> None:
    learned = Learned.fresh(30.0)
    for _ in range(50):
        learned = learn(learned, after_seconds=25.0, by_seconds=35.0, has_ended=True)
    odd = learn(learned, after_seconds=9 * 86400.0, by_seconds=9.1 * 86400.0, has_ended=True)
    assert odd.typical_seconds < 1.5 * learned.typical_seconds


@pytest.mark.parametrize("has_ended", [True, False])
@pytest.mark.parametrize(("after", "by"), [(0.0, 0.0), (10.0, 5.0), (-1.0, 1e12), (1e300, 1e301)])
def test_nothing_that_a_clock_may_say_breaks_learning(after: float, by: float, has_ended: bool) -> None:
    learned = Learned.fresh(0.0)
    for _ in range(50):
        learned = learn(learned, after_seconds=after, by_seconds=by, has_ended=has_ended)
        assert math.isfinite(learned.typical_seconds) and 0.0 < learned.spread <= WIDEST_SPREAD


def test_many_tasks_on_their_way_are_not_taken_for_quick_ones_because_those_end_first() -> None:
    """A hundred were submitted at one moment, and half of them have ended."""
    dice, learned = random.Random(1), Learned.fresh(2.0)
    ages: list[list[float]] = [[0.0, 300.0 * math.exp(dice.gauss(0.0, 1.0))] for _ in range(100)]
    for now in (50.0, 100.0, 200.0, 300.0):
        for one in ages:
            if one[0] < one[1]:
                learned = learn(learned, after_seconds=one[0], by_seconds=now, has_ended=now >= one[1])
                one[0] = now
    assert sum(seen >= duration for seen, duration in ages) in range(40, 60)
    assert 200.0 < learned.typical_seconds < 450.0
