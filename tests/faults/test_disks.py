"""Disks that fill up, turn read-only, vanish or answer with errors, each folder and the ledger in turn.

Each time: nothing is lost, the status says what is wrong, and everything goes on by itself when the cause is gone.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.fleet import Fleet
from tests.support.line import Line, invoice
from tests.support.postgres import Server

pytestmark = [
    pytest.mark.timeout(300),
    pytest.mark.skipif(os.geteuid() != 0, reason="mounting small file systems of the test's own needs root"),
]

NO_FLOOR = "free_space_bytes = 0"
PLACES = {
    "front": ("in", "work"),
    "out": ("out",),
    "done": ("done",),
    "failed": ("failed",),
    "state": ("state",),
    "database": (),
}


class Disk:
    """A tmpfs with some of a line's folders on it, each reached through a link at its usual place."""

    def __init__(self, root: Path, name: str, *, size: str = "2m") -> None:
        self.mount = root / "disks" / name
        self.mount.mkdir(parents=True)
        self._size = size
        self.attach()
        for place in PLACES[name]:
            (self.mount / place).mkdir(mode=0o700)
            os.symlink(self.mount / place, root / place)

    def attach(self) -> None:
        done = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={self._size}", "hopperd-test", str(self.mount)], capture_output=True
        )
        if done.returncode:
            pytest.skip("a tmpfs cannot be mounted here")

    def detach(self) -> None:
        subprocess.run(["umount", "-l", str(self.mount)], capture_output=True, check=False)

    def fill(self) -> None:
        with (self.mount / "ballast").open("wb", buffering=0) as file, contextlib.suppress(OSError):
            while True:
                file.write(bytes(4096))

    def empty(self) -> None:
        (self.mount / "ballast").unlink()

    def read_only(self, on: bool) -> None:
        """Busy for as long as something is being written: tried until it is let."""
        deadline = time.monotonic() + 20
        while subprocess.run(
            ["mount", "-o", f"remount,{'ro' if on else 'rw'}", str(self.mount)], capture_output=True
        ).returncode:
            assert time.monotonic() < deadline, "the remount was never let"
            time.sleep(0.1)


@contextlib.contextmanager
def line_on(tmp_path: Path, name: str, **options: str) -> Iterator[tuple[Line, Disk]]:
    disk = Disk(tmp_path, name, size="16m" if name == "state" else "2m")
    try:
        top = options.pop("top", NO_FLOOR)
        with Line(tmp_path, top=top, folder='export_format = "Csv"', **options) as line:
            line.start_sandbox()
            line.started()
            put(line, "before.pdf")
            line.wait_ended(1)
            yield line, disk
            assert line.stop() == 0
            line.keeps_every_promise()
            assert not line.events("internal-error")
    finally:
        disk.detach()


def put(line: Line, name: str, content: bytes | None = None) -> None:
    """Whole at once, also where in/ lies on a disk of its own."""
    line.aside = line.root / "in" / ".aside"
    line.put_in(name, invoice(f"{line.root.name} {name}") if content is None else content)


def says(line: Line) -> str:
    """Everything that the status and the list say is wrong."""
    jobs = [job["waiting"] for job in line.asked("/v1/jobs")["jobs"] if job.get("waiting")]
    return " | ".join([str(line.folder()["trouble"] or ""), *jobs])


def wait_until_said(line: Line, *words: str) -> None:
    line.wait_for(lambda: any(word in says(line) for word in words), f"a word of {words}", 40)


@pytest.mark.parametrize("name", ["out", "done", "failed"])
def test_a_full_disk_is_waited_for(tmp_path: Path, name: str) -> None:
    with line_on(tmp_path, name) as (line, disk):
        disk.fill()
        put(line, "while-full.pdf", b"plain text, to be refused" if name == "failed" else None)
        wait_until_said(line, os.strerror(errno.ENOSPC))
        assert line.ended() == 1
        disk.empty()
        line.wait_ended(2)


