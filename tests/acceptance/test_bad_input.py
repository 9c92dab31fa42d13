"""What cannot succeed is never sent and says why; what is odd is carried unharmed; what is no plain file stays."""

from __future__ import annotations

import os
import shutil
import socket
import time
import unicodedata
from pathlib import Path
from typing import Any

import pytest

from hopperd.pipeline.job import new_job_id
from tests.support.line import Line, invoice, sha256
from tests.support.oracle import shown
from tests.support.specimens import MAX_PAGES, MAX_SIZE_BYTES, Specimen, cpu_hog, zoo

pytestmark = pytest.mark.timeout(300)

LIMITS = f"""
accept = ["pdf", "tiff", "jpeg", "png", "xml"]
max_size_bytes = {MAX_SIZE_BYTES}
max_pages = {MAX_PAGES}
empty_seconds = 1
keep_remote = true
"""
WITHOUT_ROOTS_EYES = ["setpriv", "--bounding-set", "-dac_override,-dac_read_search", "--"]


def left_alone(line: Line) -> dict[str, str]:
    return {left["file"]: left["reason"] for left in line.folder()["left_alone"]}


# ----------------------------------------------------------------------------------------------------- the content


@pytest.fixture(scope="module")
def visited(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A line that has met every specimen; what it made of each is looked at one by one."""
    with Line(tmp_path_factory.mktemp("zoo"), folder=LIMITS) as line:
        line.start_sandbox()
        for specimen in zoo():
            line.put_in(specimen.name, specimen.content)
        assert line.once() == 1, line.tail()
        yield (
            line,
            {
                name.rpartition("/")[2]: (place, receipt)
                for place in ("done", "failed")
                for name, receipt in line.receipts(place).items()
            },
        )


@pytest.mark.parametrize("specimen", zoo(), ids=lambda specimen: specimen.name)
def test_each_specimen_is_in_its_place_with_its_reason(visited: Any, specimen: Specimen) -> None:
    line, receipts = visited
    place, receipt = receipts[specimen.name]
    sent = [deed for deed in line.deeds("upload") if deed["sha256"] == sha256(specimen.content)]
    if specimen.reason is None:
        assert (place, receipt["outcome"]) == ("done", "delivered"), receipt.get("failure")
        assert len(sent) == 1
        return
    assert (place, receipt["outcome"]) == ("failed", "failed")
    failure = receipt["failure"]
    assert (failure["reason"], failure["fault"]) == (specimen.reason, "file"), failure
    assert specimen.says in failure["what"]
    assert failure["what"].endswith(".")
    assert failure["do"].endswith(".")
    assert not sent, "what is refused is never sent"


def test_nothing_of_the_zoo_is_lost_or_paid_for_in_vain(visited: Any) -> None:
    line, _ = visited
    verdict = line.keeps_every_promise()
    wanted = sum(1 for specimen in zoo() if specimen.reason is None)
    assert (verdict.delivered, verdict.runs) == (wanted, wanted)
    assert verdict.failed == len(zoo()) - wanted
    assert not line.events("internal-error")


def test_an_empty_file_is_given_time_to_grow(tmp_path: Path) -> None:
    with Line(tmp_path, folder="empty_seconds = 8") as line:
        line.start_sandbox()
        line.started()
        (tmp_path / "in" / "grows.pdf").touch()
        (tmp_path / "in" / "stays.pdf").touch()
        line.put[sha256(b"")] += 1
        time.sleep(1.5)  # both are looked at meanwhile
        assert not line.files("failed")
        (tmp_path / "in" / "grows.pdf").write_bytes(invoice("grown"))
        line.put[sha256(invoice("grown"))] += 1
        line.wait_ended(2)
        assert line.receipts("failed")["stays.pdf"]["failure"]["reason"] == "empty"
        assert line.stop() == 0
        assert line.keeps_every_promise().delivered == 1


# ------------------------------------------------------------------------------------------------------- the rights


def without_rights(line: Line) -> None:
    """Start the daemon so that the mode of a file counts, also where the tests run as root."""
    if os.geteuid() == 0:
        if shutil.which("setpriv") is None:
            pytest.skip("root reads everything, and there is no setpriv to take that right from the daemon")
        line.launcher = WITHOUT_ROOTS_EYES


def test_a_file_that_may_not_be_read_is_waited_for_and_then_fails_as_unreadable(tmp_path: Path) -> None:
    with Line(tmp_path, folder="unreadable_seconds = 15") as line:
        without_rights(line)
        line.start_sandbox()
        line.started()
        mended = line.put_in("mended.pdf", invoice("mended"))
        os.chmod(mended, 0)
        for name in ("never.pdf", "nor-this.pdf"):
            os.chmod(line.put_in(name, invoice(name)), 0)
        line.wait_for(lambda: len(left_alone(line)) == 3, "all three to be listed")
        assert set(left_alone(line).values()) == {"unreadable"}
        os.chmod(mended, 0o600)
        line.wait_ended(3)
        assert line.receipts().popitem()[1]["outcome"] == "delivered"
        failed = line.receipts("failed")
        assert set(failed) == {"never.pdf", "nor-this.pdf"}, "neither is taken for a copy of the other"
        for receipt in failed.values():
            assert (receipt["failure"]["reason"], receipt["failure"]["fault"]) == ("unreadable", "file")
            assert receipt["originals"][0]["sha256"] is None, "nobody knows its bytes"
        line.wait_for(lambda: not left_alone(line), "the list to be empty again")
        # Whoever mends its rights in failed/ can have it tried again.
        os.chmod(tmp_path / "failed" / "never.pdf", 0o600)
        assert line.command("retry", "never.pdf").returncode == 0
        line.wait_for(lambda: len(line.receipts()) == 2, "the retried one to be delivered")
        assert line.stop() == 0
        os.chmod(tmp_path / "failed" / "nor-this.pdf", 0o600)
        assert line.keeps_every_promise().runs == 2


def test_a_file_in_work_that_lost_its_rights_stops_nobody_at_the_next_start(tmp_path: Path) -> None:
    with Line(tmp_path) as line:
        without_rights(line)
        line.start_sandbox()
        line.started()
        line.kill()
        adopted = tmp_path / "work" / new_job_id(time.time(), b"adopt") / "a.pdf"
        adopted.parent.mkdir()
        adopted.write_bytes(invoice("a"))
        adopted.chmod(0)
        line.put_in("b.pdf", invoice("b"))
        line.started()
        line.wait_ended(2)
        assert line.receipts("failed")["a.pdf"]["failure"]["reason"] == "unreadable"
        assert line.receipts().popitem()[1]["outcome"] == "delivered"


# -------------------------------------------------------------------------------------------------------- the names

LONGEST = b"n" * 251 + b".pdf"
ODD_NAMES = [
    b"Rechnung-\xfc\xff.pdf",
    b"100%25 sure-\xe4.pdf",
    LONGEST,
    "ü".encode() * 125 + b".pdf",
    b"new\nline\r\t.pdf",
    b"-rf.pdf",
    b"--help",
    b"\"double\" 'single' `back` $HOME ;&|.pdf",
    b"back\\slash.pdf",
    "\u202efdp.live.pdf".encode(),
    unicodedata.normalize("NFC", "Zahlungserinnerung-ö.pdf").encode(),
    unicodedata.normalize("NFD", "Zahlungserinnerung-ö.pdf").encode(),
    b"CON.pdf",
    b"aux",
    b"trailing dot.",
    b" blanks around .pdf ",
    b"*?[a-z]{x}.pdf",
    b"\x01\x7f.pdf",
    "請求書 🧾.pdf".encode(),
    b"sub \xe9/deeper\n/same.pdf",
    b"sub \xe9/same.pdf",
    b"two.receipt.json.pdf",
    b"UPPER.PDF",
    b"upper.pdf",
]


def test_odd_names_are_carried_unharmed_through_every_folder_the_upload_and_the_receipt(tmp_path: Path) -> None:
    with Line(tmp_path, folder='keep_remote = true\nexport_format = "Csv"') as line:
        line.start_sandbox()
        content = {name: invoice(f"odd-{number}") for number, name in enumerate(ODD_NAMES)}
        for name, data in content.items():
            line.put_in(name, data)
        line.put_in(b"sub \xe9/\xff refused.pdf", b"plain text, no invoice at all")
        assert line.once() == 1, line.tail()
        assert line.keeps_every_promise().delivered == len(ODD_NAMES)
        day = time.strftime("%Y/%m/%d/", time.gmtime()).encode()
        done = {os.fsencode(name): path for name, path in line.files("done").items()}
        for name, data in content.items():
            with open(done[day + name], "rb") as file:
                assert file.read() == data
        told = {receipt["originals"][0]["name"]: receipt for receipt in line.receipts().values()}
        assert set(told) == {shown(name) for name in content}
        for name in content:
            at_the_service = told[shown(name)]["task"]["documents"][0]["files"]["source"]["name"]
            base = name.rpartition(b"/")[2]
            if _is_plain_text(base):
                assert at_the_service == base.decode()
            assert at_the_service.encode(), "whatever it is, it is text"
            stem = base.rpartition(b".")[0] or base
            assert told[shown(name)]["exports"][0]["name"].rpartition("/")[2].startswith(shown(stem)[:40])
        assert (tmp_path / "failed" / os.fsdecode(b"sub \xe9/\xff refused.pdf")).exists()


def _is_plain_text(name: bytes) -> bool:
    try:
        return name.decode().isprintable() and not set(name) & set(b'\\"')
    except UnicodeDecodeError:
        return False


# ------------------------------------------------------------------------------------------- what is no plain file


def test_what_is_no_plain_file_stays_untouched_and_is_listed_with_its_reason(tmp_path: Path) -> None:
    with Line(tmp_path) as line:
        line.start_sandbox()
        inbox = tmp_path / "in"
        inbox.mkdir()
        os.mkfifo(inbox / "pipe.pdf")
        elsewhere = tmp_path / "elsewhere"
        elsewhere.mkdir()
        (elsewhere / "real.pdf").write_bytes(invoice("elsewhere"))
        os.symlink(elsewhere / "real.pdf", inbox / "to-file.pdf")
        os.symlink(elsewhere, inbox / "to-folder")
        os.symlink(inbox, inbox / "round")
        os.symlink("loop.pdf", inbox / "loop.pdf")
        os.symlink("nowhere", inbox / "dangling.pdf")
        expected = dict.fromkeys(["to-file.pdf", "to-folder", "round", "loop.pdf", "dangling.pdf"], "link")
        expected["pipe.pdf"] = "fifo"
        listener = socket.socket(socket.AF_UNIX)
        here = os.open(inbox, os.O_RDONLY)
        try:
            listener.bind(f"/proc/self/fd/{here}/socket.pdf")
            expected["socket.pdf"] = "socket"
            if os.geteuid() == 0:
                os.mknod(inbox / "null.pdf", 0o020600, os.makedev(1, 3))
                expected["null.pdf"] = "device"
            (inbox / "folder.pdf").mkdir()
            (inbox / "folder.pdf" / "inner.pdf").write_bytes(invoice("inner"))
            line.put[sha256(invoice("inner"))] += 1
            line.started()
            line.wait_ended(1)
            line.wait_for(lambda: left_alone(line) == expected, "all of them to be listed")
        finally:
            listener.close()
            os.close(here)
        assert line.receipts().popitem()[0].endswith("folder.pdf/inner.pdf"), "a folder called x.pdf is a folder"
        assert (inbox / "folder.pdf").is_dir()
        assert {path.name for path in inbox.iterdir()} >= set(expected)
        assert [deed["sha256"] for deed in line.deeds("upload")] == [sha256(invoice("inner"))]
        assert line.stop() == 0


# ----------------------------------------------------------------------------------------------------------- poison


def test_three_deaths_of_children_are_poison_and_cost_the_others_nothing(tmp_path: Path) -> None:
    with Line(tmp_path, top="[inspection]\nseconds = 0.3") as line:
        line.start_sandbox()
        hogs = [line.put_in(f"{number}-hog.pdf", cpu_hog(number)) for number in range(2)]
        for number in range(60):
            line.put_in(f"{number}.pdf", invoice(f"good-{number}"))
        line.started()
        line.wait_for(lambda: len(line.receipts()) == 60, "the end of the good ones")
        line.wait_ended(62, seconds=120)
        failures = [receipt["failure"] for receipt in line.receipts("failed").values()]
        assert [failure["reason"] for failure in failures] == ["poison"] * len(hogs)
        assert "died 3 times" in failures[0]["what"]
        assert line.stop() == 0
        assert line.keeps_every_promise().runs == 60


def test_the_daemons_own_deaths_blame_nobody(tmp_path: Path) -> None:
    with Line(tmp_path, top="[inspection]\nseconds = 60") as line:
        line.start_sandbox()
        line.put_in("hog.pdf", cpu_hog())
        line.started()

        def suspected() -> bool:
            story = line.asked("/v1/job?name=hog.pdf")
            return [row["event"] for row in story.get("history", ())].count("child-died") == 1

        line.wait_for(suspected, "the end of the short first look")
        for _ in range(4):
            line.kill()
            line.started()
            line.wait_for(lambda: line.asked("/v1/status")["open"] == 1, "the job in hand")
        assert suspected(), "a look that our own death cut short was counted against the file"
