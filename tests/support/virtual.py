"""An event loop whose time jumps to the next timer, so that hours pass in milliseconds and always in the same order.

For worlds without sockets, threads or child processes: whoever waits for one of those would wait for ever, and the loop
says so instead.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import selectors
from collections.abc import Callable
from typing import Any


class StandsStill(AssertionError):
    """Nothing can happen any more, and something is still waited for."""


class VirtualSelector(selectors.SelectSelector):
    """Never waits, and never looks: nothing is ever ready. What would have been waited is added to the loop's time."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0

    def select(self, timeout: float | None = None) -> list[Any]:
        if timeout is None:
            raise StandsStill("the world stands still: no timer is set and nothing is to be done")
        self.now += max(0.0, timeout)
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self._virtual = VirtualSelector()
        super().__init__(self._virtual)
        self._clock_resolution = 1e-6

    def time(self) -> float:
        return self._virtual.now


class InlineExecutor(concurrent.futures.Executor):
    """Does what it is given at once, on the loop's own thread."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> concurrent.futures.Future[Any]:
        future: concurrent.futures.Future[Any] = concurrent.futures.Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except BaseException as error:
            future.set_exception(error)
        return future


class VirtualClock:
    """The port Clock on a virtual loop. `step` moves the wall clock as an operator's `date` would."""

    def __init__(self, loop: asyncio.AbstractEventLoop, start: float) -> None:
        self._loop = loop
        self._start = start

    def now(self) -> float:
        return self._start + self._loop.time()

    def monotonic(self) -> float:
        return self._loop.time()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    def step(self, seconds: float) -> None:
        self._start += seconds
