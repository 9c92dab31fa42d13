"""Put invoices in, get their exports out: the real daemon against the real sandbox, in real folders."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import sys
import time
from pathlib import Path

import pytest

from tests.support.line import Line, hopperd, invoice, patience

pytestmark = pytest.mark.timeout(300)


def test_an_invoice_put_in_comes_out_as_its_export_beside_its_receipt(tmp_path: Path) -> None:
    with Line(tmp_path, folder='export_format = "Json"', reads=True) as line:
        line.start_sandbox()
        line.started()
        line.put_in("branch/invoice.pdf", invoice("2026-17"))
        line.wait_ended(1)
        assert set(line.files("out")) == {"branch/invoice.json"}
        assert (tmp_path / "in" / "branch").is_dir(), "subfolders are left standing when emptied"
        (name, receipt), *others = line.receipts().items()
        assert not others
        day = time.strftime("%Y/%m/%d", time.gmtime())
        assert name == f"{day}/branch/invoice.pdf"
        assert receipt["outcome"] == "delivered"
        assert receipt["exports"][0]["name"] == "branch/invoice.json"
        assert [stage["stage"] for stage in receipt["stages"]] == [
            "claimed", "uploaded", "submitting", "submitted", "captured", "fetched", "delivered", "done",
        ]  # fmt: skip
        assert receipt["task"]["status"] == "Done"
        fields = json.loads((tmp_path / "out" / "branch" / "invoice.json").read_text())
        assert fields["Documents"][0]["Fields"]["InvoiceNumber"] == "INV-2026-17"
        line.wait_for(lambda: line.deeds("delete_task") and line.deeds("delete_file"), "the remote clean-up")
        assert line.stop() == 0
        verdict = line.keeps_every_promise()
        assert (verdict.delivered, verdict.runs, verdict.doubts) == (1, 1, 0)


def test_run_once_ends_fine_when_everything_is_delivered(tmp_path: Path) -> None:
    with Line(tmp_path) as line:
        line.start_sandbox()
        for number in range(20):
            line.put_in(f"{number}.pdf", invoice(number))
        assert line.once() == 0, line.tail()
        assert line.keeps_every_promise().delivered == 20


def test_run_once_says_that_something_failed(tmp_path: Path) -> None:
    with Line(tmp_path) as line:
        line.start_sandbox()
        line.put_in("fine.pdf", invoice(1))
        line.put_in("program.pdf", b"\x7fELF" + bytes(4000))
        assert line.once() == 1
        verdict = line.keeps_every_promise()
        assert (verdict.delivered, verdict.failed) == (1, 1)
        failure = line.receipts("failed")["program.pdf"]["failure"]
        assert (failure["reason"], failure["fault"]) == ("wrong-type", "file")
        assert not [deed for deed in line.deeds("upload") if deed["sha256"] == _sha(line, "failed", "program.pdf")]


def _sha(line: Line, place: str, name: str) -> str:
    import hashlib

    with open(line.files(place)[name], "rb") as file:
        return hashlib.sha256(file.read()).hexdigest()


def test_run_once_says_that_the_credentials_are_refused(tmp_path: Path) -> None:
    with Line(tmp_path) as line:
        line.start_sandbox()
        line.put_in("a.pdf", invoice(1))
        text = line.config.read_text().replace('application_id = "5dae', 'application_id = "beef')
        line.config.write_text(text)
        assert line.once() == 4, line.tail()
        check = line.command("check", "--online")
        assert check.returncode == 4
        assert "credentials" in check.stdout
        assert not line.keeps_every_promise(finished=False).failed, "no file is blamed for the account"


def test_files_put_in_every_odd_way_are_taken_whole_and_once(tmp_path: Path) -> None:
    with Line(tmp_path, folder="quiet_seconds = 0.5") as line:
        line.start_sandbox()
        line.put_in("while-stopped.pdf", invoice("stopped"))
        line.start()
        line.wait_for(lambda: line.ended() == 1, "the file that was there at start")
        inbox = tmp_path / "in"
        # Copied slowly, in pieces, with pauses longer than the quiet period: the writer keeps it open.
        content = invoice("slow")
        with (inbox / "slow.pdf").open("wb") as file:
            for start in range(0, len(content), len(content) // 4):
                file.write(content[start : start + len(content) // 4])
                file.flush()
                time.sleep(0.8)
        line.put[_digest(content)] += 1
        # Under a temporary name, then renamed.
        content = invoice("renamed")
        (inbox / "renamed.pdf.part").write_bytes(content)
        time.sleep(1.5)
        assert (inbox / "renamed.pdf.part").exists(), "temporary names are left alone"
        os.rename(inbox / "renamed.pdf.part", inbox / "renamed.pdf")
        line.put[_digest(content)] += 1
        # A whole subfolder moved in at once.
        aside = tmp_path / "aside-tree" / "deep" / "deeper"
        aside.mkdir(parents=True)
        for number in range(5):
            content = invoice(f"tree-{number}")
            (aside / f"{number}.pdf").write_bytes(content)
            line.put[_digest(content)] += 1
        os.rename(tmp_path / "aside-tree", inbox / "tree")
        # Names in no encoding, with a newline, a leading dash, quotes; of 255 bytes.
        for number, name in enumerate(
            [
                b"Rechnung-\xfc.pdf",
                b"new\nline.pdf",
                b"-rf.pdf",
                b"\"quoted' .pdf",
                b"x" * 251 + b".pdf",
                "\u202egnp.pdf".encode(),
            ]
        ):
            line.put_in(name, invoice(f"odd-{number}"))
        line.wait_ended(1 + 2 + 5 + 6, seconds=60)
        assert line.stop() == 0
        assert line.keeps_every_promise().delivered == 14
        assert "tree/deep/deeper/3.xlsx" in line.files("out")
        assert os.fsdecode(b"Rechnung-\xfc.xlsx") in line.files("out")


def _digest(content: bytes) -> str:
    import hashlib

    return hashlib.sha256(content).hexdigest()


def test_what_is_no_plain_file_stays_and_is_listed(tmp_path: Path) -> None:
    with Line(tmp_path) as line:
        line.start_sandbox()
        line.started()
        os.mkfifo(tmp_path / "in" / "pipe.pdf")
        (tmp_path / "elsewhere.pdf").write_bytes(invoice("elsewhere"))
        os.symlink(tmp_path / "elsewhere.pdf", tmp_path / "in" / "link.pdf")
        listed = line.wait_for(
            lambda: line.json("status")["folders"][0]["left_alone"], "the list of what is left alone"
        )
        assert {left["reason"] for left in listed} <= {"fifo", "link"}
        line.wait_for(lambda: len(line.json("status")["folders"][0]["left_alone"]) == 2, "both to be listed")
        assert (tmp_path / "in" / "pipe.pdf").exists()
        assert (tmp_path / "in" / "link.pdf").is_symlink()
        assert not line.deeds("upload")


def test_originals_and_exports_of_one_name_never_overwrite_each_other(tmp_path: Path) -> None:
    with Line(tmp_path) as line:
        line.start_sandbox()
        line.start()
        for number in range(5):
            line.put_in("same.pdf", invoice(f"same-{number}"))
            line.wait_ended(number + 1)
        assert line.stop() == 0
        line.keeps_every_promise()
        assert set(line.files("out")) == {"same.xlsx", *(f"same ({n}).xlsx" for n in range(2, 6))}


def test_the_same_bytes_are_paid_for_once(tmp_path: Path) -> None:
    with Line(tmp_path) as line:
        line.start_sandbox()
        for name in ("one.pdf", "two.pdf", "sub/three.pdf"):
            line.put_in(name, invoice("same"))
        assert line.once() == 0
        verdict = line.keeps_every_promise()
        assert (verdict.delivered, verdict.duplicates, verdict.runs) == (1, 2, 1)
        duplicate = next(receipt for receipt in line.receipts().values() if receipt["outcome"] == "duplicate")
        assert duplicate["exports"] == []
        assert len(duplicate["duplicate_of"]["exports"]) == 1


def test_a_subfolder_is_one_task_where_groups_are_wanted(tmp_path: Path) -> None:
    with Line(tmp_path, folder='group_by = "folder"\ngroup_quiet_seconds = 0.5\nexport_format = "Csv"') as line:
        line.start_sandbox()
        for name in ("case/a.pdf", "case/b.pdf", "case/inner/c.pdf", "alone.pdf"):
            line.put_in(name, invoice(name))
        assert line.once() == 0, line.tail()
        runs = sorted(len(deed["file_ids"]) for deed in line.deeds("run"))
        assert runs == [1, 3]
        assert set(line.files("out")) == {"case/a.csv", "case/b.csv", "case/inner/c.csv", "alone.csv"}
        receipts = line.receipts()
        assert len(receipts) == 4
        assert len({receipt["job"] for receipt in receipts.values()}) == 2
        line.keeps_every_promise()


def test_one_unusable_file_fails_its_group_and_says_which(tmp_path: Path) -> None:
    with Line(tmp_path, folder='group_by = "folder"\ngroup_quiet_seconds = 0.3') as line:
        line.start_sandbox()
        line.put_in("case/a.pdf", invoice("a"))
        line.put_in("case/b.pdf", b"no invoice at all, only text")
        assert line.once() == 1
        assert not line.deeds("run")
        failures = [receipt["failure"] for receipt in line.receipts("failed").values()]
        assert len(failures) == 2
        assert all("b.pdf" in failure["what"] for failure in failures)


def test_verification_is_shown_and_waited_for(tmp_path: Path) -> None:
    with Line(tmp_path, folder='verification_type = "UserVerification"') as line:
        line.start_sandbox()
        line.put_in("check-me.pdf", invoice("v"))
        line.started()
        waiting = line.wait_for(lambda: line.json("status")["waiting_for_person"], "the wait for a person")
        assert "/verification/" in waiting[0]["verification"]
        shown = line.command("show", "check-me.pdf").stdout
        assert "/verification/" in shown
        assert line.stop() == 0
        assert line.once() == 1, "what waits for a person cannot move by itself"


def test_an_orderly_stop_makes_no_doubt_and_leaves_nothing_behind(tmp_path: Path) -> None:
    with Line(tmp_path, processing_seconds="0.2-0.5") as line:
        line.start_sandbox()
        for number in range(60):
            line.put_in(f"{number}.pdf", invoice(number))
        for _ in range(6):
            line.started()
            time.sleep(random.uniform(0.1, 1.2))
            assert line.stop() == 0
        assert line.once() == 0, line.tail()
        verdict = line.keeps_every_promise()
        assert (verdict.delivered, verdict.doubts, verdict.extra_runs) == (60, 0, 0)


MISTAKEN = """
import asyncio, os, runpy, sys
from hopperd.workers.upkeep import Upkeep

