"""What changes or vanishes while it is on its way is captured as it ended up, or not paid for, and said."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import pytest

from tests.support.line import Line, invoice, sha256

pytestmark = pytest.mark.timeout(300)


def in_work(line: Line) -> list[bytes]:
    return [path for name, path in line.files("work").items() if name.endswith(".pdf")]


def rewrite(path: bytes, content: bytes) -> None:
    """In place, as an editor that keeps the inode does; with a time of change of its own."""
    with open(path, "r+b") as file:
        file.write(content)
        file.truncate()


def test_what_changes_before_it_is_claimed_is_captured_as_it_ends_up_and_what_vanishes_is_no_job(
    tmp_path: Path,
) -> None:
    with Line(tmp_path, folder="quiet_seconds = 2") as line:
        line.start_sandbox()
        line.started()
        path = tmp_path / "in" / "growing.pdf"
        for step in range(6):
            path.write_bytes(invoice(f"version-{step}"))
            time.sleep(0.3)
        gone = tmp_path / "in" / "gone.pdf"
        gone.write_bytes(invoice("gone"))
        time.sleep(0.5)
        gone.unlink()
        line.put[sha256(invoice("version-5"))] += 1
        line.wait_ended(1)
        (deed,) = line.deeds("upload")
        assert deed["sha256"] == sha256(invoice("version-5"))
        assert line.stop() == 0
        assert line.keeps_every_promise().runs == 1


@pytest.mark.parametrize("moment", ["claimed", "uploaded"])
def test_changed_before_the_run_the_new_bytes_are_what_is_captured(tmp_path: Path, moment: str) -> None:
    """Promise 8: back to claimed, and what was sent before is not what is paid for."""
    on = "upload" if moment == "claimed" else "run"
    plan = f'[[fault]]\non = "{on}"\nkind = "status"\nstatus = 503\nfirst = 3'
    with Line(tmp_path, faults=plan) as line:
        line.start_sandbox()
        for name in ("rewritten", "replaced", "touched"):
            line.put_in(f"{name}.pdf", invoice(f"{name} before"))
        line.put.clear()
        line.started()
        line.wait_for(lambda: _stages(line) == [moment] * 3, f"the wait in {moment}")
        final = {"rewritten": "after", "replaced": "after", "touched": "before"}
        for path in in_work(line):
            name = os.fsdecode(os.path.basename(path)).removesuffix(".pdf")
            CHANGES[name](path, invoice(f"{name} after"))
        line.put.update(sha256(invoice(f"{name} {text}")) for name, text in final.items())
        line.wait_ended(3)
        assert {run["sha256s"][0] for run in line.deeds("run")} == set(line.put)
        for receipt in line.receipts().values():
            assert receipt["originals"][0]["sha256"] in line.put
            assert "changed while it waited in work/" in receipt["notes"]
        assert line.stop() == 0
        assert line.keeps_every_promise().runs == 3


def _stages(line: Line) -> list[str]:
    return [job["stage"] for job in line.asked("/v1/jobs")["jobs"]]


def replace_by_another(path: bytes, content: bytes) -> None:
    with open(path + b".new", "wb") as file:
        file.write(content)
    os.replace(path + b".new", path)


CHANGES = {"rewritten": rewrite, "replaced": replace_by_another, "touched": lambda path, _: os.utime(path)}


def test_changed_after_the_run_the_receipt_says_so_and_vanished_as_well(tmp_path: Path) -> None:
    with Line(tmp_path, processing_seconds="3") as line:
        line.start_sandbox()
        line.put_in("changed.pdf", invoice("before"))
        line.put_in("vanished.pdf", invoice("vanished"))
        line.started()
        line.wait_for(lambda: len(line.deeds("run")) == 2, "both Runs")
        for path in in_work(line):
            if path.endswith(b"/changed.pdf"):
                rewrite(path, invoice("after"))
            else:
                os.unlink(path)

        def noted() -> dict[str, Any]:
            found = {name.rpartition("/")[2]: receipt for name, receipt in line.receipts().items()}
            return found if len(found) == 2 and all("note" in one["originals"][0] for one in found.values()) else {}

        receipts = line.wait_for(noted, "both receipts with their notes")
        assert "was changed after it had been claimed" in receipts["changed.pdf"]["originals"][0]["note"]
        assert receipts["changed.pdf"]["originals"][0]["sha256"] == sha256(invoice("before")), "what was sent"
        assert "taken away" in receipts["vanished.pdf"]["originals"][0]["note"]
        assert all(receipt["outcome"] == "delivered" for receipt in receipts.values())
        assert len(line.files("out")) == 2


def test_vanished_before_the_run_nothing_is_paid_for(tmp_path: Path) -> None:
    plan = '[[fault]]\non = "run"\nkind = "status"\nstatus = 503\nretry_after_seconds = 4\nfirst = 1'
    with Line(tmp_path, faults=plan) as line:
        line.start_sandbox()
        line.put_in("a.pdf", invoice("a"))
        line.started()
        line.wait_for(lambda: line.deeds("upload"), "the upload")
        line.wait_for(lambda: _stages(line) == ["uploaded"], "the wait for the Run")
        for path in in_work(line):
            os.unlink(path)
        line.wait_ended(1)
        assert line.receipts("failed")["a.pdf"]["failure"]["reason"] == "vanished"
        assert not line.deeds("run")
