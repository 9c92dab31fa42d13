"""The side of a hot folder in a bucket where people put files: the port `Inbox`.

An object is whole when it is listed, so nobody can be seen writing to it. A look at the whole inbox costs requests: it
comes more seldom where nothing has happened for a while.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import replace
from typing import Final, TypeVar

from hopperd.buckets.disk import Bucket, run
from hopperd.buckets.identity import present
from hopperd.buckets.listing import WHY, Candidate, ObjectSeen
from hopperd.folders.probe import disk_state
from hopperd.folders.selection import Selection
from hopperd.folders.trouble import troubled
from hopperd.folders.writers import HEAD_BYTES
from hopperd.pipeline.job import Identity, JobId, Original
from hopperd.pipeline.settle import Answer, Writing
from hopperd.ports import Candidate as AnyCandidate
from hopperd.ports import FolderTrouble, LeftAlone, Leftover, Swept
from hopperd.settings import Folder

PRESENT_SECONDS: Final = 5.0
SWEEPS_BEFORE_REST: Final = 20
REST_TIMES: Final = 2.5  # of sweep_seconds; a folder that is silent for three of them counts as hung
SWEEPS_BETWEEN_CLAIM_LOOKS: Final = 10
Given = TypeVar("Given")
Sniff = Callable[[bytes], str | None]


class BucketInbox:
    """`sniff` tells a file's kind by its first bytes; without it, nothing is left alone for its content."""

    def __init__(
        self,
        bucket: Bucket,
        settings: Folder,
        pool: Executor,
        ledger_id: str,
        free_space_bytes: int = 0,
        *,
        sniff: Sniff | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._bucket = bucket
        self._pool = pool
        self._ledger_id = ledger_id
        self._free_space_bytes = free_space_bytes
        self._sniff = sniff
        self._monotonic = monotonic
        self._present_until = float("-inf")
        self._quiet_sweeps = 0
        self._sweeps = 0
        self.reload(settings)

    def reload(self, settings: Folder) -> None:
        """New patterns, depth and order, from a reloaded configuration."""
        self._settings = settings
        self._selection = Selection(settings.depth, tuple(settings.include), tuple(settings.exclude))

    async def present(self) -> None:
        """Raises FolderTrouble where the marker is missing or the state folder's disk is nearly full. Asked of the
        store every few seconds only."""

        def call() -> None:
            self._require_space()
            now = self._monotonic()
            if now < self._present_until:
                return
            trouble = present(self._bucket.store, self._bucket.place, self._ledger_id)
            if trouble is not None:
                raise trouble
            self._present_until = now + PRESENT_SECONDS

        await self._run(call)

    def _require_space(self) -> None:
        local = self._bucket.local
        with troubled(local, "look into"):
            room, is_read_only = disk_state(local)
        if is_read_only or room < self._free_space_bytes:
            what = (
                f"the disk of the state folder is {'mounted read-only' if is_read_only else 'full'} ({room:,} bytes "
                f"free; free_space_bytes is {self._free_space_bytes:,}): nothing new is taken in, nothing is lost"
            )
            raise FolderTrouble("disk", what, local)

    async def sweep(self, at: float, limit: int, skip: Mapping[bytes, Identity], *, quick: bool = False) -> Swept:
        """One listing of in/, page by page. There is no quicker look."""

        def call() -> Swept:
            settings = self._settings
            if self._sweeps % SWEEPS_BETWEEN_CLAIM_LOOKS == 0:
                self._look_at_claims()
            self._sweeps += 1
            return self._bucket.listing.sweep(
                self._selection,
                at=at,
                by_folder=settings.group_by == "folder",
                order=settings.order,
                limit=limit,
                skip=skip,
            )

        swept = await self._run(call)
        self._quiet_sweeps = self._quiet_sweeps + 1 if not swept.waiting else 0
        rest = REST_TIMES * self._settings.sweep_seconds if self._quiet_sweeps > SWEEPS_BEFORE_REST else 0.0
        refused = self._still_refused({one.name for one in swept.candidates})
        return replace(
            swept,
            left_alone=(*swept.left_alone, *refused),
            left_alone_total=swept.left_alone_total + len(refused),
            rest_seconds=rest,
            adopt=self._bucket.claims.took_over,
        )

    async def look_again(self, candidates: Sequence[AnyCandidate], at: float) -> Sequence[AnyCandidate]:
        """Nothing: a request for each object costs more than the next listing."""
        return ()

    def _still_refused(self, names: set[bytes]) -> tuple[LeftAlone, ...]:
        """What the store would not let us read or copy, as long as it lies there; each is tried again all the same."""
        refused = self._bucket.claims.refused
        for name in [name for name in refused if name not in names]:
            del refused[name]
        return tuple(LeftAlone(name=name, reason="unreadable", what=what) for name, what in refused.items())

    def _look_at_claims(self) -> None:
        """What a process that died has left, with nothing in in/ any more that would lead to it."""
        before = self._bucket.claims.standing()
        if before and len(self._bucket.claims.finish_abandoned()) < before:
            self._bucket.claims.took_over = True

    async def ask(self, candidate: AnyCandidate) -> tuple[Answer, LeftAlone | None]:
        """Why its content, or its being no real object, says that it is to be left alone."""

        def call() -> tuple[Answer, LeftAlone | None]:
            if not isinstance(candidate, ObjectSeen):
                return Answer(writing=Writing.UNKNOWN), None
            seen, store = candidate.seen, self._bucket.store
            if not seen.size_bytes and store.look(seen.key) is None:
                left = LeftAlone(name=candidate.name, reason="folder-object", what=WHY["folder-object"])
                return Answer(writing=Writing.FREE), left
            if self._settings.on_other != "leave" or self._sniff is None or not seen.size_bytes:
                return Answer(writing=Writing.FREE), None
            head = store.read_range(seen.key, 0, min(HEAD_BYTES, seen.size_bytes))
            if head is None:
                return Answer(writing=Writing.BUSY), None  # no longer what was seen: the next sweep tells
            return Answer(writing=Writing.FREE), self._unwanted(candidate.name, self._sniff(head))

        return await self._run(call)

    def _unwanted(self, name: bytes, kind: str | None) -> LeftAlone | None:
        if self._settings.group_by == "folder" or kind in self._settings.accept:
            return None
        what = f"its content is {kind or 'of no known kind'}, and accept does not name that"
        return LeftAlone(name=name, reason="wrong-type", what=what)

    async def claim(self, job_id: JobId, candidate: AnyCandidate) -> tuple[Original, ...] | LeftAlone | None:
        """None: somebody else claims it, or it vanished or changed, and is not ours. LeftAlone: it may not be read."""

        def call() -> tuple[Original, ...] | LeftAlone | None:
            if not isinstance(candidate, Candidate):
                return None
            members = self._bucket.listing.members(self._selection, candidate)
            claimed = self._bucket.claims.claim(job_id, candidate.name, members) if members else None
            refused = self._bucket.claims.refused.get(candidate.name)
            if claimed is None and refused is not None:
                return LeftAlone(name=candidate.name, reason="unreadable", what=refused)
            return claimed

        return await self._run(call)

    async def leftovers(self) -> Sequence[Leftover]:
        by_folder = self._settings.group_by == "folder"
        return await self._run(lambda: self._bucket.claims.leftovers(by_folder=by_folder))

    async def _run(self, call: Callable[[], Given]) -> Given:
        return await run(self._pool, call)