def test_a_full_disk_of_in_and_work_is_waited_for_once_the_export_is_delivered(tmp_path: Path) -> None:
    """A claim is a rename and needs no room; filing away to another disk writes a note into work/ first."""
    with line_on(tmp_path, "front") as (line, disk):
        put(line, "fits.pdf")
        disk.fill()
        wait_until_said(line, os.strerror(errno.ENOSPC))
        assert line.files("out").keys() == {"before.csv", "fits.csv"}
        disk.empty()
        line.wait_ended(2)


def test_a_full_disk_of_the_ledger_is_waited_for_and_nothing_is_done_that_it_does_not_call_for(tmp_path: Path) -> None:
    with line_on(tmp_path, "state") as (line, disk):
        disk.fill()
        for number in range(40):
            put(line, f"{number}.pdf")
        wait_until_said(line, "the ledger cannot be written")
        runs = len(line.deeds("run"))
        time.sleep(1.5)
        assert len(line.deeds("run")) == runs, "a Run whose intent could not be written"
        disk.empty()
        line.wait_ended(41)
        assert line.keeps_every_promise().extra_runs == 0


@pytest.mark.skipif(shutil.which("setpriv") is None, reason="needs setpriv")
@pytest.mark.parametrize("name", ["out", "done", "failed"])
def test_a_place_that_may_not_be_written_is_said_of_the_folder_at_once(tmp_path: Path, name: str) -> None:
    with Line(tmp_path) as line:
        line.start_sandbox()
        line.launcher = ["setpriv", "--bounding-set", "-dac_override,-dac_read_search", "--"]
        line.started()
        place = tmp_path / name
        line.wait_for(lambda: (place / ".hopperd-id").exists(), "the first start")
        place.chmod(0o500)
        line.put_in("one.pdf", b"plain text, to be refused" if name == "failed" else invoice(1))
        line.wait_for(lambda: os.strerror(errno.EACCES) in str(line.folder()["trouble"]), "the folder's trouble", 20)
        assert len(line.events("folder-trouble")) == 1
        place.chmod(0o700)
        line.wait_ended(1)
        line.wait_for(lambda: line.folder()["trouble"] is None, "the end of the trouble", 20)
        assert len(line.events("folder-back")) == 1


@pytest.mark.parametrize("name", ["front", "out", "done", "failed"])
def test_a_disk_that_turns_read_only_pauses_intake_and_says_so(tmp_path: Path, name: str) -> None:
    with line_on(tmp_path, name, processing_seconds="3") as (line, disk):
        put(line, "under-way.pdf")
        put(line, "under-way-to-failed.pdf", b"plain text, to be refused" if name == "failed" else None)
        if name != "failed":
            line.wait_for(lambda: len(line.deeds("run")) == 3, "the Runs")
        disk.read_only(True)
        if name != "front":
            put(line, "later.pdf")
        wait_until_said(line, "read-only", os.strerror(errno.EROFS))
        line.wait_for(lambda: "nothing new is taken in" in str(line.folder()["trouble"]), "the pause of intake", 20)
        disk.read_only(False)
        if name == "front":
            put(line, "later.pdf")
        line.wait_ended(4)


@pytest.mark.parametrize("name", ["front", "out", "failed"])
def test_a_mount_that_is_gone_pauses_intake_and_nothing_is_made_in_its_place(tmp_path: Path, name: str) -> None:
    """The share itself is the folder: under it lies an empty one, and the daemon must not take that for the share."""
    with line_on(tmp_path, name, processing_seconds="2") as (line, disk):
        put(line, "under-way.pdf")
        line.wait_for(lambda: len(line.deeds("run")) == 2, "the Run")
        aside = tmp_path / "aside-mount"
        aside.mkdir()
        subprocess.run(["mount", "--bind", str(disk.mount), str(aside)], check=True)
        try:
            disk.detach()
            for place in PLACES[name]:
                (disk.mount / place).mkdir()
            wait_until_said(line, "Is the share mounted?")
            if name != "front":
                put(line, "later.pdf")
                time.sleep(1.5)
                assert (tmp_path / "in" / "later.pdf").exists(), "intake goes on without its folders"
            for place in PLACES[name]:
                assert os.listdir(disk.mount / place) == [], "something was made where the share is missing"
                (disk.mount / place).rmdir()
            subprocess.run(["mount", "--bind", str(aside), str(disk.mount)], check=True)
        finally:
            subprocess.run(["umount", "-l", str(aside)], check=False)
        if name == "front":
            put(line, "later.pdf")
        line.wait_ended(3)
        assert line.folder()["trouble"] is None


