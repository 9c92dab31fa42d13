"""What may be concluded from a state folder, who holds its lock, and how a ledger is brought up to date."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import Connection, create_engine, inspect
from sqlalchemy.pool import StaticPool

from hopperd.boot import boot_id
from hopperd.errors import LedgerDamaged, LedgerError, LedgerInUse, LedgerTooNew
from hopperd.ledger import migrate
from hopperd.ledger.lock import Holder, StateLock, parsed
from hopperd.ledger.state import QUICK_CHECK_BYTES, Found, plan, read_id, set_aside, write_id

HERE = Holder(word="closed", pid=1, boot=boot_id())
WHOLE = Found(
    ledger_id="a" * 32,
    size_bytes=4096,
    header=b"SQLite format 3\0",
    log_size_bytes=None,
    log_header=b"",
    previous=HERE,
)
NOTHING = replace(WHOLE, ledger_id=None, size_bytes=None, header=b"", previous=None)


@pytest.mark.parametrize("size_bytes", [None, 0])
def test_only_where_there_never_was_a_ledger_is_one_made(size_bytes: int | None) -> None:
    assert plan(replace(NOTHING, size_bytes=size_bytes), "/s").kind == "create"
    with pytest.raises(LedgerDamaged):
        plan(replace(NOTHING, size_bytes=size_bytes, ledger_id="a" * 32), "/s")
    with pytest.raises(LedgerDamaged):
        plan(replace(NOTHING, size_bytes=size_bytes, log_size_bytes=4096), "/s")


def test_after_a_crash_the_log_must_be_there() -> None:
    crashed = replace(WHOLE, previous=replace(HERE, word="open"))
    with pytest.raises(LedgerDamaged, match="write-ahead log"):
        plan(crashed, "/s")
    with_log = replace(crashed, log_size_bytes=4096, log_header=b"\x37\x7f\x06\x82")
    assert plan(with_log, "/s").kind == "open"
    assert plan(replace(WHOLE, previous=replace(HERE, word="opening")), "/s").kind == "open"


def test_a_large_ledger_is_read_through_only_after_the_machine_went_down() -> None:
    large = replace(WHOLE, size_bytes=QUICK_CHECK_BYTES + 1)
    assert plan(WHOLE, "/s").check
    assert not plan(large, "/s").check
    assert not plan(replace(large, previous=replace(HERE, word="opening")), "/s").check
    assert plan(replace(large, previous=replace(HERE, word="opening", boot="another")), "/s").check
    assert plan(replace(large, previous=None), "/s").check


def test_an_id_is_written_whole(tmp_path: Path) -> None:
    assert read_id(str(tmp_path)) is None
    write_id(str(tmp_path), "0" * 32)
    write_id(str(tmp_path), "b" * 32)
    assert read_id(str(tmp_path)) == "b" * 32
    assert os.listdir(tmp_path) == ["ledger-id"]


def test_nothing_is_set_aside_over_something_else(tmp_path: Path) -> None:
    (tmp_path / "ledger.sqlite").touch()
    (tmp_path / "ledger.sqlite.damaged-x").touch()
    with pytest.raises(LedgerError, match="stands in the way"):
        set_aside(str(tmp_path), "x")


# --------------------------------------------------------------------------------------------------------- the lock


def test_a_lock_is_held_until_it_is_released_and_says_by_whom(tmp_path: Path) -> None:
    first = StateLock(str(tmp_path))
    assert first.previous is None
    first.say("opening")
    first.say("open")
    with pytest.raises(LedgerInUse, match=f"process {os.getpid()}"):
        StateLock(str(tmp_path))
    first.release()
    first.release()
    second = StateLock(str(tmp_path))
    assert second.previous == Holder(word="open", pid=os.getpid(), boot=boot_id())
    second.release()


def test_a_lock_on_a_folder_that_is_not_there_says_so(tmp_path: Path) -> None:
    with pytest.raises(LedgerError, match="No such file"):
        StateLock(str(tmp_path / "nowhere"))


@pytest.mark.parametrize("content", [b"", b"open", b"open x boot", b"\xff\xff", b"elsewhere 1 boot"])
def test_a_lock_that_says_nothing_sensible_says_nothing(content: bytes) -> None:
    assert parsed(content) is None


# ---------------------------------------------------------------------------------------------------------- versions


@pytest.fixture
def connection() -> Iterator[Connection]:
    engine = create_engine("sqlite://", poolclass=StaticPool)
    with engine.connect() as connection:
        migrate.create(connection, "a" * 32, 0.0)
        yield connection
    engine.dispose()


def _add_column(connection: Connection) -> None:
    connection.exec_driver_sql("ALTER TABLE jobs ADD COLUMN colour TEXT")


NOW_KNOWN = migrate.SCHEMA_VERSION
NEXT, AFTER_NEXT = NOW_KNOWN + 1, NOW_KNOWN + 2
SECOND = migrate.Migration(version=NEXT, oldest_reader=1, apply=_add_column)
THIRD = migrate.Migration(version=AFTER_NEXT, oldest_reader=AFTER_NEXT, apply=lambda connection: None)


def versions(connection: Connection) -> tuple[str, str]:
    facts = migrate.facts_of(connection, "L")
    return facts["schema_version"], facts["oldest_reader"]


def test_each_migration_runs_once_and_in_order(connection: Connection) -> None:
    migrate.bring_up_to_date(connection, "L", [THIRD, SECOND], known=NEXT)
    assert versions(connection) == (str(NEXT), "1")
    connection.exec_driver_sql("SELECT colour FROM jobs")
    migrate.bring_up_to_date(connection, "L", [SECOND, THIRD], known=AFTER_NEXT)
    migrate.bring_up_to_date(connection, "L", [SECOND, THIRD], known=AFTER_NEXT)
    assert versions(connection) == (str(AFTER_NEXT), str(AFTER_NEXT))


def test_an_older_program_opens_what_still_suits_it_and_refuses_the_rest(connection: Connection) -> None:
    migrate.bring_up_to_date(connection, "L", [SECOND], known=NEXT)
    migrate.bring_up_to_date(connection, "L")
    assert versions(connection) == (str(NEXT), "1")
    migrate.bring_up_to_date(connection, "L", [THIRD], known=AFTER_NEXT)
    with pytest.raises(
        LedgerTooNew, match=f"schema {AFTER_NEXT}, readable from {AFTER_NEXT} on; this one knows {NOW_KNOWN}"
    ):
        migrate.bring_up_to_date(connection, "L")


def test_the_migrations_lead_to_the_present_version() -> None:
    assert [m.version for m in migrate.MIGRATIONS] == list(range(2, migrate.SCHEMA_VERSION + 1))
    assert migrate.OLDEST_READER <= migrate.SCHEMA_VERSION


def test_a_ledger_of_the_first_version_is_brought_to_the_shape_of_a_new_one(connection: Connection) -> None:
    as_new = _shape(connection)
    for statement in (
        "DROP INDEX jobs_perhaps_twice",
        "ALTER TABLE jobs DROP COLUMN perhaps_twice",
        "DROP TABLE outbox",
        "DROP TABLE told",
        "DROP TABLE nodes",
        "ALTER TABLE jobs DROP COLUMN owner",
    ):
        connection.exec_driver_sql(statement)
    migrate.set_fact(connection, "schema_version", "1")
    twice = '{"notes":["may be delivered twice"]}'
    for name, document in (("a", twice), ("b", '{"notes":[]}')):
        columns = "id, version, folder, account, stage, is_open, held, waiting_for_person, doubtful, ended_badly, tidy"
        values = f"'{name}', 1, 'us', 'main', 'done', 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, '', '', '{document}'"
        connection.exec_driver_sql(
            f"INSERT INTO jobs ({columns}, priority, due_at, opened_at, entered_at, digest, names, document) "
            f"VALUES ({values})"
        )
    migrate.bring_up_to_date(connection, "L")
    assert versions(connection) == (str(NOW_KNOWN), "1")
    assert _shape(connection) == as_new
    marked = connection.exec_driver_sql("SELECT id FROM jobs WHERE perhaps_twice").scalars().all()
    assert marked == ["a"]


def _shape(connection: Connection) -> dict[str, tuple[set[str], set[str]]]:
    """Each table's columns and indexes, whatever their order."""
    seen = inspect(connection)
    return {
        table: (
            {column["name"] for column in seen.get_columns(table)},
            {str(index["name"]) for index in seen.get_indexes(table)},
        )
        for table in seen.get_table_names()
        if not table.startswith("search")
    }


def test_a_ledger_that_does_not_say_which_it_is_is_damaged(connection: Connection) -> None:
    connection.exec_driver_sql("DELETE FROM meta WHERE name = 'ledger_id'")
    with pytest.raises(LedgerDamaged):
        migrate.facts_of(connection, "L")
    connection.exec_driver_sql("DROP TABLE meta")
    with pytest.raises(LedgerDamaged):
        migrate.facts_of(connection, "L")
