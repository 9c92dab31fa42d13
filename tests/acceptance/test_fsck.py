"""fsck tells what of ledger and disk does not agree, accuses nobody who only moves, and heals what is safe to heal."""

from __future__ import annotations

import hashlib
import os
import shutil
import sqlite3
from pathlib import Path

import pytest

from tests.support.line import Line, invoice

pytestmark = pytest.mark.timeout(300)

UNKNOWN_JOB = "01m7zzzzzzzzzzzzzz"


@pytest.fixture(params=["running", "stopped"])
def running(request: pytest.FixtureRequest) -> bool:
    return bool(request.param == "running")


def test_fsck_finds_nothing_while_everything_moves(tmp_path: Path) -> None:
    with Line(tmp_path, processing_seconds="0-0.3") as line:
        line.start_sandbox()
        line.started()
        for number in range(150):
            line.put_in(f"{number % 7}/{number}.pdf", invoice(number))
        looks = 0
        while line.ended() < 150 or looks < 2:
            told = line.command("fsck")
            assert told.returncode == 0, told.stdout + told.stderr
            looks += 1
        assert "agree (150 jobs" in line.command("fsck").stdout
        assert line.stop() == 0
        assert line.command("fsck").returncode == 0
        line.keeps_every_promise()


def test_everything_that_does_not_agree_is_told_and_the_safe_is_healed(tmp_path: Path, running: bool) -> None:
    with Line(tmp_path, processing_seconds="600") as line:
        line.start_sandbox()
        for name in ("lost.pdf", "bare.pdf", "gone.pdf"):
            line.put_in(name, b"\x7fELF" + os.urandom(3000))
        line.put_in("open.pdf", invoice("open"))
        line.started()
        line.wait_ended(3)
        line.wait_for(lambda: line.deeds("run"), "the Run")
        if not running:
            assert line.stop() == 0
        failed, work, out = tmp_path / "failed", tmp_path / "work", tmp_path / "out"
        originals = {path: path.read_bytes() for path in failed.iterdir() if path.suffix == ".pdf"}
        (failed / "lost.pdf").unlink()
        (failed / "bare.pdf.receipt.json").unlink()
        (failed / "alien.pdf").write_bytes(b"somebody put this here")
        (work / "stray.pdf").write_bytes(b"and this")
        (work / UNKNOWN_JOB).mkdir()
        (work / UNKNOWN_JOB / "adopt-me.pdf").write_bytes(invoice("adopted"))
        (work / ("01m7" + "y" * 14)).mkdir()
        finished = next(job["job"] for job in line.json("list", "--stage", "failed")["jobs"])
        for job, files in ((finished, ["0001"]), ("01m7" + "x" * 14, ["0001"]), ("01m7" + "w" * 14, [])):
            staging = out / ".hopperd" / job
            staging.mkdir(parents=True)
            for file in files:
                (staging / file).write_bytes(b"an export")

        report = line.json("fsck")
        assert not report["agrees"]
        kinds = sorted(finding["kind"] for finding in report["findings"])
        in_failed = ["original-missing", "receipt-missing", "receipt-missing"]
        in_work = ["stray", "unknown-original", "empty-folder"]
        in_staging = ["staging-left", "unknown-staging", "unknown-staging"]
        assert kinds == sorted(in_failed + in_work + in_staging), report
        told = line.command("fsck")
        assert told.returncode == 1
        assert "adopt-me.pdf" in told.stdout
        assert "9 disagreements" in told.stdout

        mended = line.json("fsck", "--repair")
        assert sorted(done["kind"] for done in mended["did"]) == sorted(
            ["receipt-missing", "unknown-original", "empty-folder", "staging-left", "unknown-staging"]
        ), mended
        left = sorted(finding["kind"] for finding in mended["findings"])
        assert left == sorted(["original-missing", "receipt-missing", "stray", "unknown-staging"]), mended
        assert (failed / "bare.pdf.receipt.json").exists()
        assert (out / ".hopperd" / ("01m7" + "x" * 14) / "0001").exists(), "no export is ever deleted"
        for path, content in originals.items():
            assert path.name == "lost.pdf" or path.read_bytes() == content
        assert (work / "stray.pdf").exists()
        if not running:
            line.started()
        line.wait_for(lambda: len(line.deeds("run")) == 2, "the Run of what was adopted")
        assert line.json("show", UNKNOWN_JOB)["history"][0]["detail"] == {"adopted": True}


def test_an_original_that_vanished_before_its_run_is_given_up(tmp_path: Path, running: bool) -> None:
    with Line(tmp_path, folder='on_duplicate = "hold"') as line:
        line.start_sandbox()
        line.put_in("first.pdf", invoice(1))
        line.started()
        line.wait_ended(1)
        line.put_in("second.pdf", invoice(1))
        held = line.wait_for(lambda: line.json("status")["held"], "the held duplicate")[0]
        if not running:
            assert line.stop() == 0
        os.rename(tmp_path / "work" / held["job"] / "second.pdf", tmp_path / "taken-away")
        (finding,) = line.json("fsck")["findings"]
        assert (finding["kind"], finding["job"], finding["repairable"]) == ("original-missing", held["job"], True)
        (done,) = line.json("fsck", "--repair")["did"]
        assert "vanished" in done["what"]
        if not running:
            line.started()
        line.wait_for(lambda: line.json("show", held["job"])["stage"] == "failed", "the end of the job")
        assert line.json("show", held["job"])["failure"]["reason"] == "vanished"


