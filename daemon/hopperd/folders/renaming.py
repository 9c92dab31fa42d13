"""Files come to their names in one step, whole, and in no other file's place; ours alone may replace one of ours.

Where a file system cannot rename without replacing, it is looked at first. A file server may do what it was asked and
lose its answer: an error counts only where the file did not come to its name.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import functools
import os
import platform
import threading
from collections.abc import Callable, Iterator

from hopperd.folders import places

_RENAME_NOREPLACE = 1
_RENAMEAT2 = {"x86_64": 316, "aarch64": 276, "riscv64": 276, "armv7l": 382, "i686": 353, "ppc64le": 357, "s390x": 347}
# Two deliveries never look at one name at the same time; a share that hangs keeps no other one waiting.
_looked_first: dict[int, threading.Lock] = {}


def rename_new(from_fd: int, old: bytes, to_fd: int, new: bytes, seen: os.stat_result | None = None) -> bool:
    """Rename without replacing: FileExistsError if `new` is taken. `seen` is what was just seen at `old`.

    False where the file system cannot do that in one step and it was looked at first: another program may then have
    taken the name in between.
    """
    before = seen or places.look(from_fd, old)
    try:
        places.tapped("rename", lambda: _rename_in_one_step(from_fd, old, to_fd, new))
    except OSError as error:
        if _has_moved(before, from_fd, old, to_fd, new):
            return True
        if error.errno not in places.UNSUPPORTED:
            raise
    else:
        return True
    with _looked_first.setdefault(os.fstat(to_fd).st_dev, threading.Lock()):
        if places.look(to_fd, new) is not None:
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), new)
        try:
            places.tapped("rename", lambda: os.rename(old, new, src_dir_fd=from_fd, dst_dir_fd=to_fd))
        except OSError:
            if not _has_moved(before, from_fd, old, to_fd, new):
                raise
    return False


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
        places.flush(file)
        if named:
            rename_new(fd, scratch, fd, name)
            named = False
        else:
            _link(file, fd, name)
    finally:
        os.close(file)
        if named:
            places.remove(fd, scratch)
    if not flushed_later:
        places.flush_folder(fd)


@contextlib.contextmanager
def replaced_file(fd: int, name: bytes, scratch: bytes, mode: int = 0o666) -> Iterator[int]:
    """A file that stands in place of an older one of our own, whole, when the block ends; the caller flushes the
    folder. `scratch` is as above."""
    file = _named(fd, scratch, mode)
    try:
        yield file
        places.flush(file)
    finally:
        os.close(file)
    _rename_over(fd, scratch, name)


# ---------------------------------------------------------------------------------------------------------- in one step


def _rename_in_one_step(from_fd: int, old: bytes, to_fd: int, new: bytes) -> None:
    call = _renameat2()
    if call is None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
    if call(from_fd, old, to_fd, new, _RENAME_NOREPLACE) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), old)


@functools.cache
def _renameat2() -> Callable[[int, bytes, int, bytes, int], int] | None:
    libc = ctypes.CDLL(None, use_errno=True)
    call = getattr(libc, "renameat2", None)
    if call is not None:
        call.argtypes = (ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_uint)
        return call  # type: ignore[no-any-return]
    number = _RENAMEAT2.get(platform.machine())
    return None if number is None else functools.partial(libc.syscall, ctypes.c_long(number))


def _rename_over(fd: int, old: bytes, new: bytes) -> None:
    before = places.look(fd, old)
    try:
        places.tapped("rename-over", lambda: os.rename(old, new, src_dir_fd=fd, dst_dir_fd=fd))
    except OSError:
        if not _has_moved(before, fd, old, fd, new):
            raise


# -------------------------------------------------------------------------------------------------- its answer was lost


def _is_now(file: os.stat_result | None, fd: int, name: bytes) -> bool:
    """Whether `file` lies there in spite of the error: a file server is asked again where its answer was lost, and says
    of what it has done already that it cannot be done (NFS, SMB)."""
    found = places.look(fd, name)
    return file is not None and found is not None and (file.st_dev, file.st_ino) == (found.st_dev, found.st_ino)


def _has_moved(file: os.stat_result | None, from_fd: int, old: bytes, to_fd: int, new: bytes) -> bool:
    return _is_now(file, to_fd, new) and places.look(from_fd, old) is None


# ------------------------------------------------------------------------------------------------ until it has its name


def _nameless(fd: int, mode: int) -> int:
    return os.open(b".", os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, mode, dir_fd=fd)


def _unnamed(fd: int, scratch: bytes, mode: int) -> tuple[int, bool]:
    try:
        return _nameless(fd, mode), False
    except OSError as error:
        if error.errno not in (*places.UNSUPPORTED, errno.EISDIR, errno.ENOENT):
            raise
    return _named(fd, scratch, mode), True


def _named(fd: int, scratch: bytes, mode: int) -> int:
    places.remove(fd, scratch)
    return os.open(scratch, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, mode, dir_fd=fd)


def _link(file: int, fd: int, name: bytes) -> None:
    path = b"/proc/self/fd/%d" % file
    try:
        places.tapped("link", lambda: os.link(path, name, dst_dir_fd=fd, follow_symlinks=True))
    except OSError:
        if not _is_now(os.fstat(file), fd, name):
            raise
