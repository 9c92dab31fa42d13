"""A lost ledger is made anew from folders and receipts: nothing lost, nothing sent again unless a person says so."""

from __future__ import annotations

import hashlib
import os
import random
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.support.line import Line, environment, invoice

pytestmark = pytest.mark.timeout(300)


def lose(line: Line) -> None:
    for path in line.state.iterdir():
        if path.name.startswith("ledger.sqlite"):
            path.unlink()


def held(line: Line) -> list[dict[str, Any]]:
    jobs: list[dict[str, Any]] = line.json("status")["held"]
    return jobs


def test_what_was_finished_is_known_again_and_what_was_open_is_held_as_a_doubt(tmp_path: Path) -> None:
    with Line(tmp_path, folder='group_by = "folder"\ngroup_quiet_seconds = 0.4') as line:
        line.start_sandbox()
        line.put_in("case/a.pdf", invoice("a"))
        line.put_in("case/b.pdf", invoice("b"))
        line.put_in("alone.pdf", invoice("alone"))
        line.put_in(b"odd-\xfc%41.pdf", invoice("odd"))
        line.put_in("bad.pdf", b"\x7fELF" + bytes(3000))
        assert line.once() == 1
        jobs = {job["job"]: job for job in line.json("list")["jobs"]}
        stories = {job: line.json("show", job) for job in jobs}
        lose(line)
        assert line.command("run", "--once").returncode == 3
        told = line.command("fsck", "--rebuild")
        assert told.returncode == 0, told.stderr
        assert "4 finished jobs from their receipts, 0 held" in told.stdout
        assert line.command("fsck").returncode == 0, line.command("fsck").stdout
        for job in line.json("list")["jobs"]:
            before, story = stories[job["job"]], line.json("show", job["job"])
            for document in (before["receipt"], story["receipt"]):
                document["stages"].pop()  # written before the last stage was recorded, a moment later
            for key in ("file", "files", "stage", "outcome", "exports", "originals", "paths", "receipt", "failure"):
                assert before.get(key) == story.get(key), key
            assert [row["event"] for row in story["history"]] == ["rebuilt"]
        # Duplicates are known, failed jobs can be retried, and the line goes on.
        line.put_in("alone-again.pdf", invoice("alone"))
        line.put_in("new.pdf", invoice("new"))
        assert line.once() == 0, "what failed before is no news"
        assert line.command("retry", "--failed").returncode == 0
        assert line.once() == 1
        verdict = line.keeps_every_promise()
        assert (verdict.duplicates, verdict.runs) == (1, 4)


def test_nothing_open_is_sent_again_until_a_person_says_how_it_stands(tmp_path: Path) -> None:
    with Line(tmp_path, processing_seconds="3") as line:
        line.start_sandbox()
        for name in ("named", "asked", "given-up"):
            line.put_in(f"{name}.pdf", invoice(name))
        line.started()
        line.wait_for(lambda: len(line.deeds("run")) == 3, "the Runs")
        line.kill()
        lose(line)
        told = line.command("fsck", "--rebuild")
        assert told.returncode == 0, told.stderr
        assert "3 held from work/" in told.stdout
        assert line.once() == 1
        assert len(line.deeds("run")) == 3
        jobs = {job["file"]: job["job"] for job in held(line)}
        assert all(job["hold"]["reason"] == "doubt" and job["doubts"] == 1 for job in held(line))
        uploads = {deed["sha256"]: deed["file_id"] for deed in line.deeds("upload")}
        file_id = uploads[hashlib.sha256(invoice("named")).hexdigest()]
        (task,) = [deed["task_id"] for deed in line.deeds("run") if file_id in deed["file_ids"]]
        assert line.command("release", jobs["named.pdf"], "--task", task).returncode == 0
        assert line.command("release", jobs["asked.pdf"]).returncode == 0
        assert line.command("forget", jobs["given-up.pdf"]).returncode == 0
        assert line.once() == 1
        verdict = line.keeps_every_promise()
        assert (verdict.delivered, verdict.failed, verdict.runs, verdict.extra_runs) == (2, 1, 4, 1)
        (asked,) = [receipt for name, receipt in line.receipts().items() if name.endswith("asked.pdf")]
        assert {"may have been paid for twice", "may be delivered twice"} <= set(asked["notes"])


def dies_at(line: Line, call: str) -> subprocess.CompletedProcess[bytes]:
    """A daemon that ends the moment it comes to this call of the folders: a hook on it kills it there."""
    program = (
        "import os, sys\n"
        "from hopperd.folders import deliver, file_away\n"
        f"{call} = lambda *_, **__: os._exit(9)\n"
        "from hopperd.__main__ import main\n"
        "main()\n"
    )
    return subprocess.run(
        [sys.executable, "-c", program, "run", "--config", str(line.config), "--once"],
        env=environment(),
        capture_output=True,
        timeout=60,
    )


