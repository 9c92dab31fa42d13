"""From the settings to a daemon that runs, and to its orderly end."""

from __future__ import annotations

import asyncio
import gc
import sys
import time
from typing import Final

import structlog

from hopperd import notify, signals
from hopperd.app import Daemon
from hopperd.errors import ExitCode, LedgerError, LedgerInUse
from hopperd.ledger.choice import open_ledger
from hopperd.ledger.store import Store
from hopperd.neighbours import Neighbours
from hopperd.ports import LedgerTrouble
from hopperd.settings import Settings
from hopperd.web.control_socket import is_answered

log = structlog.get_logger("hopperd")

COMMAND_SECONDS: Final = 10.0
DATABASE_SECONDS: Final = 60.0


async def _open_ledger(settings: Settings, node: str | None) -> Store:
    """A command that reads the ledger itself (status, a health check) has it for a moment: that is no second daemon.
    A database may still be starting, as this machine is."""
    began = time.monotonic()
    while True:
        try:
            return await asyncio.to_thread(open_ledger, settings, node=node)
        except LedgerInUse:
            if time.monotonic() > began + COMMAND_SECONDS or is_answered(settings.state):
                raise
        except LedgerTrouble as trouble:
            if settings.ledger is None or time.monotonic() > began + DATABASE_SECONDS:
                raise LedgerError(f"{trouble}.") from None
        await asyncio.sleep(0.1)


async def run_daemon(settings: Settings, *, once: bool = False, wait_seconds: float = 600.0) -> ExitCode:
    """Open the ledger, prove the folders, run until told to stop. Raises HopperdError before it starts."""
    # The ledger has a thread of its own: with Python's default of 5 ms a busy event loop would starve it.
    sys.setswitchinterval(0.001)
    for warning in settings.warnings:
        log.warning("configuration", what=warning)
    notify.tell("STATUS=opening the ledger")
    neighbours = Neighbours(settings)
    store = await _open_ledger(settings, neighbours.id)
    try:
        await neighbours.enter()
        daemon = Daemon(settings, store, neighbours)
        notify.tell("STATUS=proving the folders")
        await daemon.prepare()
        gc.freeze()  # what was made so far lives as long as we do: no collection need look at it again
        signals.listen(daemon.stop, daemon.reload)
        try:
            with signals.waking(asyncio.get_running_loop()):
                return await daemon.run(once=once, wait_seconds=wait_seconds)
        finally:
            await daemon.close()
    finally:
        await neighbours.leave()
        await store.close()
