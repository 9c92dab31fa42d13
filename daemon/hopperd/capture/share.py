"""One node's part in an account that several share: what it tells the others, and what it hears from them.

Every half second while there is work. Who dies is counted no more after three; who joins is counted at once.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Final

import structlog

from hopperd.capture.fleet_places import FleetInFlight
from hopperd.pipeline.job import JobId
from hopperd.ports import Bears, Budget, Clock, Fleet, LedgerTrouble, Need, Other, Pause

log = structlog.get_logger(__name__)

BUSY_SECONDS: Final = 0.5
WAITING_SECONDS: Final = 0.2
IDLE_SECONDS: Final = 1.0
STILL_BUSY_SECONDS: Final = 2.0
"""Who had work a moment ago probably has again: shares do not change with every lull."""

CUT_OFF_AFTER_SECONDS: Final = 5.0
"""So long another node must have found the account open where this one does not: by then both have probed it."""

MOST_SEEN: Final = 64


class Share:
    """Keeps the exchange; `AccountLimits` applies what came of it.

    That is: `nodes` and this one's `rank` among them; what the others have `found` the service to bear; `news`,
    `is_better_elsewhere` and `is_cut_off`.
    """

    def __init__(self, account: str, budget: Budget, places: FleetInFlight, clock: Clock) -> None:
        self._account = account
        self._budget = budget
        self._places = places
        self._clock = clock
        self._busy_until = -1.0
        self._is_refused = asyncio.Event()
        self._closed_there: set[str] = set()  # nodes that found the account closed, as they said last
        self._seen: deque[Pause] = deque(maxlen=MOST_SEEN)  # found by themselves, here or there: each is heeded once
        self._given = 0
        self._waits_since = 0.0
        self._open_elsewhere_since: float | None = None  # while it is closed here
        self.nodes, self.rank = 1, 0
        self.found: list[Bears] = []
        self.news: list[Pause] = []
        self.is_better_elsewhere = False

    def turn_away(self, why: str) -> None:
        """Stale for everybody who waits for a place."""
        self._places.turn_away(why)

    def no_room(self, job_id: JobId) -> None:
        """The ledger refused a place: what is known is old."""
        self._places.no_room(job_id)
        self._is_refused.set()

    async def exchange(self, is_busy: bool, asking: frozenset[JobId], pause: Pause | None, bears: Bears) -> bool:
        """Tell and hear. False where the database does not answer: then everything stays as it is."""
        now = self._clock.monotonic()
        # One that hears of a pause says how it is here, with or without work of its own.
        if is_busy or asking or self._places.waiting or pause is not None or self._closed_there:
            self._busy_until = now + STILL_BUSY_SECONDS
        if pause is not None and pause not in self._seen:
            self._seen.append(pause)
        need = Need(
            is_busy=now < self._busy_until,
            asking=asking,
            holding=self._places.holding,
            waiting=self._places.waiting,
            waited_seconds=self._waited_seconds(now),
            pause=pause,
            bears=bears,
        )
        self._places.asked()
        try:
            fleet = await self._budget.tell(self._account, need)
        except LedgerTrouble as trouble:
            log.debug("fleet-unknown", account=self._account, what=str(trouble))  # who waits for a token says it aloud
            return False
        self.nodes = 1 + len(fleet.others)
        self.rank = sum(other.node < self._budget.node for other in fleet.others)
        self.found = [other.bears for other in fleet.others if other.bears is not None]
        me = Other(
            node=self._budget.node,
            asking=len(asking),
            holding=self._places.holding,
            waiting=self._places.waiting,
            waited_seconds=self._waited_seconds(self._clock.monotonic()),
        )
        self._places.heard(fleet, asking, me)
        self._hear_pauses(fleet)
        is_open_elsewhere = pause is not None and any(other.pause is None for other in fleet.others)
        if not is_open_elsewhere:
            self._open_elsewhere_since = None
        elif self._open_elsewhere_since is None:
            self._open_elsewhere_since = now
        return True

    @property
    def is_cut_off(self) -> bool:
        """Others reach the service and this node does not, for some seconds already."""
        since = self._open_elsewhere_since
        return since is not None and self._clock.monotonic() - since >= CUT_OFF_AFTER_SECONDS

    def _waited_seconds(self, now: float) -> float:
        """Since this node was given a place, or has waited for one, whichever is later."""
        if self._places.given != self._given or not self._places.waiting:
            self._given = self._places.given
            self._waits_since = now
        return now - self._waits_since

    def _hear_pauses(self, fleet: Fleet) -> None:
        """What another node found: once each time, to be probed here as well; where it is over there, it may be here.

        Pauses by a person, or by the account's ceiling, stand in the ledger and are none of this.
        """
        self.news = []
        for other in fleet.others:
            if other.pause is not None and other.pause not in self._seen:
                self._seen.append(other.pause)
                self.news.append(other.pause)
        self.is_better_elsewhere = any(o.node in self._closed_there and o.pause is None for o in fleet.others)
        self._closed_there = {other.node for other in fleet.others if other.pause is not None}

    async def rest(self) -> None:
        """Until the next exchange is due: soon where jobs wait for a place, at once where the ledger refused one."""
        busy = self._clock.monotonic() < self._busy_until
        seconds = WAITING_SECONDS if self._places.waiting else BUSY_SECONDS if busy else IDLE_SECONDS
        try:
            async with asyncio.timeout(seconds):
                await self._is_refused.wait()
        except TimeoutError:
            pass
        self._is_refused.clear()