flag, _, _, module, *arguments = sys.argv[1:]

async def run(self):
    while not os.path.exists(flag):
        await asyncio.sleep(0.02)
    raise RuntimeError("a mistake")

Upkeep.run = run
sys.argv = [module, *arguments]
runpy.run_module(module, run_name="__main__", alter_sys=True)
"""


def test_a_mistake_that_ends_the_daemon_cuts_off_no_run(tmp_path: Path) -> None:
    """Its answer is waited for: else each start after a crash would ask, and pay, again."""
    flag = tmp_path / "flag"
    with Line(tmp_path, faults='[[fault]]\non = "run"\nkind = "slow"\nevery = 1\nseconds = 3') as line:
        (tmp_path / "mistaken.py").write_text(MISTAKEN)
        line.start_sandbox()
        line.launcher = [sys.executable, str(tmp_path / "mistaken.py"), str(flag)]
        line.started()
        line.put_in("a.pdf", invoice(1))
        line.wait_in_stage("submitting", 1)
        flag.touch()
        assert line.daemon is not None and line.daemon.wait(timeout=30) == 1
        assert "a mistake" in line.tail(80)
        line.launcher = []
        line.started()
        line.wait_ended(1)
        line.stop()
        line.keeps_every_promise()
        assert len(line.deeds("run")) == 1
        assert [receipt["doubts"] for receipt in line.receipts().values()] == [0]


def test_a_second_interrupt_ends_at_once_and_safely(tmp_path: Path) -> None:
    with Line(tmp_path, processing_seconds="0.5-1", faults='[[fault]]\non = "run"\nkind = "slow"\nevery = 1') as line:
        line.start_sandbox()
        line.put_in("a.pdf", invoice(1))
        daemon = line.start()
        line.wait_for(lambda: line.deeds("run"), "the Run")
        daemon.send_signal(signal.SIGINT)
        daemon.send_signal(signal.SIGINT)
        assert daemon.wait(timeout=10 * patience()) in (0, 130)


def test_twenty_sigkills_lose_nothing_and_deliver_nothing_twice(tmp_path: Path) -> None:
    with Line(tmp_path, processing_seconds="0-0.3") as line:
        line.start_sandbox()
        total = 200
        rng = random.Random(7)
        put = 0
        while line.kills < 20:
            line.start()
            moment = time.monotonic() + rng.uniform(0.3, 1.4)
            while time.monotonic() < moment:
                if put < total:
                    line.put_in(f"{rng.choice(['', 'a/', 'b/c/'])}{put}.pdf", invoice(f"kill-{put}"))
                    put += 1
                time.sleep(0.02)
            line.kill()
        while put < total:
            line.put_in(f"{put}.pdf", invoice(f"kill-{put}"))
            put += 1
        assert line.once(seconds=200) == 0, line.tail()
        verdict = line.keeps_every_promise()
        assert verdict.delivered == total


def test_hold_never_pays_twice_whatever_is_killed(tmp_path: Path) -> None:
    with Line(tmp_path, folder='on_doubt = "hold"') as line:
        line.start_sandbox()
        rng = random.Random(11)
        for number in range(60):
            line.put_in(f"{number}.pdf", invoice(f"hold-{number}"))
        for _ in range(10):
            line.start()
            time.sleep(rng.uniform(0.6, 1.2))
            line.kill()
        line.once(seconds=200)
        verdict = line.keeps_every_promise(finished=False)
        assert verdict.extra_runs == 0
        line.command("release", "--folder", "us")
        assert line.once(seconds=200) == 0, line.tail()
        line.keeps_every_promise()


def burst(line: Line, count: int, *, seconds: float) -> None:
    """`count` files within seconds, half of them into new subfolders, the daemon stopped for a while meanwhile."""
    assert line.daemon is not None
    line.daemon.send_signal(signal.SIGSTOP)
    started = time.monotonic()
    for number in range(count):
        folder = f"new-{number // 10}/" if number % 2 else ""
        line.put_in(f"{folder}{number}.pdf", invoice(f"burst-{number}"))
    time.sleep(max(0.0, seconds - (time.monotonic() - started)))
    line.daemon.send_signal(signal.SIGCONT)


@pytest.mark.parametrize("count", [1000, pytest.param(20_000, marks=[pytest.mark.long, pytest.mark.timeout(0)])])
def test_a_burst_into_new_folders_while_stopped_strands_nothing(tmp_path: Path, count: int) -> None:
    options = ["--max-files", str(10 * count)]
    with Line(tmp_path, account="requests_per_second = 5000\nuploads_at_once = 16", sandbox=options) as line:
        line.start_sandbox()
        line.started()
        burst(line, count, seconds=5)
        line.wait_for(lambda: line.ended() >= count, f"the end of {count} jobs", seconds=120 + count / 20)
        assert line.stop() == 0
        verdict = line.keeps_every_promise()
        assert (verdict.delivered, verdict.exports, verdict.extra_runs) == (count, count, 0)


SAMPLES = Path(__file__).parents[3] / "shared" / "samples"


def test_the_demo_delivers_every_kind_within_fifteen_seconds(tmp_path: Path) -> None:
    started = time.monotonic()
    demo = hopperd("demo", "--dir", str(tmp_path / "demo"))
    assert demo.returncode == 0, demo.stdout + demo.stderr
    # 15 s on a machine that has nothing else to do; other tests may run beside this one.
    assert time.monotonic() - started < 15 * 2 * patience(), demo.stdout
    assert "8 of 8 delivered" in demo.stdout
    exports = list((tmp_path / "demo" / "out").rglob("*.xlsx"))
    assert len(exports) == 8
    assert (tmp_path / "demo" / "out" / "branch-office" / "maple-ridge-packaging.xlsx") in exports


@pytest.mark.skipif(not SAMPLES.is_dir(), reason="the real sample invoices are not beside this checkout")
@pytest.mark.parametrize(
    "most",
    [pytest.param(6, id="some"), pytest.param(None, id="all", marks=[pytest.mark.long, pytest.mark.timeout(0)])],
)
def test_the_demo_outlives_real_invoices(tmp_path: Path, most: int | None) -> None:
    """The smallest of each type; the long form takes all of them."""
    invoices = sorted((path for path in SAMPLES.iterdir() if path.is_file()), key=lambda path: path.stat().st_size)
    if most is not None:
        rank = {path: [p for p in invoices if p.suffix == path.suffix].index(path) for path in invoices}
        invoices = sorted(invoices, key=lambda path: (rank[path], path.stat().st_size))[:most]
    given = tmp_path / "given"
    given.mkdir()
    for path in invoices:
        shutil.copy(path, given)
    demo = hopperd("demo", "--dir", str(tmp_path / "demo"), "--from", str(given), timeout=280 if most else 1200)
    receipts = list((tmp_path / "demo").rglob("*.receipt.json"))
    assert len(receipts) == len(invoices), demo.stdout + demo.stderr
    for receipt in receipts:
        document = json.loads(receipt.read_text())
        assert document["outcome"] == "delivered" or document["failure"]["what"], receipt
    shutil.rmtree(tmp_path / "demo")
