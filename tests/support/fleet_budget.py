"""The shared budget of simulated nodes on a real ledger: reached as that is, and asking it who is in flight."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import psycopg

from hopperd.ledger.budget import _IN_FLIGHT
from hopperd.pipeline.job import JobId
from hopperd.ports import Fleet, Need, Reserved
from tests.support.budget import Database, SimulatedBudget


class LedgerDatabase(Database):
    """Who is in flight stands in the ledger; it is asked where it matters."""

    def __init__(self, server: psycopg.Connection[Any]) -> None:
        super().__init__()
        self._server = server

    def tell(self, node: str, need: Need) -> Fleet:
        if need.waiting or need.asking:
            self.in_flight = {JobId(row[0]) for row in self._server.execute(_IN_FLIGHT.string, _IN_FLIGHT.params)}
        return super().tell(node, need)


class ReachedBudget(SimulatedBudget):
    """`reach` waits while the node is frozen, and raises LedgerTrouble while it is cut off."""

    def __init__(self, node: str, database: Database, reach: Callable[[], Awaitable[None]]) -> None:
        super().__init__(node, database, lambda: 0.0)
        self._reach = reach

    async def reserve(self, account: str, count: int, interval_seconds: float, within_seconds: float) -> Reserved:
        await self._reach()
        return await super().reserve(account, count, interval_seconds, within_seconds)

    async def tell(self, account: str, need: Need) -> Fleet:
        await self._reach()
        return await super().tell(account, need)
