"""The budget of a fleet in its PostgreSQL ledger: whose moment it is to send, and what every node needs.

On a connection of its own, each statement a transaction by itself: in the pump's batches an account's row would stay
locked until somebody else's batch was on the disk. What these two tables hold is worth nothing after a few seconds.
Times are of the database's clock, in seconds since the epoch.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, Final

import psycopg
from psycopg import AsyncConnection
from sqlalchemy.dialects import postgresql

from hopperd.ledger import statements
from hopperd.ledger.codec import from_json, to_json
from hopperd.ledger.lease import awake_or_asleep
from hopperd.ledger.postgres import REACHING
from hopperd.ports import Bears, Budget, Fleet, LedgerTrouble, Need, Other, Pause, Reserved

ANSWER_SECONDS: Final = 5.0
LIVES_SECONDS: Final = 3.0
"""Who has not told for so long has gone, or has no work."""

FORGOTTEN_SECONDS: Final = 3600.0

_NOW: Final = "extract(epoch FROM clock_timestamp())::float8"

_TABLES: Final = (
    "SELECT pg_advisory_xact_lock(hashtext('hopperd budget tables'))",
    # Room for many versions of one row within its page: it is written several times a second.
    "CREATE TABLE IF NOT EXISTS budgets (account text PRIMARY KEY, next_at float8 NOT NULL) WITH (fillfactor = 10)",
    "CREATE TABLE IF NOT EXISTS budget_needs (account text, node text, seen_at float8 NOT NULL, asking int NOT NULL, "
    "holding int NOT NULL, waiting int NOT NULL, waited float8 NOT NULL, pause text, bears text, "
    "PRIMARY KEY (account, node)) WITH (fillfactor = 10)",
)

# Who waits for the row's lock reads the clock when he has it.
_RESERVE: Final = f"""
INSERT INTO budgets AS b (account, next_at) VALUES (%(account)s, {_NOW} + %(span)s)
ON CONFLICT (account) DO UPDATE
SET next_at = least(greatest(b.next_at, {_NOW}), {_NOW} + %(within)s) + %(span)s
RETURNING b.next_at - %(span)s, {_NOW}
"""  # noqa: S608 (a constant of ours)

_IN_FLIGHT: Final = statements.IN_FLIGHT.compile(dialect=postgresql.psycopg.dialect())  # type: ignore[no-untyped-call]

# What is told here need not outlive the server, so nobody waits for its disk.
_HEAR: Final = f"""
SELECT count(*), count(*) FILTER (WHERE f.id = ANY(%(asking_ids)s)), (
    SELECT json_agg(json_build_array(node, asking, holding, waiting, waited, pause, bears) ORDER BY node)
    FROM budget_needs WHERE account = %(account)s AND node <> %(node)s AND seen_at > {_NOW} - %(lives)s
), set_config('synchronous_commit', 'off', true)
FROM ({_IN_FLIGHT}) AS f
"""  # noqa: S608

_TELL: Final = f"""
WITH told AS (
    INSERT INTO budget_needs (account, node, seen_at, asking, holding, waiting, waited, pause, bears)
    VALUES (%(account)s, %(node)s, {_NOW}, %(asking)s, %(holding)s, %(waiting)s, %(waited)s, %(pause)s, %(bears)s)
    ON CONFLICT (account, node) DO UPDATE SET seen_at = excluded.seen_at, asking = excluded.asking,
    holding = excluded.holding, waiting = excluded.waiting, waited = excluded.waited, pause = excluded.pause,
    bears = excluded.bears
)
{_HEAR}
"""  # noqa: S608

_LEAVE: Final = "DELETE FROM budget_needs WHERE account = %(account)s AND node = %(node)s"
_FORGET: Final = f"DELETE FROM budget_needs WHERE seen_at < {_NOW} - %s"  # noqa: S608


class PostgresBudget:
    """Connects at its first use, and anew whenever the connection was lost. Belongs to one event loop."""

    def __init__(self, url: str, password: str, node: str) -> None:
        self._url = url
        self._reaching = REACHING | ({"password": password} if password else {})
        self._node = node
        self._connection: AsyncConnection[tuple[Any, ...]] | None = None
        self._connecting = asyncio.Lock()
        self._told: set[str] = set()

    @property
    def node(self) -> str:
        return self._node

    def now(self) -> float:
        return awake_or_asleep()

    async def reserve(self, account: str, count: int, interval_seconds: float, within_seconds: float) -> Reserved:
        asked = {"account": account, "span": count * interval_seconds, "within": within_seconds}
        ((first_at, now),) = await self._ask((_RESERVE, asked))
        return Reserved(first_at=first_at, now=now)

    async def tell(self, account: str, need: Need) -> Fleet:
        asked = {
            "account": account,
            "of_account": account,
            "node": self._node,
            "asking": len(need.asking),
            "asking_ids": list(need.asking),
            "holding": need.holding,
            "waiting": need.waiting,
            "waited": need.waited_seconds,
            "pause": to_json(need.pause) if need.pause is not None else None,
            "bears": to_json(need.bears) if need.bears is not None else None,
            "lives": LIVES_SECONDS,
        }
        if need.is_busy:
            self._told.add(account)
        elif account in self._told:
            await self._ask((_LEAVE, asked))
            self._told.discard(account)
        question = _TELL if need.is_busy else _HEAR
        ((in_flight, recorded, others, _),) = await self._ask((question, {**_IN_FLIGHT.params, **asked}))
        return Fleet(in_flight=in_flight, recorded=recorded, others=tuple(_other(*one) for one in others or ()))

    async def close(self) -> None:
        """The others are told, where they can be."""
        try:
            for account in self._told if self._connection is not None else ():
                await self._ask((_LEAVE, {"account": account, "node": self._node}))
        except LedgerTrouble:
            pass  # they will not hear of this node again, which says the same three seconds later
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()

    async def _ask(self, question: tuple[str, Mapping[str, Any]]) -> list[tuple[Any, ...]]:
        """The rows of one statement, whose effect is durable. After trouble the next question connects anew."""
        connection = None
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                connection = await self._connected()
                cursor = await connection.execute(*question)
                return await cursor.fetchall() if cursor.description is not None else []
        except (psycopg.Error, OSError, TimeoutError) as error:
            if connection is not None:
                await self._drop(connection)
            what = str(error).strip() or f"it did not answer within {ANSWER_SECONDS:.0f} s"
            raise LedgerTrouble(f"the ledger's database cannot be asked for the account's budget: {what}") from error

    async def _connected(self) -> AsyncConnection[tuple[Any, ...]]:
        async with self._connecting:
            if self._connection is None or self._connection.closed:
                connection = await AsyncConnection.connect(
                    self._url, autocommit=True, application_name="hopperd budget", **self._reaching
                )
                try:
                    await connection.execute("SET synchronous_commit = on")
                    async with connection.transaction():
                        for statement in _TABLES:
                            await connection.execute(statement)
                    await connection.execute(_FORGET, [FORGOTTEN_SECONDS])
                except BaseException:
                    await connection.close()
                    raise
                self._connection = connection
            return self._connection

    async def _drop(self, connection: AsyncConnection[tuple[Any, ...]]) -> None:
        if self._connection is connection:
            self._connection = None
        await connection.close()


def _other(
    node: str, asking: int, holding: int, waiting: int, waited: float, pause: str | None, bears: str | None
) -> Other:
    return Other(
        node=node,
        asking=asking,
        holding=holding,
        waiting=waiting,
        waited_seconds=waited,
        pause=from_json(Pause, pause) if pause is not None else None,
        bears=from_json(Bears, bears) if bears is not None else None,
    )


def _is_budget(budget: PostgresBudget) -> Budget:
    """For the type checker: the class keeps the port's promises."""
    return budget
