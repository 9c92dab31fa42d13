"""The side of a hot folder where people put files: the port `Inbox`, its calls run by a pool of threads given to it."""

from __future__ import annotations

import asyncio
import errno
import os
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import replace
from typing import TypeVar

from hopperd.folders import claim, places, writers
from hopperd.folders.candidates import Candidate
from hopperd.folders.identity import present
from hopperd.folders.layout import ROLES, Layout
from hopperd.folders.probe import disk_state, local
from hopperd.folders.selection import Selection
from hopperd.folders.sweep import have_changed, look_again, sweep
from hopperd.folders.trouble import troubled
from hopperd.folders.walk import FOLDERS_KEPT, Walk, name_bytes
from hopperd.pipeline.job import Identity, JobId, Original
from hopperd.pipeline.naming import printable
from hopperd.pipeline.settle import Answer, Writing
from hopperd.ports import Candidate as AnyCandidate
from hopperd.ports import FolderTrouble, LeftAlone, Leftover, Swept
from hopperd.settings import Folder

NOTED = 200
REMEMBERED = 10_000
SETTLED_NS = 2_000_000_000  # the coarsest clock of a file system, doubled
Given = TypeVar("Given")
Sniff = Callable[[bytes], str | None]
LooksUnfinished = Callable[[str | None, bytes, bytes, int], bool]


def _nothing_known(head: bytes) -> str | None:
    return None


def _never(kind: str | None, head: bytes, tail: bytes, size: int) -> bool:
    return False


