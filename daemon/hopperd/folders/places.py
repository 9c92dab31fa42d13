"""Operations on files and folders, one system call each, relative to open folders.

No path component below a root is ever followed if it is a link, and whatever is made is made durable by the caller
through `flush`. `TAP` is called before and after each operation that changes the disk, so that tests can fail or die
exactly there.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import stat
from collections.abc import Callable, Iterator
from typing import TypeVar

from hopperd.pipeline.job import Identity
from hopperd.pipeline.naming import split_path

BLOCK_BYTES = 1 << 20
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_BELOW = _FOLDER | os.O_NOFOLLOW
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
UNSUPPORTED = (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP)

Given = TypeVar("Given")


def _no_tap(what: str) -> None:
    """Nobody listens."""


TAP: Callable[[str], None] = _no_tap


def tapped(what: str, call: Callable[[], Given]) -> Given:
    TAP(f"before {what}")
    given = call()
    TAP(f"after {what}")
    return given


# ------------------------------------------------------------------------------------------------------- folders


@contextlib.contextmanager
def root_folder(path: bytes) -> Iterator[int]:
    """A configured folder, open. It may be reached through links: the operator chose it."""
    fd = os.open(path, _FOLDER)
    try:
        yield fd
    finally:
        os.close(fd)


@contextlib.contextmanager
def folder_below(root: int, folder: bytes, *, make: bool = False) -> Iterator[int]:
    """A folder below an open one, reached without following a link; made, durably, where it is missing.

    NotADirectoryError where something else stands in a component's place.
    """
    fd = root
    try:
        for part in folder.split(b"/"):
            if part in (b"", b"."):
                continue
            if part == b"..":
                raise NotADirectoryError(errno.ENOTDIR, "leads out of its folder", folder)
            outer, fd = fd, _step(fd, part, make=make)
            if outer != root:
                os.close(outer)
        yield fd
    finally:
        if fd != root:
            os.close(fd)


class Opened:
    """A folder below an open one, kept open for what is done there next: until another is asked for, or the block is
    left."""

    def __init__(self, root: int) -> None:
        self._root = root
        self._folder: bytes | None = None
        self._fd = -1
        self._closing = contextlib.ExitStack()

    def __enter__(self) -> Opened:
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.close()

    def at(self, folder: bytes, *, make: bool = False) -> int:
        """Like `folder_below`, open until the next call for another."""
        if folder != self._folder:
            self._folder = None
            self._closing.close()
            self._fd = self._closing.enter_context(folder_below(self._root, folder, make=make))
            self._folder = folder
        return self._fd


def _step(fd: int, part: bytes, *, make: bool) -> int:
    try:
        return os.open(part, _BELOW, dir_fd=fd)
    except FileNotFoundError:
        if not make:
            raise
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise NotADirectoryError(errno.ENOTDIR, "is a link", part) from error
        raise
    with contextlib.suppress(FileExistsError):
        make_folder(fd, part)
    flush_folder(fd)
    return os.open(part, _BELOW, dir_fd=fd)


@contextlib.contextmanager
def place(root: bytes, path: bytes, *, make: bool = False) -> Iterator[tuple[int, bytes]]:
    """The open folder of `path` (below `root`) and its last component."""
    folder, name = split_path(path)
    with root_folder(root) as fd, folder_below(fd, folder, make=make) as inner:
        yield inner, name


def blocking_folder(root: bytes, path: bytes) -> bytes | None:
    """The first ancestor of `path` in whose place stands something that is no folder; None if there is none."""
    parts = split_path(path)[0].split(b"/")[:-1]
    for depth in range(1, len(parts) + 1):
        ancestor = b"/".join(parts[:depth])
        try:
            if not stat.S_ISDIR(os.lstat(root + b"/" + ancestor).st_mode):
                return ancestor
        except OSError:
            return None
    return None


def make_folder(fd: int, name: bytes, mode: int = 0o777) -> None:
    """FileExistsError where anything of that name is there."""
    tapped("mkdir", lambda: os.mkdir(name, mode, dir_fd=fd))


def remove_folder(fd: int, name: bytes) -> None:
    """OSError where it is not empty."""
    tapped("rmdir", lambda: os.rmdir(name, dir_fd=fd))


def remove_empty(root: int, folder: bytes) -> bool:
    """Remove a folder and those above it below `root`, as far as they are empty. True where all of them are gone."""
    while folder := folder.rstrip(b"/"):
        above, name = split_path(folder)
        try:
            with folder_below(root, above) as fd:
                remove_folder(fd, name)
        except FileNotFoundError:
            pass
        except OSError:
            return False
        folder = above
    return True


# --------------------------------------------------------------------------------------------------------- files


def flush(fd: int) -> None:
    """fsync of a file. An error is never to be tried again on the same descriptor."""
    tapped("fsync", lambda: os.fsync(fd))


def flush_folder(fd: int) -> None:
    """fsync of a folder, where the file system knows such a thing."""
    try:
        tapped("fsync-folder", lambda: os.fsync(fd))
    except OSError as error:
        if error.errno not in UNSUPPORTED:
            raise


def look(fd: int, name: bytes) -> os.stat_result | None:
    """lstat, or None where there is nothing of that name."""
    try:
        return os.stat(name, dir_fd=fd, follow_symlinks=False)
    except (FileNotFoundError, NotADirectoryError):
        return None


def identity_of(found: os.stat_result) -> Identity:
    return Identity(device=found.st_dev, inode=found.st_ino, size_bytes=found.st_size, mtime_ns=found.st_mtime_ns)


def is_plain(found: os.stat_result) -> bool:
    return stat.S_ISREG(found.st_mode)


def is_folder(found: os.stat_result) -> bool:
    return stat.S_ISDIR(found.st_mode)


@contextlib.contextmanager
def plain_file(fd: int, name: bytes) -> Iterator[tuple[int, os.stat_result]]:
    """A plain file, open for reading, and its status; never a fifo that blocks, never through a link."""
    file = os.open(name, _READ, dir_fd=fd)
    try:
        status = os.fstat(file)
        if not is_plain(status):
            raise OSError(errno.EINVAL, "is not a plain file", name)
        yield file, status
    finally:
        os.close(file)


@contextlib.contextmanager
def open_file(fd: int, name: bytes) -> Iterator[int]:
    """The same, without its status."""
    with plain_file(fd, name) as (file, _):
        yield file


def remove(fd: int, name: bytes) -> bool:
    """Unlink; False where it was not there."""
    try:
        tapped("unlink", lambda: os.unlink(name, dir_fd=fd))
    except FileNotFoundError:
        return False
    return True


def digests(file: int, also: int | None = None) -> tuple[str, str, int]:
    """SHA-256 and SHA-512 in one pass, and how many bytes; with `also`, the bytes are written there on the way."""
    first, second, size = hashlib.sha256(), hashlib.sha512(), 0
    while block := os.pread(file, BLOCK_BYTES, size):
        first.update(block)
        second.update(block)
        size += len(block)
        if also is not None:
            write_all(also, block)
    return first.hexdigest(), second.hexdigest(), size


def content(file: int, most_bytes: int) -> bytes:
    """What an open file holds, its first `most_bytes` where it holds more."""
    pieces, left = [], most_bytes
    while left and (piece := os.read(file, min(left, BLOCK_BYTES))):
        pieces.append(piece)
        left -= len(piece)
    return b"".join(pieces)


def write_all(file: int, content: bytes) -> None:
    view = memoryview(content)
    while view:
        view = view[os.write(file, view) :]
