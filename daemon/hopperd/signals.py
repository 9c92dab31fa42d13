"""Where signals arrive: SIGTERM and the first SIGINT stop in order, a second SIGINT ends at once, SIGHUP reloads."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
from collections.abc import Awaitable, Callable, Iterator


@contextlib.contextmanager
def waking(loop: asyncio.AbstractEventLoop) -> Iterator[None]:
    """A signal wakes the loop. Python runs a handler when the main thread goes on: one that arrives just before that
    falls asleep, or at another thread, would wait for whatever happens next."""
    here, there = socket.socketpair()
    with here, there:
        here.setblocking(False)
        there.setblocking(False)
        loop.add_reader(here, here.recv, 4096)
        signal.set_wakeup_fd(there.fileno(), warn_on_full_buffer=False)
        try:
            yield
        finally:
            signal.set_wakeup_fd(-1)
            loop.remove_reader(here)


def listen(stop: Callable[[], None], reload: Callable[[], Awaitable[None]]) -> None:
    """Not with the loop's own handlers: those go with the loop, and a signal that comes late would kill us then."""
    loop = asyncio.get_running_loop()
    interrupts = 0
    reloads: set[asyncio.Future[None]] = set()

    def soon(call: Callable[[], object]) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: we are ending already
            loop.call_soon_threadsafe(call)

    def interrupt(number: int, _: object) -> None:
        nonlocal interrupts
        interrupts += number == signal.SIGINT
        if interrupts > 1:
            # Safe at any instant: whatever is not in the ledger did not happen, and the next start sees to the rest.
            os._exit(130)
        soon(stop)

    def begin_reload() -> None:
        task = asyncio.ensure_future(reload())
        reloads.add(task)
        task.add_done_callback(reloads.discard)

    signal.signal(signal.SIGTERM, interrupt)
    signal.signal(signal.SIGINT, interrupt)
    signal.signal(signal.SIGHUP, lambda *_: soon(begin_reload))
