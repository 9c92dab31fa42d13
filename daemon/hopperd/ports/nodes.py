"""Several daemons on one ledger: how one is seen by the others, and by what right it acts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Protocol

from hopperd.pipeline.job import JobId

LEASE_SECONDS: Final = 10.0
"""How long after it was last seen a node's jobs are still its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """One life of one daemon. `seen_seconds` ago the ledger saw it; None: it has left in order.

    It `carries` so many open jobs; with those `in_hand` it was doing something when it was last seen.
    """

    id: str
    name: str
    version: str
    started: float
    seen_seconds: float | None
    in_hand: int
    carries: int

    @property
    def is_alive(self) -> bool:
        return self.seen_seconds is not None and self.seen_seconds <= LEASE_SECONDS


class Lease(Protocol):
    """The right to act on jobs. A node that was not seen for too long loses what it had in hand, and may not know."""

    @property
    def is_shared(self) -> bool:
        """Whether there may be others."""
        ...

    @property
    def is_held(self) -> bool: ...

    @property
    def is_eldest(self) -> bool:
        """Whether what one node does for all is this one's."""
        ...

    def take(self, job_id: JobId) -> None:
        """The job is in hand from now on."""
        ...

    def check(self, job_id: JobId) -> None:
        """Before anything is done outside. Raises Stale where the lease was over since the job was taken in hand."""
        ...

    def put_down(self, job_id: JobId) -> None: ...


class Alone:
    """The lease of a daemon whose ledger is its own: nobody takes anything from it."""

    is_shared: bool = False
    is_held: bool = True
    is_eldest: bool = True

    def take(self, job_id: JobId) -> None: ...

    def check(self, job_id: JobId) -> None: ...

    def put_down(self, job_id: JobId) -> None: ...


ALONE: Final = Alone()
