"""A new ledger's tables by the statements that made the first one: composing them takes longer than a small run does.

The first ledger of a process is made by the real MetaData, whose SQL is kept; those after it get the very same
statements, in the same place of the same transaction.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, event

from hopperd.ledger.tables import metadata


class RecordedTables:
    """Stands for `metadata` where a ledger is made."""

    def __init__(self) -> None:
        self._sql: list[str] = []

    def create_all(self, connection: Connection, *, checkfirst: bool) -> None:
        if self._sql:
            driver: Any = connection.connection.driver_connection
            for sql in self._sql:
                driver.execute(sql)
            return

        def keep(connection: Connection, cursor: Any, sql: str, *_: Any) -> None:
            self._sql.append(sql)

        event.listen(connection, "before_cursor_execute", keep)
        metadata.create_all(connection, checkfirst=checkfirst)
        event.remove(connection, "before_cursor_execute", keep)
