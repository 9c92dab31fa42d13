"""What outlives a twin that was started with `--data DIR`: one SQLite file, beside a folder with the bytes of files.

Changes are collected while a request is worked on and committed before its answer leaves, so that what was answered is
known after SIGKILL. Without a folder the same calls do nothing. One twin at a time: a second one is refused.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import sqlite3
from collections.abc import Iterator
from typing import Any, Final

FORM: Final = 1
"""The form of the file; a twin of another release may not know it."""
_TABLE: Final = (
    "CREATE TABLE IF NOT EXISTS kept ("
    "number INTEGER PRIMARY KEY, kind TEXT NOT NULL, key TEXT NOT NULL, value TEXT NOT NULL, UNIQUE (kind, key))"
)
_PUT: Final = (
    "INSERT INTO kept (kind, key, value) VALUES (?, ?, ?) ON CONFLICT (kind, key) DO UPDATE SET value = excluded.value"
)
_DROP: Final = "DELETE FROM kept WHERE kind = ? AND key = ?"


class StateLost(Exception):
    """The change cannot be kept, e.g. because the disk is full; it is tried again with the next one."""


class State:
    """Keeps plain values by kind and key, in the order in which they first came. In memory: keeps nothing."""

    files_directory: str | None = None

    def put(self, kind: str, key: str, value: Any) -> None:
        """Creates or replaces one value (anything JSON can say), from the next commit on."""

    def drop(self, kind: str, key: str) -> None:
        """Forgets one value, from the next commit on."""

    def commit(self) -> None:
        """Makes all changes so far outlive this process. Raises StateLost."""

    def all(self, kind: str) -> Iterator[tuple[str, Any]]:
        """Every committed value of a kind with its key, oldest first."""
        return iter(())

    def close(self) -> None:
        """Commits, and gives the folder free."""


class KeptState(State):
    """The one on disk. Raises OSError with a sentence when the folder cannot be used."""

    def __init__(self, directory: str) -> None:
        self.files_directory = os.path.join(directory, "files")
        os.makedirs(self.files_directory, mode=0o700, exist_ok=True)
        self._changes: dict[tuple[str, str], str | None] = {}
        self._lock = os.open(os.path.join(directory, "lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            self._hold(directory)
            self._database = _opened(os.path.join(directory, "state.sqlite3"))
        except BaseException:
            os.close(self._lock)
            raise

    def put(self, kind: str, key: str, value: Any) -> None:
        self._changes[kind, json.dumps(key)] = json.dumps(value)

    def drop(self, kind: str, key: str) -> None:
        self._changes[kind, json.dumps(key)] = None

    def commit(self) -> None:
        if not self._changes:
            return
        try:
            with self._database:
                for (kind, key), value in self._changes.items():
                    if value is None:
                        self._database.execute(_DROP, (kind, key))
                    else:
                        self._database.execute(_PUT, (kind, key, value))
        except sqlite3.Error as error:
            raise StateLost(str(error)) from error
        self._changes.clear()

    def all(self, kind: str) -> Iterator[tuple[str, Any]]:
        rows = self._database.execute("SELECT key, value FROM kept WHERE kind = ? ORDER BY number", (kind,))
        for key, value in rows:
            yield json.loads(key), json.loads(value)

    def close(self) -> None:
        try:
            with contextlib.suppress(StateLost):
                self.commit()
            self._database.close()
        finally:
            os.close(self._lock)

    def _hold(self, directory: str) -> None:
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise OSError(error.errno, f"{directory} is in use by another sandbox") from error


def open_state(directory: str | None) -> State:
    """The state in this folder, made if it is not there; for None one that keeps nothing. Raises OSError."""
    return State() if directory is None else KeptState(directory)


def _opened(path: str) -> sqlite3.Connection:
    """WAL without a sync at each commit: that outlives any end of the process; a power cut may cost the last ones."""
    database = sqlite3.connect(path)
    try:
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = NORMAL")
        _prepare(database, path)
    except sqlite3.Error as error:
        database.close()
        raise OSError(0, f"{path} cannot be used ({error})") from error
    except BaseException:
        database.close()
        raise
    return database


def _prepare(database: sqlite3.Connection, path: str) -> None:
    (form,) = database.execute("PRAGMA user_version").fetchone()
    if form not in (0, FORM):
        raise OSError(0, f"{path} was written by another release of the sandbox")
    with database:
        database.execute(_TABLE)
        database.execute(f"PRAGMA user_version = {FORM}")
