"""List an inbox in bounded memory: what could be claimed, in the folder's order, and what is left alone and why.

The sweep is the truth and events are a hint, so it must see everything: it never stops at an odd entry. It opens
folders one below the other without following a link, keeps at most `limit` candidates however many files wait, and
never opens a file.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from hopperd.folders.layout import Layout
from hopperd.folders.mounts import mounts_below
from hopperd.folders.places import folder_below, identity_of, is_plain, look, root_folder
from hopperd.folders.selection import Selection, left_alone_by_name
from hopperd.pipeline.job import Identity
from hopperd.pipeline.naming import split_path
from hopperd.pipeline.settle import Look
from hopperd.ports import Candidate as AnyCandidate
from hopperd.ports import LeftAlone, Swept

SORTED_AT_ONCE = 2_500
FOLDERS_KEPT = 2_000
GROUP_FILES = 1_000
LEFT_ALONE_LISTED = 200
_PATH_BYTES = 4_000  # of the 4,096 a system call takes; staging and receipts need a little more than the name
_ODD = {
    stat.S_IFIFO: ("fifo", "a named pipe; put in a plain file"),
    stat.S_IFSOCK: ("socket", "a socket; put in a plain file"),
    stat.S_IFCHR: ("device", "a device; put in a plain file"),
    stat.S_IFBLK: ("device", "a device; put in a plain file"),
    stat.S_IFLNK: ("link", "a symbolic link, never followed; put in the file itself"),
}
_WHY = {
    "temporary-name": "a name that programs use while they still write; it is taken once it has its final name",
    "hidden-name": "a name as hidden files and locks have it; without the dot or ~$ that it begins with it is taken",
    "excluded": "the folder's include and exclude patterns do not take it",
    "mount": "a file system mounted below in/: files cannot be claimed from there by rename; make it a folder's in",
    "unreadable": "hopperd may not list this folder; give its user the right to read, write and enter it",
    "too-deep": "lies deeper than the folder's depth setting follows",
    "path-too-long": "the whole path is longer than the system's calls take; shorten the subfolders' names",
    "group-too-large": f"more than {GROUP_FILES} files in one group; split it into several subfolders",
}
_KIND = 0o170000
_ENCODING = sys.getfilesystemencoding()
_UNLISTED = ("system-file",)

_ODD_STARTS = ".~"
ORDINARY_ENDS = frozenset(
    end for each in (".pdf", ".tif", ".tiff", ".jpg", ".jpeg", ".png", ".xml") for end in (each, each.upper())
)
"""Names that end so and begin with none of `_ODD_STARTS` are never left alone for their name (selection.py)."""

Order = Literal["oldest", "name", "newest"]
Wanted = Callable[[bytes, os.stat_result], None]


class Found(NamedTuple):
    """One entry below in/. `reason` says why it is left alone; a plain file with none is wanted."""

    name: bytes
    reason: str | None
    status: os.stat_result | None


class Candidate:
    """What could be claimed: one file, or one group (`name` is its subfolder, `members` its files)."""

    __slots__ = ("identity", "look", "members", "name")

    def __init__(self, *, name: bytes, identity: Identity, look: Look, members: int = 1) -> None:
        self.name = name
        self.identity = identity
        self.look = look
        self.members = members

    @property
    def is_group(self) -> bool:
        return self.look.is_group


class FileSeen(Candidate):
    """A plain file as stat told it. Twenty thousand of these are kept: what few are asked for is made when asked."""

    __slots__ = ("_at", "_found")

    def __init__(self, name: bytes, found: _Stat, at: float) -> None:
        self.name = name
        self.members = 1
        self._found = found
        self._at = at

    @property
    def identity(self) -> Identity:  # type: ignore[override]
        device, inode, size_bytes, mtime_ns = self._found
        return Identity(device=device, inode=inode, size_bytes=size_bytes, mtime_ns=mtime_ns)

    @property
    def look(self) -> Look:  # type: ignore[override]
        _, inode, size_bytes, mtime_ns = self._found
        return Look(mark=(inode, size_bytes, mtime_ns), at=self._at, is_empty=size_bytes == 0)


_Stat = tuple[int, int, int, int]
_Offered = tuple[int, bytes, _Stat | Candidate]


@dataclass(slots=True)
class _Best:
    """The first `limit` of everything offered, by rank and name. Holds a few more: to sort what is sorted but for them
    takes a millisecond or two, in which nothing else moves."""

    limit: int
    total: int = 0
    worst_rank: int = 1 << 80
    kept: list[_Offered] = field(default_factory=list)

    def offer(self, rank: int, name: bytes, one: _Stat | Candidate) -> None:
        """One that is not worse than `worst_rank`; whoever offers has counted it in `total`."""
        self.kept.append((rank, name, one))
        if len(self.kept) >= self.limit + min(self.limit + 16, SORTED_AT_ONCE):
            self._trim()
            self.worst_rank = self.kept[-1][0]

    def _trim(self) -> None:
        self.kept.sort()  # no two have one name, so that nothing beyond it is compared
        del self.kept[max(1, self.limit) :]

    def first(self) -> list[_Offered]:
        self._trim()
        return self.kept


@dataclass(slots=True)
class _Left:
    listed: list[LeftAlone] = field(default_factory=list)
    total: int = 0

    def note(self, found: Found) -> None:
        if found.reason is None or found.reason in _UNLISTED:
            return
        self.total += 1
        if len(self.listed) < LEFT_ALONE_LISTED:
            self.listed.append(left_alone(found))


def left_alone(found: Found) -> LeftAlone:
    reason = found.reason or ""
    odd = next((what for slug, what in _ODD.values() if slug == reason), None)
    return LeftAlone(name=found.name, reason=reason, what=odd or _WHY.get(reason, reason))


def sweep(
    layout: Layout,
    selection: Selection,
    *,
    at: float,
    by_folder: bool = False,
    order: Order = "oldest",
    limit: int = 20_000,
    skip: Mapping[bytes, Identity] | None = None,
    quick: bool = False,
) -> Swept:
    """One look at in/. `skip` are paths that are known, unchanged, not to be wanted (on_other = "leave").

    With `quick`, those of them whose name still stands for the same inode are taken for unchanged.

    Raises OSError where in/ itself cannot be listed.
    """
    best, left = _Best(limit), _Left()
    direction = {"oldest": 1, "name": 0, "newest": -1}[order]
    walk = Walk(selection, mounts_below(layout.inbox), name_bytes(layout))
    with root_folder(layout.inbox) as fd:
        walk.note(b"", os.fstat(fd))

        def wanted(name: bytes, status: os.stat_result) -> None:
            if skip and _is_known(skip, name, status):
                return
            mtime_ns = status.st_mtime_ns
            best.total += 1
            rank = mtime_ns * direction
            if rank <= best.worst_rank:
                best.offer(rank, name, (status.st_dev, status.st_ino, status.st_size, mtime_ns))

        for found in walk.below(fd, b"", groups=by_folder, wanted=wanted, known=skip if quick else None):
            if found.reason == "group":
                _offer_group(walk, fd, found, at, direction, best, left)
            else:
                left.note(found)
    candidates = tuple(one if isinstance(one, Candidate) else FileSeen(name, one, at) for _, name, one in best.first())
    return Swept(
        candidates=candidates,
        waiting=best.total,
        left_alone=tuple(left.listed),
        left_alone_total=left.total,
        folders=walk.folders,
    )


def have_changed(layout: Layout, folders: Mapping[bytes, int]) -> bool:
    """Whether anything came into one of these folders, left it, or was replaced in it since a sweep noted them."""
    with root_folder(layout.inbox) as root:
        for folder, changed_ns in folders.items():
            try:
                with folder_below(root, folder) as fd:
                    if os.fstat(fd).st_mtime_ns != changed_ns:
                        return True
            except (FileNotFoundError, NotADirectoryError, PermissionError):
                return True
    return False


def look_again(layout: Layout, candidates: Sequence[AnyCandidate], *, at: float) -> list[FileSeen]:
    """One more look at files that a sweep has seen, without the others of in/. Those that are there, in their order;
    nothing of groups, which are no single file."""
    seen: dict[bytes, FileSeen] = {}
    by_folder: dict[bytes, list[AnyCandidate]] = {}
    for candidate in candidates:
        if not candidate.look.is_group:
            by_folder.setdefault(split_path(candidate.name)[0], []).append(candidate)
    with root_folder(layout.inbox) as root:
        for folder, some in by_folder.items():
            with (
                contextlib.suppress(FileNotFoundError, NotADirectoryError, PermissionError),
                folder_below(root, folder) as fd,
            ):
                for candidate in some:
                    found = look(fd, split_path(candidate.name)[1])
                    if found is not None and is_plain(found):
                        status = (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns)
                        seen[candidate.name] = FileSeen(candidate.name, status, at)
    return [seen[candidate.name] for candidate in candidates if candidate.name in seen]


def name_bytes(layout: Layout) -> int:
    """How long a path below in/ may be for all that it becomes to stay within what system calls take."""
    return _PATH_BYTES - max(len(root) for root in layout.roots.values())


def _is_known(skip: Mapping[bytes, Identity], name: bytes, status: os.stat_result) -> bool:
    known = skip.get(name)
    return known is not None and known.same_file(identity_of(status))


def _offer_group(walk: Walk, fd: int, found: Found, at: float, direction: int, best: _Best, left: _Left) -> None:
    group = Group(found.name)
    for member in walk.into(fd, found.name):
        group.add(member)
        left.note(member)
    if group.refused is not None:
        left.note(Found(found.name, group.refused, None))
    elif group.members:
        best.total += 1
        rank = (group.newest if direction < 0 else group.oldest) * direction
        if rank <= best.worst_rank:
            best.offer(rank, found.name, group.candidate(at))


class Group:
    """What one subfolder adds up to, in constant memory. Its mark changes whenever anything below it does."""

    def __init__(self, name: bytes) -> None:
        self.name = name
        self.members = 0
        self.refused: str | None = None
        self.oldest, self.newest = 1 << 80, -(1 << 80)
        self._entries = self._sum = self._size = 0
        self._has_empty = False

    def add(self, member: Found) -> None:
        """A half-copied `.part` among the members is left alone, and still keeps the group from settling."""
        if member.reason in ("mount", "unreadable"):
            self.refused = member.reason
        found = member.status
        if found is None:
            return
        self._entries += 1
        self._sum += hash((member.name, found.st_ino, found.st_size, found.st_mtime_ns))
        if member.reason is None:
            self.members += 1
            if self.members > GROUP_FILES:
                self.refused = "group-too-large"
            self._size += found.st_size
            self._has_empty |= found.st_size == 0
            self.oldest, self.newest = min(self.oldest, found.st_mtime_ns), max(self.newest, found.st_mtime_ns)

    @property
    def mark(self) -> tuple[int, int, int]:
        return self._entries, self._sum, self._size

    def candidate(self, at: float) -> Candidate:
        look = Look(mark=self.mark, at=at, is_empty=self._has_empty, is_group=True)
        identity = Identity(device=0, inode=0, size_bytes=self._size, mtime_ns=self.newest)
        return Candidate(name=self.name, identity=identity, look=look, members=self.members)


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
                    reason = _ODD.get(status.st_mode & _KIND, _ODD[stat.S_IFCHR])[0]
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
