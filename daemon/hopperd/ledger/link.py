"""A node's life on a shared ledger: seen every few seconds, told at once when another has changed something.

A session and a thread of their own, so that neither a long transaction nor a busy event loop ends a lease. The session
is opened again as long as the node lives; while it cannot be, the lease runs out by itself.
"""

from __future__ import annotations

import asyncio
import socket
import threading
import time
import uuid
from collections.abc import Callable
from typing import Any, Final

import psycopg
import structlog
from sqlalchemy import Connection, create_engine
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import NullPool

from hopperd import __version__
from hopperd.ledger import fleet, postgres, prepared, state
from hopperd.ledger.lease import NodeLease, awake_or_asleep
from hopperd.ports import LedgerTrouble, Node

log = structlog.get_logger("ledger")

BEAT_SECONDS: Final = 2.5
FIRST_REST_SECONDS: Final = 0.2
LONGEST_REST_SECONDS: Final = 1.0
FORGET_EVERY_BEATS: Final = 12
END_SECONDS: Final = 5.0

# PostgreSQL's own limit for a silent client (idle_in_transaction_session_timeout) does not count between the statements
# of a pipeline; a node that is frozen there would keep its locks for ever.
_END_SILENT: Final = f"""
SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
WHERE datname = current_database() AND usename = current_user AND application_name = '{postgres.NAME}'
AND wait_event = 'ClientRead' AND xact_start IS NOT NULL
AND state_change < clock_timestamp() - interval '{postgres.SILENT_SECONDS} s'
"""  # noqa: S608 (constants of ours)