def test_what_was_picked_up_is_no_disagreement_and_what_was_swapped_is_one(tmp_path: Path) -> None:
    with Line(tmp_path) as line:
        line.start_sandbox()
        line.put_in("a.pdf", invoice(1))
        line.put_in("b.pdf", invoice(2))
        assert line.once() == 0
        for path in line.files("out").values():
            os.unlink(path)
        assert line.command("fsck").returncode == 0
        done = line.files("done")
        (a,) = [path for name, path in done.items() if name.endswith("a.pdf")]
        (b,) = [path for name, path in done.items() if name.endswith("b.pdf")]
        shutil.copy2(a, a + b".copy")
        os.replace(a + b".copy", a)
        assert line.command("fsck").returncode == 0, "other inode, same bytes: moved to a new disk, perhaps"
        with open(b, "r+b") as file:
            file.write(b"#")
        told = line.command("fsck")
        assert told.returncode == 1
        assert "is not the file that was filed there" in told.stdout


def test_a_folder_that_is_not_mounted_is_said_and_nothing_else_is_concluded(tmp_path: Path, running: bool) -> None:
    with Line(tmp_path) as line:
        line.start_sandbox()
        line.put_in("a.pdf", invoice(1))
        line.started()
        line.wait_ended(1)
        if not running:
            assert line.stop() == 0
        os.rename(tmp_path / "done", tmp_path / "unmounted")
        (tmp_path / "done").mkdir()
        (finding,) = line.json("fsck", "--repair")["findings"]
        assert finding["kind"] == "folder"
        assert "Is the share mounted?" in finding["what"]
        assert not os.listdir(tmp_path / "done")


def test_delivered_bytes_that_the_ledger_forgot_are_taken_in_again(tmp_path: Path) -> None:
    with Line(tmp_path) as line:
        line.start_sandbox()
        line.put_in("a.pdf", invoice(1))
        assert line.once() == 0
        assert "left the ledger" in line.command("forget", "a.pdf").stdout
        with sqlite3.connect(line.state / "ledger.sqlite") as connection:
            connection.execute("DELETE FROM digests")
        connection.close()
        (finding,) = line.json("fsck")["findings"]
        assert finding["kind"] == "unknown-receipt"
        assert line.json("fsck", "--repair")["agrees"]
        line.put_in("again.pdf", invoice(1))
        assert line.once() == 0
        assert len(line.deeds("run")) == 1, "known to be delivered: not paid for twice"


def test_a_ledger_that_contradicts_itself_is_told(tmp_path: Path) -> None:
    with Line(tmp_path) as line:
        line.start_sandbox()
        line.put_in("a.pdf", invoice(1))
        assert line.once() == 0
        with sqlite3.connect(line.state / "ledger.sqlite") as connection:
            connection.execute("DELETE FROM history")
        connection.close()
        told = line.command("fsck")
        assert told.returncode == 1
        assert "has no history" in told.stdout


# ------------------------------------------------------------------------------------------------------------ backup


def test_a_backup_is_a_ledger_that_can_be_put_back(tmp_path: Path) -> None:
    with Line(tmp_path) as line:
        line.start_sandbox()
        line.put_in("a.pdf", invoice(1))
        assert line.once() == 0
        copy = tmp_path / "backup.sqlite"
        told = line.command("backup", str(copy))
        assert told.returncode == 0, told.stderr
        assert "To put it back" in told.stdout
        assert copy.stat().st_mode & 0o777 == 0o600
        before = hashlib.sha256(copy.read_bytes()).hexdigest()
        refused = line.command("backup", str(copy))
        assert refused.returncode == 1
        assert "nothing is overwritten" in refused.stderr
        assert hashlib.sha256(copy.read_bytes()).hexdigest() == before
        # Put back before the next start: nothing has moved on.
        shutil.move(line.state / "ledger.sqlite", tmp_path / "away")
        shutil.copy(copy, line.state / "ledger.sqlite")
        line.put_in("b.pdf", invoice(2))
        assert line.once() == 0, line.tail()
        assert line.keeps_every_promise().delivered == 2
        # Put back after another start: the ledger does not know what was sent since.
        line.put_in("c.pdf", invoice(3))
        assert line.once() == 0
        shutil.copy(copy, line.state / "ledger.sqlite")
        told = line.command("run", "--once")
        assert told.returncode == 3
        assert "restored from a backup" in told.stderr
        assert "fsck --rebuild" in told.stderr
        assert line.command("fsck", "--rebuild").returncode == 0
        assert line.once() == 0
        assert line.keeps_every_promise().delivered == 3


def test_a_backup_of_a_running_ledger_is_never_taken_for_the_ledger_itself(tmp_path: Path) -> None:
    with Line(tmp_path, processing_seconds="1") as line:
        line.start_sandbox()
        line.started()
        line.put_in("a.pdf", invoice(1))
        line.wait_for(lambda: (tmp_path / "work").exists() and list((tmp_path / "work").glob("0*")), "the claim")
        copy = tmp_path / "backup.sqlite"
        told = line.command("backup", str(copy))
        assert told.returncode == 0, told.stderr
        assert "exit 3" in told.stdout
        assert sorted(path.name for path in tmp_path.glob("backup*")) == ["backup.sqlite"]
        line.wait_ended(1)
        assert line.stop() == 0
        shutil.copy(copy, line.state / "ledger.sqlite")
        told = line.command("run", "--once")
        assert told.returncode == 3, "what it sent since the copy was made would be sent again"
        assert line.command("fsck", "--rebuild").returncode == 0
        assert line.once() == 0
        assert line.keeps_every_promise().runs == 1
        assert line.command("backup", str(tmp_path / "nowhere" / "x")).returncode == 1
