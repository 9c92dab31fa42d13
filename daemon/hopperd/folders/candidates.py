"""What could be claimed from an inbox: files and groups, kept in bounded memory however many wait."""

from __future__ import annotations

from dataclasses import dataclass, field

from hopperd.folders.walk import Found
from hopperd.pipeline.job import Identity
from hopperd.pipeline.settle import Look

SORTED_AT_ONCE = 2_500
GROUP_FILES = 1_000
Stat = tuple[int, int, int, int]
"""Device, inode, bytes and mtime in ns, as a sweep notes them."""


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

    def __init__(self, name: bytes, found: Stat, at: float) -> None:
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


_Offered = tuple[int, bytes, Stat | Candidate]


@dataclass(slots=True)
class Best:
    """The first `limit` of everything offered, by rank and name. Holds a few more: to sort what is sorted but for them
    takes a millisecond or two, in which nothing else moves."""

    limit: int
    total: int = 0
    worst_rank: int = 1 << 80
    kept: list[_Offered] = field(default_factory=list)

    def offer(self, rank: int, name: bytes, one: Stat | Candidate) -> None:
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
