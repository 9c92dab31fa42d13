"""PostgreSQL as the ledger's database: how it is reached, and what its errors mean.

One session writes and reads, the pump's, as with SQLite; several nodes have one each. Times are limited on both sides:
a node that hangs holds no lock for long, and a server that does not answer is trouble, not silence. A lost session is
opened again when it is needed, with growing rests between tries.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlsplit, urlunsplit

import psycopg
import structlog
from psycopg.types.string import StrDumper
from sqlalchemy import Connection, Engine, create_engine
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.pool import NullPool

from hopperd.errors import LedgerDamaged, LedgerError
from hopperd.ledger import migrate
from hopperd.ledger.database import Ailment
from hopperd.ports import LedgerTrouble

log = structlog.get_logger("ledger")

CONNECT_SECONDS: Final = 5
FIRST_REST_SECONDS: Final = 0.1
LONGEST_REST_SECONDS: Final = 2.0
NEW_LEDGER_LOCK: Final = 0x686F7070657264  # "hopperd": one at a time makes a ledger or brings it up to date

LOOK: Final = "Look after the database server; it is tried again by itself, and nothing is lost."

BACKUP: Final = (
    "this ledger is in PostgreSQL, whose own tools copy it while it is in use: pg_dump, or base backups with the log "
    "kept (see docs/how-to/several-nodes.md)."
)

# Of both ends: a node whose network is cut notices, and holds no lock for long.
_KEEPALIVES: Final = {"keepalives_idle": 5, "keepalives_interval": 2, "keepalives_count": 3}

REACHING: Final[dict[str, Any]] = {
    "connect_timeout": CONNECT_SECONDS,
    **_KEEPALIVES,
    "tcp_user_timeout": 10_000,
}
NAME: Final = "hopperd"  # the application_name of the session that writes
SILENT_SECONDS: Final = 4
"""How long a transaction may wait for its node: in the midst of one, a node thinks for milliseconds."""

_SESSION: Final = (
    *(f"SET tcp_{name} = {value}" for name, value in _KEEPALIVES.items()),
    "SET statement_timeout = '30s'",
    "SET lock_timeout = '10s'",
    f"SET idle_in_transaction_session_timeout = '{SILENT_SECONDS}s'",
    "SET client_min_messages = warning",
)

_LOST_CLASSES: Final = ("08", "57P", "25006", "25P03")  # gone, or a standby now
_PASSING: Final = ("40001", "40P01")
_UNIQUE: Final = "23505"
_WEATHER_CLASSES: Final = ("53", "55P03", "57014", "58")
_DAMAGED: Final = ("XX001", "XX002")
_REFUSED_CLASSES: Final = ("28", "3D", "42")  # who we are, which database, what we may
_REFUSED: Final = ("authentication failed", "no password supplied", "does not exist", "pg_hba.conf")  # without a class


class _Text(StrDumper):
    """A NUL cannot stand in PostgreSQL's text, and may come from outside: what is searched for, what a hook said."""

    def dump(self, obj: str) -> Any:
        return super().dump(obj.replace("\0", "\ufffd"))


def connect(url: str, password: str, name: str, *, autocommit: bool = False) -> psycopg.Connection[Any]:
    """A session with our limits. Raises psycopg.Error."""
    said = {"password": password} if password else {}
    session: psycopg.Connection[Any] = psycopg.connect(url, autocommit=True, application_name=name, **(REACHING | said))
    try:
        for statement in _SESSION:
            session.execute(statement)
        durable = session.execute("SHOW synchronous_commit").fetchone()
        if durable is not None and durable[0] == "off":
            session.execute("SET synchronous_commit = on")
        session.adapters.register_dumper(str, _Text)
        session.autocommit = autocommit
    except BaseException:
        session.close()
        raise
    return session


def shown(url: str) -> str:
    """The URL without what follows the database's name."""
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc, parts.path, "", ""))


