"""How fast requests may leave: the rate of an account, for a node that has it all to itself."""

from __future__ import annotations

import asyncio
import math
from typing import Final, Protocol

from asyncio_throttle.throttler import Throttler  # not the package root: type checkers see no export there

from hopperd.capture.slots import CATCH_UP_SECONDS, PACE, spread_seconds

LONGEST_PACE_NAP_SECONDS: Final = 0.05


class Tokens(Protocol):
    """Who may send a request, and when: fair, and never more in a second than the account allows."""

    def set(self, per_second: float) -> None:
        """Another rate, at once."""
        ...

    async def token(self) -> None:
        """Returns when one request may leave, now. May be cancelled."""
        ...

    @property
    def fresh_seconds(self) -> float:
        """How long after a token was had its request may still leave."""
        ...

    @property
    def trouble(self) -> str | None:
        """Why nobody gets a token at present, where that is not for want of patience."""
        ...


class Rate:
    """Requests per second: asyncio-throttle, unmodified, behind one fair lock, and evenly paced.

    Bare it lets one waiter overtake all others and polls with each of them; behind the lock only one asks. Its window
    of 100 ms instead of a second keeps bursts small, and the pace before it smaller still: a server counts requests
    when they arrive, and two bursts that draw together on the way are more than one second may hold. Hence also the
    hair by which the pace stays below the rate.

    Its time is the loop's; asyncio-throttle's is `time.monotonic`, and a simulation
    must replace that, too.
    """

    def __init__(self, per_second: float) -> None:
        self._lock = asyncio.Lock()
        self._throttler = Throttler(1)
        self._interval = self._catch_up = 0.0
        self._next_at = -math.inf
        self.fresh_seconds = 0.0
        self.set(per_second)

    def set(self, per_second: float) -> None:
        count = max(2, round(per_second / 10))
        self._throttler.rate_limit = count
        self._throttler.period = count / per_second
        self._throttler.retry_interval = min(0.05, max(0.002, self._throttler.period / 100))
        self._interval = 1.0 / (PACE * per_second)
        self.fresh_seconds = spread_seconds(per_second)
        self._catch_up = max(CATCH_UP_SECONDS, self._interval)
        self._next_at = -math.inf

    async def token(self) -> None:
        async with self._lock:
            loop = asyncio.get_running_loop()
            while (seconds := self._next_at - loop.time()) > 0.0:  # noqa: ASYNC110 (a pace, not an event)
                await asyncio.sleep(min(seconds, LONGEST_PACE_NAP_SECONDS))  # `set` may have changed it meanwhile
            await self._throttler.acquire()  # type: ignore[no-untyped-call]  # it has no annotations
            self._next_at = max(self._next_at, loop.time() - self._catch_up) + self._interval

    @property
    def trouble(self) -> str | None:
        return None  # it asks nobody
