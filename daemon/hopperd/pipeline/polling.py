"""When to look at a task again, and what looking teaches about how long tasks take. Pure.

Tasks take log-normal times, so a schedule fits every speed of the service once it is written in multiples of the
typical duration. For each spread (standard deviation of the log of the duration) the table holds the looks that make
the mean delay between "finished" and "seen" smallest at 2.75 looks per task in the mean: the optimal inspection policy,
found by dynamic programming over a fine grid. The k-th look happens at `typical * exp(spread * z[k])`; beyond the
table gaps grow with the square root of the age, as the optimal ones do.

Which look comes next depends on the task's age alone, so that a restart or a late look changes nothing.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from hopperd.pipeline.job import Polling
from hopperd.pipeline.retry import LONGEST_DELAY_SECONDS

_TABLE: tuple[tuple[float, tuple[float, ...]], ...] = (
    (0.1, (-0.55, 0.12, 0.62, 1.04, 1.39, 1.71, 2.02, 2.28, 2.54, 2.77, 3.01, 3.23)),
    (0.3, (-0.49, 0.17, 0.64, 1.02, 1.34, 1.63, 1.88, 2.12, 2.34, 2.54, 2.72, 2.91)),
    (0.5, (-0.42, 0.22, 0.66, 1.01, 1.31, 1.56, 1.80, 2.00, 2.18, 2.37, 2.54, 2.69)),
    (1.0, (-0.27, 0.32, 0.71, 1.01, 1.24, 1.44, 1.63, 1.80, 1.95, 2.08, 2.20, 2.32)),
    (1.5, (-0.13, 0.42, 0.77, 1.04, 1.24, 1.41, 1.56, 1.70, 1.81, 1.92, 2.02, 2.10)),
)
NARROWEST_SPREAD, WIDEST_SPREAD = _TABLE[0][0], _TABLE[-1][0]
USUAL_SPREAD = 0.5
"""The spread assumed until looks have taught a better one."""

_SHORTEST_TYPICAL_SECONDS = 0.05
_LONGEST_TYPICAL_SECONDS = 7 * 86400.0


def schedule(typical_seconds: float, spread: float) -> tuple[float, ...]:
    """Ages in seconds at which to look at a task, ascending. Spreads outside the table count as its edge."""
    spread = min(WIDEST_SPREAD, max(NARROWEST_SPREAD, spread))
    upper = next(place for place in range(1, len(_TABLE)) if spread <= _TABLE[place][0])
    (low, below), (high, above) = _TABLE[upper - 1], _TABLE[upper]
    share = (spread - low) / (high - low)
    return tuple(typical_seconds * math.exp(spread * (z + share * (y - z))) for z, y in zip(below, above, strict=True))


def next_look_seconds(
    *,
    age_seconds: float,
    looks: int,
    typical_seconds: float,
    polling: Polling,
    waits_for_person: bool,
    jitter: float,
    spread: float = USUAL_SPREAD,
) -> float:
    """Seconds until the next look at a task submitted `age_seconds` ago and looked at `looks` times.

    Between `shortest_seconds` and `longest_seconds`; for a task that waits for a person, `person_seconds` at first,
    then a sixtieth of its age, up to ten times that. `jitter` in [0, 1] moves the look by up to 5 % of its gap.
    """
    age = max(0.0, age_seconds)
    blur = 0.95 + 0.1 * min(1.0, max(0.0, jitter))
    if waits_for_person:
        gap = min(max(polling.person_seconds, age / 60.0), 10.0 * polling.person_seconds)
        return min(max(gap * blur, polling.shortest_seconds), LONGEST_DELAY_SECONDS)
    typical = min(_LONGEST_TYPICAL_SECONDS, max(_SHORTEST_TYPICAL_SECONDS, typical_seconds))
    gap = _gap_after(age, schedule(typical, spread), seen_before=looks > 0)
    longest = min(polling.longest_seconds, LONGEST_DELAY_SECONDS)
    return min(max(gap * blur, polling.shortest_seconds), longest)


def _gap_after(age: float, ages: tuple[float, ...], *, seen_before: bool) -> float:
    """Seconds to the next scheduled age. One that is nearly reached counts as over: jitter may have hastened a look."""
    before = 0.0
    for scheduled in ages:
        nearly = 0.1 * (scheduled - before) if seen_before else 0.0
        if age < scheduled - nearly:
            return scheduled - age
        before = scheduled
    return (ages[-1] - ages[-2]) * math.sqrt(age / ages[-1])


@dataclass(frozen=True, slots=True, kw_only=True)
class Learned:
    """How long the tasks of one account and region take: mean and variance of the log of the seconds.

    `count` of them were looked at. `drift` is by how many spreads the looks at one task moved the expected log, in the
    mean over the last twenty or so: about zero, unless the service has become faster or slower.
    """

    mean_log: float
    var_log: float = USUAL_SPREAD**2
    count: int = 0
    drift: float = 0.0

    @classmethod
    def fresh(cls, typical_seconds: float) -> Learned:
        """Nothing seen yet: what the configuration says."""
        return cls(mean_log=math.log(max(_SHORTEST_TYPICAL_SECONDS, typical_seconds)))

    @property
    def typical_seconds(self) -> float:
        """The median duration."""
        return math.exp(self.mean_log)

    @property
    def spread(self) -> float:
        return math.sqrt(self.var_log)


_MEMORY = 200  # older tasks fade: the last two hundred or so decide, so that a slower service is noticed
_QUICK_MEMORY = 10  # while what was learned no longer fits
_MISFIT = 0.5  # a drift of so much: five times what chance makes of it
_DRIFT_MEMORY = 20
_FURTHEST = 4.0  # no single task may look further away than this many spreads


def learn(learned: Learned, *, after_seconds: float, by_seconds: float, has_ended: bool) -> Learned:
    """One more look at a task: not yet done at age `after_seconds` (0: never looked at before), and at age `by_seconds`
    done, or still not.

    A look that finds nothing new teaches as well. Were only tasks that have ended counted, the quick ones would be
    counted first, and a folder with many on their way would believe that all are quick. What is learned is how far the
    look has moved the expected log of the duration, and its square, under what is known so far (online EM): over all
    looks at a task that is what its last two say. Where the duration itself is known, give it twice.
    """
    by = max(_SHORTEST_TYPICAL_SECONDS, by_seconds)
    high = (math.log(by) - learned.mean_log) / learned.spread
    low = -math.inf
    if after_seconds > 0.0:
        low = min(high, (math.log(after_seconds) - learned.mean_log) / learned.spread)
    is_new = after_seconds <= 0.0
    count = learned.count + is_new
    memory = _MEMORY if abs(learned.drift) < _MISFIT else _QUICK_MEMORY
    weight = max(min(1.0 / 3.0, 2.0 / (count + 4)), 1.0 / memory)
    mean, square = _expected(low, high) if has_ended else _expected(high, math.inf)
    mean_before, square_before = _expected(low, math.inf)
    moved = mean - mean_before
    mean_log = learned.mean_log + weight * learned.spread * moved
    # About the moving mean; what the interval leaves open is in the squares.
    var_log = learned.var_log * (1.0 + weight * (square - square_before - weight * moved * moved))
    return Learned(
        mean_log=min(math.log(_LONGEST_TYPICAL_SECONDS), max(math.log(_SHORTEST_TYPICAL_SECONDS), mean_log)),
        var_log=min(WIDEST_SPREAD**2, max(NARROWEST_SPREAD**2, var_log)),
        count=count,
        drift=learned.drift + (moved - is_new * learned.drift) / _DRIFT_MEMORY,
    )


def _expected(low: float, high: float) -> tuple[float, float]:
    """Of a standard normal value known to lie between the two, infinite perhaps: its mean, and the mean square."""
    share = _below(-low) - _below(-high) if low > 0.0 else _below(high) - _below(low)
    if high - low < 1e-6 or share < 1e-9:  # a point, or so far out that the end nearest the centre has all the weight
        mean, variance = (low if low > 0.0 else high), 0.0
    else:
        at_low, at_high = _density(low), _density(high)
        mean = (at_low - at_high) / share
        edges = (low * at_low if math.isfinite(low) else 0.0) - (high * at_high if math.isfinite(high) else 0.0)
        variance = max(0.0, 1.0 + edges / share - mean * mean)
    mean = min(_FURTHEST, max(-_FURTHEST, mean))
    return mean, variance + mean * mean


def _below(z: float) -> float:
    return 0.5 * math.erfc(-z / math.sqrt(2.0))


def _density(z: float) -> float:
    return math.exp(-0.5 * z * z) / math.sqrt(2.0 * math.pi) if math.isfinite(z) else 0.0
