"""Bring a ledger up to date, one version at a time, each in a transaction; refuse one that is too new.

A new ledger is made at the present version from tables.py. `oldest_reader` is the oldest version of this program's
schema that may still read and write the ledger: an older program opens it as it is and changes nothing in its shape.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection, inspect

from hopperd.errors import LedgerDamaged, LedgerTooNew
from hopperd.ledger import prepared, statements
from hopperd.ledger.tables import jobs, metadata, nodes, told
from hopperd.pipeline.moves import PERHAPS_DELIVERED_TWICE


@dataclass(frozen=True, slots=True, kw_only=True)
class Migration:
    """From `version` - 1 to `version`."""

    version: int
    oldest_reader: int
    apply: Callable[[Connection], None]


def _outbox_and_perhaps_twice(connection: Connection) -> None:
    """Letters to be told outside, and a column for what may have been delivered twice, filled from the documents."""
    connection.exec_driver_sql(_OUTBOX)
    connection.exec_driver_sql(_OUTBOX_DUE)
    told.create(connection)
    connection.exec_driver_sql("ALTER TABLE jobs ADD COLUMN perhaps_twice BOOLEAN DEFAULT FALSE NOT NULL")
    connection.execute(statements.MARK_PERHAPS_TWICE, {"note": PERHAPS_DELIVERED_TWICE})
    next(index for index in jobs.indexes if index.name == "jobs_perhaps_twice").create(connection)


def _nodes(connection: Connection) -> None:
    """Who carries a job, and who hands a letter over, where several nodes share the ledger."""
    nodes.create(connection)
    connection.exec_driver_sql("ALTER TABLE jobs ADD COLUMN owner VARCHAR")
    connection.exec_driver_sql("ALTER TABLE outbox ADD COLUMN in_hand_until FLOAT DEFAULT 0 NOT NULL")


# As the second version made it.
_OUTBOX: Final = (
    "CREATE TABLE outbox (id VARCHAR NOT NULL, channel VARCHAR NOT NULL, at FLOAT NOT NULL, due_at FLOAT NOT NULL, "
    "attempts INTEGER NOT NULL, trouble TEXT, document TEXT NOT NULL, PRIMARY KEY (id))"
)
_OUTBOX_DUE: Final = "CREATE INDEX outbox_due ON outbox (channel, due_at, at)"

SCHEMA_VERSION: Final = 3
OLDEST_READER: Final = 1
MIGRATIONS: Final[Sequence[Migration]] = (
    Migration(version=2, oldest_reader=1, apply=_outbox_and_perhaps_twice),
    Migration(version=3, oldest_reader=1, apply=_nodes),
)


def is_empty(connection: Connection) -> bool:
    return not inspect(connection).get_table_names()


def create(connection: Connection, ledger_id: str, now: float) -> None:
    """Every table of a new ledger; runs inside a transaction, so all of it is there or nothing."""
    metadata.create_all(connection, checkfirst=False)
    facts = {
        "ledger_id": ledger_id,
        "schema_version": str(SCHEMA_VERSION),
        "oldest_reader": str(OLDEST_READER),
        "created": str(now),
    }
    prepared.run_many(
        connection, statements.INSERT_META, [{"name": name, "value": value} for name, value in facts.items()]
    )


def facts_of(connection: Connection, where: str) -> Mapping[str, str]:
    """The pairs of `meta`. Raises LedgerDamaged where this is no ledger of ours."""
    if "meta" not in inspect(connection).get_table_names():
        raise LedgerDamaged(f"{where} holds no ledger. `hopperd fsck --rebuild` makes one from folders and receipts.")
    facts: dict[str, str] = dict(prepared.rows(connection, statements.META))
    if not {"ledger_id", "schema_version", "oldest_reader"} <= facts.keys():
        raise LedgerDamaged(
            f"{where} does not say which ledger it is. `hopperd fsck --rebuild` makes one from folders and receipts."
        )
    return facts


def bring_up_to_date(
    connection: Connection,
    where: str,
    migrations: Sequence[Migration] = MIGRATIONS,
    known: int = SCHEMA_VERSION,
) -> None:
    """Runs inside a transaction. Raises LedgerTooNew where a newer program has changed what we rely on."""
    facts = facts_of(connection, where)
    version, oldest_reader = int(facts["schema_version"]), int(facts["oldest_reader"])
    if version > known:
        if oldest_reader > known:
            raise LedgerTooNew(
                f"{where} was written by a newer hopperd (schema {version}, readable from {oldest_reader} on; this one "
                f"knows {known}): install that version again, or put back the backup made before it was installed."
            )
        return
    for migration in sorted(migrations, key=lambda migration: migration.version):
        if version < migration.version <= known:
            migration.apply(connection)
            set_fact(connection, "schema_version", str(migration.version))
            set_fact(connection, "oldest_reader", str(migration.oldest_reader))


def set_fact(connection: Connection, name: str, value: str) -> None:
    prepared.run(connection, statements.DELETE_META, {"of_name": name})
    prepared.run(connection, statements.INSERT_META, {"name": name, "value": value})
