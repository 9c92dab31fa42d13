"""Upgrade and downgrade with jobs in flight: an older ledger is brought up to date, a newer one is left alone."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from hopperd.ledger.migrate import MIGRATIONS, SCHEMA_VERSION
from tests.support.line import Line, invoice

pytestmark = pytest.mark.timeout(180)

REPOSITORY = Path(__file__).parents[2]

# From the present schema back to the first; whoever adds a migration adds its way back, for this test alone.
BACK = {
    3: (
        "DROP TABLE nodes",
        "ALTER TABLE jobs DROP COLUMN owner",
        "ALTER TABLE outbox DROP COLUMN in_hand_until",
    ),
    2: (
        "DROP TABLE outbox",
        "DROP TABLE told",
        "DROP INDEX jobs_perhaps_twice",
        "ALTER TABLE jobs DROP COLUMN perhaps_twice",
    ),
}
JOBS = 6


@contextlib.contextmanager
def ledger(line: Line) -> Iterator[sqlite3.Connection]:
    with contextlib.closing(sqlite3.connect(line.state / "ledger.sqlite")) as connection, connection:
        yield connection


def said(line: Line, version: int, oldest_reader: int) -> None:
    with ledger(line) as connection:
        connection.execute("UPDATE meta SET value = ? WHERE name = 'schema_version'", (str(version),))
        connection.execute("UPDATE meta SET value = ? WHERE name = 'oldest_reader'", (str(oldest_reader),))


def stages(line: Line) -> dict[str, str]:
    with ledger(line) as connection:
        return dict(connection.execute("SELECT id, stage FROM jobs"))


def schema(line: Line) -> set[tuple[str, str]]:
    with ledger(line) as connection:
        found = connection.execute("SELECT type, name FROM sqlite_master WHERE name NOT LIKE 'sqlite_%'")
        return {(kind, name) for kind, name in found}


def test_a_busy_ledger_of_an_older_version_goes_on_and_one_of_a_newer_version_is_left_as_it_is(tmp_path: Path) -> None:
    assert set(BACK) == {migration.version for migration in MIGRATIONS}
    with Line(tmp_path, processing_seconds="4", folder='export_format = "Csv"') as line:
        line.start_sandbox()
        for number in range(JOBS):
            line.put_in(f"{number}.pdf", invoice(number))
        line.started()
        line.wait_for(lambda: len(line.deeds("run")) == JOBS, "a Run of every job")
        documented = (REPOSITORY / "docs/reference/state-folder.md").read_text()
        unknown = [path.name for path in line.state.iterdir() if f"`{path.name}`" not in documented]
        assert not unknown, f"docs/reference/state-folder.md does not name {unknown}"
        assert line.stop() == 0

        # Downgrade past a change: refused with what to do, and nothing is touched.
        before, work = stages(line), line.files("work")
        assert "submitted" in before.values()
        said(line, SCHEMA_VERSION + 5, SCHEMA_VERSION + 5)
        content = (line.state / "ledger.sqlite").read_bytes()
        refused = line.command("run")
        assert refused.returncode == 3
        assert "was written by a newer hopperd" in refused.stderr
        assert "install that version again" in refused.stderr
        assert (line.state / "ledger.sqlite").read_bytes() == content
        assert line.files("work") == work

        # Upgrade: the first version's schema, with the same jobs in flight.
        said(line, SCHEMA_VERSION, 1)
        whole = schema(line)
        with ledger(line) as connection:
            for version in sorted(BACK, reverse=True):
                for statement in BACK[version]:
                    connection.execute(statement)
        said(line, 1, 1)
        assert stages(line) == before
        line.started()
        line.wait_ended(JOBS)
        assert line.stop() == 0
        assert schema(line) == whole, "an old ledger and a new one must have the same shape"
        verdict = line.keeps_every_promise()
        assert (verdict.delivered, verdict.extra_runs) == (JOBS, 0)
