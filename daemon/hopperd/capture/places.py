"""Places: how many may do something at once. Fair, adjustable while in use, and none is lost to a cancellation.

Who waits stands in the line of its folder, and the lines are served in turn: a folder with a hundred thousand files
takes every second place from another's single file, not all of them. `asyncio.Semaphore` cannot change its size, which
reloading the settings and adapting to the service both need.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Protocol

from hopperd.errors import Stale
from hopperd.pipeline.job import JobId


def portion(total: int, nodes: int, rank: int) -> int:
    """How many of `total` are for the one of `nodes` that is the `rank`th (from 0); every one may do one thing."""
    return max(1, total // nodes + (rank < total % nodes))


class Places:
    """A number of places. Given to the folders that ask in turn, and in each in the order of asking. Made smaller, it
    empties by and by."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._taken = 0
        self._waiting: dict[str, deque[asyncio.Future[None]]] = {}  # by folder; the first one's turn is next

    @property
    def taken(self) -> int:
        return self._taken

    @property
    def limit(self) -> int:
        return self._limit

    @limit.setter
    def limit(self, limit: int) -> None:
        self._limit = limit
        self._hand_out()

    async def take(self, folder: str = "") -> None:
        if self._taken < self._limit and not self._waiting:
            self._taken += 1
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(folder, deque()).append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                if turn.exception() is None:  # cancelled in the instant the place was given: pass it on
                    self.give()
            elif turn in (line := self._waiting.get(folder, deque())):
                line.remove(turn)
                if not line:
                    del self._waiting[folder]
            raise

    def turn_away(self, why: str) -> None:
        """Stale for everybody who stands in line."""
        while self._waiting:
            turn = self._next()
            if not turn.done():
                turn.set_exception(Stale(why))

    def take_anyway(self) -> None:
        """One more, beyond the limit if need be: for what is a fact already."""
        self._taken += 1

    def give(self) -> None:
        if self._taken <= 0:
            raise RuntimeError("a place was given back twice")
        self._taken -= 1
        self._hand_out()

    def _hand_out(self) -> None:
        while self._waiting and self._taken < self._limit:
            turn = self._next()
            if not turn.done():
                self._taken += 1
                turn.set_result(None)

    def _next(self) -> asyncio.Future[None]:
        """Out of the first line, which then is the last."""
        folder = next(iter(self._waiting))
        line = self._waiting.pop(folder)
        turn = line.popleft()
        if line:
            self._waiting[folder] = line
        return turn


class Flight(Protocol):
    """The places of the jobs that have a task at the service, or are about to."""

    limit: int

    def __len__(self) -> int: ...

    async def take(self, job_id: JobId, folder: str = "") -> bool:
        """Wait for a place. False if the job has one already."""
        ...

    def enter(self, job_id: JobId) -> None: ...

    def leave(self, job_id: JobId) -> None: ...


class InFlight:
    """The jobs that have a task at the service, or are about to. A job is there once, however often it asks."""

    def __init__(self, limit: int) -> None:
        self.places = Places(limit)
        self._jobs: set[JobId] = set()

    @property
    def limit(self) -> int:
        return self.places.limit

    @limit.setter
    def limit(self, limit: int) -> None:
        self.places.limit = limit

    def __contains__(self, job_id: JobId) -> bool:
        return job_id in self._jobs

    def __len__(self) -> int:
        return len(self._jobs)

    async def take(self, job_id: JobId, folder: str = "") -> bool:
        """Wait for a place. False if the job has one already."""
        if job_id in self._jobs:
            return False
        await self.places.take(folder)
        if job_id in self._jobs:  # it entered while it waited
            self.places.give()
            return False
        self._jobs.add(job_id)
        return True

    def enter(self, job_id: JobId) -> None:
        if job_id not in self._jobs:
            self._jobs.add(job_id)
            self.places.take_anyway()

    def leave(self, job_id: JobId) -> None:
        if job_id in self._jobs:
            self._jobs.remove(job_id)
            self.places.give()
