"""Whatever the numbers: a delay is a number between nothing and the longest, and grows with the attempt."""

import math

from hypothesis import given
from hypothesis import strategies as st

from hopperd.pipeline.retry import LONGEST_DELAY_SECONDS, delay_seconds

attempts = st.integers(min_value=-5, max_value=2**63)
jitters = st.floats(min_value=0.0, max_value=1.0)
asked = st.none() | st.floats(allow_nan=True, allow_infinity=True)


@given(attempts, st.floats(allow_nan=False), asked)
def test_a_delay_is_always_usable(attempt: int, jitter: float, retry_after: float | None) -> None:
    delay = delay_seconds(attempt, jitter, retry_after=retry_after)
    assert math.isfinite(delay) and 0.0 < delay <= LONGEST_DELAY_SECONDS


@given(attempts, jitters)
def test_a_later_attempt_waits_no_shorter(attempt: int, jitter: float) -> None:
    assert delay_seconds(attempt + 1, jitter) >= delay_seconds(attempt, jitter)


@given(attempts, jitters, st.floats(min_value=0.0, max_value=LONGEST_DELAY_SECONDS))
def test_never_earlier_than_the_service_asked(attempt: int, jitter: float, retry_after: float) -> None:
    assert delay_seconds(attempt, jitter, retry_after=retry_after) >= retry_after
