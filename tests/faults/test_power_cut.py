"""The plug is pulled at random moments: whatever was not yet on the disk is gone.

The hot folder and the ledger lie on an ext4 image of their own. A cut copies the image as it stands (what the kernel
still held back is not in it), throws the mounted one away, and goes on from the copy, after the file system's own
recovery. The long form cuts a hundred times, or `--cuts N` times.
"""

from __future__ import annotations

import hashlib
import os
import random
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.support.line import Line, invoice
from tests.support.oracle import files_below, sha256_of

IMAGE_MIB = 64
CUTS = 6


class Disk:
    """An image file, mounted; `cut` is what remains after a power cut."""

    def __init__(self, folder: Path, size_mib: int) -> None:
        self.image, self.mount = folder / "disk.img", folder / "mnt"
        self.mount.mkdir()
        with self.image.open("wb") as file:
            file.truncate(size_mib << 20)
        subprocess.run(["mkfs.ext4", "-q", "-F", str(self.image)], check=True)

    def attach(self) -> None:
        subprocess.run(["mount", "-o", "loop", str(self.image), str(self.mount)], check=True, capture_output=True)

    def detach(self) -> None:
        subprocess.run(["umount", "-l", str(self.mount)], check=False, capture_output=True)

    def cut(self) -> None:
        """Only what has reached the image survives."""
        survived = self.image.with_suffix(".cut")
        shutil.copyfile(self.image, survived)
        self.detach()  # children of the daemon may take a moment to die; what they still write goes to the old image
        os.rename(survived, self.image)
        self.attach()


def put_durably(line: Line, name: str, content: bytes) -> None:
    """As a careful program puts it in: it is on the disk before anybody may rely on it."""
    target = line.root / "in" / name
    aside = line.root / "aside"
    with aside.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    os.rename(aside, target)
    folder = os.open(target.parent, os.O_RDONLY)
    os.fsync(folder)
    os.close(folder)
    line.put[hashlib.sha256(content).hexdigest()] += 1


def nothing_is_lost(line: Line) -> None:
    found = [
        sha256_of(path)
        for place in ("in", "work", "done", "failed")
        for path in files_below(line.root / place)
        if not path.endswith(b".receipt.json")
    ]
    missing = set(line.put) - set(found)
    assert not missing, f"promise 1: {len(missing)} of {len(line.put)} originals are gone after a power cut"


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting an image needs root")
@pytest.mark.timeout(0)
@pytest.mark.parametrize("form", ["short", pytest.param("long", marks=pytest.mark.long)])
def test_a_power_cut_loses_nothing_and_pays_for_nothing_twice_in_silence(
    tmp_path: Path, form: str, request: pytest.FixtureRequest
) -> None:
    cuts = CUTS if form == "short" else request.config.getoption("--cuts")
    disk = Disk(tmp_path, IMAGE_MIB + cuts)
    try:
        disk.attach()
    except (subprocess.CalledProcessError, FileNotFoundError):
        pytest.skip("an image cannot be mounted here")
    rng = random.Random(41)
    try:
        folder = 'quiet_seconds = 0.1\nexport_format = "Json"'
        with Line(disk.mount, folder=folder, top="free_space_bytes = 1000000") as line:
            line.log, line.logs = tmp_path / "sandbox.jsonl", tmp_path
            line.start_sandbox()
            (disk.mount / "in").mkdir()
            subprocess.run(["sync", "-f", str(disk.mount)], check=True)
            number = 0
            for cut in range(cuts):
                deeds = line.log.stat().st_size
                line.start()
                moment = time.monotonic() + rng.uniform(0.5, 2.5)
                has_worked = cut % 2 == 0  # every other cut waits until it has, however slow the machine is
                while time.monotonic() < moment or not has_worked:
                    has_worked = has_worked or line.log.stat().st_size > deeds
                    assert line.daemon is not None and line.daemon.poll() is None, line.tail()
                    put_durably(line, f"{number}.pdf", invoice(f"cut-{number}"))
                    number += 1
                    time.sleep(rng.uniform(0.0, 0.15))
                line.daemon.send_signal(signal.SIGSTOP)  # the plug: from here on nothing more is asked of the disk
                line.daemon.kill()
                line.daemon.wait()
                disk.cut()
                nothing_is_lost(line)
            assert line.once(seconds=300) == 0, line.tail()
            verdict = line.keeps_every_promise()
            print({"cuts": cuts, **verdict.figures()})
    finally:
        disk.detach()