@dataclass
class PostgresDatabase:
    """The ledger in one database of a server. `makes`: a database that holds nothing gets an empty ledger."""

    url: str
    password: str = field(repr=False)
    node: str | None = None
    makes: bool = True
    ledger_id: str = ""
    _engine: Engine | None = None
    _connection: Connection | None = None
    _not_before: float = 0.0  # monotonic
    _rest_seconds: float = FIRST_REST_SECONDS
    _last_trouble: str = ""

    @property
    def where(self) -> str:
        return shown(self.url)

    def open(self) -> Connection:
        if time.monotonic() < self._not_before:
            raise LedgerTrouble(self._last_trouble, do=LOOK)
        try:
            connection = self._opened()
        except (psycopg.Error, SQLAlchemyError, OSError) as error:
            self._drop()
            raise self._not_opened(error) from error
        except BaseException:
            self._drop()
            raise
        self._rest_seconds = FIRST_REST_SECONDS
        return connection

    def _opened(self) -> Connection:
        again = self.ledger_id != ""
        self._engine = create_engine(
            "postgresql+psycopg://",
            creator=lambda: connect(self.url, self.password, NAME),
            poolclass=NullPool,
            use_native_hstore=False,
        )
        connection = self._connection = self._engine.connect()
        connection.info["node"] = self.node
        encoding = connection.exec_driver_sql("SHOW server_encoding").scalar()
        if encoding != "UTF8":
            raise LedgerError(f"{self.where} is in {encoding}; make a database for the ledger with ENCODING 'UTF8'.")
        connection.rollback()
        with connection.begin():
            connection.exec_driver_sql("SET LOCAL statement_timeout = 0")
            connection.exec_driver_sql("SET LOCAL lock_timeout = 0")
            connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({NEW_LEDGER_LOCK})")
            if not again and migrate.is_empty(connection):
                if not self.makes:
                    raise LedgerError(f"there is no ledger in {self.where} yet; `hopperd run` makes one.")
                migrate.create(connection, uuid.uuid4().hex, time.time())
                log.info("ledger.made", path=self.where)
            else:
                migrate.bring_up_to_date(connection, self.where)
            ledger_id = migrate.facts_of(connection, self.where)["ledger_id"]
            if again and ledger_id != self.ledger_id:
                raise LedgerDamaged(f"{self.where} is another ledger than before. Put the right one back.")
        self.ledger_id = ledger_id
        log.info("ledger.opened", path=self.where, id=ledger_id)
        return connection

    def _not_opened(self, error: Exception) -> Exception:
        """A first try that is refused is a mistake of the set-up; whoever was in before waits until it is let in."""
        what = f"the ledger's database {self.where} cannot be reached: {_said(error)}"
        is_refused = _code(error).startswith(_REFUSED_CLASSES) or any(text in str(error) for text in _REFUSED)
        if self.ledger_id == "" and is_refused:
            return LedgerError(f"{what}.")
        self._last_trouble = what
        self._not_before = time.monotonic() + self._rest_seconds
        self._rest_seconds = min(LONGEST_REST_SECONDS, 2 * self._rest_seconds)
        return LedgerTrouble(what, do=LOOK)

    def close(self, *, orderly: bool) -> None:
        self._drop()

    def _drop(self) -> None:
        connection, engine = self._connection, self._engine
        self._connection = self._engine = None
        try:
            if connection is not None:
                connection.close()
            if engine is not None:
                engine.dispose()
        except (psycopg.Error, SQLAlchemyError, OSError) as error:
            log.warning("ledger.close-failed", path=self.where, error=str(error))

    def ailment(self, error: BaseException) -> Ailment | None:
        if isinstance(error, DBAPIError):
            error = error.orig or error
        if not isinstance(error, psycopg.Error):
            return None
        code, what = _code(error), _said(error)
        if code in _PASSING:
            return Ailment(error=LedgerTrouble(f"the ledger's database is contended ({what})", do=LOOK), passes=True)
        if code == _UNIQUE:  # another node was a moment earlier: asked again, the ledger says so
            return Ailment(error=error, passes=True)
        if code in _DAMAGED:
            return Ailment(error=LedgerDamaged(f"{self.where} is damaged: {what}."), is_lost=True)
        if code.startswith(_LOST_CLASSES) or (not code and isinstance(error, psycopg.OperationalError)):
            return Ailment(
                error=LedgerTrouble(f"the ledger's database {self.where} is gone: {what}", do=LOOK), is_lost=True
            )
        if isinstance(error, psycopg.InterfaceError):  # the session was closed under us
            return Ailment(
                error=LedgerTrouble(f"the ledger's database {self.where} is gone: {what}", do=LOOK), is_lost=True
            )
        if code.startswith(_WEATHER_CLASSES):
            return Ailment(error=LedgerTrouble(f"the ledger's database {self.where} will not: {what}", do=LOOK))
        return None

    def copy(self, connection: Connection, path: str, between: Callable[[], None], *, moves_on: bool) -> None:
        raise LedgerError(BACKUP)


def _code(error: BaseException) -> str:
    if isinstance(error, DBAPIError):
        error = error.orig or error
    return (error.sqlstate or "") if isinstance(error, psycopg.Error) else ""


def _said(error: BaseException) -> str:
    """The first line: what follows it are hints for whoever wrote the statement."""
    if isinstance(error, DBAPIError):
        error = error.orig or error
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
