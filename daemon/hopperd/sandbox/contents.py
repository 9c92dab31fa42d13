"""Bytes of files: in memory up to a bound, beyond it in a private temporary directory that goes with the twin.

With a folder of the twin's own (`--data`) all bytes are kept there, and stay.

Nothing here knows names or owners. Contents that nobody refers to any more give their room back when discarded.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
import shutil
import tempfile
from collections.abc import Collection
from dataclasses import dataclass
from typing import IO, Final

IN_HAND_MAX: Final = 4 * 1024 * 1024
"""An upload under way is kept in memory up to this size, then goes on in a file."""


class NoRoom(Exception):
    """Memory and disk that the twin may use are both taken."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """One file's bytes, in memory (`data`) or on disk (`path`), with what is known about them."""

    data: bytes | None
    path: str | None
    size: int
    sha256: str
    sha512: str
    head: bytes

    def read(self) -> bytes:
        """All of it."""
        if self.data is not None:
            return self.data
        with self.open() as file:
            return file.read()

    def open(self) -> IO[bytes]:
        """The file on disk; only for contents that have a path."""
        if self.path is None:
            raise ValueError("these bytes are in memory")
        return open(self.path, "rb")


class Contents:
    """All bytes of one twin, within `memory_bytes` and `disk_bytes`."""

    def __init__(self, memory_bytes: int, disk_bytes: int, directory: str | None = None) -> None:
        self._memory_bytes = memory_bytes if directory is None else 0
        self._disk_bytes = disk_bytes
        self.in_memory = 0
        self.on_disk = 0
        self._directory = directory
        self._is_kept = directory is not None

    def receive(self) -> Incoming:
        """A place to write one new file into."""
        return Incoming(self)

    def discard(self, content: Content) -> None:
        """Gives the room back; the content cannot be read afterwards if it was on disk."""
        if content.path is None:
            self.in_memory -= content.size
            return
        self.on_disk -= content.size
        with contextlib.suppress(FileNotFoundError):
            os.unlink(content.path)

    def close(self) -> None:
        """Removes the temporary directory."""
        if self._directory is not None and not self._is_kept:
            shutil.rmtree(self._directory, ignore_errors=True)
            self._directory = None

    def memory_has(self, size: int) -> bool:
        return self.in_memory + size <= self._memory_bytes

    def disk_has(self, size: int) -> bool:
        return self.on_disk + size <= self._disk_bytes

    def new_path(self) -> str:
        if self._directory is None:
            self._directory = tempfile.mkdtemp(prefix="hopperd-sandbox-")
        return os.path.join(self._directory, secrets.token_hex(16))

    def take_over(self, known: Collection[Content]) -> None:
        """Counts what an earlier twin has left here, and removes what nobody knows any more."""
        names = {os.path.basename(each.path) for each in known if each.path is not None}
        self.on_disk += sum(each.size for each in known)
        if self._directory is not None:
            for name in set(os.listdir(self._directory)) - names:
                os.unlink(os.path.join(self._directory, name))


class Incoming:
    """One file being received. Ends with `finish` or `abandon`; its room is counted from the first byte."""

    def __init__(self, contents: Contents) -> None:
        self._contents = contents
        self._parts: list[bytes] = []
        self._file: IO[bytes] | None = None
        self._path: str | None = None
        self._sha256 = hashlib.sha256()
        self._sha512 = hashlib.sha512()
        self._head = b""
        self.size = 0

    def write(self, chunk: bytes) -> None:
        """Raises NoRoom when neither memory nor disk may take more."""
        if self._file is None and not self._fits_in_memory(len(chunk)):
            self._go_to_disk()
        self._take_room(len(chunk))
        self.size += len(chunk)
        self._sha256.update(chunk)
        self._sha512.update(chunk)
        if len(self._head) < 1024:
            self._head += chunk[: 1024 - len(self._head)]
        if self._file is None:
            self._parts.append(chunk)
        else:
            self._file.write(chunk)

    def finish(self) -> Content:
        """The whole content."""
        data = b"".join(self._parts) if self._file is None else None
        if self._file is not None:
            self._file.close()
        return Content(
            data=data,
            path=self._path,
            size=self.size,
            sha256=self._sha256.hexdigest(),
            sha512=self._sha512.hexdigest(),
            head=self._head,
        )

    def abandon(self) -> None:
        """Gives everything back; what was received is forgotten."""
        self._contents.discard(self.finish())

    def _fits_in_memory(self, more: int) -> bool:
        return self.size + more <= IN_HAND_MAX and self._contents.memory_has(more)

    def _take_room(self, more: int) -> None:
        if self._file is None:
            self._contents.in_memory += more
            return
        if not self._contents.disk_has(more):
            raise NoRoom
        self._contents.on_disk += more

    def _go_to_disk(self) -> None:
        if not self._contents.disk_has(self.size):
            raise NoRoom
        self._path = self._contents.new_path()
        self._file = open(self._path, "xb")  # noqa: SIM115 - closed by finish
        self._file.writelines(self._parts)
        self._parts.clear()
        self._contents.in_memory -= self.size
        self._contents.on_disk += self.size
