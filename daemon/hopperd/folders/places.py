"""Durable operations on files, one system call each, relative to open folders.

No path component below a root is ever followed if it is a link, nothing is ever replaced, and whatever is made is made
durable by the caller through `flush`. `TAP` is called before and after each operation that changes the disk, so that
tests can fail or die exactly there.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import functools
import hashlib
import os
import platform
import stat
import threading
from collections.abc import Callable, Iterator
from typing import TypeVar

from hopperd.pipeline.job import Identity
from hopperd.pipeline.naming import printable, split_path
from hopperd.ports import FolderTrouble

BLOCK_BYTES = 1 << 20
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_BELOW = _FOLDER | os.O_NOFOLLOW
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_RENAME_NOREPLACE = 1
_RENAMEAT2 = {"x86_64": 316, "aarch64": 276, "riscv64": 276, "armv7l": 382, "i686": 353, "ppc64le": 357, "s390x": 347}
_UNSUPPORTED = (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP)
_GONE = (errno.ENOENT, errno.ENOTDIR, errno.ENOTCONN, errno.ESTALE, errno.ENODEV, errno.ENXIO, errno.EHOSTDOWN)
_DENIED = (errno.EACCES, errno.EPERM)

Given = TypeVar("Given")


def _no_tap(what: str) -> None:
    """Nobody listens."""


TAP: Callable[[str], None] = _no_tap
# Two deliveries never look at one name at the same time; a share that hangs keeps no other one waiting.
_looked_first: dict[int, threading.Lock] = {}


def _tapped(what: str, call: Callable[[], Given]) -> Given:
    TAP(f"before {what}")
    given = call()
    TAP(f"after {what}")
    return given


# ------------------------------------------------------------------------------------------------------- trouble


def trouble_from(error: OSError, path: bytes, doing: str) -> FolderTrouble:
    """Sort an error of the disk by what it means for the whole folder."""
    kind = "gone" if error.errno in _GONE else "denied" if error.errno in _DENIED else "disk"
    if error.errno == errno.EXDEV:
        kind = "crossing"
    reason = os.strerror(error.errno) if error.errno else str(error)
    what = f"cannot {doing} {printable(path)}: {reason}"
    return FolderTrouble(kind, what, path)  # type: ignore[arg-type]


@contextlib.contextmanager
def troubled(path: bytes, doing: str) -> Iterator[None]:
    """Whatever the disk refuses inside becomes FolderTrouble."""
    try:
        yield
    except OSError as error:
        raise trouble_from(error, path, doing) from error


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
    _tapped("mkdir", lambda: os.mkdir(name, mode, dir_fd=fd))


def remove_folder(fd: int, name: bytes) -> None:
    """OSError where it is not empty."""
    _tapped("rmdir", lambda: os.rmdir(name, dir_fd=fd))


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
    _tapped("fsync", lambda: os.fsync(fd))


def flush_folder(fd: int) -> None:
    """fsync of a folder, where the file system knows such a thing."""
    try:
        _tapped("fsync-folder", lambda: os.fsync(fd))
    except OSError as error:
        if error.errno not in _UNSUPPORTED:
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
        _tapped("unlink", lambda: os.unlink(name, dir_fd=fd))
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


# ------------------------------------------------------------------------------------------------------- renaming


@functools.cache
def _renameat2() -> Callable[[int, bytes, int, bytes, int], int] | None:
    libc = ctypes.CDLL(None, use_errno=True)
    call = getattr(libc, "renameat2", None)
    if call is not None:
        call.argtypes = (ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_uint)
        return call  # type: ignore[no-any-return]
    number = _RENAMEAT2.get(platform.machine())
    return None if number is None else functools.partial(libc.syscall, ctypes.c_long(number))


def rename_new(from_fd: int, old: bytes, to_fd: int, new: bytes, seen: os.stat_result | None = None) -> bool:
    """Rename without replacing: FileExistsError if `new` is taken. `seen` is what was just seen at `old`.

    False where the file system cannot do that in one step and it was looked at first: another program may then have
    taken the name in between.
    """
    before = seen or look(from_fd, old)
    try:
        _tapped("rename", lambda: _rename_in_one_step(from_fd, old, to_fd, new))
    except OSError as error:
        if _has_moved(before, from_fd, old, to_fd, new):
            return True
        if error.errno not in _UNSUPPORTED:
            raise
    else:
        return True
    with _looked_first.setdefault(os.fstat(to_fd).st_dev, threading.Lock()):
        if look(to_fd, new) is not None:
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), new)
        try:
            _tapped("rename", lambda: os.rename(old, new, src_dir_fd=from_fd, dst_dir_fd=to_fd))
        except OSError:
            if not _has_moved(before, from_fd, old, to_fd, new):
                raise
    return False


def _is_now(file: os.stat_result | None, fd: int, name: bytes) -> bool:
    """Whether `file` lies there in spite of the error: a file server is asked again where its answer was lost, and says
    of what it has done already that it cannot be done (NFS, SMB)."""
    found = look(fd, name)
    return file is not None and found is not None and (file.st_dev, file.st_ino) == (found.st_dev, found.st_ino)


def _has_moved(file: os.stat_result | None, from_fd: int, old: bytes, to_fd: int, new: bytes) -> bool:
    return _is_now(file, to_fd, new) and look(from_fd, old) is None


def _rename_in_one_step(from_fd: int, old: bytes, to_fd: int, new: bytes) -> None:
    call = _renameat2()
    if call is None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
    if call(from_fd, old, to_fd, new, _RENAME_NOREPLACE) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), old)


def rename_over(fd: int, old: bytes, new: bytes) -> None:
    """Rename within one folder, replacing. Only for a file of our own in place of an older one of our own."""
    before = look(fd, old)
    try:
        _tapped("rename-over", lambda: os.rename(old, new, src_dir_fd=fd, dst_dir_fd=fd))
    except OSError:
        if not _has_moved(before, fd, old, fd, new):
            raise


# ---------------------------------------------------------------------------------------------- whole or not at all


@contextlib.contextmanager
def new_file(fd: int, name: bytes, scratch: bytes, mode: int = 0o666, *, flushed_later: bool = False) -> Iterator[int]:
    """A file that appears under `name` whole and durable when the block ends, or not at all.

    With `flushed_later` the caller will flush the folder, for this and for other changes: the name is then durable.
    It has no name until then, so that a crash leaves nothing behind. Where a file system cannot do that it is called
    `scratch`, a dot-name that the caller uses again when it repeats the work. FileExistsError if `name` is taken.
    """
    file, named = _unnamed(fd, scratch, mode)
    try:
        yield file
        flush(file)
        if named:
            rename_new(fd, scratch, fd, name)
            named = False
        else:
            _link(file, fd, name)
    finally:
        os.close(file)
        if named:
            remove(fd, scratch)
    if not flushed_later:
        flush_folder(fd)


def _link(file: int, fd: int, name: bytes) -> None:
    path = b"/proc/self/fd/%d" % file
    try:
        _tapped("link", lambda: os.link(path, name, dst_dir_fd=fd, follow_symlinks=True))
    except OSError:
        if not _is_now(os.fstat(file), fd, name):
            raise


def _nameless(fd: int, mode: int) -> int:
    return os.open(b".", os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, mode, dir_fd=fd)


def _unnamed(fd: int, scratch: bytes, mode: int) -> tuple[int, bool]:
    try:
        return _nameless(fd, mode), False
    except OSError as error:
        if error.errno not in (*_UNSUPPORTED, errno.EISDIR, errno.ENOENT):
            raise
    remove(fd, scratch)
    return os.open(scratch, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, mode, dir_fd=fd), True
