"""A ledger that cannot be used is neither worked with nor replaced in silence: exit 3, and a sentence."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.line import Line, invoice

pytestmark = pytest.mark.timeout(300)

Harm = Callable[[Path], None]


def bit_flips(state: Path) -> None:
    content = bytearray((state / "ledger.sqlite").read_bytes())
    for place in range(100, len(content), 997):
        content[place] ^= 0xFF
    (state / "ledger.sqlite").write_bytes(content)


def first_bytes(state: Path) -> None:
    content = (state / "ledger.sqlite").read_bytes()
    (state / "ledger.sqlite").write_bytes(b"X" * 16 + content[16:])


def truncated(state: Path) -> None:
    os.truncate(state / "ledger.sqlite", (state / "ledger.sqlite").stat().st_size // 2)


def emptied(state: Path) -> None:
    os.truncate(state / "ledger.sqlite", 0)


def zero_filled(state: Path) -> None:
    (state / "ledger.sqlite").write_bytes(bytes((state / "ledger.sqlite").stat().st_size))


def deleted(state: Path) -> None:
    (state / "ledger.sqlite").unlink()


def another_id(state: Path) -> None:
    (state / "ledger-id").write_text("0" * 32 + "\n")


def no_id(state: Path) -> None:
    (state / "ledger-id").write_text("nothing of the kind\n")


def newer(state: Path) -> None:
    with sqlite3.connect(state / "ledger.sqlite") as connection:
        connection.execute("UPDATE meta SET value = '99' WHERE name IN ('schema_version', 'oldest_reader')")
    connection.close()


COMMANDS = (("run", "--once"), ("status",), ("list",), ("retry", "--failed"), ("fsck",))
HARMS: list[Harm] = [bit_flips, first_bytes, truncated, emptied, zero_filled, deleted, another_id, no_id, newer]


@pytest.fixture(scope="module")
def worked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A line that delivered something and was stopped in order."""
    root = tmp_path_factory.mktemp("worked")
    with Line(root) as line:
        line.start_sandbox()
        for number in range(3):
            line.put_in(f"{number}.pdf", invoice(number))
        assert line.once() == 0, line.tail()
    return root


def copied(worked: Path, tmp_path: Path) -> Line:
    """A line of its own with what the first one left; nothing listens at its service's address."""
    import shutil

    shutil.copytree(worked, tmp_path / "line", symlinks=True)
    line = Line(tmp_path / "line")
    line.url = "http://127.0.0.1:9"
    line.configure()
    return line


@pytest.mark.parametrize("harm", HARMS, ids=lambda harm: harm.__name__)
def test_a_ledger_that_cannot_be_used_is_refused_with_what_to_do(worked: Path, tmp_path: Path, harm: Harm) -> None:
    with copied(worked, tmp_path) as line:
        harm(line.state)
        left = {path.name: path.read_bytes() for path in line.state.iterdir() if path.name.startswith("ledger")}
        for command in COMMANDS if harm in (bit_flips, newer) else COMMANDS[:1]:
            told = line.command(*command)
            assert told.returncode == 3, (command, told.stdout, told.stderr)
            assert "Traceback" not in told.stderr
            assert told.stdout == ""
            advice = "newer hopperd" if harm is newer else "fsck --rebuild"
            assert advice in told.stderr, (command, told.stderr)
        now = {path.name: path.read_bytes() for path in line.state.iterdir() if path.name.startswith("ledger")}
        assert now.keys() >= left.keys(), "nothing is taken away"
        assert now["ledger-id"] == left["ledger-id"]
        if harm is not newer:
            rebuilt = line.command("fsck", "--rebuild")
            assert rebuilt.returncode == 0, rebuilt.stderr
            assert "3 finished jobs" in rebuilt.stdout
            assert line.command("fsck").returncode == 0


def test_after_a_crash_a_log_that_was_taken_away_is_missed(tmp_path: Path) -> None:
    with Line(tmp_path) as line:
        line.start_sandbox()
        line.put_in("a.pdf", invoice(1))
        line.started()
        line.wait_ended(1)
        line.kill()
        (line.state / "ledger.sqlite-wal").unlink()
        told = line.command("run", "--once")
        assert told.returncode == 3
        assert "write-ahead log" in told.stderr
        assert "fsck --rebuild" in told.stderr
        assert "Traceback" not in told.stderr


def test_a_folder_of_another_ledger_is_refused(worked: Path, tmp_path: Path) -> None:
    with copied(worked, tmp_path) as line:
        for path in line.state.iterdir():
            path.unlink()
        told = line.command("run", "--once")
        assert told.returncode == 3
        assert "belongs to another ledger" in told.stderr
        assert "fsck --rebuild" in told.stderr
