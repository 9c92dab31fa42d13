"""Everything below an open folder, folder by folder, each reached from the one above it without following a link.

It never stops at an odd entry: what cannot be taken, or entered, is told with its reason.
"""

from __future__ import annotations

import errno
import os
import stat
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

from hopperd.folders.layout import Layout
from hopperd.folders.selection import Selection, left_alone_by_name
from hopperd.pipeline.job import Identity

FOLDERS_KEPT = 2_000
_PATH_BYTES = 4_000  # of the 4,096 a system call takes; staging and receipts need a little more than the name
ODD = {
    stat.S_IFIFO: ("fifo", "a named pipe; put in a plain file"),
    stat.S_IFSOCK: ("socket", "a socket; put in a plain file"),
    stat.S_IFCHR: ("device", "a device; put in a plain file"),
    stat.S_IFBLK: ("device", "a device; put in a plain file"),
    stat.S_IFLNK: ("link", "a symbolic link, never followed; put in the file itself"),
}
_KIND = 0o170000
_ENCODING = sys.getfilesystemencoding()
_ODD_STARTS = ".~"
ORDINARY_ENDS = frozenset(
    end for each in (".pdf", ".tif", ".tiff", ".jpg", ".jpeg", ".png", ".xml") for end in (each, each.upper())
)
"""Names that end so and begin with none of `_ODD_STARTS` are never left alone for their name (selection.py)."""

Wanted = Callable[[bytes, os.stat_result], None]


class Found(NamedTuple):
    """One entry below in/. `reason` says why it is left alone; a plain file with none is wanted."""

    name: bytes
    reason: str | None
    status: os.stat_result | None


class Walk:
    """Everything below an open folder, folder by folder, each reached from the one above it."""

    def __init__(self, selection: Selection, mounts: frozenset[bytes], name_bytes: int) -> None:
        self._why_not = selection.why_not if selection.has_patterns else left_alone_by_name
        self._ordinary = not selection.has_patterns
        self._depth = selection.depth
        self._mounts = mounts
        self._name_bytes = name_bytes
        self.folders: dict[bytes, int] = {}  # that were entered; when each had changed last

    def note(self, folder: bytes, status: os.stat_result) -> None:
        if len(self.folders) < FOLDERS_KEPT:
            self.folders[folder] = status.st_mtime_ns

    def below(
        self,
        fd: int,
        prefix: bytes,
        depth: int = 0,
        *,
        groups: bool = False,
        wanted: Wanted | None = None,
        known: Mapping[bytes, Identity] | None = None,
    ) -> Iterator[Found]:
        """All that lies in the open folder `fd`, whose path below in/ is `prefix` (with its slash).

        With `groups`, subfolders are reported with the reason `group` and not entered. `wanted` is told of plain files
        that are, in place of a Found for each: of a million files that wait nearly all are. What is `known` by name and
        inode is passed over without asking the disk.
        """
        why_not, ordinary = self._why_not, self._ordinary
        longest = self._name_bytes - len(prefix)
        with os.scandir(fd) as entries:
            for entry in entries:
                text = entry.name
                base = text.encode(_ENCODING, "surrogateescape")
                name = prefix + base
                if known and (seen := known.get(name)) is not None and seen.inode == entry.inode():
                    continue
                try:
                    if entry.is_dir(follow_symlinks=False):
                        reason = self._why_not_enter(name, depth, groups=groups)
                        if reason is None:
                            yield from self.into(fd, name, depth + 1, wanted=wanted, known=known)
                        else:
                            yield Found(name, reason, None)
                        continue
                    status = entry.stat(follow_symlinks=False)
                except FileNotFoundError:
                    continue
                except OSError:
                    yield Found(name, "unreadable", None)
                    continue
                if status.st_mode & _KIND != stat.S_IFREG:
                    reason = ODD.get(status.st_mode & _KIND, ODD[stat.S_IFCHR])[0]
                elif len(base) > longest:
                    reason = "path-too-long"
                elif ordinary and text[0] not in _ODD_STARTS and text[text.rfind(".") :] in ORDINARY_ENDS:
                    reason = None
                else:
                    reason = why_not(name)
                if reason is None and wanted is not None:
                    wanted(name, status)
                else:
                    yield Found(name, reason, status)

    def into(
        self,
        fd: int,
        name: bytes,
        depth: int = 1,
        *,
        wanted: Wanted | None = None,
        known: Mapping[bytes, Identity] | None = None,
    ) -> Iterator[Found]:
        """All that lies below the subfolder `name` of the open folder `fd`."""
        try:
            inner = os.open(
                name[name.rfind(b"/") + 1 :], os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=fd
            )
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):  # gone, or replaced meanwhile
                yield Found(name, "unreadable", None)
            return
        try:
            status = os.fstat(inner)
            if status.st_dev != os.fstat(fd).st_dev:
                yield Found(name, "mount", None)
            else:
                self.note(name, status)
                yield from self.below(inner, name + b"/", depth, wanted=wanted, known=known)
        except OSError:
            yield Found(name, "unreadable", None)
        finally:
            os.close(inner)

    def _why_not_enter(self, name: bytes, depth: int, *, groups: bool) -> str | None:
        reason = self._why_not_folder(name)
        if reason is None and depth >= self._depth:
            reason = "too-deep"
        if reason is None and name in self._mounts:
            reason = "mount"
        return "group" if reason is None and groups else reason

    def _why_not_folder(self, name: bytes) -> str | None:
        reason = self._why_not(name)
        return None if reason == "excluded" else reason  # patterns are about files


def name_bytes(layout: Layout) -> int:
    """How long a path below in/ may be for all that it becomes to stay within what system calls take."""
    return _PATH_BYTES - max(len(root) for root in layout.roots.values())
