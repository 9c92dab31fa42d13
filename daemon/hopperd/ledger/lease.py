"""By what right this node acts: its lease, by its own clock. Renewed on one thread, asked on another.

The clock is the one that goes on while the machine sleeps, and a lease begins when its renewal was asked for, not when
it was granted: this node stops before any other begins.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from hopperd.errors import Stale
from hopperd.pipeline.job import JobId
from hopperd.ports import LEASE_SECONDS

OWN_SECONDS: Final = LEASE_SECONDS - 2.0


def awake_or_asleep() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class NodeLease:
    """Not held until it was renewed for the first time."""

    is_shared = True

    def __init__(self, clock: Callable[[], float] = awake_or_asleep) -> None:
        self._clock = clock
        self._asked_at = float("-inf")
        self._in_hand: set[JobId] = set()
        self.is_eldest = False

    @property
    def is_held(self) -> bool:
        return self._clock() - self._asked_at < OWN_SECONDS

    def renewed(self, asked_at: float) -> bool:
        """The ledger has seen this node. True: the lease had been over, and everything in hand is put down."""
        lapsed = asked_at - self._asked_at >= OWN_SECONDS
        if lapsed:
            self._in_hand = set()
        self._asked_at = asked_at
        return lapsed

    def take(self, job_id: JobId) -> None:
        self._in_hand.add(job_id)

    def check(self, job_id: JobId) -> None:
        if job_id not in self._in_hand or not self.is_held:
            raise Stale(f"job {job_id}: this node's lease was over", taken_over=True)

    def put_down(self, job_id: JobId) -> None:
        self._in_hand.discard(job_id)
