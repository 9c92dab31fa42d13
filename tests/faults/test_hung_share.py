"""A share that hangs at a start: its folder waits and says so, every other goes on as if it were not there."""

from __future__ import annotations

import contextlib
import ctypes
import datetime
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.line import Line, hopperd, invoice, patience

pytestmark = [
    pytest.mark.timeout(120),
    pytest.mark.skipif(os.geteuid() != 0, reason="mounting a file system that hangs needs root"),
]

MNT_DETACH = 2

HUNG = """
quiet_seconds = 0.2
sweep_seconds = 2
export_format = "Csv"
[[folders]]
name = "hung"
path = "{path}"
account = "main"
region = "US"
"""


@contextlib.contextmanager
def hanging(path: Path) -> Iterator[None]:
    """Mount a file system at `path` whose server never says a word: every call waits, until it is taken away."""
    libc = ctypes.CDLL(None, use_errno=True)
    try:
        server = os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC)
    except OSError as error:
        pytest.skip(f"no share can be made to hang here: {error}")
    options = f"fd={server},rootmode=40000,user_id=0,group_id=0".encode()
    if libc.mount(b"hopperd-test", os.fsencode(path), b"fuse", 0, options):
        os.close(server)
        pytest.skip(f"no share can be made to hang here: {os.strerror(ctypes.get_errno())}")
    try:
        yield
    finally:
        libc.umount2(os.fsencode(path), MNT_DETACH)
        os.close(server)


def of(line: Line, folder: str) -> dict[str, Any]:
    (found,) = [one for one in line.asked("/v1/status")["folders"] if one["folder"] == folder]
    return dict(found)


def not_swept_seconds(line: Line, folder: str) -> float:
    swept = datetime.datetime.fromisoformat(of(line, folder)["swept"])
    return (datetime.datetime.now(datetime.UTC) - swept).total_seconds()


@contextlib.contextmanager
def line_with(tmp_path: Path, share: Path) -> Iterator[Line]:
    share.mkdir()
    with Line(tmp_path, folder=HUNG.format(path=share)) as line:
        line.start_sandbox()
        yield line


def test_a_share_that_hangs_at_a_start_delays_no_other_folder_and_no_stop(tmp_path: Path) -> None:
    share = tmp_path / "share"
    with line_with(tmp_path, share) as line:
        with hanging(share):
            line.put_in("on-the-other.pdf", invoice(1))
            line.start()
            line.wait_for(lambda: (line.state / "control.sock").exists(), "the start", 60)
            line.wait_ended(1)
            line.wait_for(lambda: "does not answer" in str(of(line, "hung")["trouble"]), "the word about the share", 30)
            assert of(line, "us")["trouble"] is None
        line.wait_for(lambda: (share / "in" / ".hopperd-id").exists(), "the first start of the share", 30)
        (share / "in" / "waited.pdf").write_bytes(invoice(2))
        line.wait_for(lambda: list((share / "out").glob("waited*")), "the delivery from the share", 30)
        assert of(line, "hung")["trouble"] is None
        with hanging(share):
            line.wait_for(lambda: not_swept_seconds(line, "hung") > 6.0, "a sweep that hangs", 40)
            ready = json.loads(line.fetched("/readyz"))
            assert "did not answer" in ready["not_ready"]["folder hung"][0], ready
            assert "folder us" in ready["proven"], ready
            began = time.monotonic()
            assert line.stop() == 0
            assert time.monotonic() - began < 20 * patience()
            assert line.events("threads-hang")
        line.keeps_every_promise()


def test_check_and_fsck_name_the_folder_that_hangs_try_the_others_and_end(tmp_path: Path) -> None:
    share = tmp_path / "share"
    with line_with(tmp_path, share) as line:
        line.put_in("one.pdf", invoice(1))
        line.started()
        line.wait_ended(1)
        assert line.stop() == 0
        config = ["--config", str(line.config)]
        stray = tmp_path / "done" / "nobody-knows.pdf"
        stray.write_bytes(b"x")
        with hanging(share):
            began = time.monotonic()
            checked = hopperd("check", *config, timeout=60)
            assert checked.returncode == 2, checked
            assert f"folder hung: {share}/in does not answer" in checked.stdout and "mount it again" in checked.stdout
            assert "folder us" not in checked.stdout, "the other one is fine"
            compared = hopperd("fsck", "--json", *config, timeout=90)
            rebuilt = hopperd("fsck", "--rebuild", *config, timeout=60)
            assert time.monotonic() - began < 100
        assert compared.returncode == 1, compared
        found = {one["folder"]: one for one in json.loads(compared.stdout)["findings"]}
        assert "does not answer" in found["hung"]["what"]
        assert found["us"]["file"] == "nobody-knows.pdf", "the other one was compared"
        assert rebuilt.returncode == 3 and "Nothing was put in place" in rebuilt.stderr
        assert f"{share}/in does not answer" in rebuilt.stderr


def test_a_share_that_begins_to_hang_is_said_and_keeps_no_other_folder_from_its_account(tmp_path: Path) -> None:
    """With more jobs of it than are looked at at once at the service, whose looks are all due while it hangs."""
    share = tmp_path / "share"
    share.mkdir()
    with Line(tmp_path, folder=HUNG.format(path=share), processing_seconds="15-15") as line:
        line.start_sandbox()
        line.started()
        line.wait_for(lambda: (share / "in" / ".hopperd-id").exists(), "the first start of the share", 30)
        for number in range(75):
            (share / "in" / f"{number}.pdf").write_bytes(invoice(number))
        submitted = "/v1/jobs?stage=submitted&limit=100"
        line.wait_for(lambda: len(line.asked(submitted)["jobs"]) > 66, "more at the service than are looked at at once")
        with hanging(share):
            line.wait_for(lambda: "does not answer" in str(of(line, "hung")["trouble"]), "the word about the share", 60)
            line.put_in("on-the-other.pdf", invoice("other"))
            line.wait_ended(1)
            assert of(line, "us")["trouble"] is None
            assert [event["folder"] for event in line.events("folder-trouble")] == ["hung"]
        line.wait_for(lambda: len(list((share / "done").rglob("*.pdf"))) == 75, "the deliveries from the share", 60)
        assert of(line, "hung")["trouble"] is None
        assert line.stop() == 0
        assert len(line.deeds("run")) == 76
