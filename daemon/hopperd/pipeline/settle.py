"""Settling: sightings of one path → settled or not. For a group, of all that lies below one subfolder.

Only looks decide, and only the monotonic clock counts: an mtime in the future or a clock set back changes nothing,
because an mtime is compared with itself and never with now. What must be asked of the disk (who writes? does the tail
look unfinished?) is asked only once a path has been quiet for long enough; the answers come in through `judge`.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Hashable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from itertools import chain, islice
from typing import Protocol, TypeVar


class Writing(StrEnum):
    """Whether somebody has the file open for writing, as far as the file system tells."""

    BUSY = "busy"
    FREE = "free"
    UNKNOWN = "unknown"


class Decision(StrEnum):
    WAIT = "wait"  # it changed, or has not been quiet for long enough
    ASK = "ask"  # quiet for long enough: ask the disk, then judge()
    SETTLED = "settled"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What the disk says of a path that has been quiet. For a group: busy or unfinished if any of its files is."""

    writing: Writing = Writing.UNKNOWN
    looks_unfinished: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """One look at one path: `mark` changes whenever the file (or anything in the group) does; `at` is monotonic."""

    mark: Hashable
    at: float
    is_empty: bool = False
    is_group: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long to wait, in seconds. With `by_folder`, files in the root are groups of one and wait like groups."""

    quiet_seconds: float = 2.0
    empty_seconds: float = 60.0
    group_quiet_seconds: float = 30.0
    by_folder: bool = False

    def quiet(self, look: Look) -> float:
        seconds = self.group_quiet_seconds if self.by_folder or look.is_group else self.quiet_seconds
        return max(seconds, self.empty_seconds) if look.is_empty else seconds


class Settling:
    """What is remembered of one path between looks. A changed mark starts all over again."""

    __slots__ = ("_extra", "_last", "_patience", "_quiet_since", "waits_for")

    def __init__(self, patience: Patience) -> None:
        self._patience = patience
        self._last: Look | None = None
        self._quiet_since = 0.0
        self._extra: float | None = None  # the one longer wait for an unfinished tail, once per mark
        self.waits_for = "the first look"

    def look(self, look: Look) -> Decision:
        last, self._last = self._last, look
        if last is None or last.mark != look.mark:
            self._quiet_since, self._extra = look.at, None
            self.waits_for = "changes to end" if last is not None else "a second look"
        return Decision.ASK if look.at >= self.next_look else Decision.WAIT

    def judge(self, answer: Answer) -> Decision:
        """After ASK: what the answer makes of it. An unfinished tail costs one quiet period more and never a second."""
        if self._last is None or self._last.at < self.next_look:
            return Decision.WAIT
        if answer.writing is Writing.BUSY:
            self.waits_for = "a program that has it open for writing"
            return Decision.WAIT
        if answer.looks_unfinished and self._extra is None:
            self._extra = self._patience.quiet(self._last)
            self.waits_for = "an end that looks finished"
            return Decision.SETTLED if self._extra == 0 else Decision.WAIT
        return Decision.SETTLED

    @property
    def next_look(self) -> float:
        """The monotonic time from which a look can settle it, if nothing changes meanwhile."""
        if self._last is None:
            return 0.0
        return self._quiet_since + self._patience.quiet(self._last) + (self._extra or 0.0)


class HasLook(Protocol):
    """What a sweep brings: a name, and one look at it."""

    @property
    def name(self) -> bytes: ...

    @property
    def look(self) -> Look: ...


Seen = TypeVar("Seen", bound=HasLook)


class Book:
    """All paths of one hot folder that have been seen and are not settled. Never holds more than `limit` of them."""

    def __init__(self, patience: Patience, limit: int = 20_000) -> None:
        self._patience = patience
        self._limit = limit
        self._paths: dict[bytes, Settling] = {}
        self._earliest: float | None = None

    def __len__(self) -> int:
        return len(self._paths)

    def quiet(self, seen: Collection[Seen]) -> list[Seen]:
        """Take in one whole sweep, and say which paths to ask the disk about. What was not seen is forgotten."""
        return list(chain.from_iterable(self.quiet_by_turns(seen, len(seen))))

    def quiet_by_turns(self, seen: Collection[Seen], at_once: int) -> Iterator[list[Seen]]:
        """The same, so many paths at a time; whoever asks has other things to do in between. Nothing else may be asked
        of the book until it is through."""
        before, self._paths, self._earliest = self._paths, {}, None
        left, earliest = iter(seen), math.inf
        while some := list(islice(left, min(max(1, at_once), self._limit - len(self._paths)))):
            ripe = []
            for one in some:
                settling = self._paths[one.name] = before.get(one.name) or Settling(self._patience)
                if settling.look(one.look) is Decision.ASK:
                    ripe.append(one)
                earliest = min(earliest, settling.next_look)
            self._earliest = earliest
            yield ripe

    def look_again(self, seen: Collection[Seen]) -> list[Seen]:
        """Take in another look at some paths of the last sweep, and say which to ask the disk about."""
        known = [(one, self._paths[one.name]) for one in seen if one.name in self._paths]
        return [one for one, settling in known if settling.look(one.look) is Decision.ASK]

    def judge(self, name: bytes, answer: Answer) -> bool:
        """Whether a path that was asked about is settled. One that is stays in the book until the next sweep."""
        settling = self._paths.get(name)
        return settling is not None and settling.judge(answer) is Decision.SETTLED

    def next_look(self) -> float | None:
        """The earliest monotonic time at which another sweep can settle something; None if nothing waited in the last.

        It lies in the past where something only waits for its writer.
        """
        return self._earliest

    def waiting(self, limit: int) -> list[tuple[bytes, str]]:
        """Some of the paths that wait, and what each waits for."""
        return [(name, settling.waits_for) for name, settling in list(self._paths.items())[:limit]]

    def forget(self, name: bytes) -> None:
        """It is claimed, or not there any more."""
        self._paths.pop(name, None)

    def start_over(self, name: bytes) -> None:
        """It was settled and could not be claimed: it waits for the next sweep, which begins anew with it."""
        self._paths[name] = Settling(self._patience)
