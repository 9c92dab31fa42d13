"""Whether a folder answers at all: a share that hangs keeps whoever asks it for ever, and says nothing.

Every question is put by a thread that may be left behind; `hopperd.threads.leave` ends the process all the same.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor, wait
from typing import Any, Final, TypeVar

from hopperd.pipeline.naming import printable
from hopperd.ports import FolderTrouble
from hopperd.threads import NAME

Given = TypeVar("Given")

PATIENCE_SECONDS: Final = 10.0


def asked_at_once(calls: Mapping[str, Callable[[], Given]], seconds: float) -> dict[str, Given | None]:
    """What each call gave, None where it did not within `seconds` after all were begun. Raises what a call raises."""
    if not calls:
        return {}
    threads = ThreadPoolExecutor(len(calls), NAME)
    asked: dict[str, Future[Given]] = {name: threads.submit(call) for name, call in calls.items()}
    threads.shutdown(wait=False)
    answered = wait(list(asked.values()), seconds).done
    return {name: future.result() if future in answered else None for name, future in asked.items()}


class Asked:
    """Questions to one folder, however long each works. `pool` has at least two threads."""

    def __init__(self, pool: Executor, roots: Sequence[bytes], patience_seconds: float = PATIENCE_SECONDS) -> None:
        self._pool = pool
        self._roots = roots
        self._patience = patience_seconds
        self._unanswered: asyncio.Future[None] | None = None

    async def run(self, call: Callable[[], Given]) -> Given:
        """What `call` gives. FolderTrouble if its folder does not even answer a small question meanwhile; after that
        nothing is asked of it any more until it does."""
        if self._unanswered is not None and not self._unanswered.done():
            raise self._trouble()
        loop = asyncio.get_running_loop()
        asked = loop.run_in_executor(self._pool, call)
        asked.add_done_callback(_seen)
        while not (await asyncio.wait({asked}, timeout=self._patience))[0]:
            small = loop.run_in_executor(self._pool, look, self._roots)
            first: set[asyncio.Future[Any]] = {small, asked}
            if not (await asyncio.wait(first, timeout=self._patience, return_when=asyncio.FIRST_COMPLETED))[0]:
                self._unanswered = small
                raise self._trouble()
        return asked.result()

    def _trouble(self) -> FolderTrouble:
        return FolderTrouble("gone", silence(self._roots[0], 2 * self._patience), self._roots[0])


def silence(root: bytes, seconds: float) -> str:
    return (
        f"{printable(root)} does not answer (waited {seconds:.0f} s): its share or disk hangs. See whether its server "
        f"is up and mount it again (umount -l, then mount)"
    )


def look(roots: Sequence[bytes]) -> None:
    """Asks the server: what only names the folder may be answered from memory."""
    for root in roots:
        with contextlib.suppress(OSError):
            os.statvfs(root)


def _seen(asked: asyncio.Future[Given]) -> None:
    """Left behind, it may still fail; nobody is there to hear it."""
    if not asked.cancelled():
        asked.exception()
