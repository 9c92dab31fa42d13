"""How the requests of one account get out: a place each, a place in line, and the token.

A turn takes the place for its kind of work first, then a place in the window of requests at once, then the request
token, last: what waits for a token holds nothing that others could use meanwhile, but for its place in line. Looks and
everything else stand in two lines served in turn, so that neither starves the other; in each, and for each kind of
place, folders are served in turn (places.py). Every wait can be cancelled.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Final, Protocol

from hopperd.capture.places import Flight, Places, portion
from hopperd.capture.rate import Tokens
from hopperd.capture.window import Window
from hopperd.errors import Stale
from hopperd.pipeline.job import JobId
from hopperd.ports import Clock, Kind

CUT_OFF: Final = "other nodes reach the service, this one does not: the job is left to them"


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The limits of one account, as its settings name them."""

    requests_per_second: float = 10.0
    uploads_at_once: int = 4
    fetches_at_once: int = 4
    tasks_in_flight: int = 200

    @property
    def requests_at_once(self) -> int:
        """A ceiling for the window: looks and Runs have no places of their own, so some are kept for them."""
        return self.uploads_at_once + self.fetches_at_once + max(8, min(64, math.ceil(self.requests_per_second)))


class Gate(Protocol):
    """Whether the account is open."""

    @property
    def is_cut_off(self) -> bool: ...

    def closed_seconds_for(self, kind: Kind) -> float: ...

    async def wait_for_change(self, seconds: float) -> None: ...


class Admission:
    """The places, lines, window and rate of one account. `rate_of` is given who counts those that stand in line.

    `on_wait` is called with the seconds that each request waited for its token.
    """

    def __init__(
        self,
        limits: Limits,
        gate: Gate,
        in_flight: Flight,
        rate_of: Callable[[Callable[[], int]], Tokens],
        *,
        clock: Clock,
        on_wait: Callable[[float], None] | None = None,
    ) -> None:
        self._limits = limits
        self._gate = gate
        self._clock = clock
        self._on_wait = on_wait
        self._in_line = 0
        self._asking: dict[JobId, float] = {}  # a Run is to be asked for: when its token was had
        self._uploads = Places(limits.uploads_at_once)
        self._fetches = Places(limits.fetches_at_once)
        self._looks_line, self._works_line, self._tidy_line = Places(1), Places(1), Places(1)
        self._more_tidying_line = asyncio.Lock()
        self.in_flight = in_flight
        self.window = Window(limits.requests_at_once)
        self.rate = rate_of(self._behind)

    def turn(self, job_id: JobId, kind: Kind, folder: str) -> AbstractAsyncContextManager[None]:
        return self._run_turn(job_id, folder) if kind == "run" else self._turn(kind, folder)

    async def token(self) -> None:
        began = self._clock.monotonic()
        await self.rate.token()
        if self._on_wait is not None:
            self._on_wait(self._clock.monotonic() - began)

    async def tidying_token(self) -> None:
        """For what nobody waits for: one of them at a time stands in line for a token.

        Not in the line of those who wait for a place in the window: whoever asks for more holds one, and would wait for
        ever behind who waits for it.
        """
        async with self._more_tidying_line:
            await self.token()

    async def renew(self, job_id: JobId) -> None:
        """Another token for a Run whose token is too old to be used: the service would see two requests in the place
        of one."""
        taken_at = self._asking.get(job_id)
        if taken_at is not None and self._clock.monotonic() - taken_at > self.rate.fresh_seconds:
            await self.token()

    def set(self, limits: Limits) -> None:
        """New limits, at once; what is under way beyond them ends in peace. `divide` follows."""
        self._limits = limits
        self.rate.set(limits.requests_per_second)
        self.in_flight.limit = limits.tasks_in_flight

    def divide(self, nodes: int, rank: int) -> None:
        """What is done at once is divided among the nodes that have work; every one may do one thing."""
        self._uploads.limit = portion(self._limits.uploads_at_once, nodes, rank)
        self._fetches.limit = portion(self._limits.fetches_at_once, nodes, rank)
        self.window.set_ceiling(self._limits.requests_at_once)
        self.window.divide(nodes, rank)

    @property
    def is_busy(self) -> bool:
        return self.window.taken + self._in_line > 0

    @property
    def asking(self) -> frozenset[JobId]:
        """The jobs for which a Run is about to be asked for."""
        return frozenset(self._asking)

    def describe(self) -> dict[str, float]:
        return {
            "uploads": self._uploads.taken,
            "fetches": self._fetches.taken,
            "tasks_in_flight": len(self.in_flight),
            "requests": self.window.taken,
            "requests_at_once": self.window.limit,
        }

    # ------------------------------------------------------------------------------------------------ one turn

    @asynccontextmanager
    async def _turn(self, kind: Kind, folder: str) -> AsyncIterator[None]:
        self._require_reach()
        places = self._uploads if kind == "upload" else self._fetches if kind == "fetch" else None
        if places is not None:
            await places.take(folder)
        try:
            await self._admit(kind, folder)
            try:
                yield
            finally:
                self.window.give()
        finally:
            if places is not None:
                places.give()

    @asynccontextmanager
    async def _run_turn(self, job_id: JobId, folder: str) -> AsyncIterator[None]:
        self._require_reach()
        is_new = await self.in_flight.take(job_id, folder)
        self._asking[job_id] = math.inf
        is_admitted = False
        try:
            await self._admit("run", folder)
            is_admitted = True
            self._asking[job_id] = self._clock.monotonic()
            yield
        finally:
            self._asking.pop(job_id, None)
            if is_admitted:
                self.window.give()
            elif is_new:
                self.in_flight.leave(job_id)

    async def _admit(self, kind: Kind, folder: str) -> None:
        """A place in the window and a token, while the account is open."""
        line = {"look": self._looks_line, "tidy": self._tidy_line}.get(kind, self._works_line)
        while True:
            while (seconds := self._gate.closed_seconds_for(kind)) > 0.0:
                self._require_reach()
                await self._gate.wait_for_change(seconds)
            async with self._standing_in(line, folder):
                if self._gate.closed_seconds_for(kind) > 0.0:
                    continue
                await self.window.take()
                try:
                    await self.token()
                except BaseException:
                    self.window.give()
                    raise
                if self._gate.closed_seconds_for(kind) <= 0.0:
                    return
                self.window.give()

    @asynccontextmanager
    async def _standing_in(self, line: Places, folder: str) -> AsyncIterator[None]:
        self._in_line += 1
        try:
            await line.take(folder)
        finally:
            self._in_line -= 1
        try:
            yield
        finally:
            line.give()

    def _behind(self) -> int:
        """How many could ask for a token at once, beyond those that do: they stand in line and have a place to go."""
        return min(self._in_line, max(0, self.window.limit - self.window.taken))

    def _require_reach(self) -> None:
        if self._gate.is_cut_off:
            raise Stale(CUT_OFF)
