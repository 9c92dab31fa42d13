"""The PostgreSQL of the simulated nodes: a real server, whose clock alone is the world's."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Callable
from functools import cache
from typing import Any

import psycopg

from hopperd.ledger.pump import InlinePump
from hopperd.ledger.store import Store
from tests.support import postgres
from tests.support.world import START, World

_CLOCK = """
CREATE SCHEMA sim;
GRANT USAGE ON SCHEMA sim TO PUBLIC;
CREATE FUNCTION sim.statement_timestamp() RETURNS timestamptz STABLE LANGUAGE sql
AS $$ SELECT to_timestamp(current_setting('sim.now')::float8) $$;
"""


def say_when(session: psycopg.Connection[Any], world: World) -> None:
    session.execute(f"SET sim.now = {START + world.loop.time()!r}")


class AtThisMoment:
    """A pump whose database knows what time it is."""

    def __init__(self, pump: Any, world: World) -> None:
        self._pump: InlinePump = pump
        self._world = world

    async def do(self, action: Callable[[Any], Any], *, writes: bool = True) -> Any:
        await self._before()
        try:
            return await self._pump.do(action, writes=writes)
        finally:
            await self._after()

    async def do_together(self, together: Any, item: Any) -> Any:
        await self._before()
        try:
            return await self._pump.do_together(together, item)
        finally:
            await self._after()

    async def close(self) -> None:
        await self._pump.close()

    async def _before(self) -> None:
        connection = self._pump._transactor._connection
        if connection is not None:
            session: Any = connection.connection.driver_connection
            say_when(session, self._world)

    async def _after(self) -> None: ...


@cache
def database() -> tuple[psycopg.Connection[tuple[object, ...]], str]:
    """An empty ledger, and a session that may empty it again; the server forgets everything when it is killed."""
    server = postgres.Server("fsync = off\nfull_page_writes = off\n")
    url = server.database()
    with tempfile.TemporaryDirectory() as state:
        asyncio.run(Store.open_shared(state, url, inline=True).close())
    admin = server.admin(url.rpartition("/")[2])
    admin.execute(_CLOCK)
    return admin, f"{url}?options=-csearch_path%3Dpublic%2Csim%2Cpg_catalog"
