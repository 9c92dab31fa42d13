"""List an inbox in bounded memory: what could be claimed, in the folder's order, and what is left alone and why.

The sweep is the truth and events are a hint, so it must see everything (walk.py). It keeps at most `limit` candidates
however many files wait (candidates.py), and never opens a file.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from hopperd.folders.candidates import GROUP_FILES, Best, Candidate, FileSeen, Group
from hopperd.folders.layout import Layout
from hopperd.folders.mounts import mounts_below
from hopperd.folders.places import folder_below, identity_of, is_plain, look, root_folder
from hopperd.folders.selection import Selection
from hopperd.folders.walk import ODD, Found, Walk, name_bytes
from hopperd.pipeline.job import Identity
from hopperd.pipeline.naming import split_path
from hopperd.ports import Candidate as AnyCandidate
from hopperd.ports import LeftAlone, Swept

LEFT_ALONE_LISTED = 200
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
_UNLISTED = ("system-file",)

Order = Literal["oldest", "name", "newest"]


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
    odd = next((what for slug, what in ODD.values() if slug == reason), None)
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
    best, left = Best(limit), _Left()
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


def _is_known(skip: Mapping[bytes, Identity], name: bytes, status: os.stat_result) -> bool:
    known = skip.get(name)
    return known is not None and known.same_file(identity_of(status))


def _offer_group(walk: Walk, fd: int, found: Found, at: float, direction: int, best: Best, left: _Left) -> None:
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
