"""Places in flight that several nodes share: how many there are stands in the ledger, and it has the last word.

A node hears now and then how many are free and who else waits, and hands out its share; in between it reckons on its
own. Where that was wrong the ledger says so when a Run is intended, before anything is sent.
"""

from __future__ import annotations

import heapq
from collections.abc import Collection, Sequence
from typing import Final

from hopperd.capture.places import Places
from hopperd.pipeline.job import JobId
from hopperd.ports import Fleet, Other

MOST_REMEMBERED_JOBS: Final = 10_000


def dealt(free: int, me: Other, others: Sequence[Other]) -> int:
    """How many of the free places this node may take: they are dealt one by one to who has the fewest, and among those
    to who has waited longest. Where no other waits, all of them.

    Every node reckons the same, but for what the others' figures are old by.
    """
    if free <= 0 or not any(other.waiting > 0 for other in others):
        return free
    wants = [(one.holding, -one.waited_seconds, one.node, one.waiting) for one in (me, *others) if one.waiting > 0]
    heapq.heapify(wants)
    mine = 0
    for _ in range(free):
        if not wants:
            break
        holding, waited, node, waiting = wants[0]
        mine += node == me.node
        if waiting > 1:
            heapq.heapreplace(wants, (holding + 1, waited, node, waiting - 1))
        else:
            heapq.heappop(wants)
    return mine


def gives_way(holding: int, others: Sequence[Other]) -> bool:
    """Whether a place that comes free here is for another node: one that waits and has clearly fewer."""
    return any(
        other.waiting > 0 and (other.holding == 0 or other.holding + max(1, holding // 5) < holding) for other in others
    )


class FleetInFlight:
    """The jobs of this node that have a task at the service or are about to, and how many more there may be."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._mine: dict[JobId, None] = {}
        self._line = Places(0)  # what it has beyond what is taken, this node may still take
        self._beyond = 0  # by so many the facts are beyond the limit: so many come free for nobody
        self._taken_when_asked = 0
        self._waiting = 0
        self._gives_way = False
        self._in_flight = 0
        self._unrecorded = 0

    def __contains__(self, job_id: JobId) -> bool:
        return job_id in self._mine

    def __len__(self) -> int:
        """Of the whole fleet, as it was heard last."""
        return self._in_flight + self._unrecorded

    @property
    def holding(self) -> int:
        return len(self._mine)

    @property
    def given(self) -> int:
        """How many places were handed out so far."""
        return self._line.taken

    @property
    def waiting(self) -> int:
        return self._waiting

    async def take(self, job_id: JobId, folder: str = "") -> bool:
        """Wait for a place. False if the job has one already."""
        if job_id in self._mine:
            return False
        self._waiting += 1
        try:
            await self._line.take(folder)
        finally:
            self._waiting -= 1
        if job_id in self._mine:  # it entered while it waited
            self._came_free()
            return False
        self._mine[job_id] = None
        return True

    def enter(self, job_id: JobId) -> None:
        """A fact: the ledger counts it already."""
        self._mine[job_id] = None
        if len(self._mine) > MOST_REMEMBERED_JOBS:  # others may have ended some that this node began
            del self._mine[next(iter(self._mine))]

    def leave(self, job_id: JobId) -> None:
        if job_id in self._mine:
            del self._mine[job_id]
            if not self._gives_way:
                self._came_free()

    def no_room(self, job_id: JobId) -> None:
        """Others were given the places that this node reckoned with: nobody gets one until it has heard again."""
        self._mine.pop(job_id, None)
        self._line.limit = self._line.taken

    def turn_away(self, why: str) -> None:
        self._line.turn_away(why)

    def asked(self) -> None:
        """The ledger is being asked: what is handed out from now on its answer does not know of."""
        self._taken_when_asked = self._line.taken

    def heard(self, fleet: Fleet, asking: Collection[JobId], me: Other) -> None:
        """`asking`: the jobs the ledger was asked about."""
        self._in_flight = fleet.in_flight
        self._unrecorded = len(asking) - fleet.recorded
        since_then = self._line.taken - self._taken_when_asked
        free = self.limit - len(self) - since_then - sum(other.asking for other in fleet.others)
        self._gives_way = gives_way(self.holding, fleet.others)
        free = dealt(free, me, fleet.others)
        self._beyond = max(0, -free)
        self._line.limit = self._line.taken + max(0, free)

    def _came_free(self) -> None:
        if self._beyond > 0:
            self._beyond -= 1
        else:
            self._line.limit += 1
