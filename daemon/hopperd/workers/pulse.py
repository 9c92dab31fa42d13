"""Whether the daemon lives: three facts, each told by whoever did the work, never by a bare timer.

`loop`: the event loop came round. `ledger`: the pump answered a question, were it with trouble. `sweep`: a hot folder
was looked at, or a file was taken from one. The systemd watchdog and /healthz ask the same pulse. Bad weather is no
silence: a full disk, a share that is gone and a pause all answer.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from typing import Final, Literal, get_args

from hopperd.ports import LedgerTrouble

Fact = Literal["loop", "ledger", "sweep"]
FACTS: Final[tuple[Fact, ...]] = get_args(Fact)

BEAT_SECONDS: Final = 1.0
LOOP_SECONDS: Final = 15.0
LEDGER_SECONDS: Final = 60.0
SWEEP_SECONDS: Final = 600.0
"""The digest of a hundred megabytes over a slow share takes minutes, and eight are taken at a time."""


class Pulse:
    """When each fact was last seen, and which have been silent for longer than they may."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._allowed: dict[Fact, float] = {"loop": LOOP_SECONDS, "ledger": LEDGER_SECONDS, "sweep": SWEEP_SECONDS}
        self._seen: dict[Fact, float] = dict.fromkeys(FACTS, monotonic())

    def allow(self, fact: Fact, seconds: float) -> None:
        """How long this fact may be silent."""
        self._allowed[fact] = seconds

    def beat(self, fact: Fact) -> None:
        self._seen[fact] = self._monotonic()

    def ages(self) -> dict[Fact, float]:
        """Seconds since each fact was last seen."""
        now = self._monotonic()
        return {fact: now - seen for fact, seen in self._seen.items()}

    def silent(self) -> list[str]:
        """The facts that have been silent for too long; [] for a daemon that lives."""
        return [fact for fact, age in self.ages().items() if age > self._allowed[fact]]

    async def keep(self, ask_ledger: Callable[[], Awaitable[object]]) -> None:
        """Beat for the loop, and for the ledger each time it answers `ask_ledger`. Runs until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._keep_loop())
            group.create_task(self._keep_ledger(ask_ledger))

    async def _keep_loop(self) -> None:
        while True:
            self.beat("loop")
            await asyncio.sleep(BEAT_SECONDS)

    async def _keep_ledger(self, ask: Callable[[], Awaitable[object]]) -> None:
        while True:
            with contextlib.suppress(LedgerTrouble):  # weather: it is said elsewhere, and a pump that says it is alive
                await ask()
            self.beat("ledger")
            await asyncio.sleep(BEAT_SECONDS)
