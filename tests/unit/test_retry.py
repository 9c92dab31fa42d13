"""The retry schedule: one formula, never shorter than the service asked, never beyond its bound."""

import pytest

from hopperd.pipeline.retry import LONGEST_DELAY_SECONDS, delay_seconds


def test_delays_double_from_five_seconds_to_a_minute() -> None:
    assert [delay_seconds(attempt, 0.0) for attempt in range(7)] == [5, 10, 20, 40, 60, 60, 60]


def test_jitter_hastens_by_up_to_a_quarter() -> None:
    assert delay_seconds(0, 1.0) == 3.75
    assert delay_seconds(9, 1.0) == 45.0


@pytest.mark.parametrize("attempt", [1024, 10**6, 10**18])
def test_huge_attempts_do_not_overflow(attempt: int) -> None:
    assert delay_seconds(attempt, 0.0) == 60.0


def test_retry_after_is_obeyed_up_to_an_hour() -> None:
    assert delay_seconds(0, 0.5, retry_after=17.0) == 17.0
    assert delay_seconds(5, 0.0, retry_after=1.0) == 60.0
    assert delay_seconds(0, 0.5, retry_after=10**9) == LONGEST_DELAY_SECONDS
    assert delay_seconds(0, 0.0, retry_after=float("nan")) == 5.0