def test_a_ledger_whose_disk_is_read_only_at_start_is_said_and_nothing_is_sent(tmp_path: Path) -> None:
    with line_on(tmp_path, "state") as (line, disk):
        assert line.stop() == 0
        disk.read_only(True)
        put(line, "later.pdf")
        refused = line.start()
        assert refused.wait(timeout=60) == 3
        assert "read-only" in line.tail().lower()
        assert "Traceback" not in line.tail(100)
        disk.read_only(False)
        line.started()
        line.wait_ended(2)
        assert len(line.deeds("run")) == 2


def test_a_ledger_whose_disk_is_gone_is_missed_and_none_is_made_in_its_place(tmp_path: Path) -> None:
    with line_on(tmp_path, "state") as (line, disk):
        aside = tmp_path / "aside-mount"
        aside.mkdir()
        subprocess.run(["mount", "--bind", str(disk.mount), str(aside)], check=True)
        try:
            disk.detach()  # the running daemon goes on with what it has open
            put(line, "under-way.pdf")
            line.wait_ended(2)
            assert line.stop() == 0
            for place in PLACES["state"]:
                (disk.mount / place).mkdir()
            put(line, "later.pdf")
            refused = line.start()
            assert refused.wait(timeout=60) == 3, line.tail()
            assert len(line.deeds("run")) == 2, "sent without the ledger that knows what was sent"
            assert (tmp_path / "in" / "later.pdf").exists()
            shutil.rmtree(disk.mount / "state")
            subprocess.run(["mount", "--bind", str(aside), str(disk.mount)], check=True)
        finally:
            subprocess.run(["umount", "-l", str(aside)], check=False)
        line.started()
        line.wait_ended(3)
        assert len(line.deeds("run")) == 3


def test_below_the_floor_of_free_space_nothing_new_is_taken_in_and_what_is_in_hand_ends(tmp_path: Path) -> None:
    with line_on(tmp_path, "done", top="free_space_bytes = 1_000_000", processing_seconds="2") as (line, disk):
        put(line, "under-way.pdf")
        line.wait_for(lambda: len(line.deeds("run")) == 2, "the Run")
        with (disk.mount / "ballast").open("wb") as file:
            file.write(bytes(1_500_000))
        put(line, "later.pdf")
        wait_until_said(line, "free_space_bytes")
        line.wait_ended(2)
        assert (tmp_path / "in" / "later.pdf").exists()
        disk.empty()
        line.wait_ended(3)


# ------------------------------------------------------------------------------------------------------ I/O errors


def under_strace(line: Line, log: Path, *options: str) -> None:
    if shutil.which("strace") is None:
        pytest.skip("there is no strace to inject errors with")
    works = subprocess.run(["strace", "-f", "-o", os.devnull, "true"], capture_output=True)
    if works.returncode:
        pytest.skip("strace may not trace here")
    line.launcher = ["strace", "-D", "-f", "-qq", "-o", str(log), *options]


