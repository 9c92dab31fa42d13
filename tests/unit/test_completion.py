"""Promise: a shell completes what hopperd knows."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest


def _asked(shell: str, **variables: str) -> str:
    environ = {**os.environ, "_HOPPERD_COMPLETE": f"complete_{shell}", **variables}
    done = subprocess.run([sys.executable, "-m", "hopperd"], env=environ, capture_output=True, text=True, timeout=60)
    return done.stdout


def test_commands_and_options_are_completed() -> None:
    assert _asked("bash", COMP_WORDS="hopperd st", COMP_CWORD="1").split() == ["status"]
    assert set(_asked("bash", COMP_WORDS="hopperd re", COMP_CWORD="1").split()) == {
        "retry",
        "release",
        "resume",
        "read",
    }
    assert "--watch" in _asked("bash", COMP_WORDS="hopperd status --w", COMP_CWORD="2").split()
    assert "status" in _asked("zsh", _TYPER_COMPLETE_ARGS="hopperd st")
    assert "status" in _asked("fish", _TYPER_COMPLETE_ARGS="hopperd st", _TYPER_COMPLETE_FISH_ACTION="get-args")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_is_one_that_the_shell_takes(shell: str, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "hopperd", "completion", shell]
    script = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
    assert "_HOPPERD_COMPLETE" in script
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    (tmp_path / "script").write_text(script)
    subprocess.run([shell, "-n", str(tmp_path / "script")], check=True, timeout=60)


def test_another_shell_is_refused_with_the_ones_there_are() -> None:
    command = [sys.executable, "-m", "hopperd", "completion", "tcsh"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert "fish" in done.stderr
