"""What lies in work/ and is in no ledger: claimed by a process that died before it could open the job. It is opened.

Looked for at the start; again where a claim may have ended half-way; and now and then where several nodes share a
folder, of which any may die.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Sequence
from contextlib import suppress
from typing import Final, Protocol

import structlog

from hopperd.errors import Stale
from hopperd.pipeline.job import OPEN_STAGES, JobId, Original, Stage, made_at
from hopperd.ports import LEASE_SECONDS, Leftover
from hopperd.workers.parts import Parts

log = structlog.get_logger("hopperd.intake")

JOBS_AT_ONCE: Final = 500
ADOPT_EVERY_SECONDS: Final = 15.0
"""Where several nodes share the folder: one may have died between its claim and the ledger."""

ADOPT_SOON_SECONDS: Final = 2.0
"""While something lies in work/ that is in no ledger and too young to tell whether anybody will open it."""

ADOPTED_AFTER_SECONDS: Final = 3 * LEASE_SECONDS
"""What another node has just claimed is not in the ledger yet. Job ids begin with their time, by its clock."""

CACHED_SECONDS: Final = 60.0
"""So long, unless it is mounted otherwise, a client of a file server may believe what it knew of a folder."""


class OpenJob(Protocol):
    """Opens the job of files that are ours."""

    def __call__(
        self, job_id: JobId, originals: tuple[Original, ...], *, group: bytes | None, adopted: bool = False
    ) -> Awaitable[None]: ...


class Adoption:
    """Of one hot folder, named `name`. `claiming` are the jobs that this process is about to open."""

    def __init__(self, name: str, parts: Parts, claiming: set[JobId], open_job: OpenJob) -> None:
        self._name = name
        self._parts = parts
        self._claiming = claiming
        self._open_job = open_job
        self._is_called_for = True
        self._again_at = math.inf
        self._is_unclear = False  # something in work/ is perhaps another's claim, perhaps what a dead one left

    @property
    def is_settled(self) -> bool:
        """Nothing lies in work/ that may still have to be opened."""
        return not self._is_called_for and not self._is_unclear

    def call_for(self) -> None:
        """A file may have been claimed and not opened: look into work/ at the next turn."""
        self._is_called_for = True

    def call_for_now_and_later(self) -> None:
        """A file server may have moved what it says is not there, and its client may know that only a while later."""
        if not self._parts.lease.is_shared:
            self.call_for()
            self._again_at = self._parts.clock.monotonic() + CACHED_SECONDS

    @property
    def seconds_to_wait(self) -> float:
        """How long whoever waits for it to be settled may sleep."""
        return max(0.0, self._again_at - self._parts.clock.monotonic()) if self._is_unclear else math.inf

    async def look_if_due(self) -> bool:
        """True: it was looked, and jobs may have been opened. Raises FolderTrouble, LedgerTrouble."""
        is_due = self._parts.clock.monotonic() >= self._again_at
        if not is_due and not self._is_called_for:
            return False
        self._is_called_for = True  # until it is through: what lies in work/ may be opened by it
        await self._look()
        self._is_called_for = False
        if self._parts.lease.is_shared:
            again = ADOPT_SOON_SECONDS if self._is_unclear else ADOPT_EVERY_SECONDS
            self._again_at = self._parts.clock.monotonic() + again
        elif is_due:
            self._again_at = math.inf
        return True

    async def _look(self) -> None:
        folder = self._parts.folders[self._name]
        leftovers = await folder.inbox.leftovers()
        known = await self._stages([leftover.job_id for leftover in leftovers])
        self._is_unclear = False
        for leftover in leftovers:
            stage = known.get(leftover.job_id)
            if self.is_just_claimed(leftover.job_id):
                self._is_unclear |= stage is None and leftover.job_id not in self._claiming
            elif stage is not None:
                self._tell(leftover, stage)
            else:
                await self._adopt(leftover)
        await self._close_staging()

    async def _stages(self, job_ids: Sequence[JobId]) -> dict[JobId, Stage]:
        """Of those that the ledger knows; a hundred thousand jobs at once would fill the memory."""
        known: dict[JobId, Stage] = {}
        for start in range(0, len(job_ids), JOBS_AT_ONCE):
            some = await self._parts.ledger.get_many(job_ids[start : start + JOBS_AT_ONCE])
            known |= {job_id: job.stage for job_id, job in some.items()}
        return known

    def _tell(self, leftover: Leftover, stage: Stage) -> None:
        if stage in OPEN_STAGES or self._parts.lease.is_shared or not (leftover.names or leftover.others):
            return
        log.error(
            "leftover",
            job=leftover.job_id,
            folder=self._name,
            what=f"work/ holds files of a job that is {stage}",
            do="hopperd fsck tells more.",
        )

    async def _adopt(self, leftover: Leftover) -> None:
        disk = self._parts.folders[self._name].disk
        await disk.return_to_inbox(leftover.job_id, leftover.others)
        originals = await disk.digests(leftover.job_id, leftover.names)
        if originals:
            with suppress(Stale):
                await self._open_job(leftover.job_id, originals, group=leftover.group, adopted=True)

    def is_just_claimed(self, job_id: JobId) -> bool:
        """In work/ perhaps, and not yet in the ledger; another node's claims are as young as its job ids say.

        Clocks differ by seconds; one that was ahead by more was wrong, and its claim is not waited for until then.
        """
        if job_id in self._claiming:
            return True
        return self._parts.lease.is_shared and abs(self._parts.clock.now() - made_at(job_id)) < ADOPTED_AFTER_SECONDS

    async def _close_staging(self) -> None:
        """Staging of deliveries that the ledger has recorded is not needed any more."""
        disk = self._parts.folders[self._name].disk
        staged = await disk.staging_jobs()
        for job_id, stage in (await self._stages(staged)).items():
            if stage not in OPEN_STAGES:
                await disk.close_staging(job_id)