def test_io_errors_of_the_folders_delay_and_lose_nothing(tmp_path: Path) -> None:
    """In each thread one rename, one link, one new folder and one fsync fail; later ones do what they should."""
    with Line(tmp_path, top=NO_FLOOR, folder='export_format = "Csv"') as line:
        faults = {"renameat2": 3, "linkat": 2, "mkdirat": 2, "fsync": 30}
        injected = [("-e", f"inject={call}:error=EIO:when={when}") for call, when in faults.items()]
        options = [word for pair in injected for word in pair]
        under_strace(line, tmp_path / "strace.log", "-e", f"trace={','.join(faults)}", *options)
        line.start_sandbox()
        for number in range(12):
            line.put_in(f"{number}.pdf", invoice(number))
        line.put_in("refused.pdf", b"plain text, to be refused")
        line.started()
        line.wait_ended(13, seconds=150)
        assert "(INJECTED)" in (tmp_path / "strace.log").read_text()
        assert line.stop() == 0
        verdict = line.keeps_every_promise()
        assert (verdict.delivered, verdict.extra_runs) == (12, 0)
        assert not line.events("internal-error")


def test_after_an_fsync_error_of_the_ledger_nothing_is_ever_written_to_that_descriptor_again(tmp_path: Path) -> None:
    """SQLite's own close may sync it once more, for what had been synced before; nothing new relies on that."""
    with Line(tmp_path, top=NO_FLOOR) as line:
        wal = line.state / "ledger.sqlite-wal"
        under_strace(
            line,
            tmp_path / "strace.log",
            *("-P", str(wal), "-e", "trace=fsync,fdatasync,pwrite64,close"),
            *("-e", "inject=fsync,fdatasync:error=EIO:when=8..40+8"),
        )
        line.start_sandbox()
        for number in range(10):
            line.put_in(f"{number}.pdf", invoice(number))
        line.started()
        line.wait_ended(10, seconds=120)
        assert line.events("ledger-trouble") or line.events("ledger.trouble"), "nothing was said"
        assert line.stop() == 0
        verdict = line.keeps_every_promise()
        assert verdict.delivered == 10
        assert _distrusted(tmp_path / "strace.log") >= 2


_FAILED_SYNC = re.compile(r"^\d+ +f(?:data)?sync\((\d+)\) += -1")
_WRITE = re.compile(r"^\d+ +pwrite64\((\d+),")
_CLOSE = re.compile(r"^\d+ +close\((\d+)\)")


def _distrusted(log: Path) -> int:
    """How many descriptors had a failed sync; AssertionError where one of them is written to before it is closed."""
    failed: set[str] = set()
    count = 0
    for text in log.read_text().splitlines():
        if sync := _FAILED_SYNC.match(text):
            failed.add(sync[1])
            count += 1
        elif write := _WRITE.match(text):
            assert write[1] not in failed, f"written to after a failed sync: {text}"
        elif close := _CLOSE.match(text):
            failed.discard(close[1])
    return count


def test_a_full_disk_at_the_database_stops_all_nodes_and_loses_nothing(tmp_path: Path) -> None:
    root = Path(tempfile.mkdtemp(prefix="hopperd-database-"))
    root.chmod(0o755)  # the server is another user's
    disk = Disk(root, "database", size="128m")
    try:
        server = Server("max_wal_size = 32MB\n", within=str(disk.mount))
        names, folder = ["a", "b"], 'export_format = "Csv"'
        with Fleet(tmp_path, names, server=server, folder=folder, processing_seconds="1-3") as fleet:
            fleet.started()
            a = fleet["a"]
            _put(fleet.first, 0, 20)
            a.wait_for(lambda: len(fleet.first.deeds("run")) >= 5, "five Runs")
            disk.fill()
            _put(fleet.first, 20, 60)
            a.wait_for(lambda: a.events("ledger-trouble"), "trouble being said", 60)
            disk.empty()
            if server.process is not None and server.process.poll() is not None:  # it gives up where its log is full
                server.start()
            a.wait_ended(60, 120)
            fleet.stop()
            fleet.first.keeps_every_promise()
        server.remove()
    finally:
        disk.detach()
        shutil.rmtree(root, ignore_errors=True)


def _put(line: Line, start: int, end: int) -> None:
    for number in range(start, end):
        line.put_in(f"{number}.pdf", invoice(f"database-{number}"))
