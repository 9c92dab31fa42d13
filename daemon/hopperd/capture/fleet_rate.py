"""How fast requests may leave where several nodes share one account: each token is a moment reserved in the database.

A node asks for as many moments as there are requests that wait for one, so an idle node takes nothing, one that joins
counts at once, and what a dead one has left is a fifth of a second. It lets each request go at its moment, and never
much later: one that was not used in time is lost. Without the database nobody gets a token.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Final

import structlog

from hopperd.capture.rate import LONGEST_PACE_NAP_SECONDS, Tokens
from hopperd.capture.slots import ClockTie, furthest_seconds, lateness_allowed, pace, reserved_at_once, spread_seconds
from hopperd.ports import Budget, LedgerTrouble

log = structlog.get_logger(__name__)

AHEAD_SECONDS: Final = 0.05
"""So long before the last moment the next ones are asked for; the time that an answer takes comes on top."""

LEAST_DOUBT_SECONDS: Final = 0.01
RETRY_SECONDS: Final = 1.0


class FleetRate:
    """The tokens of one node. `behind` says how many would ask for one at once, beyond those who do already."""

    def __init__(
        self, account: str, per_second: float, *, budget: Budget, behind: Callable[[], int] = lambda: 0
    ) -> None:
        self._account = account
        self._rate = per_second
        self._budget = budget
        self._behind = behind
        self._lock = asyncio.Lock()
        self._waiting = 0
        self._tie = ClockTie()
        self._doubt = LEAST_DOUBT_SECONDS  # as it was reckoned with in what is reserved
        self._slots: deque[float] = deque()  # moments of the budget's own clock
        self._reserving: asyncio.Task[None] | None = None
        self._answer_seconds = 0.0
        self.trouble: str | None = None

    @property
    def fresh_seconds(self) -> float:
        return spread_seconds(self._rate, self._doubt) - self._doubt

    def set(self, per_second: float) -> None:
        self._rate = per_second
        self._slots.clear()

    async def token(self) -> None:
        self._waiting += 1
        try:
            async with self._lock:
                await self._take()
        finally:
            self._waiting -= 1

    async def _take(self) -> None:
        while True:
            self._let_go_of_the_late()
            self._keep_ahead()
            if not self._slots:
                await self._answered()
            elif (seconds := self._slots[0] - self._budget.now()) > 0.0:
                await asyncio.sleep(min(seconds, LONGEST_PACE_NAP_SECONDS))  # `set` may have changed it meanwhile
            else:
                self._slots.popleft()
                return

    def _let_go_of_the_late(self) -> None:
        """A busy loop, or a process that was stopped for a while, has let them pass."""
        latest = self._budget.now() - lateness_allowed(self._rate, self._doubt)
        while self._slots and self._slots[0] < latest:
            self._slots.popleft()

    def _keep_ahead(self) -> None:
        """Reserve for who waits and has no moment yet, as soon as those that there are draw to their end."""
        wanted = self._waiting + self._behind() - len(self._slots)
        if wanted <= 0 or (self._reserving is not None and not self._reserving.done()):
            return
        ahead = AHEAD_SECONDS + 2.0 * self._answer_seconds
        if self._slots and self._slots[-1] - self._budget.now() > ahead:
            return
        self._reserving = asyncio.create_task(self._reserve(wanted), name=f"reserve {self._account}")

    async def _answered(self) -> None:
        """Whoever is cancelled takes back no reservation: the next in line has it."""
        reserving = self._reserving
        if reserving is not None:
            await asyncio.wait({reserving})
            reserving.result()

    async def _reserve(self, wanted: int) -> None:
        rate = self._rate
        doubt = max(LEAST_DOUBT_SECONDS, 1.25 * self._doubt_known())
        interval = 1.0 / pace(rate, doubt)
        count = min(wanted, reserved_at_once(interval))
        asked_at = self._budget.now()
        try:
            reserved = await self._budget.reserve(self._account, count, interval, furthest_seconds(interval))
        except LedgerTrouble as trouble:
            self._say(str(trouble))
            await asyncio.sleep(RETRY_SECONDS)
            return
        heard_at = self._budget.now()
        self._say(None)
        self._answer_seconds = heard_at - asked_at
        self._tie.heard(asked_at, heard_at, reserved.now)
        if rate != self._rate or self._tie.doubt_seconds > doubt:
            return  # they lie too close together: lost, and asked for again
        self._doubt = doubt
        self._slots.extend(self._tie.ours(reserved.first_at + place * interval) for place in range(count))

    def _doubt_known(self) -> float:
        doubt = self._tie.doubt_seconds
        return doubt if doubt < float("inf") else 0.0

    def _say(self, trouble: str | None) -> None:
        if trouble is not None and self.trouble is None:
            log.warning("budget-unknown", account=self._account, what=trouble)
        self.trouble = trouble


def _is_tokens(rate: FleetRate) -> Tokens:
    """For the type checker: the class keeps the port's promises."""
    return rate
