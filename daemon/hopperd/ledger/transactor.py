"""One batch of calls, one transaction, and what became of each call. Knows no thread and no event loop.

A call that raises Stale has written nothing and spoils nothing. Any other mistake of a call rolls the batch back, and
each call runs again in a transaction of its own, so that only the culprit fails. Trouble of the database fails every
call that wanted to write; after an I/O error the connection is never used again. What the database itself has undone,
for a deadlock with another node, is tried again.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar

import structlog
from sqlalchemy import Connection, Transaction

from hopperd.errors import LedgerDamaged, LedgerError, Stale
from hopperd.ledger.database import Ailment, Database
from hopperd.ports import LedgerTrouble

T = TypeVar("T")

log = structlog.get_logger("ledger")

BEFORE_COMMIT: Final = "before-commit"
AFTER_COMMIT: Final = "after-commit"
SAID_EVERY_SECONDS: Final = 60.0
TRIES: Final = 4
LONGEST_REST_SECONDS: Final = 0.05

Tap = Callable[[str], None]
Together = Callable[[Connection, Sequence[Any]], Sequence[Any]]


@dataclass(slots=True, kw_only=True)
class Call(Generic[T]):
    """Something to be done in a transaction. Neighbours with the same `together` are done by one call of it:

    it takes their items and answers one value, or one Stale, for each.
    """

    action: Callable[[Connection], T] | None = None
    together: Together | None = None
    item: Any = None
    writes: bool = True
    value: Any = None
    error: BaseException | None = None

    def ran(self, outcome: Any) -> None:
        self.error = outcome if isinstance(outcome, Stale) else None
        self.value = None if isinstance(outcome, Stale) else outcome


class CommitFailed(Exception):
    """Around the cause: whether the batch was written is not known to its callers."""


class Transactor:
    """Every call it is given comes back with its value or its error; it never raises for an operating error."""

    def __init__(self, database: Database, tap: Tap | None = None) -> None:
        self._database = database
        self._tap = tap
        self._connection: Connection | None = None
        self.is_sick = False  # the connection has seen an I/O error and is not to be used again
        self._said, self._said_at = "", 0.0

    def open(self) -> None:
        """Raises LedgerError, LedgerTrouble."""
        self._connection = self._database.open()
        self.is_sick = False

    def close(self) -> None:
        self._connection = None
        self._database.close(orderly=not self.is_sick)

    def run(self, calls: Sequence[Call[Any]]) -> None:
        """In one transaction, durable on return."""
        try:
            connection = self._healthy_connection()
        except (LedgerTrouble, LedgerError) as error:
            for call in calls:
                call.error = error
            return
        self._run(connection, calls)

    def copy(self, path: str, between: Callable[[], None], *, moves_on: bool) -> None:
        """Outside any transaction. Raises what the database raises."""
        self._database.copy(self._healthy_connection(), path, between, moves_on=moves_on)

    def _healthy_connection(self) -> Connection:
        if self._connection is None or self.is_sick:
            self._connection = None
            self._database.close(orderly=False)
            self.open()
            log.warning("ledger.reopened", path=self._database.where)
        if self._connection is None:
            raise LedgerError("the ledger is closed.")
        return self._connection

    def _run(self, connection: Connection, calls: Sequence[Call[Any]], tries: int = TRIES) -> None:
        try:
            self._transact(connection, calls)
        except CommitFailed as failed:
            self._fail(calls, failed.__cause__ or failed)
        except Exception as error:
            ailment = self._database.ailment(error)
            if ailment is not None and ailment.passes and tries > 1 and not self.is_sick:
                time.sleep(random.uniform(0.0, LONGEST_REST_SECONDS))  # noqa: S311 (spreads rivals, no secret)
                self._run(connection, calls, tries - 1)
            elif ailment is not None and not (ailment.passes and len(calls) > 1):
                self._fail(calls, ailment.error, ailment)
            elif len(calls) == 1:
                calls[0].error = error
            else:
                for call in calls:
                    self.run([call])

    def _transact(self, connection: Connection, calls: Sequence[Call[Any]]) -> None:
        writes = any(call.writes for call in calls)
        connection.info["writes"] = writes
        transaction = connection.begin()
        try:
            for together, some in _runs(calls):
                _perform(connection, together, some)
        except BaseException:
            self._undo(connection, transaction)
            raise
        try:
            if writes:
                self._tell(BEFORE_COMMIT)
            transaction.commit()
        except BaseException as error:
            self._undo(connection, transaction)
            ailment = self._database.ailment(error)
            if ailment is not None:
                self._note(ailment)
                raise CommitFailed from ailment.error
            raise CommitFailed from error
        try:
            if writes:
                self._tell(AFTER_COMMIT)
        except BaseException as error:
            raise CommitFailed from error

    def _tell(self, moment: str) -> None:
        if self._tap is not None:
            self._tap(moment)

    def _fail(self, calls: Sequence[Call[Any]], error: BaseException, ailment: Ailment | None = None) -> None:
        """The writers fail together. Who only wanted to read is served, where anything can still be read."""
        if ailment is not None:
            self._note(ailment)
        self._say(str(error), len(calls))
        readers = [call for call in calls if not call.writes]
        if len(readers) == len(calls) or self.is_sick or isinstance(error, LedgerDamaged):
            readers = []
        for call in calls:
            call.error = error
        if readers:
            self.run(readers)

    def _say(self, error: str, calls: int) -> None:
        """Once a minute for the same trouble: whoever waits for a full disk asks every second."""
        now = time.monotonic()
        if error != self._said or now - self._said_at >= SAID_EVERY_SECONDS:
            self._said, self._said_at = error, now
            log.error("ledger.trouble", path=self._database.where, error=error, calls=calls)

    def _note(self, ailment: Ailment) -> None:
        if ailment.is_lost:
            self.is_sick = True

    def _undo(self, connection: Connection, transaction: Transaction) -> None:
        """Roll back, also where the failed commit has left the database's own transaction open."""
        try:
            transaction.rollback()
            driver = connection.connection.driver_connection
            if driver is not None:
                driver.rollback()
        except Exception as error:
            log.warning("ledger.rollback-failed", path=self._database.where, error=str(error))
            self.is_sick = True


def _runs(calls: Sequence[Call[Any]]) -> Iterator[tuple[Together | None, list[Call[Any]]]]:
    """Neighbours that are done together; a call that is done by itself is a run of one."""
    run: list[Call[Any]] = []
    for call in calls:
        if run and (call.together is None or call.together is not run[0].together):
            yield run[0].together, run
            run = []
        run.append(call)
    if run:
        yield run[0].together, run


def _perform(connection: Connection, together: Together | None, calls: Sequence[Call[Any]]) -> None:
    if together is not None:
        outcomes = together(connection, [call.item for call in calls])
        for call, outcome in zip(calls, outcomes, strict=True):
            call.ran(outcome)
        return
    for call in calls:
        try:
            call.ran(call.action(connection) if call.action else None)
        except Stale as stale:
            call.ran(stale)
