"""How much went through, and how long it took: the last hour by minutes, the last day by quarters of an hour.

Kept in memory in a fixed number of buckets; a start fills them from the ledger, in small steps. Times are kept as
counts on a scale of powers, so that a bucket costs the same for one job and for a million.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

HOUR_BUCKET_SECONDS: Final = 60
DAY_BUCKET_SECONDS: Final = 900
HOUR_BUCKETS: Final = 60
DAY_BUCKETS: Final = 96
DAY_SECONDS: Final = DAY_BUCKET_SECONDS * DAY_BUCKETS
_STEPS_PER_DOUBLING: Final = 4
_STEPS: Final = 25 * _STEPS_PER_DOUBLING  # up to 0.1 s * 2^25: 38 days
_SHORTEST_SECONDS: Final = 0.1


@dataclass(slots=True)
class _Bucket:
    number: int = -1
    done: int = 0
    failed: int = 0
    times: dict[int, int] = field(default_factory=dict)


class _Ring:
    def __init__(self, seconds: int, buckets: int) -> None:
        self._seconds = seconds
        self._buckets = [_Bucket() for _ in range(buckets)]

    def note(self, at: float, step: int | None) -> None:
        number = math.floor(at / self._seconds)
        bucket = self._buckets[number % len(self._buckets)]
        if number < bucket.number:
            return  # older than what is kept
        if number > bucket.number:
            bucket.number, bucket.done, bucket.failed, bucket.times = number, 0, 0, {}
        if step is None:
            bucket.failed += 1
        else:
            bucket.done += 1
            bucket.times[step] = bucket.times.get(step, 0) + 1

    def series(self, now: float) -> dict[str, Any]:
        latest = math.floor(now / self._seconds)
        numbers = range(latest - len(self._buckets) + 1, latest + 1)
        found = [self._at(number) for number in numbers]
        everything: dict[int, int] = {}
        for bucket in found:
            for step, count in bucket.times.items():
                everything[step] = everything.get(step, 0) + count
        return {
            "bucket_seconds": self._seconds,
            "starts": numbers[0] * self._seconds,
            "done": [bucket.done for bucket in found],
            "failed": [bucket.failed for bucket in found],
            "median_seconds": [quantile(bucket.times, 0.5) for bucket in found],
            "p90_seconds": [quantile(bucket.times, 0.9) for bucket in found],
            "all_median_seconds": quantile(everything, 0.5),
            "all_p90_seconds": quantile(everything, 0.9),
        }

    def _at(self, number: int) -> _Bucket:
        bucket = self._buckets[number % len(self._buckets)]
        return bucket if bucket.number == number else _Bucket()


class Flow:
    def __init__(self) -> None:
        self._hour = _Ring(HOUR_BUCKET_SECONDS, HOUR_BUCKETS)
        self._day = _Ring(DAY_BUCKET_SECONDS, DAY_BUCKETS)

    def note(self, at: float, seconds: float | None) -> None:
        """One job ended: `seconds` from its claim to its end, or None where it failed."""
        step = None if seconds is None else step_of(seconds)
        self._hour.note(at, step)
        self._day.note(at, step)

    def series(self, now: float) -> dict[str, Any]:
        return {"hour": self._hour.series(now), "day": self._day.series(now)}


def step_of(seconds: float) -> int:
    if seconds <= _SHORTEST_SECONDS:
        return 0
    return min(_STEPS - 1, math.ceil(math.log2(seconds / _SHORTEST_SECONDS) * _STEPS_PER_DOUBLING))


def quantile(times: dict[int, int], share: float) -> float | None:
    """The upper edge of the step that holds the quantile: at most a fifth too much."""
    total = sum(times.values())
    if not total:
        return None
    left = share * total
    steps: Sequence[int] = sorted(times)
    for step in steps:
        left -= times[step]
        if left <= 0:
            break
    return round(_SHORTEST_SECONDS * 2 ** (step / _STEPS_PER_DOUBLING), 3)
