"""A signal is heard at once, also by a loop that sleeps with nothing to wake it."""

from __future__ import annotations

import asyncio
import signal
import threading
import time

from hopperd import signals

SLEEPS_SECONDS = 1.0


def _heard_after() -> float:
    """Seconds until the loop heard a signal that arrived at another thread while it slept."""

    async def sleep() -> float:
        loop, heard = asyncio.get_running_loop(), asyncio.Event()
        signal.signal(signal.SIGUSR1, lambda *_: loop.call_soon_threadsafe(heard.set))
        ready = threading.Event()
        sent: list[float] = []

        def send() -> None:
            ready.wait()
            time.sleep(0.1)
            sent.append(time.monotonic())
            signal.pthread_kill(threading.get_ident(), signal.SIGUSR1)

        other = threading.Thread(target=send)
        other.start()
        loop.call_later(0.01, ready.set)
        loop.call_later(SLEEPS_SECONDS, lambda: None)
        with signals.waking(loop):
            await heard.wait()
        other.join()
        return time.monotonic() - sent[0]

    before = signal.getsignal(signal.SIGUSR1)
    try:
        return asyncio.run(sleep())
    finally:
        signal.signal(signal.SIGUSR1, before)


def test_a_signal_at_another_thread_wakes_a_loop_that_sleeps() -> None:
    assert _heard_after() < SLEEPS_SECONDS / 2
