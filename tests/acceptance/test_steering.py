"""Orders by persons, each while the daemon runs and when it does not: what becomes of the job, and what is said."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.support.line import Line, invoice

pytestmark = pytest.mark.timeout(300)

LOST_ANSWER = '[[fault]]\non = "run"\nkind = "reset-after"\nfirst = 1'
PROGRAM = b"\x7fELF" + bytes(3000)


@pytest.fixture(params=["running", "stopped"])
def running(request: pytest.FixtureRequest) -> bool:
    return bool(request.param == "running")


@contextmanager
def ordering(line: Line, running: bool) -> Iterator[None]:
    """Orders are given inside: to the running daemon, or to the ledger itself. The daemon runs afterwards."""
    if not running:
        assert line.stop() == 0
    yield
    if not running:
        line.started()


def only_job(line: Line) -> dict[str, Any]:
    (job,) = line.json("list")["jobs"]
    return dict(job)


def in_stage(line: Line, stage: str) -> dict[str, Any]:
    def there() -> dict[str, Any] | None:
        jobs = line.json("list")["jobs"]
        return jobs[0] if jobs and jobs[0]["stage"] == stage else None

    found: dict[str, Any] = line.wait_for(there, f"the stage {stage}")
    return found


def test_retry_of_a_failed_job_captures_it_again(tmp_path: Path, running: bool) -> None:
    plan = '[[fault]]\non = "task"\noutcome = "failed"\nfirst = 1'
    with Line(tmp_path, faults=plan) as line:
        line.start_sandbox()
        line.put_in("a.pdf", invoice(1))
        line.started()
        line.wait_ended(1)
        assert line.receipts("failed")["a.pdf"]["failure"]["reason"] == "task-failed"
        with ordering(line, running):
            told = line.command("retry", "--failed")
            assert told.returncode == 0
            assert "a.pdf: starts again from its original" in told.stdout
        line.wait_for(lambda: any(receipt for receipt in line.receipts().values()), "the second capture")
        assert len(line.deeds("run")) == 2
        assert not line.files("failed"), "the original and its receipt have left failed/"
        assert line.command("fsck").returncode == 0


def test_a_held_job_keeps_its_place_until_it_is_released(tmp_path: Path, running: bool) -> None:
    with Line(tmp_path) as line:
        line.start_sandbox()
        line.started()
        assert line.command("pause", "main").returncode == 0
        line.put_in("a.pdf", invoice(1))
        in_stage(line, "claimed")
        with ordering(line, running):
            told = line.command("hold", "a.pdf", "--why", "ask the buyer")
            assert told.returncode == 0, told.stdout
            assert "held at claimed" in told.stdout
            again = line.command("hold", "a.pdf")
            assert again.returncode == 1
            assert "held already: ask the buyer" in again.stdout
            assert line.command("resume", "main").returncode == 0
        line.put_in("b.pdf", invoice(2))
        line.wait_ended(1)  # others pass
        (held,) = line.json("list", "--held")["jobs"]
        assert (held["file"], held["hold"]["what"]) == ("a.pdf", "ask the buyer")
        assert held["stage"] in ("claimed", "uploaded"), "a step that was under way may end; the next does not begin"
        assert len(line.deeds("run")) == 1
        with ordering(line, running):
            assert "a.pdf: released at" in line.command("release", "--folder", "us").stdout
        line.wait_ended(2)
        assert line.stop() == 0
        assert line.keeps_every_promise().delivered == 2


def test_release_with_the_task_found_settles_a_doubt_without_a_second_run(tmp_path: Path, running: bool) -> None:
    with Line(tmp_path, folder='on_doubt = "hold"', faults=LOST_ANSWER) as line:
        line.start_sandbox()
        line.put_in("a.pdf", invoice(1))
        line.started()
        held = line.wait_for(lambda: line.json("status")["held"], "the hold")[0]
        assert (held["stage"], held["hold"]["reason"], held["doubts"]) == ("submitting", "doubt", 1)
        (run,) = line.deeds("run")
        with ordering(line, running):
            told = line.command("release", held["job"], "--task", run["task_id"])
            assert f"goes on with task {run['task_id']}" in told.stdout
        line.wait_ended(1)
        assert line.stop() == 0
        verdict = line.keeps_every_promise()
        assert (verdict.delivered, verdict.runs, verdict.doubts) == (1, 1, 1)


def test_release_after_a_doubt_asks_once_more_and_says_so(tmp_path: Path, running: bool) -> None:
    with Line(tmp_path, folder='on_doubt = "hold"', faults=LOST_ANSWER) as line:
        line.start_sandbox()
        line.put_in("a.pdf", invoice(1))
        line.started()
        line.wait_for(lambda: line.json("status")["held"], "the hold")
        with ordering(line, running):
            assert "the Run is asked for once more" in line.command("release", "a.pdf").stdout
        line.wait_ended(1)
        (receipt,) = line.receipts().values()
        assert "may have been paid for twice" in receipt["notes"]
        assert line.stop() == 0
        assert line.keeps_every_promise().runs == 2


def test_forget_gives_an_open_job_up_into_failed(tmp_path: Path, running: bool) -> None:
    with Line(tmp_path, processing_seconds="600") as line:
        line.start_sandbox()
        line.put_in("sub/a.pdf", invoice(1))
        line.started()
        in_stage(line, "submitted")
        with ordering(line, running):
            assert "given up; its original goes to failed/" in line.command("forget", "a.pdf").stdout
        line.wait_ended(1)
        receipt = line.receipts("failed")["sub/a.pdf"]
        assert receipt["failure"]["reason"] == "forgotten"
        assert line.stop() == 0
        assert line.keeps_every_promise().failed == 1


def test_forget_of_a_finished_job_leaves_its_files_where_they_are(tmp_path: Path, running: bool) -> None:
    with Line(tmp_path) as line:
        line.start_sandbox()
        line.put_in("a.pdf", invoice(1))
        line.put_in("b.pdf", PROGRAM)
        line.started()
        line.wait_ended(2)
        line.wait_for(lambda: not line.asked("/v1/status")["open"], "that the ledger knows it, too")
        before = {place: set(line.files(place)) for place in ("done", "failed", "out")}
        with ordering(line, running):
            assert "left the ledger" in line.command("forget", "--failed").stdout
            assert "left the ledger" in line.command("forget", "a.pdf").stdout
            assert "No such jobs" in line.command("list").stdout
            assert line.command("fsck").returncode == 0, "forgotten is no disagreement"
        assert {place: set(line.files(place)) for place in before} == before
        line.put_in("again.pdf", invoice(1))
        line.wait_ended(3)
        (again,) = [receipt for name, receipt in line.receipts().items() if name.endswith("again.pdf")]
        assert again["outcome"] == "duplicate", "its bytes outlive it"


@pytest.mark.parametrize("name", ["main", "us"])
def test_a_pause_by_a_person_outlives_restarts(tmp_path: Path, name: str) -> None:
    with Line(tmp_path) as line:
        line.start_sandbox()
        line.started()
        assert line.command("pause", name, "--why", "month's end").returncode == 0
        assert line.stop() == 0
        line.put_in("a.pdf", invoice(1))
        line.started()
        where = "accounts" if name == "main" else "folders"
        assert line.json("status")[where][0]["paused"]["what"] == "month's end"
        import time

        time.sleep(2)
        assert not line.deeds("upload")
        assert line.command("resume", name).returncode == 0
        line.wait_ended(1)
        assert line.json("status")[where][0]["paused"] is None
        assert line.stop() == 0
        # And when nothing runs.
        assert line.command("pause", name).returncode == 0
        assert line.json("status")[where][0]["paused"]
        assert line.command("resume", name).returncode == 0
        assert line.json("status")[where][0]["paused"] is None
        refused = line.command("pause", "nobody")
        assert refused.returncode == 2
        assert "there is no account or folder 'nobody'" in refused.stderr


def test_lists_are_narrowed_by_stage_folder_and_age(tmp_path: Path, running: bool) -> None:
    with Line(tmp_path, processing_seconds="600") as line:
        line.start_sandbox()
        line.put_in("open.pdf", invoice(1))
        line.put_in("program.pdf", PROGRAM)
        line.started()
        line.wait_ended(1)
        line.wait_in_stage("submitted", 1)
        if not running:
            assert line.stop() == 0

        def listed(*options: str) -> list[str]:
            return sorted(job["file"] for job in line.json("list", *options)["jobs"])

        assert listed() == ["open.pdf", "program.pdf"]
        assert listed("--stage", "failed") == ["program.pdf"]
        assert listed("--stage", "failed", "--stage", "submitted") == ["open.pdf", "program.pdf"]
        assert listed("--failed", "--folder", "us") == ["program.pdf"]
        assert line.command("list", "--folder", "eu").returncode == 2
        assert listed("--age", "1d") == []
        assert listed("--age", "0s") == ["open.pdf", "program.pdf"]
        for wrong in (("--stage", "gone"), ("--age", "soon")):
            assert line.command("list", *wrong).returncode == 2


def test_odd_names_can_be_ordered_about_as_they_are_shown(tmp_path: Path, running: bool) -> None:
    names = [b"Rechnung-\xfc.pdf", b"new\nline.pdf", b"-rf.pdf", "\u202egnp.pdf".encode(), b"100%.pdf"]
    with Line(tmp_path, processing_seconds="600") as line:
        line.start_sandbox()
        for number, name in enumerate(names):
            line.put_in(name, invoice(number))
        line.started()
        line.wait_in_stage("submitted", len(names))
        if not running:
            assert line.stop() == 0
        shown = [job["file"] for job in line.json("list")["jobs"]]
        assert len(shown) == len(names)
        told = line.command("hold", "--", *shown)
        assert told.returncode == 0, (told.stdout, told.stderr)
        assert told.stdout.count("held at submitted") == len(names)
        assert len(line.json("list", "--held")["jobs"]) == len(names)
        printed = line.command("list", "--held").stdout
        as_printed = ["Rechnung-%FC.pdf", "new\\x0aline.pdf", "-rf.pdf", "\\u202egnp.pdf", "100%.pdf"]
        assert all(name in printed for name in as_printed)
        released = line.command("release", "--", *as_printed)
        assert released.returncode == 0, released.stdout
        assert not line.json("list", "--held")["jobs"]


def test_what_cannot_be_done_is_said_and_changes_nothing(tmp_path: Path, running: bool) -> None:
    with Line(tmp_path) as line:
        line.start_sandbox()
        line.put_in("a.pdf", invoice(1))
        line.started()
        in_stage(line, "done")  # its receipt is there a moment before the ledger says so
        if not running:
            assert line.stop() == 0
        for order, why in (("release", "it is not held"), ("retry", "it is done"), ("hold", "cannot happen")):
            told = line.command(order, "a.pdf")
            assert told.returncode == 1, (order, told.stdout)
            assert why in told.stdout
            assert "Traceback" not in told.stderr
        assert "no such job" in line.command("hold", "nowhere.pdf").stdout
        assert "needs a job id, a file name or --folder" in line.command("hold").stderr
        assert line.command("release", "--task", "t1").returncode == 2
        assert line.json("list")["jobs"][0]["stage"] == "done"
        assert os.path.exists(tmp_path / "out" / "a.xlsx")


def test_jobs_of_a_folder_that_was_renamed_are_said_to_stand_still_wherever_one_looks(tmp_path: Path) -> None:
    with Line(tmp_path, processing_seconds="600") as line:
        line.start_sandbox()
        line.started()
        line.put_in("a.pdf", invoice(1))
        in_stage(line, "submitted")
        line.config.write_text(line.config.read_text().replace('name = "us"', 'name = "usa"'))
        beforehand = line.command("check")
        assert "would stand still after a restart" in beforehand.stdout + beforehand.stderr
        assert line.stop() == 0
        line.started()
        (told,) = line.asked("/v1/status")["homeless"]
        assert (told["folder"], told["jobs"]) == ("us", 1)
        for said in (line.command("status").stdout, line.command("check").stdout):
            assert "folder us is not in the configuration" in said
        assert "homeless" in line.tail(200)


def test_status_tells_what_a_reload_has_changed(tmp_path: Path) -> None:
    with Line(tmp_path, folder="done_days = 5") as line:
        line.start_sandbox()
        line.started()
        assert line.folder()["originals"]["done_days"] == 5
        line.configure(folder="done_days = 9")
        assert line.daemon is not None
        line.daemon.send_signal(signal.SIGHUP)
        line.wait_for(lambda: line.events("reloaded"), "the reload")
        assert line.folder()["originals"]["done_days"] == 9


def test_a_mistake_in_the_configuration_makes_no_command_blind_while_hopperd_runs(tmp_path: Path) -> None:
    with Line(tmp_path) as line:
        line.start_sandbox()
        line.started()
        line.config.write_text(line.config.read_text().replace('region = "US"', 'region = "XX"'))
        for order in (["status"], ["list"], ["pause", "us"], ["resume", "us"], ["fsck"], ["backup", f"{tmp_path}/b"]):
            told = line.command(*order)
            assert told.returncode == 0, (order, told.stderr)
            assert 'must be one of "US"' in told.stderr, order
        assert line.stop() == 0
        told = line.command("status")
        assert told.returncode == 2, "what opens the ledger itself goes by the configuration"


def test_a_folder_or_account_that_nobody_knows_is_said_to_be_none(tmp_path: Path, running: bool) -> None:
    with Line(tmp_path) as line:
        line.start_sandbox()
        line.started()
        if not running:
            assert line.stop() == 0
        for order, sentence in (
            (["list", "--folder", "typo"], "there is no folder 'typo'; there are: us"),
            (["pause", "typo", "--kind", "folder"], "there is no folder 'typo'; there are: us"),
            (["resume", "typo"], "there is no account or folder 'typo'; there are: main, us"),
            (["pause", "main", "--kind", "x"], "--kind x is no kind; there are: account, folder"),
            (["tail", "--folder", "typo"], "there is no folder 'typo'; there are: us"),
        ):
            if running or order[0] != "tail":
                told = line.command(*order)
                assert (told.returncode, told.stderr.strip()) == (2, f"hopperd: {sentence}")
        assert line.command("list", "--folder", "us").returncode == 0