class Link:
    """`start` returns when the node is known to the ledger; `stop` when it has left.

    `folder` is the state folder, whose lock is held: what it says of a life before this one is over for certain.
    """

    def __init__(self, url: str, password: str, name: str | None, folder: str) -> None:
        self._url, self._password, self._folder = url, password, folder
        self.id = uuid.uuid4().hex[:12]
        self.name = name or socket.gethostname()
        self.lease = NodeLease()
        self.nodes: tuple[Node, ...] = ()
        self._busy: Callable[[], int] = lambda: 0
        self._on_notice: Callable[[str], None] = lambda what: None
        self._ending = threading.Event()
        self._thread: threading.Thread | None = None
        self._connection: Connection | None = None
        self._beats = 0

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Blocks. Raises LedgerTrouble."""
        try:
            self._open()
            self._bury()
            self._beat()
        except (psycopg.Error, SQLAlchemyError, OSError) as error:
            self._drop()
            raise LedgerTrouble(f"this node cannot be made known to the ledger: {error}") from error
        self._thread = threading.Thread(target=self._live, args=(loop,), name="link", daemon=True)
        self._thread.start()

    def attend(self, busy: Callable[[], int], on_notice: Callable[[str], None]) -> None:
        """How many jobs are in hand; and who is called, on the event loop, when "jobs" or "pauses" were changed."""
        self._busy, self._on_notice = busy, on_notice

    def stop(self) -> None:
        """Blocks for some seconds at the most. The jobs of this node are anybody's then."""
        self._ending.set()
        if self._thread is not None:
            self._thread.join(END_SECONDS)

    def lock(self, what: str) -> Lock:
        """Not taken yet."""
        return Lock(self._url, self._password, what)

    # ------------------------------------------------------------------------------------------ on the thread

    def _live(self, loop: asyncio.AbstractEventLoop) -> None:
        rest = FIRST_REST_SECONDS
        while not self._ending.is_set():
            try:
                if self._connection is None:
                    self._open()
                self._beat()
                rest = FIRST_REST_SECONDS
                self._listen(loop)
            except (psycopg.Error, SQLAlchemyError, OSError) as error:
                log.warning("node.not-seen", node=self.name, what=str(error).strip().splitlines()[0])
                self._drop()
                self._ending.wait(rest)
                rest = min(LONGEST_REST_SECONDS, 2 * rest)
        self._leave()

    def _open(self) -> None:
        engine = create_engine(
            "postgresql+psycopg://",
            creator=lambda: postgres.connect(self._url, self._password, f"hopperd {self.name}", autocommit=True),
            poolclass=NullPool,
            use_native_hstore=False,
            isolation_level="AUTOCOMMIT",
        )
        self._connection = engine.connect()
        session = self._session()
        session.execute("SET statement_timeout = '5s'")
        session.execute("SET synchronous_commit = off")  # what the next beat says again needs no disk
        session.execute(f"LISTEN {fleet.CHANNEL}")

    def _bury(self) -> None:
        """The life before this one on the same state folder: nobody need wait for its lease."""
        before = state.read_node(self._folder)
        if before is not None and self._connection is not None:
            prepared.run(self._connection, fleet.LEAVE, {"me": before})
        state.write_node(self._folder, self.id)

    def _session(self) -> psycopg.Connection[Any]:
        assert self._connection is not None  # noqa: S101 (opened before it is used)
        session: Any = self._connection.connection.driver_connection
        return session  # type: ignore[no-any-return]

    def _beat(self) -> None:
        connection = self._connection
        assert connection is not None  # noqa: S101 (opened before it is used)
        asked_at = awake_or_asleep()
        if not prepared.run(connection, fleet.BEAT, {"me": self.id, "busy": self._busy()}):
            prepared.run(connection, fleet.ENTER, {"me": self.id, "name": self.name, "version": __version__})
        if self.lease.renewed(asked_at):
            log.info("node.seen", node=self.name, id=self.id)
        self._end_silent()
        self.nodes = tuple(fleet.seen(connection))
        eldest = next((node for node in self.nodes if node.is_alive), None)
        self.lease.is_eldest = eldest is not None and eldest.id == self.id
        self._beats += 1
        if self.lease.is_eldest and self._beats % FORGET_EVERY_BEATS == 0:
            prepared.run(connection, fleet.FORGET)

    def _end_silent(self) -> None:
        """Transactions of nodes that stopped in the midst of one: what they have locked, everybody waits for."""
        row = self._session().execute(_END_SILENT).fetchone()
        if row is not None and row[0]:
            log.warning("node.silent", node=self.name, ended=row[0])

    def _listen(self, loop: asyncio.AbstractEventLoop) -> None:
        """Until the next beat. Notices of one moment are one."""
        until = time.monotonic() + BEAT_SECONDS
        while not self._ending.is_set() and (left := until - time.monotonic()) > 0:
            heard = {notice.payload for notice in self._session().notifies(timeout=min(left, 0.5), stop_after=1)}
            for what in heard:
                try:
                    loop.call_soon_threadsafe(self._on_notice, what)
                except RuntimeError:  # the loop is closed: nobody listens any more
                    return

    def _leave(self) -> None:
        try:
            if self._connection is not None:
                prepared.run(self._connection, fleet.LEAVE, {"me": self.id})
        except (psycopg.Error, SQLAlchemyError, OSError) as error:
            log.debug("node.left-unseen", node=self.name, what=str(error))
        self._drop()

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        try:
            if connection is not None:
                connection.close()
        except (psycopg.Error, SQLAlchemyError, OSError) as error:
            log.debug("node.close-failed", node=self.name, what=str(error))


class Lock:
    """One node at a time, for what takes too long for a transaction. A node that dies gives it back."""

    def __init__(self, url: str, password: str, what: str) -> None:
        self._url, self._password, self._what = url, password, what
        self._session: psycopg.Connection[Any] | None = None

    def take(self) -> None:
        """Blocks for ten seconds at the most. Raises LedgerTrouble."""
        try:
            self._session = postgres.connect(self._url, self._password, "hopperd lock", autocommit=True)
            self._session.execute("SELECT pg_advisory_lock(hashtextextended(%s, 0))", (self._what,))
        except psycopg.Error as error:
            self.give_back()
            raise LedgerTrouble(
                f"another node keeps {self._what} for itself, or the database is gone: {error}"
            ) from error

    def give_back(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            session.close()