def test_a_fetched_job_is_read_back_from_its_staging(tmp_path: Path) -> None:
    """The daemon ends the moment after staging was sealed."""
    with Line(tmp_path) as line:
        line.start_sandbox()
        line.put_in("sub/a.pdf", invoice(1))
        died = dies_at(line, "deliver.deliver")
        assert died.returncode == 9, died.stderr
        lose(line)
        told = line.command("fsck", "--rebuild")
        assert "1 held from work/, 1 of them with their exports in staging" in told.stdout, told.stdout + told.stderr
        assert line.once() == 1
        (job,) = held(line)
        assert job["stage"] == "fetched"
        assert not line.files("out")
        assert line.command("release", job["job"]).returncode == 0
        assert line.once() == 0
        verdict = line.keeps_every_promise()
        assert (verdict.delivered, verdict.runs) == (1, 1)
        (receipt,) = line.receipts().values()
        assert "may be delivered twice" in receipt["notes"]
        assert set(line.files("out")) == {"sub/a.xlsx"}


def test_a_rebuild_that_is_killed_is_simply_done_again(tmp_path: Path) -> None:
    with Line(tmp_path, processing_seconds="0-3") as line:
        line.start_sandbox()
        for number in range(40):
            line.put_in(f"{number}.pdf", invoice(number))
        line.started()
        line.wait_ended(20)
        assert line.stop() == 0  # in order: what a kill leaves between filing and receipt is the next test's
        lose(line)
        rng = random.Random(5)
        for _ in range(8):
            rebuild = subprocess.Popen(
                [sys.executable, "-m", "hopperd", "fsck", "--rebuild", "--config", str(line.config)],
                env=environment(),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            time.sleep(rng.uniform(0.5, 2.0))
            cut_short = rebuild.poll() is None
            rebuild.kill()
            rebuild.wait()
            if cut_short and not (line.state / "ledger.sqlite").exists():
                assert line.command("run", "--once").returncode == 3
        assert line.command("fsck", "--rebuild").returncode == 0
        assert line.command("fsck").returncode == 0, line.command("fsck").stdout
        runs = len(line.deeds("run"))
        line.once()
        assert len(line.deeds("run")) <= runs + 20, "only what was never claimed is sent"
        line.command("release", "--folder", "us")
        assert line.once() == 0, line.tail()
        verdict = line.judge()
        assert not [one for one in verdict.broken if not one.startswith("promise 2")], verdict.broken
        assert verdict.originals == 40


def test_an_original_whose_receipt_was_still_to_be_written_is_named_and_left_where_it_is(tmp_path: Path) -> None:
    with Line(tmp_path) as line:
        line.start_sandbox()
        line.put_in("sub/a.pdf", invoice(1))
        assert dies_at(line, "file_away.write_receipt").returncode == 9
        (filed,) = line.files("done")
        lose(line)
        told = line.command("fsck", "--rebuild")
        assert told.returncode == 0, told.stderr
        assert "a.pdf was filed without a receipt; it was left there" in told.stdout
        told = line.command("fsck", "--repair")
        assert f"receipt-missing: us: {filed} lies in done/ without a receipt" in told.stdout
        told = line.command("fsck")
        assert told.returncode == 1
        assert "1 disagreement (" in told.stdout, "the folder that was left empty in work/ is gone"
        assert line.once() == 0
        assert (len(line.deeds("run")), set(line.files("out"))) == (1, {"sub/a.xlsx"})


def test_a_rebuild_is_refused_while_a_daemon_runs_and_where_a_share_is_not_mounted(tmp_path: Path) -> None:
    with Line(tmp_path) as line:
        line.start_sandbox()
        line.put_in("a.pdf", invoice(1))
        line.started()
        line.wait_ended(1)
        told = line.command("fsck", "--rebuild")
        assert told.returncode == 3
        assert "only while no hopperd runs" in told.stderr
        assert line.stop() == 0
        os.rename(tmp_path / "done", tmp_path / "unmounted")
        (tmp_path / "done").mkdir()
        told = line.command("fsck", "--rebuild")
        assert told.returncode == 3
        assert "is its share not mounted?" in told.stderr
        assert "Traceback" not in told.stderr
        os.rmdir(tmp_path / "done")
        os.rename(tmp_path / "unmounted", tmp_path / "done")
        assert line.once() == 0, "nothing was changed"


def test_a_marker_that_was_deleted_beside_files_in_work_ends_in_a_rebuild(tmp_path: Path) -> None:
    with Line(tmp_path, processing_seconds="600") as line:
        line.start_sandbox()
        line.put_in("a.pdf", invoice(1))
        line.started()
        line.wait_for(lambda: line.deeds("run"), "the Run")
        assert line.stop() == 0
        (tmp_path / "work" / ".hopperd-id").unlink()
        told = line.command("run", "--once")
        assert told.returncode == 3
        assert "fsck --rebuild" in told.stderr
        assert line.command("fsck", "--rebuild").returncode == 0
        line.started()
        assert len(held(line)) == 1
