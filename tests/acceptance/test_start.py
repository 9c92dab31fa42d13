"""How a start goes when something is in its way for a moment."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import threading
from pathlib import Path

import pytest

from tests.support.line import Line

pytestmark = pytest.mark.timeout(120)


def test_a_start_waits_for_a_command_that_has_the_ledger_for_a_moment(tmp_path: Path) -> None:
    """A health check that asks while the daemon starts must not make the start fail."""
    with Line(tmp_path) as line:
        line.start_sandbox()
        line.state.mkdir(mode=0o700)
        with (line.state / "lock").open("w") as held:
            (line.state / "lock").chmod(0o600)
            fcntl.flock(held, fcntl.LOCK_EX)
            threading.Timer(5.0, lambda: fcntl.flock(held, fcntl.LOCK_UN)).start()
            line.started()
        assert line.stop() == 0


def test_a_second_daemon_on_the_same_state_is_refused(tmp_path: Path) -> None:
    with Line(tmp_path) as line:
        line.start_sandbox()
        line.started()
        second = line.command("run")
        assert second.returncode == 3
        assert "in use by process" in second.stderr


def test_a_state_folder_that_answers_with_an_error_is_a_sentence_and_an_exit_code(tmp_path: Path) -> None:
    if shutil.which("strace") is None or subprocess.run(["strace", "-o", os.devnull, "true"], check=False).returncode:
        pytest.skip("there is no strace here that may inject errors")
    with Line(tmp_path) as line:
        line.start_sandbox()
        line.state.mkdir(mode=0o700)
        inject = ["-e", "trace=bind", "-e", "inject=bind:error=EIO"]
        line.launcher = ["strace", "-D", "-f", "-qq", "-o", str(tmp_path / "strace.log"), *inject]
        assert line.start().wait(timeout=60) == 3
        said = (tmp_path / "hopperd.log").read_text()
        assert "(INJECTED)" in (tmp_path / "strace.log").read_text()
        assert "control.sock cannot be made: Input/output error" in said
        assert "Traceback" not in said
        line.launcher = []
        line.started()
        assert line.stop() == 0
