"""Whether each hot folder answers: a share that begins to hang while we work on it says nothing, and lets nobody go.

Nothing is asked of a folder that works. Where something has been waiting for it for long, it is asked a small question;
while that is not answered either, the folder counts as hanging: it is said, nothing more is begun in it, and what it
keeps of the account's places is given back. The answer, whenever it comes, ends that.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Final

from hopperd.workers.intake import Intake
from hopperd.workers.parts import FolderParts, Parts

LOOK_SECONDS: Final = 2.0
PATIENCE_SECONDS: Final = 10.0


class Answering:
    """Of all folders of one daemon. `run` goes on until it is cancelled."""

    def __init__(self, parts: Parts, intakes: Mapping[str, Intake]) -> None:
        self._parts = parts
        self._intakes = intakes
        self._asking: set[str] = set()

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            while True:
                await self._parts.clock.sleep(LOOK_SECONDS)
                for name, folder in self._parts.folders.items():
                    is_slow = folder.waiting_seconds() > PATIENCE_SECONDS
                    # Before it has been proven, its intake asks it, and waits no longer than it may.
                    if is_slow and name not in self._asking and self._intakes[name].proven.is_set():
                        self._asking.add(name)
                        group.create_task(self._ask(name, folder))

    async def _ask(self, name: str, folder: FolderParts) -> None:
        asked = asyncio.ensure_future(folder.answers())
        intake = self._intakes[name]
        try:
            if not (await asyncio.wait({asked}, timeout=PATIENCE_SECONDS))[0]:
                folder.hangs.set()
                intake.say_hanging(2 * PATIENCE_SECONDS)
                await asyncio.wait({asked})
                folder.hangs.clear()
                intake.wake()
                self._parts.wake()
        finally:
            self._asking.discard(name)
