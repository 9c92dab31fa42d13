"""What systemd is told, and that the watchdog is fed by progress alone."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from hopperd import notify
from hopperd.ports import LedgerTrouble
from hopperd.workers.pulse import Pulse
from tests.support.line import Line, environment


class Manager:
    """The service manager's end of the line."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(self.path)
        self._socket.settimeout(30)

    def next(self) -> list[str]:
        return self._socket.recv(4096).decode().split("\n")

    def waiting(self) -> list[str]:
        told: list[str] = []
        self._socket.setblocking(False)
        with suppress(BlockingIOError):
            while True:
                told += self.next()
        return told

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def manager(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Manager]:
    listening = Manager(tmp_path / "notify")
    monkeypatch.setenv("NOTIFY_SOCKET", listening.path)
    monkeypatch.setenv("WATCHDOG_USEC", "200000")
    monkeypatch.delenv("WATCHDOG_PID", raising=False)
    yield listening
    listening.close()


def test_nobody_listens_and_nothing_happens(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    assert notify.tell("READY=1") is False
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "gone"))
    assert notify.tell("READY=1") is False


def test_a_status_never_smuggles_in_a_second_assignment(manager: Manager) -> None:
    assert notify.tell("STATUS=a\nREADY=1")
    assert manager.next() == ["STATUS=a READY=1"]


def test_the_watchdog_of_another_process_is_not_ours() -> None:
    assert notify.watchdog_seconds({"WATCHDOG_USEC": "5000000", "WATCHDOG_PID": "1"}) is None
    assert notify.watchdog_seconds({"WATCHDOG_USEC": "5000000", "WATCHDOG_PID": str(os.getpid())}) == 5.0
    assert notify.watchdog_seconds({"WATCHDOG_USEC": "0"}) is None
    assert notify.watchdog_seconds({}) is None


async def _for(seconds: float, *works: asyncio.Task[None]) -> None:
    done, _ = await asyncio.wait(works, timeout=seconds)
    for work in works:
        work.cancel()
    await asyncio.gather(*works, return_exceptions=True)
    for ended in done:
        ended.result()


@pytest.mark.asyncio
async def test_the_watchdog_is_fed_while_everything_gets_on(manager: Manager) -> None:
    await _for(0.3, asyncio.create_task(notify.keep_telling(list, lambda: "2 jobs open")))
    told = manager.waiting()
    assert told.count("WATCHDOG=1") >= 3
    assert "STATUS=2 jobs open" in told


@pytest.mark.asyncio
async def test_the_watchdog_starves_and_the_status_says_why_when_one_fact_is_silent(manager: Manager) -> None:
    await _for(0.3, asyncio.create_task(notify.keep_telling(lambda: ["ledger"], lambda: "2 jobs open")))
    told = manager.waiting()
    assert "WATCHDOG=1" not in told
    assert "STATUS=no progress of ledger; 2 jobs open" in told


def test_each_fact_may_be_silent_for_its_own_time() -> None:
    now = 100.0
    pulse = Pulse(lambda: now)
    pulse.allow("sweep", 30.0)
    assert pulse.silent() == []
    now += 20.0
    assert pulse.silent() == ["loop"]
    now += 20.0
    pulse.beat("loop")
    assert pulse.silent() == ["sweep"]
    now += 30.0
    assert set(pulse.silent()) == {"loop", "ledger", "sweep"}


@pytest.mark.asyncio
async def test_a_ledger_that_hangs_is_silent_and_one_in_trouble_is_not() -> None:
    async def hangs() -> None:
        await asyncio.Event().wait()

    async def full() -> None:
        raise LedgerTrouble("the disk is full")

    for ask, silent in ((hangs, ["ledger"]), (full, [])):
        times = iter([0.0])  # when it was made; a thousand seconds have passed since
        pulse = Pulse(lambda times=times: next(times, 1000.0))  # type: ignore[misc]
        pulse.beat("sweep")
        await _for(0.1, asyncio.create_task(pulse.keep(ask)))
        assert pulse.silent() == silent


def test_ready_is_told_once_the_control_socket_answers_and_stopping_at_the_end(tmp_path: Path) -> None:
    from hopperd.web.control_socket import is_answered

    listening = Manager(tmp_path / "notify")
    with Line(tmp_path) as line:
        line.start_sandbox()
        command = [sys.executable, "-m", "hopperd", "run", "--config", str(line.config)]
        with (tmp_path / "hopperd.log").open("wb") as log:
            clean = {**environment(), "NOTIFY_SOCKET": listening.path}
            line.daemon = subprocess.Popen(command, env=clean, stdout=log, stderr=log)
        while "READY=1" not in listening.next():
            pass
        assert is_answered(line.state), "READY=1 came before the control socket answered"
        line.daemon.terminate()
        while "STOPPING=1" not in listening.next():
            pass
        assert line.daemon.wait(timeout=40) == 0
    listening.close()
