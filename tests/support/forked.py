"""hopperd as processes of their own, forked from one that has imported it already: a second of imports less for each.

A real process all the same, with signals, deaths and open files; only its start is cheaper than a system's. Tests whose
matter is a start, and all benchmarks, start it anew (tests/support/line.py).
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from multiprocessing.reduction import DupFd
from pathlib import Path
from typing import IO, Any

_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(["tests.support.preloaded"])


class Forked:
    """What the tests use of subprocess.Popen."""

    def __init__(
        self,
        arguments: Sequence[str],
        *,
        environment: Mapping[str, str],
        stdout: Path | None,
        stderr: Path,
        user: int | None = None,
    ) -> None:
        """Output is added to files; without `stdout` it comes through a pipe of that name. `user`: root becomes it."""
        self.stdout: IO[bytes] | None = None
        ours, theirs = os.pipe() if stdout is None else (-1, -1)
        try:
            out = DupFd(theirs) if stdout is None else stdout
            given = (list(arguments), dict(environment), os.getcwd(), out, stderr, user)
            self._process = _context.Process(target=_be_hopperd, args=given, daemon=True)
            self._process.start()
        finally:
            if theirs >= 0:
                os.close(theirs)
        if ours >= 0:
            self.stdout = os.fdopen(ours, "rb")
        assert self._process.pid is not None
        self.pid: int = self._process.pid

    @property
    def returncode(self) -> int | None:
        return self._process.exitcode

    def poll(self) -> int | None:
        return self._process.exitcode

    def wait(self, timeout: float | None = None) -> int:
        self._process.join(timeout)
        if self._process.exitcode is None:
            raise subprocess.TimeoutExpired("hopperd", timeout or 0.0)
        return self._process.exitcode

    def send_signal(self, number: int) -> None:
        if self._process.exitcode is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


def run(
    arguments: Sequence[str], environment: Mapping[str, str], timeout: float, user: int | None = None
) -> subprocess.CompletedProcess[str]:
    """One command to its end, with what it printed."""
    with tempfile.TemporaryDirectory() as folder:
        out, err = Path(folder, "out"), Path(folder, "err")
        process = Forked(arguments, environment=environment, stdout=out, stderr=err, user=user)
        try:
            code = process.wait(timeout)
        finally:
            process.kill()
        return subprocess.CompletedProcess(list(arguments), code, out.read_text(), err.read_text())


def _be_hopperd(
    arguments: list[str], environment: dict[str, str], folder: str, out: Any, err: Path, user: int | None
) -> None:
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    for target, given in ((1, out), (2, err)):
        file = os.open(given, os.O_WRONLY | os.O_CREAT | os.O_APPEND) if isinstance(given, Path) else given.detach()
        os.dup2(file, target)
        os.close(file)
    sys.argv = ["hopperd", *arguments]
    from hopperd.__main__ import main

    if user is not None:
        os.setgroups([])
        os.setgid(user)
        os.setuid(user)
    main()
