"""Bytes on their way: a local file into a request's body, an answer's body into a local file, no large one in memory.

File work runs in a thread pool of the client's own: the loop's default pool is small and name look-ups wait in it.
Each piece that gets through moves the request's deadline on.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import stat
from collections.abc import Callable
from concurrent.futures import Executor
from contextlib import suppress
from typing import Any, Final

from aiohttp.abc import AbstractStreamWriter
from aiohttp.payload import Payload

from hopperd.capture.wire import multipart_head, multipart_tail
from hopperd.ports import ChangedUnderUs, ServiceTrouble, Source

WHOLE_BYTES: Final = 1024 * 1024
"""Files up to this size are read at once and sent in one piece: twice as fast as streaming them."""

PIECE_BYTES: Final = 64 * 1024
"""What must get through within `stall_seconds`."""


class Deadline:
    """When a request is given up. Only progress moves it on."""

    def __init__(self, *, first_seconds: float, answer_seconds: float, stall_seconds: float) -> None:
        self.timeout = asyncio.timeout(first_seconds)
        self._answer_seconds = answer_seconds
        self._stall_seconds = stall_seconds

    def progress(self) -> None:
        """Something got through: from now on `stall_seconds`."""
        self._move(self._stall_seconds)

    def wait_for_answer(self) -> None:
        """All is sent: from now on `answer_seconds`."""
        self._move(self._answer_seconds)

    def _move(self, seconds: float) -> None:
        now = asyncio.get_running_loop().time()
        set_to = self.timeout.when()
        if set_to is not None and 0.9 * seconds <= set_to - now <= seconds:
            return  # a timer for each piece would cost more than the pieces
        with suppress(RuntimeError):  # it has run out in this very instant, or is not running
            self.timeout.reschedule(now + seconds)


class Body(Payload):
    """A request body of a known size. `begun` tells whether any of it can have reached the service.

    Without the body's last byte the service cannot act on a request that announced its length.
    """

    _autoclose = True

    def __init__(self, content: bytes, content_type: str) -> None:
        super().__init__(content, content_type=content_type)
        self._size = len(content)
        self.begun = False
        self.ended = False
        self.deadline: Deadline | None = None

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        return str(self._value, encoding, errors)

    async def write(self, writer: AbstractStreamWriter) -> None:
        self.begun = True
        await self.write_content(writer)
        self.ended = True
        if self.deadline is not None:
            self.deadline.wait_for_answer()

    async def write_with_length(self, writer: AbstractStreamWriter, content_length: int | None) -> None:
        await self.write(writer)

    async def write_content(self, writer: AbstractStreamWriter) -> None:
        await self.write_piece(writer, self._value)

    async def write_piece(self, writer: AbstractStreamWriter, content: bytes) -> None:
        """In pieces small enough for a slow line to get each through in time."""
        view = memoryview(content)
        for start in range(0, len(view), PIECE_BYTES):
            await writer.write(view[start : start + PIECE_BYTES])
            if self.deadline is not None:
                self.deadline.progress()


class FileBody(Body):
    """One file as the only part of a multipart form.

    The file stays open until `close_file`. `changed` is set where it turned out to be not the one that was announced;
    the request then breaks off, for its length can no longer be true.
    """

    def __init__(self, source: Source, file_name: str, pool: Executor) -> None:
        boundary = f"hopperd-{os.urandom(16).hex()}"
        super().__init__(b"", f"multipart/form-data; boundary={boundary}")
        self._head, self._tail = multipart_head(boundary, file_name), multipart_tail(boundary)
        self._size = len(self._head) + source.size_bytes + len(self._tail)
        self._source = source
        self._pool = pool
        self._file: int | None = None
        self._busy: asyncio.Future[Any] | None = None
        self._mtime_ns = 0
        self._whole: bytes | None = None
        self.changed = False
        self.disk_error: OSError | None = None

    async def open_file(self) -> None:
        """Raises FileNotFoundError, ChangedUnderUs, or ServiceTrouble where the disk would not."""
        try:
            await self._in_pool(self._open)
        except FileNotFoundError:
            raise
        except OSError as error:
            raise disk_trouble("upload", error) from error

    def close_file(self) -> None:
        """At once, or when the thread that still uses it is done: a descriptor closed too early may be another's."""
        if self._busy is not None and not self._busy.done():
            self._busy.add_done_callback(lambda _: self._let_go())
        else:
            self._let_go()

    async def is_as_announced(self) -> bool:
        """Whether the file's bytes are still those that were digested. Reads it all again: only asked in doubt."""
        return bool(await self._in_pool(self._digest) == self._source.sha512.lower())

    async def is_untouched(self) -> bool:
        """Whether size and time of change are the same as when the first byte was read."""
        return self._whole is not None or bool(await self._in_pool(self._is_same))

    async def write_content(self, writer: AbstractStreamWriter) -> None:
        if self._whole is not None:
            await self.write_piece(writer, b"".join((self._head, self._whole, self._tail)))
            return
        await writer.write(self._head)
        offset, size = 0, self._source.size_bytes
        while offset < size:
            try:
                piece = await self._in_pool(self._read, offset, min(4 * PIECE_BYTES, size - offset))
            except OSError as error:
                self.disk_error = error
                raise
            if not piece:
                self.changed = True
                raise ChangedUnderUs("the file became shorter while it was uploaded")
            await self.write_piece(writer, piece)
            offset += len(piece)
        await writer.write(self._tail)

    async def _in_pool(self, work: Callable[..., Any], *values: Any) -> Any:
        self._busy = asyncio.get_running_loop().run_in_executor(self._pool, work, *values)
        self._busy.add_done_callback(lambda ended: ended.cancelled() or ended.exception())
        return await asyncio.shield(self._busy)

    def _let_go(self) -> None:
        file, self._file = self._file, None
        if file is not None:
            os.close(file)

    def _open(self) -> None:
        file = os.open(self._source.path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
        try:
            self._take_in(file)
        except BaseException:
            os.close(file)
            raise
        self._file = file

    def _take_in(self, file: int) -> None:
        size = self._source.size_bytes
        before = os.fstat(file)
        if not stat.S_ISREG(before.st_mode) or before.st_size != size:
            raise ChangedUnderUs("the file is not the one that was claimed: its size differs")
        self._mtime_ns = before.st_mtime_ns
        if size <= WHOLE_BYTES:
            self._whole = os.pread(file, size, 0)
            after = os.fstat(file)
            if (len(self._whole), after.st_size, after.st_mtime_ns) != (size, size, before.st_mtime_ns):
                raise ChangedUnderUs("the file changed while it was read")

    def _read(self, offset: int, length: int) -> bytes:
        return os.pread(self._opened, length, offset)

    def _is_same(self) -> bool:
        found = os.fstat(self._opened)
        return (found.st_size, found.st_mtime_ns) == (self._source.size_bytes, self._mtime_ns)

    def _digest(self) -> str:
        digest, offset = hashlib.sha512(), 0
        while piece := os.pread(self._opened, WHOLE_BYTES, offset):
            digest.update(piece)
            offset += len(piece)
        return digest.hexdigest()

    @property
    def _opened(self) -> int:
        if self._file is None:
            raise RuntimeError("the file is not open")
        return self._file


class ResultFile:
    """A result on its way to disk: created anew, hashed while it is written, whole after `finish`.

    Whoever gave the path makes it durable, once for all that comes with it: a failure to write it out that nobody has
    been told of is told to the next who syncs it.
    """

    def __init__(self, path: bytes, pool: Executor, *, with_sha512: bool) -> None:
        self._path = path
        self._pool = pool
        self._file: int | None = None
        self._waiting: list[bytes] = []
        self._waiting_bytes = 0
        self._sha256 = hashlib.sha256()
        self._sha512 = hashlib.sha512() if with_sha512 else None
        self.size_bytes = 0
        self.start = b""

    @property
    def sha256(self) -> str:
        return self._sha256.hexdigest()

    @property
    def sha512(self) -> str | None:
        return self._sha512.hexdigest() if self._sha512 else None

    async def add(self, piece: bytes) -> None:
        if len(self.start) < 1024:
            self.start += piece[:1024]
        self.size_bytes += len(piece)
        self._waiting.append(piece)
        self._waiting_bytes += len(piece)
        if self._waiting_bytes >= WHOLE_BYTES:
            await self._in_pool(self._write)

    async def finish(self, check: Callable[[], None]) -> None:
        """All handed to the system, and what `check` says of it raised; in one turn of a thread."""

        def all_of_it() -> None:
            self._write()
            check()
            self._close()

        await self._in_pool(all_of_it)

    async def drop(self) -> None:
        """Away with it, as far as possible: the next try removes a leftover anyway."""
        await self._in_pool(self._drop)

    async def _in_pool(self, work: Callable[[], None]) -> None:
        # Shielded: a cancellation must not leave a thread writing into a file that is being dropped.
        running = asyncio.get_running_loop().run_in_executor(self._pool, work)
        try:
            await asyncio.shield(running)
        except asyncio.CancelledError:
            if not running.done():
                await asyncio.wait([running])
            if not running.cancelled():
                running.exception()
            raise
        except OSError as error:
            raise disk_trouble("fetch", error) from error

    def _write(self) -> None:
        if self._file is None:
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
            try:
                self._file = os.open(self._path, flags, 0o600)
            except FileExistsError:  # of an earlier try
                os.unlink(self._path)
                self._file = os.open(self._path, flags, 0o600)
        pieces, self._waiting, self._waiting_bytes = self._waiting, [], 0
        for piece in pieces:
            self._sha256.update(piece)
            if self._sha512 is not None:
                self._sha512.update(piece)
            view = memoryview(piece)
            while view:
                view = view[os.write(self._file, view) :]

    def _close(self) -> None:
        file, self._file = self._file, None
        if file is None:
            raise RuntimeError("the result was not written")
        os.close(file)

    def _drop(self) -> None:
        file, self._file = self._file, None
        if file is not None:
            os.close(file)
        with suppress(OSError):
            os.unlink(self._path)


def disk_trouble(call: str, error: OSError) -> ServiceTrouble:
    """Weather of the disk. The path is left out: names are bytes, and who logs this knows the job."""
    return ServiceTrouble(
        "weather", f"{call}: the disk would not: {error.strerror or type(error).__name__}", kind="disk"
    )
