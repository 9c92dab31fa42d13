"""What systemd is told (sd_notify): ready, reloading, stopping, the backlog in one line, and that we live.

Silent where nobody listens. A word that cannot be sent is dropped: it must never cost or delay any work.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import time
from collections.abc import Callable, Mapping
from typing import Final

import structlog

log = structlog.get_logger("hopperd.notify")

TOLD_EVERY_SECONDS: Final = 5.0


def tell(*assignments: str) -> bool:
    """Send assignments such as `READY=1` to the service manager that started us; whether they were sent."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address.startswith(("/", "@")):
        return False
    message = "\n".join(assignment.replace("\n", " ") for assignment in assignments).encode()
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as line:
        line.sendto(message, "\0" + address[1:] if address[0] == "@" else address)
        return True
    return False


def reloading() -> None:
    """The time stamp is what Type=notify-reload asks for; other types ignore it."""
    tell("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}", "STATUS=reading the configuration again")


def watchdog_seconds(environ: Mapping[str, str] = os.environ) -> float | None:
    """How long the watchdog waits for a sign of life, where one watches over this process."""
    usec, pid = environ.get("WATCHDOG_USEC", ""), environ.get("WATCHDOG_PID", "")
    if not usec.isdecimal() or int(usec) == 0 or (pid and pid != str(os.getpid())):
        return None
    return int(usec) / 1e6


async def keep_telling(silent: Callable[[], list[str]], status: Callable[[], str]) -> None:
    """The backlog now and then, and a sign of life for as long as nothing is `silent`. Runs until cancelled."""
    allowed = watchdog_seconds()
    every = TOLD_EVERY_SECONDS if allowed is None else min(TOLD_EVERY_SECONDS, allowed / 4)
    told: list[str] = []
    while True:
        missing = silent()
        if missing:
            tell(f"STATUS=no progress of {', '.join(missing)}; {status()}")
        else:
            tell("WATCHDOG=1", f"STATUS={status()}")
        if missing != told:
            (log.error if missing else log.info)("no-progress" if missing else "progress-again", of=missing)
            told = missing
        await asyncio.sleep(every)
