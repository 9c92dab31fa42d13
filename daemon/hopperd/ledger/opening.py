"""From a locked state folder to an open, checked, up-to-date connection. Runs on the thread that will use it.

The order matters for every crash: a new ledger is complete and synced before its id is written, and its id is durable
before anybody else hears of it. The lock says "open" only once the log holds a synced page, so that a log that is
missing later was taken away.
"""

from __future__ import annotations

import sqlite3
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass

import structlog
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError

from hopperd.errors import LedgerDamaged, LedgerError
from hopperd.ledger import migrate, sqlite, state, statements
from hopperd.ledger.database import Ailment
from hopperd.ledger.lock import StateLock
from hopperd.ports import LedgerTrouble

log = structlog.get_logger("ledger")


@dataclass
class SQLiteDatabase:
    """The ledger file of one state folder, under its lock."""

    folder: str
    lock: StateLock
    ledger_id: str = ""
    _engine: Engine | None = None
    _connection: Connection | None = None

    @property
    def where(self) -> str:
        return state.ledger_path(self.folder)

    def open(self) -> Connection:
        try:
            return self._opened()
        except (LedgerError, LedgerTrouble):
            self._drop()
            raise
        except (DBAPIError, sqlite3.Error, OSError) as error:
            self._drop()
            kind = sqlite.sickness(error)
            if kind is not None:
                raise sqlite.trouble(kind, error, self.where) from error
            if isinstance(error, OSError):
                raise LedgerTrouble(f"the ledger's disk answers with an error ({self.where}: {error})") from error
            raise LedgerError(f"{self.where} cannot be opened: {error}.") from error

    def _opened(self) -> Connection:
        again = self.ledger_id != ""
        found = state.look(self.folder, self.lock.previous if not again else None)
        plan = state.plan(found, self.folder)
        if again and plan.kind == "create":
            raise LedgerDamaged(f"{self.where} was taken away while it was in use. {state.REBUILD}")
        self.lock.say("opening")
        if plan.kind == "create":
            sqlite.create_file(self.where)
        self._engine = sqlite.make_engine(self.where)
        connection = self._connection = self._engine.connect()
        if again:
            sqlite.empty_the_log(connection)
        sqlite.check(connection, self.where, thorough=plan.check or again)
        connection.rollback()
        self._make_or_migrate(connection, found)
        self._begin_the_log(connection)
        log.info("ledger.opened", path=self.where, id=self.ledger_id, new=plan.kind == "create", checked=plan.check)
        return connection

    def _make_or_migrate(self, connection: Connection, found: state.Found) -> None:
        with connection.begin():
            if found.ledger_id is None and migrate.is_empty(connection):
                migrate.create(connection, uuid.uuid4().hex, time.time())
            else:
                migrate.bring_up_to_date(connection, self.where)
            ledger_id = migrate.facts_of(connection, self.where)["ledger_id"]
        if found.ledger_id is None:
            state.write_id(self.folder, ledger_id)
        elif found.ledger_id != ledger_id:
            raise LedgerDamaged(
                f"{self.where} is another ledger than the one that belongs to {self.folder}: put the right one back. "
                f"{state.REBUILD}"
            )
        self.ledger_id = ledger_id

    def _begin_the_log(self, connection: Connection) -> None:
        """Write something, so that the log is there, and only then say that it must be. On a full disk, read only."""
        try:
            with connection.begin():
                migrate.set_fact(connection, "opened", str(time.time()))
        except DBAPIError as error:
            if sqlite.sickness(error) not in ("full", "read-only"):
                raise
            driver = connection.connection.driver_connection
            if driver is not None:
                driver.rollback()
            log.warning("ledger.cannot-write", path=self.where, error=str(error.orig))
        else:
            self.lock.say("open")

    def close(self, *, orderly: bool) -> None:
        try:
            self.lock.say("opening")
        except OSError as error:
            log.warning("ledger.close-failed", path=self.where, error=str(error))
            orderly = False
        orderly = self._drop() and orderly
        if orderly:
            try:
                self.lock.say("closed")
            except OSError as error:
                log.warning("ledger.close-failed", path=self.where, error=str(error))

    def _drop(self) -> bool:
        """Let go of the connection, whatever it says. Returns whether it went well."""
        connection, engine = self._connection, self._engine
        self._connection = self._engine = None
        fine = True
        try:
            if connection is not None:
                connection.close()
        except (DBAPIError, sqlite3.Error) as error:
            log.warning("ledger.close-failed", path=self.where, error=str(error))
            fine = False
        if engine is not None:
            engine.dispose()
        return fine

    def ailment(self, error: BaseException) -> Ailment | None:
        kind = sqlite.sickness(error)
        if kind is None:
            return None
        return Ailment(error=sqlite.trouble(kind, error, self.where), is_lost=kind in ("io", "damaged"))

    def copy(self, connection: Connection, path: str, between: Callable[[], None], *, moves_on: bool) -> None:
        driver = connection.connection.driver_connection
        if driver is None:
            raise LedgerError("the ledger is closed.")
        sqlite.copy(driver, path, between, statements.OLDEN_MARKS if moves_on else None)
