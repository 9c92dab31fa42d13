"""Runs one twin until it is told to stop: one line on stdout, its own log on stderr, an orderly end on a signal."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
import sys
from typing import Final

from aiohttp import web

from hopperd.sandbox.config import SandboxConfig
from hopperd.sandbox.server import make_app
from hopperd.signals import waking

LOOPBACK: Final = "127.0.0.1"
SHUTDOWN_SECONDS: Final = 1.0
BACKLOG: Final = 1024
SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)

log = logging.getLogger("hopperd.sandbox")


def run_sandbox(config: SandboxConfig) -> int:
    """Serves until SIGTERM or SIGINT; the exit code: 0, or 2 when the port or the log file cannot be used."""
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    logging.getLogger("aiohttp").setLevel(logging.CRITICAL)  # it tells every malformed request with a traceback
    try:
        return asyncio.run(serve(config))
    except OSError as error:
        sys.stderr.write(f"The sandbox cannot start: {error.strerror or error}.\n")
        return 2
    except KeyboardInterrupt:
        return 0


async def serve(config: SandboxConfig) -> int:
    """Announces the address on stdout, serves, ends on a signal."""
    stop = asyncio.Event()
    end_on_signals(asyncio.get_running_loop(), stop)
    runner = web.AppRunner(
        make_app(config),
        access_log=None,
        shutdown_timeout=SHUTDOWN_SECONDS,
        max_line_size=16_384,
        max_field_size=16_384,
    )
    listener = listen(config.port)
    try:
        await runner.setup()
        await web.SockSite(runner, listener, backlog=BACKLOG).start()
        announce(f"sandbox listening on http://{LOOPBACK}:{listener.getsockname()[1]}")
        with waking(asyncio.get_running_loop()):
            await stop.wait()
    finally:
        await runner.cleanup()
        listener.close()
        for each in SIGNALS:
            signal.signal(each, signal.SIG_IGN)  # a second one would kill the interpreter on its last steps
    return 0


def end_on_signals(loop: asyncio.AbstractEventLoop, stop: asyncio.Event) -> None:
    """SIGTERM and SIGINT set `stop`. Not the loop's own handlers: those go with it, and a second signal would kill."""

    def on_signal(number: int, frame: object) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: we are ending already
            loop.call_soon_threadsafe(stop.set)

    for each in SIGNALS:
        signal.signal(each, on_signal)


def listen(port: int) -> socket.socket:
    """A socket on loopback; raises OSError with a sentence when the port is taken."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((LOOPBACK, port))
    except OSError as error:
        listener.close()
        raise OSError(error.errno, f"port {port} cannot be used ({os.strerror(error.errno or 0)})") from error
    return listener


def announce(line: str) -> None:
    """The one line on stdout. That nobody reads it is no reason to stop."""
    try:
        sys.stdout.write(line + "\n")
        sys.stdout.flush()
    except BrokenPipeError:
        log.warning("Nobody reads stdout.")
