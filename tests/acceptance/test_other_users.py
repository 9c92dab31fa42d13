"""Commands by another user than hopperd's: what may not be entered is not called missing; root leaves nothing shut."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from hopperd.ledger.store import Store
from tests.support import forked
from tests.support.line import environment, hopperd

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="acting as two users needs root")

THEIRS, ANOTHER = 65533, 65534


@pytest.fixture
def config() -> Iterator[Path]:
    """A hot folder and a state folder of user 65533, where every user can look."""
    root = Path(tempfile.mkdtemp(prefix="hopperd-users-"))
    root.chmod(0o755)
    config = root / "hopperd.toml"
    config.write_text(
        f"""state = "{root}/state"
[accounts.main]
location = "us"
application_id = "any"
[[folders]]
name = "us"
path = "{root}/us"
account = "main"
region = "US"
"""
    )
    for name in ("in", "work", "out", "done", "failed"):
        (root / "us" / name).mkdir(parents=True)
    (root / "state").mkdir(mode=0o700)
    give(root)
    yield config
    shutil.rmtree(root)


def give(root: Path) -> None:
    for path in (root, *root.rglob("*")):
        os.chown(path, THEIRS, THEIRS)


def make_ledger(root: Path) -> None:
    asyncio.run(Store.open_state(root / "state").close())
    give(root)


def as_user(user: int, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Forked, for Python itself may lie where that user cannot look."""
    return forked.run(arguments, environment(), 120, user=user)


@pytest.mark.parametrize("order", [["status"], ["fsck"], ["list"], ["forget", "x"], ["fsck", "--rebuild"], ["tail"]])
def test_a_state_folder_that_may_not_be_entered_is_not_called_missing(config: Path, order: list[str]) -> None:
    make_ledger(config.parent)
    told = as_user(ANOTHER, *order, "--config", str(config))
    assert told.returncode == 3, told.stderr
    assert f"belongs to #{THEIRS}" in told.stderr
    assert f"sudo -u '#{THEIRS}' hopperd status" in told.stderr


def test_a_folder_that_all_may_enter_does_not_open_its_ledger_to_them(config: Path) -> None:
    make_ledger(config.parent)
    (config.parent / "state").chmod(0o755)
    told = as_user(ANOTHER, "status", "--config", str(config))
    assert told.returncode == 3
    assert f"belongs to #{THEIRS}" in told.stderr


@pytest.mark.parametrize("state_is_lost", [False, True])
def test_a_ledger_that_root_makes_anew_is_hopperds_own(config: Path, state_is_lost: bool) -> None:
    if state_is_lost:
        (config.parent / "state").rmdir()
    told = hopperd("fsck", "--rebuild", "--config", str(config), cwd="/")
    assert told.returncode == 0, told.stderr
    made = [path for path in config.parent.rglob("*") if path.is_file()]
    assert {path.name for path in made} > {"ledger.sqlite", "ledger-id", "lock", ".hopperd-id"}
    assert {path.stat().st_uid for path in made} == {THEIRS}
    assert (config.parent / "state").stat().st_uid == THEIRS
