"""The pre-flight look into files, in a small pool of child processes that live on, each with one file in hand.

Implements the port `Inspector`. Only a child's death blames the file it had in hand: the processor time, memory and
stack it may use are its limits. That the disk is slow or the daemon is stopped blames nobody.

The first look is short, which is plenty for any ordinary file. Whoever outlasts it is a suspect: looked into again with
all the time that is allowed, but one at a time, at the lowest priority, in no other file's place, and, within reason,
when no other file is being looked into: two processors are often one that is shared, whatever the priorities.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import os
import stat
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field
from typing import Any, Final

import structlog

from hopperd.invoices.child_environment import child_environment
from hopperd.pipeline.job import Failure
from hopperd.ports import FolderTrouble, Verdict
from hopperd.settings import Folder, InspectionSettings

log = structlog.get_logger("hopperd.inspection")

FIRST_LOOK_SECONDS: Final = 0.1
"""Of processor time. An ordinary invoice takes a few milliseconds; a scan of 50 MB may need the second look."""

SUSPECTS_AT_ONCE: Final = 1
SUSPECTS_NICENESS: Final = 19
QUIET_SECONDS: Final = 1.0
LONGEST_WAIT_FOR_QUIET_SECONDS: Final = 300.0
"""On a line that never rests a suspect of thirty seconds has a tenth of one processor."""

WALL_TIMES_CPU: Final = 4
SHORTEST_WALL_SECONDS: Final = 5.0
ANSWER_BYTES: Final = 64 * 1024
FORKED_ENDS_SECONDS: Final = 1.0


@dataclass(slots=True)
class _Child:
    process: asyncio.subprocess.Process

    @property
    def is_alive(self) -> bool:
        return self.process.returncode is None


@dataclass(slots=True)
class _Bench:
    """Children of one kind: how many places there are for them, and who is free."""

    places: asyncio.Semaphore
    cpu_seconds: float
    niceness: int = 0
    idle: list[_Child] = field(default_factory=list)


class ChildPool:
    """At most `settings.workers` children and one for suspects, started when first needed with `command`.

    The command speaks one JSON line a look (hopperd.invoices.inspect_worker). `threads_of` a folder ask its disk.
    """

    def __init__(
        self,
        command: Sequence[str],
        settings: InspectionSettings,
        folders: Mapping[str, Folder],
        threads_of: Callable[[str], Executor],
    ) -> None:
        self._command = [
            *command,
            "--memory-bytes",
            str(settings.memory_bytes),
            "--cpu-seconds",
            str(max(1, round(settings.seconds))),
        ]
        self._wall_seconds = max(SHORTEST_WALL_SECONDS, settings.seconds * WALL_TIMES_CPU)
        self._folders = folders
        self._threads_of = threads_of
        first = min(FIRST_LOOK_SECONDS, settings.seconds)
        self._ordinary = _Bench(asyncio.Semaphore(settings.workers), first)
        self._suspects = _Bench(asyncio.Semaphore(SUSPECTS_AT_ONCE), settings.seconds, SUSPECTS_NICENESS)
        self._all: set[asyncio.subprocess.Process] = set()
        self._said: str | None = None  # why no child could be started, once it was said
        self._quiet_from = 0.0  # monotonic: when it is quiet, unless something ordinary comes in between

    def reload(self, folders: Mapping[str, Folder]) -> None:
        """New limits of size and pages."""
        self._folders = folders

    async def inspect(self, path: bytes, folder: str, *, is_suspect: bool = False) -> Verdict:
        """Look into one file. Raises ChildProcessError when the child died over it, FolderTrouble when the disk or this
        machine would not, FileNotFoundError when the file is gone."""
        settings = self._folders[folder]
        bench = self._suspects if is_suspect else self._ordinary
        request = {
            "path": base64.b64encode(path).decode(),
            "accept": sorted(settings.accept),
            "limits": {"max_size_bytes": settings.max_size_bytes, "max_pages": settings.max_pages},
            "cpu_seconds": bench.cpu_seconds,
        }
        async with bench.places:
            if is_suspect:
                await self._quiet()
            else:
                self._quiet_from = time.monotonic() + QUIET_SECONDS
            child = await self._take(bench, path)
            try:
                answer = await self._ask(child, request, path)
            except BaseException:
                await self._end(child)
                raise
            bench.idle.append(child)
        if "died" in answer:
            raise ChildProcessError(answer["died"])
        verdict = _verdict(answer)
        if verdict.failure is not None and verdict.failure.reason == "unreadable":
            threads, loop = self._threads_of(folder), asyncio.get_running_loop()
            await loop.run_in_executor(threads, _blame_the_disk, path, verdict.failure.what)
        return verdict

    async def _quiet(self) -> None:
        """Return when nothing ordinary has been looked into for a moment, or when that has been waited for too long."""
        longest = time.monotonic() + LONGEST_WAIT_FOR_QUIET_SECONDS
        while (left := min(self._quiet_from, longest) - time.monotonic()) > 0:  # noqa: ASYNC110 (it moves on)
            await asyncio.sleep(left)

    async def _take(self, bench: _Bench, path: bytes) -> _Child:
        while bench.idle:
            child = bench.idle.pop()
            if child.is_alive:
                return child
            self._all.discard(child.process)
        process = await self._start(path)
        self._all.add(process)
        if bench.niceness:
            with contextlib.suppress(OSError):
                os.setpriority(os.PRIO_PROCESS, process.pid, bench.niceness)
        return _Child(process)

    async def _start(self, path: bytes) -> asyncio.subprocess.Process:
        """FolderTrouble where there can be no child now: no memory or descriptor is left, or Python is upgraded."""
        try:
            process = await asyncio.create_subprocess_exec(
                *self._command,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.DEVNULL,
                limit=ANSWER_BYTES,
                env=child_environment(),
            )
        except (OSError, RuntimeError) as error:  # RuntimeError: no thread is left to wait for it
            raise self._cannot_start(error, path) from error
        self._said = None
        return process

    def _cannot_start(self, error: Exception, path: bytes) -> FolderTrouble:
        why = os.strerror(error.errno) if isinstance(error, OSError) and error.errno else str(error)
        what = f"the process that looks into files ({self._command[0]}) cannot be started: {why}"
        if self._said != what:
            log.error("inspection-cannot-start", what=what, do="No file is sent until it can; nothing is lost.")
        self._said = what
        return FolderTrouble("disk", what, path)

    async def _ask(self, child: _Child, request: Mapping[str, Any], path: bytes) -> Mapping[str, Any]:
        stdin, stdout = child.process.stdin, child.process.stdout
        if stdin is None or stdout is None:
            raise ChildProcessError("the child that looks into files has no pipes")
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # then the answer is missing, too
            stdin.write(json.dumps(request).encode() + b"\n")
            await stdin.drain()
        line = await self._line(child, stdout, path)
        if not line.endswith(b"\n"):
            # Not over the file: that would have been told. Somebody ended it, or memory is short.
            await child.process.wait()
            raise FolderTrouble("disk", "the process that looks into files was ended from outside", path)
        answer: Mapping[str, Any] = json.loads(line)
        return answer

    async def _line(self, child: _Child, stdout: asyncio.StreamReader, path: bytes) -> bytes:
        """Its answer. While it computes it is waited for, however busy the machine: only standing still is a hang."""
        reading = asyncio.ensure_future(stdout.readline())
        used = -1.0
        try:
            while True:
                done, _ = await asyncio.wait({reading}, timeout=self._wall_seconds)
                if done:
                    return reading.result()
                before, used = used, _cpu_seconds(child.process.pid)
                if used <= before:
                    what = f"reading a file took longer than {self._wall_seconds:.0f} seconds: the disk or share hangs"
                    raise FolderTrouble("disk", what, path)
        finally:
            reading.cancel()
            await asyncio.wait({reading})

    async def _end(self, child: _Child) -> None:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.shield(_killed(child.process))
        self._all.discard(child.process)

    async def close(self) -> None:
        await asyncio.gather(*map(_killed, self._all))
        self._all.clear()
        self._ordinary.idle.clear()
        self._suspects.idle.clear()


async def _killed(process: asyncio.subprocess.Process) -> None:
    """End it and the one it has forked, who dies a moment later and holds the pipes until then."""
    if process.stdin is not None:
        process.stdin.close()
    with contextlib.suppress(ProcessLookupError):
        process.kill()
    await process.wait()
    with contextlib.suppress(TimeoutError):  # it may hang on a disk; then its pipes are closed when it ends
        async with asyncio.timeout(FORKED_ENDS_SECONDS):
            while process.stdout is not None and await process.stdout.read(ANSWER_BYTES):
                pass


def _cpu_seconds(pid: int) -> float:
    """Processor time of a process and of the one it has forked, as far as the kernel tells."""
    total = 0.0
    with contextlib.suppress(OSError, ValueError, IndexError):
        with open(f"/proc/{pid}/task/{pid}/children") as file:
            children = file.read().split()
        for one in (str(pid), *children):
            with open(f"/proc/{one}/stat", "rb") as file:
                fields = file.read().rpartition(b")")[2].split()
            total += (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return total


def _blame_the_disk(path: bytes, what: str) -> None:
    """A file may be blamed only for what is its own: no right to read it, or no plain file. Raises otherwise."""
    try:
        file = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except PermissionError:
        return
    except FileNotFoundError:
        raise
    except NotADirectoryError as error:
        raise FileNotFoundError(*error.args) from error
    except OSError as error:
        raise FolderTrouble("disk", f"cannot read a file: {os.strerror(error.errno or 0)}", path) from error
    try:
        if not stat.S_ISREG(os.fstat(file).st_mode):
            return
    finally:
        os.close(file)
    raise FolderTrouble("disk", what, path)


def _verdict(answer: Mapping[str, Any]) -> Verdict:
    refusal = answer.get("refusal")
    if refusal is None:
        return Verdict(kind=answer.get("kind"), pages=answer.get("pages"))
    failure = Failure(reason=refusal["reason"], fault="file", what=refusal["what"], do=refusal["do"])
    return Verdict(kind=answer.get("kind"), pages=answer.get("pages"), failure=failure)