class HotInbox:
    """`sniff` tells a file's kind by its first bytes, `looks_unfinished` judges its tail; both come from outside.

    Without `sniff`, nothing is left alone for its content.
    """

    def __init__(
        self,
        layout: Layout,
        settings: Folder,
        pool: Executor,
        ledger_id: str,
        free_space_bytes: int = 0,
        *,
        sniff: Sniff | None = None,
        looks_unfinished: LooksUnfinished = _never,
    ) -> None:
        self._layout = layout
        self._pool = pool
        self._ledger_id = ledger_id
        self._free_space_bytes = free_space_bytes
        self._sniff = sniff
        self._looks_unfinished = looks_unfinished
        self._refused: dict[bytes, LeftAlone] = {}
        self._denied_since: dict[bytes, float] = {}  # monotonic: files that may not be read
        self._given_up: set[bytes] = set()  # candidates to be claimed although they may not be read
        self._lease_tells: bool | None = None  # as it is on a local disk
        self._nothing_new: Swept | None = None  # the last sweep, where it found nothing that is wanted
        self.strays: tuple[bytes, ...] = ()  # in work/, and nobody's job; known once leftovers were listed
        self.reload(settings)

    def reload(self, settings: Folder) -> None:
        """New patterns, depth and order, from a reloaded configuration."""
        self._settings = settings
        self._selection = Selection.of(settings)
        self._nothing_new = None

    # ------------------------------------------------------------------------------------------------- the port

    async def present(self) -> None:
        """Raises FolderTrouble where a marker is missing (the folder is not mounted), or a disk is nearly full or may
        only be read: what is taken in could not be carried to its end."""

        def call() -> None:
            trouble = present(self._layout, self._ledger_id)
            if trouble is not None:
                raise trouble
            self._require_space()

        await self._run("look into", call)

    async def sweep(self, at: float, limit: int, skip: Mapping[bytes, Identity], *, quick: bool = False) -> Swept:
        """One look; `at` is monotonic, `skip` are files known to be unwanted for as long as they do not change.

        With `quick`, only their names and inodes are looked at: what is written into one in place is not seen. Where
        there was nothing else, and no folder has changed since, not even those.
        """

        def call() -> Swept:
            if quick and self._nothing_new is not None and not have_changed(self._layout, self._nothing_new.folders):
                return self._nothing_new
            began_ns = time.time_ns()
            settings = self._settings
            by_folder = settings.group_by == "folder"
            swept = sweep(
                self._layout,
                self._selection,
                at=at,
                by_folder=by_folder,
                order=settings.order,
                limit=limit,
                skip=skip,
                quick=quick,
            )
            refused = tuple(self._still_refused({one.name for one in swept.candidates}))
            swept = replace(
                swept,
                left_alone=(*swept.left_alone, *refused),
                left_alone_total=swept.left_alone_total + len(refused),
            )
            self._nothing_new = swept if self._tells_changes(swept, began_ns) else None
            return swept

        return await self._run("list", call)

    def _tells_changes(self, swept: Swept, began_ns: int) -> bool:
        """Whether its folders' times will tell that something has changed since this sweep.

        A share's client may not know them; two changes within a moment may have one time; and with very many folders
        not all are noted.
        """
        if swept.candidates or len(swept.folders) >= FOLDERS_KEPT:
            return False
        if self._lease_tells is None:
            self._lease_tells = local(self._layout.inbox)
        return self._lease_tells and max(swept.folders.values()) < began_ns - SETTLED_NS

    async def look_again(self, candidates: Sequence[AnyCandidate], at: float) -> Sequence[AnyCandidate]:
        """Those of them that are there, as they are now."""
        return await self._run("look into", lambda: look_again(self._layout, candidates, at=at))

    async def ask(self, candidate: AnyCandidate) -> tuple[Answer, LeftAlone | None]:
        """Does anybody write to it, does it look finished; and why its content says that it is to be left alone."""
        return await self._run("look into", lambda: self._ask(candidate))

    async def claim(self, job_id: JobId, candidate: AnyCandidate) -> tuple[Original, ...] | LeftAlone | None:
        """Rename into work/ and digest. None: it vanished or changed, and is not ours, but perhaps will be."""

        def call() -> tuple[Original, ...] | LeftAlone | None:
            ours = Candidate(name=candidate.name, identity=candidate.identity, look=candidate.look)
            even_unreadable = candidate.name in self._given_up
            claimed = claim.claim(self._layout, self._selection, job_id, ours, even_unreadable=even_unreadable)
            if isinstance(claimed, claim.NotClaimed):
                return self._refuse(candidate.name, claimed.what) if claimed.reason == "unreadable" else None
            self._refused.pop(candidate.name, None)
            self._denied_since.pop(candidate.name, None)
            self._given_up.discard(candidate.name)
            return claimed

        return await self._run("claim files from", call)

    async def leftovers(self) -> Sequence[Leftover]:
        """What lies in work/ under job ids. What lies there otherwise is kept in `strays`."""

        def call() -> Sequence[Leftover]:
            by_folder = self._settings.group_by == "folder"
            found, strays = claim.leftovers(self._layout, self._selection, by_folder=by_folder)
            self.strays = tuple(strays)
            return found

        return await self._run("look into work/ of", call)

    # --------------------------------------------------------------------------------------------------- inside

    def _require_space(self) -> None:
        for role in ROLES:
            root = self._layout.roots[role]
            room, is_read_only = disk_state(root)
            where = f"the disk of {printable(root)}"
            if is_read_only:
                what = f"{where} is mounted read-only: nothing new is taken in until it can be written"
                raise FolderTrouble("disk", what, root)
            if room < self._free_space_bytes:
                what = (
                    f"{where} is full ({room:,} bytes free, less than free_space_bytes, {self._free_space_bytes:,}): "
                    f"nothing new is taken in, nothing is lost. Free space on it; then it goes on by itself"
                )
                raise FolderTrouble("disk", what, root)

    def _ask(self, candidate: AnyCandidate) -> tuple[Answer, LeftAlone | None]:
        if self._lease_tells is None:
            self._lease_tells = local(self._layout.inbox)
        if not candidate.look.is_group:
            return self._ask_file(candidate.name, candidate)
        busy = unfinished = False
        with places.place(self._layout.inbox, candidate.name) as (above, _):
            members = Walk(self._selection, frozenset(), name_bytes(self._layout)).into(above, candidate.name)
            for name in [member.name for member in members if member.reason in (None, "temporary-name")]:
                answer, _unwanted = self._ask_file(name, candidate)
                busy |= answer.writing is Writing.BUSY
                unfinished |= answer.looks_unfinished
        return Answer(writing=Writing.BUSY if busy else Writing.UNKNOWN, looks_unfinished=unfinished), None

    def _ask_file(self, name: bytes, candidate: AnyCandidate) -> tuple[Answer, LeftAlone | None]:
        try:
            with (
                places.place(self._layout.inbox, name) as (folder, base),
                places.plain_file(folder, base) as (file, status),
            ):
                size = status.st_size
                writing = writers.writing(file, lease_tells=bool(self._lease_tells))
                head, tail = writers.head_and_tail(file, size)
        except OSError as error:
            if error.errno in (errno.EACCES, errno.EPERM):
                return self._denied(name, candidate, error), None
            if error.errno == errno.EIO:
                self._refuse(name, f"it cannot be read: {os.strerror(error.errno)}; tried again and again")
                return Answer(writing=Writing.BUSY), None
            if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.EINVAL, errno.ENXIO):
                return Answer(writing=Writing.BUSY), None  # no longer what was seen: the next sweep tells
            raise
        kind = (self._sniff or _nothing_known)(head)
        answer = Answer(writing=writing, looks_unfinished=bool(size) and self._looks_unfinished(kind, head, tail, size))
        return answer, self._unwanted(name, kind, size)

    def _denied(self, name: bytes, candidate: AnyCandidate, error: OSError) -> Answer:
        """It may not be read, perhaps not yet: waited for, listed, and in the end claimed to fail with its reason."""
        since = self._denied_since.get(name, candidate.look.at)
        if len(self._denied_since) < REMEMBERED:
            self._denied_since[name] = since
        if candidate.look.at - since >= self._settings.unreadable_seconds:
            self._given_up.add(candidate.name)
            return Answer(writing=Writing.UNKNOWN)
        why = os.strerror(error.errno or errno.EACCES)
        self._refuse(
            name, f"it cannot be read: {why}. Give hopperd's user the right to, or it goes to failed/ in a while"
        )
        return Answer(writing=Writing.BUSY)

    def _unwanted(self, name: bytes, kind: str | None, size: int) -> LeftAlone | None:
        settings = self._settings
        if self._sniff is None or settings.on_other != "leave" or settings.group_by == "folder" or not size:
            return None
        if kind in settings.accept:
            return None
        what = f"its content is {kind or 'of no known kind'}, and accept does not name that"
        return LeftAlone(name=name, reason="wrong-type", what=what)

    def _refuse(self, name: bytes, what: str) -> LeftAlone:
        refused = LeftAlone(name=name, reason="unreadable", what=what)
        if len(self._refused) < NOTED:
            self._refused[name] = refused
        return refused

    def _still_refused(self, names: set[bytes]) -> Sequence[LeftAlone]:
        """What could not be read or moved, as long as the sweep still sees it; each is tried again all the same."""
        for name in [name for name in self._refused if self._is_gone(name, names)]:
            del self._refused[name]
        for name in [name for name in self._denied_since if self._is_gone(name, names)]:
            del self._denied_since[name]
        self._given_up &= names
        return tuple(self._refused.values())

    def _is_gone(self, name: bytes, names: set[bytes]) -> bool:
        is_member = self._settings.group_by == "folder" and name.partition(b"/")[0] in names
        return name not in names and not is_member

    async def _run(self, doing: str, call: Callable[[], Given]) -> Given:
        def guarded() -> Given:
            with troubled(self._layout.inbox, doing):
                return call()

        return await asyncio.get_running_loop().run_in_executor(self._pool, guarded)
