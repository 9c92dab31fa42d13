"""Events of the file system: a hint that something changed, and nothing more. No name is ever passed on.

watchfiles loses events without a word, dies of a name that is not UTF-8, and goes blind when its root is made anew. So
it is supervised: whatever happens to it, it is started again and the sweep is woken, and the sweep is the truth.

It is not told to look for subfolders itself: for that it goes through every name below, and nothing else moves until it
is through, three seconds with a million. The sweep has seen them.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import threading
import time
from collections.abc import Callable, Collection, Generator, Sequence
from concurrent.futures import Executor

import structlog
import watchfiles

from hopperd.folders.mounts import mount_of
from hopperd.pipeline.naming import printable

log = structlog.get_logger("hopperd.watch")

DEBOUNCE_MS = 200
STEP_MS = 125  # how often a watch is asked for its events; each time costs, also where there are none
QUICK_STEP_MS = 50
PART = 200  # paths that are begun to be watched at once
ROOT_SECONDS = 2.0  # how often it is asked whether the root is still the same
SECOND_WAKE_SECONDS = 1.0  # files that came into a fresh subfolder before it was watched gave no event
SHORTEST_PAUSE_SECONDS = 0.5
LONGEST_PAUSE_SECONDS = 30.0
HEALTHY_SECONDS = 60.0
_LIMITS = {
    errno.ENOSPC: "fs.inotify.max_user_watches",
    errno.EMFILE: "fs.inotify.max_user_instances",
}

Changes = set[tuple[watchfiles.Change, str]]


class Watch:
    """Wakes `wake` whenever something changes below `path`. `without_events` says why it cannot, once it cannot.

    `thread` is its own, one, and the only one that asks the disk: a share that hangs takes no one else's. Where nothing
    happens it alone wakes up, eight times a second, and the event loop never.
    """

    def __init__(
        self, path: bytes, wake: Callable[[], None], thread: Executor | None = None, step_ms: int = QUICK_STEP_MS
    ) -> None:
        self._path = path
        self._step_ms = step_ms
        self._wake = wake
        self._thread = thread
        self._later: asyncio.TimerHandle | None = None
        self._folders: frozenset[str] = frozenset()
        self._stop: threading.Event | None = None
        self._folders_moved = False
        self.restarts = 0
        self.without_events: str | None = None

    def follow(self, folders: Collection[bytes]) -> None:
        """The subfolders to be watched as well, by their paths below `path`. Who makes one causes an event, so that a
        sweep follows. One whose name is not UTF-8 cannot be watched: the sweep alone finds what lies in it."""
        watched = frozenset(name for folder in folders if (name := _text(folder)))
        if watched != self._folders:
            self._folders, self._folders_moved = watched, True
            if self._stop is not None:
                self._stop.set()

    async def run(self) -> None:
        """Until cancelled; ends early where no events can come."""
        loop = asyncio.get_running_loop()
        mount = await loop.run_in_executor(self._thread, mount_of, self._path)
        if mount is not None and not mount.is_local:
            self.without_events = f"{mount.kind} gives no events of changes made elsewhere; the sweep alone finds files"
            log.info("events-off", path=printable(self._path), what=self.without_events)
            return
        pause = SHORTEST_PAUSE_SECONDS
        try:
            while True:
                started, self._folders_moved = loop.time(), False
                await self._watch_once(loop)
                if self._folders_moved:
                    continue
                self.restarts += 1
                self._wake()
                healthy = loop.time() - started > HEALTHY_SECONDS
                pause = SHORTEST_PAUSE_SECONDS if healthy else min(LONGEST_PAUSE_SECONDS, pause * 2)
                await asyncio.sleep(pause)
        finally:
            if self._later is not None:
                self._later.cancel()

    async def _watch_once(self, loop: asyncio.AbstractEventLoop) -> None:
        """One life of a watch. Whatever ends it, but our own cancellation, is a reason to start anew."""
        stop = self._stop = threading.Event()
        try:
            if await loop.run_in_executor(self._thread, self._listen, loop, stop, self._folders):
                self._folders_moved = True
        except (asyncio.CancelledError, GeneratorExit):
            raise
        except BaseException as error:  # what goes wrong inside watchfiles need not be an Exception
            self._say(error)
        finally:
            stop.set()

    def _listen(self, loop: asyncio.AbstractEventLoop, stop: threading.Event, folders: Collection[str]) -> bool:
        """On the thread, until the watch ends: whether that is for a subfolder, which only a new watch sees into."""
        root = _root_of(self._path)
        if root is None:
            return False
        below = _there(os.fsdecode(self._path), folders)
        with contextlib.ExitStack() as ended:
            watches = [ended.enter_context(contextlib.closing(watch)) for watch in self._watches(below, stop)]
            looked = 0.0
            while (batch := _next_of_each(watches)) is not None:
                if self.without_events is not None:
                    loop.call_soon_threadsafe(self._works)
                if batch:
                    loop.call_soon_threadsafe(self._heard)
                elif not looked:  # now it stands; what came after the last sweep and before gave no event
                    loop.call_soon_threadsafe(self._wake)
                if any(path in below and change is not watchfiles.Change.modified for change, path in batch):
                    return True  # gone, or another of its name
                if batch or time.monotonic() - looked > ROOT_SECONDS:
                    looked = time.monotonic()
                    if _root_of(self._path) != root:
                        return False  # the root is another folder now: this watch would never see a thing again
        return False

    def _watches(self, below: Collection[str], stop: threading.Event) -> list[Generator[Changes, None, None]]:
        """Each begins when it is first asked, with Python's lock held: 0.15 ms for each path. All of them asked in turn
        take a step together."""
        paths = [os.fsdecode(self._path), *below]
        parts = [paths[first : first + PART] for first in range(0, len(paths), PART)]
        return [
            watchfiles.watch(
                *part,
                watch_filter=None,
                debounce=DEBOUNCE_MS,
                step=max(1, self._step_ms // len(parts)),
                rust_timeout=1,  # ms: after a step without events
                yield_on_timeout=True,
                stop_event=stop,
                recursive=False,
                ignore_permission_denied=True,
            )
            for part in parts
        ]

    def _works(self) -> None:
        self.without_events = None

    def _heard(self) -> None:
        self._wake()
        if self._later is not None:
            self._later.cancel()
        self._later = asyncio.get_running_loop().call_later(SECOND_WAKE_SECONDS, self._wake)

    def _say(self, error: BaseException) -> None:
        number = getattr(error, "errno", None)
        sysctl = _LIMITS.get(number) if isinstance(number, int) else None
        if sysctl is None:
            sysctl = next((name for number, name in _LIMITS.items() if f"os error {number}" in str(error)), None)
        if sysctl is None and "OS file watch limit" in str(error):
            sysctl = _LIMITS[errno.ENOSPC]
        if sysctl is not None:
            what = (
                f"the kernel's limit {sysctl} is reached; raise it with sysctl. Until then the sweep alone finds files"
            )
        else:
            what = f"{type(error).__name__}: {error}"
        if what != self.without_events:
            log.warning("watch-restarts", path=printable(self._path), what=printable(what))
        self.without_events = what


def _next_of_each(watches: Sequence[Generator[Changes, None, None]]) -> Changes | None:
    """What each has to tell, in turn; None once they are told to stop."""
    told: Changes = set()
    for watch in watches:
        changes = next(watch, None)
        if changes is None:
            return None
        told |= changes
    return told


def _text(folder: bytes) -> str:
    try:
        return folder.decode()
    except UnicodeDecodeError:
        return ""


def _there(root: str, folders: Collection[str]) -> frozenset[str]:
    paths = (os.path.join(root, folder) for folder in folders)
    return frozenset(path for path in paths if os.path.isdir(path))


def _root_of(path: bytes) -> tuple[int, int] | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino
