"""The arithmetic of moments that several nodes share: how close together they may lie, and how late one may be used.

Pure. Each request has a moment of its own on the database's clock. It leaves a little later than that: by what is not
known about that clock, by what a busy loop is late, by what the network adds. If no request is later than `spread`, any
second holds only such as have their moments within 1 + spread; so the moments lie so far apart that no more than the
account allows in a second fall into that.
"""

from __future__ import annotations

import math
from collections import deque
from typing import Final

PACE: Final = 0.985
"""Of the rate: what is left open is room for requests that overtake one another on their way."""

CATCH_UP_SECONDS: Final = 0.015
"""How far behind its pace a busy loop may fall and still make up for it; one token at the least."""

NETWORK_SECONDS: Final = 0.005
"""Of the spread: by how much longer than another one request may be on its way."""

LONGEST_LATENESS_SECONDS: Final = 0.25
RESERVED_SECONDS: Final = 0.2
"""Of the account's rate, at the most, in one reservation."""

MOST_NODES: Final = 64
REMEMBERED_SECONDS: Final = 10.0
"""Two clocks drift apart by a millisecond in it, at 100 millionths."""


def most_in_a_second(per_second: float) -> int:
    """The service must not see more: the rate and 1 %, at the least one."""
    return math.floor(per_second + max(1.0, 0.01 * per_second))


def pace(per_second: float, doubt_seconds: float) -> float:
    """Moments in a second, where the database's clock is known within `doubt_seconds`."""
    return min(PACE * per_second, most_in_a_second(per_second) / (1.0 + doubt_seconds + CATCH_UP_SECONDS))


def spread_seconds(per_second: float, doubt_seconds: float = 0.0) -> float:
    """By how much later than another, from its moment on, a request may leave and no second holds too many."""
    return most_in_a_second(per_second) / pace(per_second, doubt_seconds) - 1.0 - NETWORK_SECONDS


def lateness_allowed(per_second: float, doubt_seconds: float) -> float:
    """How long after its moment, as it looks from here, a request may still leave. Later, the moment is lost."""
    return min(LONGEST_LATENESS_SECONDS, spread_seconds(per_second, doubt_seconds) - doubt_seconds)


def reserved_at_once(interval_seconds: float) -> int:
    """The most moments in one reservation."""
    return max(1, round(RESERVED_SECONDS / interval_seconds))


def furthest_seconds(interval_seconds: float) -> float:
    """How far ahead a moment can lie where as many nodes as may be have reserved theirs."""
    return MOST_NODES * (RESERVED_SECONDS + 1.5 * interval_seconds)


class ClockTie:
    """How our clock stands to the database's: ours = theirs + offset, and the offset lies between two bounds.

    An answer tells both: theirs was read after we asked and before we heard. The closest bounds of the last seconds
    count. Reckoned with the upper one, no moment comes early, and it comes late by `doubt_seconds` at the most.
    """

    def __init__(self) -> None:
        self._heard: deque[tuple[float, float, float]] = deque()  # when, and the bounds it told
        self._low = -math.inf
        self._high = math.inf

    def heard(self, asked_at: float, heard_at: float, theirs: float) -> None:
        low, high = asked_at - theirs, heard_at - theirs
        if low > self._high or high < self._low:  # a clock was set: what was known of it is nothing any more
            self._heard.clear()
        self._heard.append((heard_at, low, high))
        while self._heard[0][0] < heard_at - REMEMBERED_SECONDS:
            self._heard.popleft()
        self._low = max(low for _, low, _ in self._heard)
        self._high = min(high for _, _, high in self._heard)

    @property
    def doubt_seconds(self) -> float:
        """inf before the first answer."""
        return self._high - self._low

    def ours(self, theirs: float) -> float:
        """The moment on our clock: never early."""
        return theirs + self._high
