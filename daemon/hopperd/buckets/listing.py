"""List an inbox page by page in bounded memory: what could be claimed, in the folder's order, and what is left alone.

A key that the client cannot name (an empty part, a control character) is told, and hides no other.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass, field
from operator import itemgetter
from typing import Final, Literal

from hopperd.buckets.claim import Member
from hopperd.buckets.place import Place
from hopperd.buckets.seen import Seen
from hopperd.buckets.store import Store
from hopperd.folders.selection import Selection
from hopperd.pipeline.job import Identity
from hopperd.pipeline.settle import Look
from hopperd.ports import LeftAlone, Swept

GROUP_FILES: Final = 1_000
COPIED_BYTES: Final = 5 << 30  # a store copies no larger object in one request
LISTED: Final = 200
_UNLISTED: Final = ("system-file",)
WHY: Final = {
    "temporary-name": "a name that programs use while they still write; it is taken once it has its final name",
    "hidden-name": "a name as hidden files and locks have it; without the dot or ~$ that it begins with it is taken",
    "excluded": "the folder's include and exclude patterns do not take it",
    "too-deep": "lies deeper than the folder's depth setting follows",
    "path-too-long": "its key is so long that what it becomes in done/ would exceed what a key may have",
    "too-large": "larger than 5 GiB, which a store does not copy in one piece; no invoice is",
    "group-too-large": f"more than {GROUP_FILES} files in one group; split it into several subfolders",
    "unusable-key": "its key has an empty part, a part of dots alone or a control character; rename it",
    "folder-object": "an empty object that stands for a folder, as consoles make them",
}
Order = Literal["oldest", "name", "newest"]


class Candidate:
    """What could be claimed: one object, or one group (`name` is its subfolder)."""

    __slots__ = ("identity", "look", "name")

    def __init__(self, *, name: bytes, identity: Identity, look: Look) -> None:
        self.name = name
        self.identity = identity
        self.look = look


class ObjectSeen(Candidate):
    """One object. Twenty thousand of these are kept: what few are asked for is made when asked."""

    __slots__ = ("_at", "seen")

    def __init__(self, name: bytes, seen: Seen, at: float) -> None:
        self.name = name
        self.seen = seen
        self._at = at

    @property
    def identity(self) -> Identity:  # type: ignore[override]
        return self.seen.identity

    @property
    def look(self) -> Look:  # type: ignore[override]
        mark = (self.seen.etag, self.seen.size_bytes)
        return Look(mark=mark, at=self._at, is_empty=self.seen.size_bytes == 0)


@dataclass(slots=True)
class _Best:
    """The first `limit` of everything offered, by rank and name. Holds at most twice as many."""

    limit: int
    total: int = 0
    kept: list[tuple[int | bytes, bytes, Candidate]] = field(default_factory=list)

    def offer(self, rank: int | bytes, one: Candidate) -> None:
        self.total += 1
        self.kept.append((rank, one.name, one))
        if len(self.kept) >= 2 * self.limit + 16:
            self._trim()

    def _trim(self) -> None:
        self.kept.sort(key=itemgetter(0, 1))
        del self.kept[max(1, self.limit) :]

    def first(self) -> tuple[Candidate, ...]:
        self._trim()
        return tuple(one for _, _, one in self.kept)


@dataclass(slots=True)
class _Left:
    listed: list[LeftAlone] = field(default_factory=list)
    total: int = 0

    def note(self, name: bytes, reason: str) -> None:
        if reason in _UNLISTED:
            return
        self.total += 1
        if len(self.listed) < LISTED:
            self.listed.append(LeftAlone(name=name, reason=reason, what=WHY[reason]))


@dataclass(slots=True)
class Group:
    """What one subfolder adds up to, in constant memory. Its mark changes whenever anything below it does."""

    name: bytes
    members: int = 0
    oldest: int = 1 << 60
    newest: int = 0
    _entries: int = 0
    _sum: int = 0
    _size: int = 0
    _has_empty: bool = False

    def add(self, name: bytes, seen: Seen, *, is_wanted: bool) -> None:
        """What is left alone among its files keeps it from settling all the same while it changes."""
        self._entries += 1
        self._sum += hash((name, seen.etag, seen.size_bytes, seen.modified))
        if is_wanted:
            self.members += 1
            self._size += seen.size_bytes
            self._has_empty |= seen.size_bytes == 0
            self.oldest, self.newest = min(self.oldest, seen.modified), max(self.newest, seen.modified)

    @property
    def mark(self) -> Hashable:
        return self._entries, self._sum, self._size

    def candidate(self, at: float) -> Candidate:
        look = Look(mark=self.mark, at=at, is_empty=self._has_empty, is_group=True)
        identity = Identity(device=0, inode=self._sum & (1 << 56) - 1, size_bytes=self._size, mtime_ns=0)
        return Candidate(name=self.name, identity=identity, look=look)


class Listing:
    """Reads in/ of one hot folder."""

    def __init__(self, store: Store, place: Place) -> None:
        self._store = store
        self._place = place

    def sweep(
        self,
        selection: Selection,
        *,
        at: float,
        by_folder: bool,
        order: Order,
        limit: int,
        skip: Mapping[bytes, Identity],
    ) -> Swept:
        best, left = _Best(limit), _Left()
        group: Group | None = None
        for name, seen, reason in self.found(selection):
            top, slash, _ = name.partition(b"/")
            if by_folder and slash:
                if group is None or group.name != top:
                    self._offer_group(group, at, order, best, left, skip)
                    group = Group(top)
                group.add(name, seen, is_wanted=reason is None)
            if reason is not None:
                left.note(name, reason)
            elif not (by_folder and slash) and not (skip and _is_known(skip, name, seen.identity)):
                best.offer(_rank(order, name, seen.modified), ObjectSeen(name, seen, at))
        self._offer_group(group, at, order, best, left, skip)
        return Swept(
            candidates=best.first(), waiting=best.total, left_alone=tuple(left.listed), left_alone_total=left.total
        )

    def _offer_group(
        self,
        group: Group | None,
        at: float,
        order: Order,
        best: _Best,
        left: _Left,
        skip: Mapping[bytes, Identity],
    ) -> None:
        if group is None or not group.members:
            return
        if group.members > GROUP_FILES:
            left.note(group.name, "group-too-large")
            return
        candidate = group.candidate(at)
        if not _is_known(skip, group.name, candidate.identity):
            best.offer(_rank(order, group.name, group.newest if order == "newest" else group.oldest), candidate)

    def members(self, selection: Selection, candidate: Candidate) -> tuple[Member, ...]:
        """The objects of a candidate; none where its group is no longer as it was seen."""
        if isinstance(candidate, ObjectSeen):
            return (Member(name=candidate.name, seen=candidate.seen),)
        group, wanted = Group(candidate.name), []
        for name, seen, reason in self.found(selection, below=candidate.name):
            group.add(name, seen, is_wanted=reason is None)
            if reason is None:
                wanted.append(Member(name=name, seen=seen))
        return tuple(wanted) if group.mark == candidate.look.mark else ()

    def found(self, selection: Selection, *, below: bytes | None = None) -> Iterator[tuple[bytes, Seen, str | None]]:
        """Every object below in/ (or a subfolder of it) in the order of keys: its name, what it is, why it is left."""
        prefix = self._place.root("in") if below is None else self._place.key("in", below)
        for seen in self._store.listed(prefix, unusable=True):
            name = self._place.below("in", seen.key)
            if not seen.is_usable:
                is_folder = name.endswith(b"/") and not seen.size_bytes
                yield name, seen, "folder-object" if is_folder else "unusable-key"
                continue
            reason = selection.why_not(name)
            folders = name.split(b"/")[:-1]
            for depth in range(1, len(folders) + 1 if reason is None else 0):
                why = selection.why_not(b"/".join(folders[:depth]))
                reason = why if why not in (None, "excluded") else reason  # patterns are about files
            if reason is None and len(folders) > selection.depth:
                reason = "too-deep"
            if reason is None and seen.size_bytes > COPIED_BYTES:
                reason = "too-large"
            if reason is None and self._place.is_too_long(name):
                reason = "path-too-long"
            yield name, seen, reason


def _rank(order: Order, name: bytes, modified: int) -> int | bytes:
    return name if order == "name" else -modified if order == "newest" else modified


def _is_known(skip: Mapping[bytes, Identity], name: bytes, identity: Identity) -> bool:
    known = skip.get(name)
    return known is not None and known.same_file(identity)
