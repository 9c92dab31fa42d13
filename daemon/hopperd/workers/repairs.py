"""What `hopperd fsck --repair` does about one finding: safe to do, and safe to do again."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import structlog

from hopperd.errors import Stale, TransitionError
from hopperd.pipeline import audit
from hopperd.pipeline.audit import Finding
from hopperd.pipeline.events import Claimed, Rebuilt, Refused
from hopperd.pipeline.job import Identity, Job, JobId, Policy, claimed_job
from hopperd.pipeline.machine import advance
from hopperd.pipeline.naming import printable, shown
from hopperd.pipeline.rebuilt import finished_job
from hopperd.pipeline.receipt import receipt_bytes
from hopperd.ports import Clock, Folders, FolderTrouble, Ledger, NameTaken, Survey
from hopperd.settings import Folder
from hopperd.workers.stepping import VANISHED

log = structlog.get_logger("hopperd.fsck")

Unknown = tuple[Mapping[str, Any], dict[bytes, Identity]]
"""A receipt of a job that the ledger does not know, and the originals that lie beside it."""


class AuditLedger(Ledger, Protocol):
    """The ledger, as far as only fsck needs it."""

    async def restore(self, jobs: Sequence[Job], event: Rebuilt, at: float) -> None: ...

    async def delivered_among(self, folder: str, digests: Collection[str]) -> set[str]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditedFolder:
    settings: Folder
    policy: Policy
    disk: Folders
    survey: Survey

    @property
    def by_folder(self) -> bool:
        return self.settings.group_by == "folder"

    def from_receipt(self, receipt: Mapping[str, Any], filed: Mapping[bytes, Identity]) -> Job | None:
        name, account = self.settings.name, self.settings.account
        return finished_job(receipt, folder=name, account=account, by_folder=self.by_folder, filed=filed)


class Repairs:
    """`is_being_claimed`: whether a job, whose files are in work/, is about to be opened."""

    def __init__(
        self,
        ledger: AuditLedger,
        clock: Clock,
        folders: Mapping[str, AuditedFolder],
        is_being_claimed: Callable[[JobId], bool],
    ) -> None:
        self._ledger = ledger
        self._clock = clock
        self._folders = folders
        self._is_being_claimed = is_being_claimed

    async def mend(self, finding: Finding, unknown: Mapping[JobId, Unknown]) -> dict[str, Any] | None:
        """Carry out one mend; None where it turned out not to be needed, or not to be possible now."""
        if finding.folder is None or finding.job is None:
            return None
        folder, job_id = self._folders[finding.folder], finding.job
        what: str | None = None
        try:
            match finding.mend:
                case "adopt":
                    what = await self._adopt(folder, job_id)
                case "close-staging":
                    await folder.disk.close_staging(job_id)
                    what = "closed its staging, which was left over"
                case "remove-folder":
                    if not self._is_being_claimed(job_id):
                        await folder.survey.remove_hollow(job_id)
                        what = "removed its empty folder in work/"
                case "write-receipts":
                    what = await self._write_receipts(folder, job_id)
                case "abandon":
                    what = await self._abandon(folder, job_id)
                case "take-in":
                    what = await self._take_in(folder, job_id, unknown)
        except (FolderTrouble, FileNotFoundError, TransitionError, Stale) as trouble:
            log.warning("not-repaired", job=job_id, folder=finding.folder, what=str(trouble))
            return None
        if what is None:
            return None
        file = printable(finding.path) if finding.path is not None else ""
        log.info("repaired", job=job_id, folder=finding.folder, file=file, did=what)
        return {
            "job": job_id,
            "folder": finding.folder,
            "file": shown_path(finding.path),
            "kind": finding.kind,
            "what": what,
        }

    async def _adopt(self, folder: AuditedFolder, job_id: JobId) -> str | None:
        """As `run` does when it starts: a file in work/ that no job knows was claimed, and never heard of again."""
        leftover = next((one for one in (await folder.survey.work()).jobs if one.job_id == job_id), None)
        if leftover is None:
            return None
        await folder.disk.return_to_inbox(job_id, leftover.others)
        originals = await folder.disk.digests(job_id, leftover.names)
        if not originals:
            return "put back into in/: the folder's settings do not take it" if leftover.others else None
        job = claimed_job(
            job_id,
            originals,
            folder=folder.settings.name,
            account=folder.settings.account,
            priority=folder.settings.priority,
            group=leftover.group,
            at=self._clock.now(),
        )
        await self._ledger.open(job, Claimed(adopted=True), twins=folder.policy.on_duplicate != "again")
        return "adopted: it is a job now, and goes its way"

    async def _write_receipts(self, folder: AuditedFolder, job_id: JobId) -> str | None:
        job = await self._ledger.get(job_id)
        if job is None or job.is_open:
            return None
        places = await folder.survey.whereabouts(job)
        content = receipt_bytes(job, self._clock.now())
        missing = {n: content for n, place in enumerate(places) if place.filed is not None and not place.has_receipt}
        if not missing or isinstance(await folder.disk.file_away(job, missing), NameTaken):
            return None
        return "wrote its receipt again"

    async def _abandon(self, folder: AuditedFolder, job_id: JobId) -> str | None:
        job = await self._ledger.get(job_id)
        if job is None or job.stage not in audit.BEFORE_THE_RUN:
            return None
        now, event = self._clock.now(), Refused(failure=VANISHED)
        await self._ledger.record(job, advance(job, event, now, folder.policy), event, now)
        return "given up: its original vanished before its Run (vanished)"

    async def _take_in(self, folder: AuditedFolder, job_id: JobId, unknown: Mapping[JobId, Unknown]) -> str | None:
        job = folder.from_receipt(*unknown[job_id]) if job_id in unknown else None
        if job is None:
            return None
        await self._ledger.restore([job], Rebuilt(read_from="receipt"), self._clock.now())
        return "taken into the ledger again, from its receipt"


def shown_path(path: bytes | None) -> str | None:
    return shown(path) if path is not None else None
