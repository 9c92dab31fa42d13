"""What pump and transactor need to know of a database. SQLite and PostgreSQL are one each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from sqlalchemy import Connection


@dataclass(frozen=True, slots=True, kw_only=True)
class Ailment:
    """What an exception says about the database itself, and not about the call that met it."""

    error: Exception  # LedgerTrouble; or LedgerDamaged, where trying again helps nobody
    is_lost: bool = False  # the connection is not to be used again
    passes: bool = False  # the database has undone the transaction, and the same may be tried at once


class Database(Protocol):
    """How to open it, to close it for good or for a new try, and to tell its troubles from mistakes."""

    @property
    def where(self) -> str: ...

    @property
    def ledger_id(self) -> str:
        """Known once it was opened."""
        ...

    def open(self) -> Connection:
        """Raises LedgerTrouble where it may help to try again later, and LedgerError where not."""
        ...

    def close(self, *, orderly: bool) -> None:
        """Never raises. `orderly`: everything was written, and nobody opens it again."""
        ...

    def ailment(self, error: BaseException) -> Ailment | None:
        """None where the exception is the caller's own mistake."""
        ...

    def copy(self, connection: Connection, path: str, between: Callable[[], None], *, moves_on: bool) -> None:
        """A consistent copy into a new file; `between` is called now and then, and others are served meanwhile."""
        ...
