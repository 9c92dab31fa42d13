"""SQLite as the ledger's database: how it is opened, checked and copied, and what its errors mean.

Exactly one connection, of one thread, in exclusive mode: nothing else can open the file while we have it (SQLite before
3.51.3 can corrupt a write-ahead log that two connections use), and there is no shared memory file.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from typing import Final, Literal
from urllib.parse import quote

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from hopperd.errors import LedgerDamaged, LedgerError
from hopperd.ledger.state import REBUILD, sync_folder
from hopperd.ports import LedgerTrouble

Sickness = Literal["full", "read-only", "io", "damaged"]

BACKUP_PAGES: Final = 256
COMPLAINTS: Final = 100

_PRAGMAS: Final = (
    "PRAGMA locking_mode=EXCLUSIVE",
    "PRAGMA journal_mode=WAL",
    "PRAGMA synchronous=FULL",
    "PRAGMA wal_autocheckpoint=4000",  # pages: 16 MB
    "PRAGMA journal_size_limit=67108864",
    "PRAGMA cache_size=-12288",  # KiB; the system has the rest in its own
    "PRAGMA temp_store=MEMORY",
    "PRAGMA cell_size_check=ON",
    "PRAGMA trusted_schema=OFF",
    "PRAGMA busy_timeout=1000",
)

# Primary result codes (the low byte of the extended ones).
_SICKNESS: Final[dict[int, Sickness]] = {
    sqlite3.SQLITE_FULL: "full",
    sqlite3.SQLITE_READONLY: "read-only",
    sqlite3.SQLITE_CANTOPEN: "io",
    sqlite3.SQLITE_IOERR: "io",
    sqlite3.SQLITE_CORRUPT: "damaged",
    sqlite3.SQLITE_NOTADB: "damaged",
}

_WHAT: Final[dict[Sickness, str]] = {
    "full": "the ledger's disk is full",
    "read-only": "the ledger's disk is read-only",
    "io": "the ledger's disk answers with an error",
}


def create_file(path: str) -> None:
    """An empty file of mode 0600, durable in its folder; the log that SQLite puts beside it gets the same mode."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    sync_folder(os.path.dirname(os.path.abspath(path)))


def make_engine(path: str) -> Engine:
    engine = create_engine("sqlite://", creator=lambda: _connect(path), poolclass=NullPool)

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        # A transaction that will write says so at once: it never has to wait half-way for the right to.
        driver = connection.connection.driver_connection
        if driver is not None:
            driver.execute("BEGIN IMMEDIATE" if connection.info.get("writes", True) else "BEGIN")

    return engine


def _connect(path: str) -> sqlite3.Connection:
    # mode=rw: a file that is gone is an error, never a new and empty ledger.
    uri = f"file:{quote(os.fsencode(os.path.abspath(path)))}?mode=rw"
    connection = sqlite3.connect(uri, uri=True, isolation_level=None, check_same_thread=True)
    try:
        for pragma in _PRAGMAS:
            connection.execute(pragma)
    except BaseException:
        connection.close()
        raise
    return connection


def check(connection: Connection, path: str, *, thorough: bool) -> None:
    """Raises LedgerDamaged."""
    complaints = problems(connection, "quick_check") if thorough else []
    if complaints:
        raise LedgerDamaged(f"{path} is damaged: {complaints[0]}. {REBUILD}")


def problems(connection: Connection, pragma: Literal["quick_check", "integrity_check"]) -> list[str]:
    found = connection.exec_driver_sql(f"PRAGMA {pragma}({COMPLAINTS})").scalars()
    return [complaint for complaint in found if complaint != "ok"]


def empty_the_log(connection: Connection) -> None:
    """Write every page of the log into the ledger anew, and sync it.

    After a failed sync the system takes pages for written that never reached the disk; only writing them again helps.
    """
    driver = connection.connection.driver_connection  # outside any transaction
    if driver is None:
        raise LedgerError("the ledger is closed.")
    (busy, _, _) = driver.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    if busy:
        raise LedgerError("the ledger's write-ahead log cannot be emptied: another program has the ledger open.")


def sickness(error: BaseException) -> Sickness | None:
    """What an exception says about disk and ledger; None where it is about neither."""
    if isinstance(error, DBAPIError):
        error = error.orig or error
    if isinstance(error, sqlite3.Error):
        return _SICKNESS.get(getattr(error, "sqlite_errorcode", 0) & 0xFF)
    return None


def trouble(kind: Sickness, error: BaseException, path: str) -> LedgerTrouble | LedgerDamaged:
    cause = getattr(error, "orig", None) or error
    if kind == "damaged":
        return LedgerDamaged(f"{path} is damaged: {cause}. {REBUILD}")
    return LedgerTrouble(f"{_WHAT[kind]} ({path}: {cause})")


def copy(source: sqlite3.Connection, path: str, between: Callable[[], None], also: str | None = None) -> None:
    """A consistent copy into a new file of mode 0600. `between` is called after every few pages and may write:

    what the same connection writes while a copy is being made goes into the copy, too. `also` is done to the copy.
    Raises FileExistsError, OSError or sqlite3.Error; then nothing stands at `path` that was not there.
    """
    part = f"{path}.{os.getpid()}.part"
    os.close(os.open(part, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    try:
        target = sqlite3.connect(part, isolation_level=None)
        try:
            target.execute("PRAGMA journal_mode=OFF")
            target.execute("PRAGMA synchronous=OFF")  # synced below, once
            source.backup(target, pages=BACKUP_PAGES, progress=lambda status, remaining, total: between())
            if also is not None:
                target.execute(also)
        finally:
            target.close()
        _sync_file(part)
        os.link(part, path)  # never over another file
    finally:
        os.unlink(part)
    sync_folder(os.path.dirname(os.path.abspath(path)))


def _sync_file(path: str) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
