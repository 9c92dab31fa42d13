"""A small pool of child processes that read documents, each with one document in hand at a time.

A child that crashes or takes too long is ended and costs the document in hand only. Children are started when there is
something to read. What was read before (same bytes, name and formats) is remembered within a bound.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import pickle
import sys
from collections import OrderedDict
from typing import TYPE_CHECKING, Final

from hopperd.invoices.child_environment import child_environment
from hopperd.sandbox.config import SandboxConfig
from hopperd.sandbox.contents import Content
from hopperd.sandbox.reader import Exports, Reading, Unreadable, blank_reading, write_exports
from hopperd.sandbox.reader_child import LENGTH, frame

if TYPE_CHECKING:
    from hopperd.invoices.document import Document as Invoice

log = logging.getLogger("hopperd.sandbox")

REMEMBERED_MAX: Final = 2_000
REMEMBERED_BYTES_MAX: Final = 32 * 1024 * 1024
STOP_SECONDS: Final = 2.0

ReadingKey = tuple[str, str, tuple[str, ...]]


class ReaderPool:
    """Reads documents for the tasks of one twin. Closed at its end, with every child gone."""

    def __init__(self, config: SandboxConfig) -> None:
        self._is_blank = config.reader == "none"
        self._seconds = config.reading_seconds
        self._places = asyncio.Semaphore(config.readers)
        self._idle: list[asyncio.subprocess.Process] = []
        self._all: set[asyncio.subprocess.Process] = set()
        self._remembered: OrderedDict[ReadingKey, Reading] = OrderedDict()
        self._remembered_bytes = 0

    async def read(self, content: Content, name: str, formats: tuple[str, ...]) -> Reading:
        """Raises Unreadable, also for a document that crashes or outlasts its reader."""
        if self._is_blank:
            return blank_reading(name, formats)
        key = (content.sha256, name, formats)
        known = self._remembered.get(key)
        if known is not None:
            self._remembered.move_to_end(key)
            return known
        reading = await self._in_child("read", content, name, formats)
        if not isinstance(reading, Reading):
            raise Unreadable(str(reading))
        self._remember(key, reading)
        return reading

    async def write(self, invoices: tuple[Invoice, ...], formats: tuple[str, ...]) -> Exports:
        """The invoices of one file in each format. Raises Unreadable."""
        if self._is_blank:
            return write_exports(invoices, formats)
        exports = await self._in_child("write", invoices, formats)
        if not isinstance(exports, tuple):
            raise Unreadable(str(exports))
        return exports

    async def draw(self, content: Content, page: int) -> tuple[str, bytes]:
        """A page (from 0) as (mime type, bytes). Raises Unreadable, also for a document that has no pages to see."""
        picture = await self._in_child("draw", content, page)
        if not isinstance(picture, tuple):
            raise Unreadable(str(picture))
        mime, data = picture
        return mime, data

    async def close(self) -> None:
        """Ends every child and waits for it."""
        for child in list(self._all):
            await self._end(child)

    async def _in_child(self, work: str, *arguments: object) -> object:
        """What a child answers; a Content goes to it as its bytes. Raises Unreadable when none comes back."""
        async with self._places:
            try:
                sent = tuple(each.read() if isinstance(each, Content) else each for each in arguments)
            except OSError as error:
                raise Unreadable("Its bytes are gone.") from error
            return await self._ask_a_child(frame((work, sent)))

    async def _ask_a_child(self, request: bytes) -> object:
        child = self._idle.pop() if self._idle else await self._start()
        try:
            async with asyncio.timeout(self._seconds):
                answer = await _ask(child, request)
        except (TimeoutError, asyncio.IncompleteReadError, ConnectionError, EOFError) as error:
            log.warning("A reader was lost with one document in hand (%s).", type(error).__name__)
            await self._end(child)
            raise Unreadable("Its reader did not come back.") from error
        except BaseException:
            await self._end(child)
            raise
        self._idle.append(child)
        return answer

    async def _start(self) -> asyncio.subprocess.Process:
        child = await asyncio.create_subprocess_exec(
            sys.executable,
            "-P",
            "-m",
            "hopperd.sandbox.reader_child",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env=child_environment(OMP_THREAD_LIMIT="1"),
        )
        self._all.add(child)
        return child

    async def _end(self, child: asyncio.subprocess.Process) -> None:
        self._all.discard(child)
        if child.stdin is not None:
            child.stdin.close()
        with contextlib.suppress(ProcessLookupError):
            child.kill()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(STOP_SECONDS):
                await child.wait()

    def _remember(self, key: ReadingKey, reading: Reading) -> None:
        size = _size(reading)
        if size > REMEMBERED_BYTES_MAX // 8 or key in self._remembered:
            return
        self._remembered[key] = reading
        self._remembered_bytes += size
        while len(self._remembered) > REMEMBERED_MAX or self._remembered_bytes > REMEMBERED_BYTES_MAX:
            _, oldest = self._remembered.popitem(last=False)
            self._remembered_bytes -= _size(oldest)


async def _ask(child: asyncio.subprocess.Process, request: bytes) -> object:
    if child.stdin is None or child.stdout is None:
        raise EOFError
    child.stdin.write(request)
    await child.stdin.drain()
    (length,) = LENGTH.unpack(await child.stdout.readexactly(LENGTH.size))
    return pickle.loads(await child.stdout.readexactly(length))  # noqa: S301 - from our own child


def _size(reading: Reading) -> int:
    return sum(len(data) for _, data in reading.exports)
