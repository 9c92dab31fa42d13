"""The threads that do file work: each hot folder has its own, so that a share that hangs keeps only those. Uploads and
results, which may take long, have others than what is quick.

Nobody can take a thread back from a system call that never returns: at the end it is left behind. Every command passes
here when it ends, so that what is heavy is imported only by a daemon.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from hopperd.pool import Pool

NAME: Final = "hopperd-files"
THREADS: Final = 24
"""Most of the time they wait for the disk to be sure, and those who wait together share one write of its journal."""

MOST_FOLDER_THREADS: Final = 128
HUNG_SECONDS: Final = 5.0


class FileThreads:
    def __init__(self, folders: Sequence[str]) -> None:
        from hopperd.pool import Pool

        each = max(2, min(THREADS, MOST_FOLDER_THREADS // max(1, len(folders))))
        self._of = {folder: Pool(each, f"{NAME}-{folder}") for folder in folders}
        self._transfers = {folder: Pool(each, f"{NAME}-{folder}-transfers") for folder in folders}
        self._asking = {folder: Pool(1, f"{NAME}-{folder}-asking") for folder in folders}
        self._watching = {folder: Pool(1, f"{NAME}-{folder}-watch") for folder in folders}

    def of(self, folder: str) -> Pool:
        return self._of[folder]

    def transfers(self, folder: str) -> Pool:
        return self._transfers[folder]

    def asking(self, folder: str) -> Pool:
        """For the question whether the folder answers, which is not to stand behind anything else."""
        return self._asking[folder]

    def watching(self, folder: str) -> Pool:
        """For the watch of the folder, which keeps it for good."""
        return self._watching[folder]

    def waiting_seconds(self, folder: str) -> float:
        """For how long the oldest of what was asked of the folder has been waiting; 0 where nothing is."""
        return max(self._of[folder].waiting_seconds(), self._transfers[folder].waiting_seconds())

    async def end(self) -> None:
        """What was not begun is called off, what was is waited for, but not for ever."""
        import asyncio

        import structlog

        each = (self._of, self._transfers, self._asking, self._watching)
        pools = [pool for of in each for pool in of.values()]
        for pool in pools:
            pool.shutdown(wait=False, cancel_futures=True)
        if not await asyncio.to_thread(_ended, HUNG_SECONDS):
            log = structlog.get_logger("hopperd")
            log.warning("threads-hang", what="a disk or share does not answer; what was asked of it is given up")


def _ours() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith(NAME)]


def _ended(seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    for thread in _ours():
        thread.join(max(0.0, deadline - time.monotonic()))
    return not _ours()


def leave(code: int) -> None:
    """End the process, without waiting for threads that hang, as Python would do for ever."""
    if _ours():
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)
