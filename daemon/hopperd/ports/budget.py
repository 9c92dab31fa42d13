"""What several nodes with one ledger share of an account: moments at which a request may leave, and places.

The database that they have in common implements it; a single node needs none of it.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Protocol

from hopperd.pipeline.job import JobId
from hopperd.ports.ledger import Pause


@dataclass(frozen=True, slots=True, kw_only=True)
class Reserved:
    """Moments of the database's clock that are nobody else's: `first_at`, and then one each interval that was asked
    for. `now` is what that clock said while it was asked, a little before the answer came."""

    first_at: float
    now: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Bears:
    """How many requests at once the service seems to bear from all nodes together, as one of them has found out.

    `cuts` counts how often that was found to be too many, as far as the node knows. From `careful_from` on, `size`
    grows slowly.
    """

    cuts: int
    size: float
    careful_from: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """What one node has and wants of one account.

    `asking` are jobs that were given a place in flight here, perhaps not yet in the ledger; `holding` counts the
    places of this node, those included; `waiting` the jobs that stand in line for one, and
    `waited_seconds` how long this node has waited since it was given the last. `pause`: what this node itself
    found to be closed, and will find to be open again. `bears`: what it knows of the service.
    """

    is_busy: bool
    asking: Collection[JobId]
    holding: int
    waiting: int
    waited_seconds: float = 0.0
    pause: Pause | None = None
    bears: Bears | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Other:
    """Another node that has lately had work for the account, as it told of itself."""

    node: str
    asking: int
    holding: int
    waiting: int
    waited_seconds: float = 0.0
    pause: Pause | None = None
    bears: Bears | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Fleet:
    """An account as the ledger knows it. `recorded`: how many of this node's `asking` are among those `in_flight`."""

    in_flight: int
    recorded: int
    others: tuple[Other, ...]


class Budget(Protocol):
    """What is asked raises LedgerTrouble where the database does not answer: then nothing was had."""

    @property
    def node(self) -> str:
        """This node's name for itself; no other has it."""
        ...

    def now(self) -> float:
        """Seconds of a clock that goes on while the machine sleeps: what was reserved before is old then."""
        ...

    async def close(self) -> None: ...

    async def reserve(self, account: str, count: int, interval_seconds: float, within_seconds: float) -> Reserved:
        """The next `count` moments, `interval_seconds` apart, that nobody has been given yet.

        The first lies within `within_seconds`: what was given beyond that was by a clock that has been set since.
        """
        ...

    async def tell(self, account: str, need: Need) -> Fleet:
        """Say what this node needs, hear how things stand. Who has not told for a few seconds counts no more."""
        ...
