"""Several nodes that share a budget, on one virtual clock: a database with its own clock, answers of any length."""

from __future__ import annotations

import asyncio
import random
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from hopperd.pipeline.job import JobId
from hopperd.ports import Fleet, LedgerTrouble, Need, Other, Reserved


@dataclass(slots=True)
class Database:
    """What the nodes have in common. `offset` may be changed: then somebody has set its clock."""

    offset: float = 1.79e9
    next_at: dict[str, float] = field(default_factory=dict)
    in_flight: set[JobId] = field(default_factory=set)
    needs: dict[str, tuple[float, Need]] = field(default_factory=dict)
    most_in_flight: int = 0
    reservations: int = 0
    is_away: bool = False

    def now(self) -> float:
        return asyncio.get_running_loop().time() + self.offset

    def reserve(self, account: str, count: int, interval_seconds: float, within_seconds: float) -> Reserved:
        now = self.now()
        first_at = min(max(self.next_at.get(account, now), now), now + within_seconds)
        self.next_at[account] = first_at + count * interval_seconds
        self.reservations += 1
        return Reserved(first_at=first_at, now=now)

    def intend(self, job_id: JobId, limit: int) -> bool:
        """As the ledger records the intent: only while there is room."""
        if len(self.in_flight) >= limit:
            return False
        self.in_flight.add(job_id)
        self.most_in_flight = max(self.most_in_flight, len(self.in_flight))
        return True

    def tell(self, node: str, need: Need) -> Fleet:
        now = self.now()
        self.needs.pop(node, None)
        if need.is_busy:
            self.needs[node] = (now, need)
        others = tuple(
            Other(
                node=name,
                asking=len(theirs.asking),
                holding=theirs.holding,
                waiting=theirs.waiting,
                waited_seconds=theirs.waited_seconds,
                pause=theirs.pause,
                bears=theirs.bears,
            )
            for name, (at, theirs) in sorted(self.needs.items())
            if name != node and at > now - 3.0
        )
        recorded = len(self.in_flight.intersection(need.asking))
        return Fleet(in_flight=len(self.in_flight), recorded=recorded, others=others)


class SimulatedBudget:
    """One node's way to the database: `seconds` draws how long a question, and an answer, is on its way."""

    def __init__(
        self, node: str, database: Database, seconds: Callable[[], float], clock: NodeClock | None = None
    ) -> None:
        self._clock = clock
        self.node = node
        self._database = database
        self._seconds = seconds

    def now(self) -> float:
        return self._clock.now() if self._clock is not None else asyncio.get_running_loop().time()

    async def close(self) -> None:
        pass

    async def reserve(self, account: str, count: int, interval_seconds: float, within_seconds: float) -> Reserved:
        await asyncio.sleep(self._seconds())
        if self._database.is_away:
            raise LedgerTrouble("the database does not answer")
        reserved = self._database.reserve(account, count, interval_seconds, within_seconds)
        await asyncio.sleep(self._seconds())
        return reserved

    async def tell(self, account: str, need: Need) -> Fleet:
        await asyncio.sleep(self._seconds())
        if self._database.is_away:
            raise LedgerTrouble("the database does not answer")
        fleet = self._database.tell(self.node, need)
        await asyncio.sleep(self._seconds())
        return fleet


class NodeClock:
    """The clock of one node, wrong by an offset, and by some millionths."""

    def __init__(self, dice: random.Random) -> None:
        self._offset = dice.uniform(-1e5, 1e5)
        self._drift = 1.0 + dice.uniform(-50e-6, 50e-6)

    def now(self) -> float:
        return self._offset + self._drift * asyncio.get_running_loop().time()


class Lag:
    """How late this machine wakes whoever sleeps, at the worst: what a busy one adds to every moment, on both sides."""

    def __init__(self) -> None:
        self.worst_seconds = 0.0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._measure, daemon=True)

    def __enter__(self) -> Lag:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _measure(self) -> None:
        while not self._stop.is_set():
            began = time.monotonic()
            time.sleep(0.005)
            self.worst_seconds = max(self.worst_seconds, time.monotonic() - began - 0.005)


def busiest(moments: Sequence[float]) -> int:
    """The most within any second, wherever it begins."""
    ordered = sorted(moments)
    most = first = 0
    for place, at in enumerate(ordered):
        while ordered[first] <= at - 1.0:
            first += 1
        most = max(most, place - first + 1)
    return most
