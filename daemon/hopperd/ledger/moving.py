"""A whole ledger from one database to another, while nobody works with it: all of it or nothing, counted on both sides.

It keeps its id, so that the folders go on knowing it. What it was moved from is put out of use, so that no daemon can
take it for the ledger again: what is sent from now on would not be in it.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from sqlalchemy import Connection, Table, func, insert, select, tuple_

from hopperd.errors import LedgerError
from hopperd.ledger import fleet, migrate, search, state
from hopperd.ledger.database import Database
from hopperd.ledger.lock import StateLock
from hopperd.ledger.opening import SQLiteDatabase
from hopperd.ledger.postgres import NEW_LEDGER_LOCK, PostgresDatabase
from hopperd.ledger.tables import meta, metadata, nodes

ROWS_AT_ONCE: Final = 1_000
ASIDE: Final = "moving"
MOVED: Final = "-moved-"  # follows the id of a ledger that was put out of use

# What belongs to a place, and not to the ledger.
_LEFT_BEHIND: Final[Mapping[str, Mapping[str, Any]]] = {"jobs": {"owner": None}, "outbox": {"in_hand_until": 0.0}}


@dataclass(frozen=True, slots=True, kw_only=True)
class Moved:
    """What was moved, by table, and what is left of where it was."""

    ledger_id: str
    rows: Mapping[str, int]
    set_aside: list[str] = field(default_factory=list)


def to_postgresql(folder: str, url: str, password: str, stamp: str) -> Moved:
    """From the state folder's file, which is renamed. Raises LedgerInUse, LedgerError, LedgerTrouble."""
    if not state.has_ledger(folder):
        raise LedgerError(f"there is no ledger in {folder}: nothing is to be moved.")
    lock = StateLock(folder)
    source = SQLiteDatabase(folder=folder, lock=lock)
    target = PostgresDatabase(url=url, password=password)
    try:
        moved = _moved(source, target)
        source.close(orderly=True)
        aside = state.set_aside(folder, stamp, "moved")
        return Moved(ledger_id=moved.ledger_id, rows=moved.rows, set_aside=aside)
    finally:
        source.close(orderly=False)
        target.close(orderly=True)
        lock.release()


def to_sqlite(folder: str, url: str, password: str, stamp: str) -> Moved:
    """Into the state folder, which must not have one. Raises LedgerInUse, LedgerError, LedgerTrouble.

    The copy is whole before the database is put out of use, and in its place only after that: at no instant are there
    two that a daemon would take. Cut short in between, the next try goes on with the copy.
    """
    state.prepare(folder)
    lock = StateLock(folder)
    try:
        if state.has_ledger(folder):
            raise LedgerError(f"{folder} has a ledger already; nothing is overwritten: name another state folder.")
        aside = os.path.join(folder, ASIDE)
        source = PostgresDatabase(url=url, password=password, makes=False)
        if not _is_out_of_use(source):
            shutil.rmtree(aside, ignore_errors=True)  # what a try that was cut short had made
        moved = _into(aside, source)
        _put_out_of_use(source, moved.ledger_id, stamp)
        os.rename(state.ledger_path(aside), state.ledger_path(folder))
        state.sync_folder(folder)
        state.write_id(folder, moved.ledger_id)
        lock.say("closed")
        shutil.rmtree(aside, ignore_errors=True)
        return moved
    finally:
        lock.release()


def _into(aside: str, source: PostgresDatabase) -> Moved:
    """A whole and closed ledger in a folder of its own."""
    state.prepare(aside)
    lock = StateLock(aside)
    target = SQLiteDatabase(folder=aside, lock=lock)
    try:
        moved = _moved(source, target)
        state.write_id(aside, moved.ledger_id)
        return moved
    finally:
        source.close(orderly=True)
        target.close(orderly=True)
        lock.release()


def _is_out_of_use(database: PostgresDatabase) -> bool:
    connection = database.open()
    try:
        with connection.begin():
            return MOVED in migrate.facts_of(connection, database.where)["ledger_id"]
    finally:
        database.close(orderly=True)


def _put_out_of_use(database: PostgresDatabase, ledger_id: str, stamp: str) -> None:
    connection = database.open()
    try:
        with connection.begin():
            migrate.set_fact(connection, "ledger_id", f"{ledger_id}{MOVED}{stamp}")
    finally:
        database.close(orderly=True)


def _moved(source: Database, target: Database) -> Moved:
    there, here = source.open(), target.open()
    with there.begin(), here.begin():
        for connection in (there, here):
            _keep_nodes_out(connection)
        facts = migrate.facts_of(there, source.where)
        rows = _counted(there)
        ledger_id, out_of_use, when = facts["ledger_id"].partition(MOVED)
        if migrate.facts_of(here, target.where)["ledger_id"] == ledger_id and _counted(here) == rows:
            return Moved(ledger_id=ledger_id, rows=rows)  # a move that was cut short at its very end
        if out_of_use:
            raise LedgerError(f"{source.where} was moved elsewhere already ({when}): use the ledger that it became.")
        if any(_counted(here).values()):
            raise LedgerError(f"{target.where} is not empty: nothing is overwritten. Name a new database.")
        for table in _tables():
            _copy(there, here, table)
        for name in ("ledger_id", "created"):
            if name in facts:
                migrate.set_fact(here, name, facts[name])
        if _counted(here) != rows:
            raise LedgerError(f"{target.where} does not hold as much as {source.where}: nothing was moved.")
    return Moved(ledger_id=facts["ledger_id"], rows=rows)


def _keep_nodes_out(connection: Connection) -> None:
    """No node opens the ledger meanwhile; and none may have it open."""
    if connection.dialect.name == "sqlite":
        return
    connection.exec_driver_sql("SET LOCAL statement_timeout = 0")
    connection.exec_driver_sql("SET LOCAL idle_in_transaction_session_timeout = 0")
    connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({NEW_LEDGER_LOCK})")
    alive = [node.name for node in fleet.seen(connection) if node.is_alive]
    if alive:
        raise LedgerError(f"hopperd works with this ledger on {', '.join(alive)}: stop it there first.")


def _tables() -> list[Table]:
    return [table for table in metadata.sorted_tables if table not in (meta, nodes)]


def _counted(connection: Connection) -> dict[str, int]:
    return {table.name: connection.execute(select(func.count()).select_from(table)).scalar_one() for table in _tables()}


def _copy(source: Connection, target: Connection, table: Table) -> None:
    left = _LEFT_BEHIND.get(table.name, {})
    after: tuple[Any, ...] | None = None
    keys = list(table.primary_key.columns)
    while True:
        question = select(table).order_by(*keys).limit(ROWS_AT_ONCE)
        if after is not None:
            question = question.where(_follows(keys, after))
        rows = [dict(row) for row in source.execute(question).mappings()]
        if not rows:
            return
        after = tuple(rows[-1][key.name] for key in keys)
        target.execute(insert(table), [{**row, **left} for row in rows])
        _index_names(target, table, rows)


def _follows(keys: list[Any], after: tuple[Any, ...]) -> Any:
    return tuple_(*keys) > tuple_(*after) if len(keys) > 1 else keys[0] > after[0]


def _index_names(target: Connection, table: Table, rows: list[dict[str, Any]]) -> None:
    if table.name == "jobs":
        search.added(target, [row["id"] for row in rows])
