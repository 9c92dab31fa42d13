"""Turns of an account on a virtual clock, for pure timers: no sockets."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from hopperd.capture.admission import Limits
from hopperd.capture.limits import AccountLimits
from hopperd.pipeline.job import JobId
from hopperd.ports import ServiceTrouble

FAST = Limits(requests_per_second=10_000.0)


class VirtualLoop(asyncio.SelectorEventLoop):
    """Time jumps to the next timer as soon as nothing else is to be done. For pure timers only: no sockets."""

    def __init__(self) -> None:
        self.at = 1000.0

        class Jumping(selectors.SelectSelector):
            def select(inner, timeout: float | None = None) -> Any:  # `self` is the loop
                self.at += timeout or 0.0
                return super().select(0)

        super().__init__(Jumping())

    def time(self) -> float:
        return self.at


class LoopClock:
    def now(self) -> float:
        return 1.7e9 + self.monotonic()

    def monotonic(self) -> float:
        return asyncio.get_running_loop().time()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


def on_virtual_clock(work: Callable[[], Coroutine[Any, Any, None]], monkeypatch: pytest.MonkeyPatch) -> None:
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        loop = runner.get_loop()

        class Time:
            monotonic = staticmethod(loop.time)

        monkeypatch.setattr("asyncio_throttle.throttler.time", Time)
        runner.run(work())


def limits(given: Limits = FAST, **more: Any) -> AccountLimits:
    return AccountLimits("main", given, clock=LoopClock(), random=lambda: 0.0, **more)


def job(number: int) -> JobId:
    return JobId(f"job-{number}")


def weather(status: int | None = None, **more: Any) -> ServiceTrouble:
    kind = "network" if status is None else "rate" if status == 429 else "server"
    return ServiceTrouble("weather", "trouble", kind=kind, status=status, **more)  # type: ignore[arg-type]


REFUSED = ServiceTrouble("account", "not you", kind="credentials", status=401)


def is_paused(turns: AccountLimits) -> bool:
    return turns.pause_now is not None


async def settle() -> None:
    for _ in range(50):
        await asyncio.sleep(0)
