"""`hopperd fsck`: look at ledger and disk of every folder, twice before accusing; repairs.py mends what can be mended.

Runs inside the daemon while jobs move, or alone under the ledger's lock. The rules stand in pipeline/audit.py. Memory
is bounded: done/ and the finished jobs are gone through in portions, and only so many findings are kept.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

import structlog

from hopperd.pipeline import audit
from hopperd.pipeline.audit import Finding
from hopperd.pipeline.identity import bytes_digest
from hopperd.pipeline.job import Job, JobId, Stage
from hopperd.ports import Clock, Filed, FolderTrouble, JobQuery
from hopperd.settings.bucket_path import in_bucket
from hopperd.workers.repairs import AuditedFolder, AuditLedger, Repairs, Unknown, shown_path

log = structlog.get_logger("hopperd.fsck")

JOBS_AT_ONCE: Final = 200
FINDINGS_KEPT: Final = 5_000
SECOND_LOOK_SECONDS: Final = 1.5
PLACES: Final[tuple[Literal["done", "failed"], ...]] = ("done", "failed")


@dataclass(slots=True)
class _Look:
    """What one look at everything found."""

    found: list[Finding] = field(default_factory=list)
    total: int = 0
    jobs: int = 0
    files: int = 0
    without_receipt: set[bytes] = field(default_factory=set)
    unknown: dict[JobId, Unknown] = field(default_factory=dict)

    def note(self, findings: Iterable[Finding | None]) -> None:
        for finding in findings:
            if finding is None:
                continue
            self.total += not finding.is_remark
            if len(self.found) < FINDINGS_KEPT:
                self.found.append(finding)


class Audit:
    """`claiming`: whether a job, whose files are in work/, is about to be opened; None where no daemon runs."""

    def __init__(
        self,
        ledger: AuditLedger,
        clock: Clock,
        folders: Mapping[str, AuditedFolder],
        claiming: Callable[[JobId], bool] | None = None,
        moved: Callable[[], None] = lambda: None,
    ) -> None:
        self._ledger = ledger
        self._clock = clock
        self._folders = folders
        self._claiming = claiming
        self._moved = moved
        self._repairs = Repairs(ledger, clock, folders, self._is_being_claimed)

    async def run(self, *, repair: bool) -> dict[str, Any]:
        """The whole report, as JSON. With `repair`, what was mended, and what is left after that."""
        look = await self._look_twice()
        did: list[dict[str, Any]] = []
        if repair:
            mends = [await self._repairs.mend(finding, look.unknown) for finding in look.found]
            did = [done for done in mends if done is not None]
            if did:
                self._moved()
                look = await self._look_twice()
        return {
            "agrees": not look.total,
            "disagreements": look.total,
            "findings": [_line(finding) for finding in look.found if not finding.is_remark],
            "remarks": [_line(finding) for finding in look.found if finding.is_remark],
            "did": did,
            "looked_at": {"folders": len(self._folders), "jobs": look.jobs, "files": look.files},
        }

    async def _look_twice(self) -> _Look:
        """While jobs move, only what two looks at the same version of a job both found is told."""
        first = await self._look()
        if not first.found or self._claiming is None:
            return first
        await self._clock.sleep(SECOND_LOOK_SECONDS)
        second = await self._look()
        seen = set(first.found)
        second.found = [finding for finding in second.found if finding in seen]
        if second.total <= FINDINGS_KEPT:
            second.total = sum(not finding.is_remark for finding in second.found)
        return second

    # ------------------------------------------------------------------------------------------------- looking

    async def _look(self) -> _Look:
        look = _Look()
        look.note(_of_ledger(sentence) for sentence in await self._ledger.integrity())
        reachable = [name for name in self._folders if await self._is_reachable(name, look)]
        staged: dict[str, set[JobId]] = {}
        for name in reachable:
            try:
                await self._look_into_work(name, look)
                staged[name] = await self._look_into_staging(name, look)
            except FolderTrouble as trouble:
                look.note([_trouble(name, trouble)])
        await self._look_at_open(reachable, staged, look)
        for name in reachable:
            try:
                await self._look_at_finished(name, look)
                for place in PLACES:
                    async for portion in self._folders[name].survey.filed(place):
                        look.files += len(portion)
                        await self._look_at_portion(name, place, portion, look)
            except FolderTrouble as trouble:
                look.note([_trouble(name, trouble)])
        return look

    def _is_being_claimed(self, job_id: JobId) -> bool:
        return self._claiming is not None and self._claiming(job_id)

    async def _is_reachable(self, name: str, look: _Look) -> bool:
        try:
            trouble = await self._folders[name].survey.present(self._ledger.ledger_id)
        except FolderTrouble as other:
            trouble = other
        if trouble is not None:
            look.note([_trouble(name, trouble)])
        return trouble is None

    async def _look_into_work(self, name: str, look: _Look) -> None:
        """The disk first, then who is about to be opened, then the ledger: whoever moves meanwhile is known to one."""
        work = await self._folders[name].survey.work()
        claiming = {leftover.job_id for leftover in work.jobs if self._is_being_claimed(leftover.job_id)}
        for start in range(0, len(work.jobs), JOBS_AT_ONCE):
            some = work.jobs[start : start + JOBS_AT_ONCE]
            known = await self._ledger.get_many([leftover.job_id for leftover in some])
            for leftover in some:
                if leftover.job_id not in claiming:
                    names = (*leftover.names, *leftover.others)
                    look.files += len(names)
                    look.note([audit.of_work(name, leftover.job_id, names, known.get(leftover.job_id))])
        for stray in work.strays:
            job = await self._ledger.get(JobId(stray.partition(b"/")[0].decode("ascii", "replace")))
            if job is None or not job.is_open:  # what came along with a group goes back with it
                look.note([audit.stray(name, "work", stray)])

    async def _look_into_staging(self, name: str, look: _Look) -> set[JobId]:
        staged, strays = await self._folders[name].survey.staging()
        known = await self._ledger.get_many([one.job_id for one in staged])
        look.note(audit.of_staging(name, one.job_id, one.files, known.get(one.job_id)) for one in staged)
        look.note(audit.stray(name, "out", stray) for stray in strays)
        return {one.job_id for one in staged if one.manifest is not None}

    async def _look_at_open(self, reachable: Collection[str], staged: Mapping[str, set[JobId]], look: _Look) -> None:
        # In a bucket a job's staging lies with the node that carries it, which is perhaps another.
        has_others = sum(node.is_alive for node in await self._ledger.nodes()) > 1
        elsewhere = {name for name in reachable if has_others and in_bucket(self._folders[name].settings.path)}
        ids = await self._ledger.open_job_ids()
        for start in range(0, len(ids), JOBS_AT_ONCE):
            for job in (await self._ledger.get_many(ids[start : start + JOBS_AT_ONCE])).values():
                look.jobs += 1
                if job.folder not in self._folders:
                    look.note([_homeless(job)])
                elif job.folder in reachable:
                    found = await self._of_job(job)
                    is_due = job.stage is Stage.FETCHED and job.folder not in elsewhere
                    if is_due and job.id not in staged.get(job.folder, ()):
                        again, _ = await self._folders[job.folder].survey.staging()
                        is_staged = any(one.job_id == job.id and one.manifest is not None for one in again)
                        found += await self._if_it_stands(job, list(audit.of_fetched(job, is_staged=is_staged)))
                    look.note(found)

    async def _look_at_finished(self, name: str, look: _Look) -> None:
        settings = self._folders[name].settings
        forgets_after = settings.done_days * 86400.0
        async for job in self._finished(name):
            look.jobs += 1
            is_old = bool(forgets_after) and job.entered_at + forgets_after < self._clock.now()
            is_deleted = settings.after == "delete" and job.outcome == "delivered"
            found = await self._of_job(job, may_be_gone=is_old or is_deleted)
            if any(finding.kind == "receipt-missing" for finding in found):
                look.without_receipt |= {original.filed_as for original in job.originals if original.filed_as}
            look.note(found)

    async def _finished(self, name: str) -> AsyncIterator[Job]:
        before: JobId | None = None
        while True:
            query = JobQuery(folder=name, stages=(Stage.DONE, Stage.FAILED), limit=JOBS_AT_ONCE, before=before)
            page = await self._ledger.page(query)
            for job in page:
                yield job
            if len(page) < JOBS_AT_ONCE:
                return
            before = page[-1].id

    async def _of_job(self, job: Job, *, may_be_gone: bool = False) -> list[Finding]:
        try:
            places = await self._folders[job.folder].survey.whereabouts(job)
        except FolderTrouble as trouble:
            return [_trouble(job.folder, trouble)]
        return await self._if_it_stands(job, list(audit.of_job(job, places, may_be_gone=may_be_gone)))

    async def _if_it_stands(self, job: Job, found: list[Finding]) -> list[Finding]:
        """Nothing, where the job has moved while it was looked for."""
        if not found:
            return []
        now = await self._ledger.get(job.id)
        return found if now is not None and now.version == job.version else []

    async def _look_at_portion(
        self, name: str, place: Literal["done", "failed"], portion: Sequence[Filed], look: _Look
    ) -> None:
        receipts = {JobId(str(one.receipt["job"])): one for one in portion if one.receipt is not None}
        known = await self._ledger.get_many(list(receipts))
        for one in portion:
            if one.receipt is not None and JobId(str(one.receipt["job"])) not in known:
                await self._look_at_unknown(name, place, one, one.receipt, look)
        bare = [one.name for one in portion if one.receipt is None and one.name not in look.without_receipt]
        if bare:
            being_filed = await self._being_filed(name)
            look.note(audit.without_receipt(name, place, path) for path in bare if path not in being_filed)

    async def _being_filed(self, name: str) -> set[bytes]:
        """Where originals lie, or will in a moment, whose receipts are still to be written."""
        query = JobQuery(folder=name, stages=audit.FILING, limit=1000)
        jobs = await self._ledger.page(query)
        return {original.filed_as for job in jobs for original in job.originals if original.filed_as is not None}

    async def _look_at_unknown(
        self, name: str, place: str, one: Filed, receipt: Mapping[str, Any], look: _Look
    ) -> None:
        job_id = JobId(str(receipt["job"]))
        _, filed = look.unknown.setdefault(job_id, (receipt, {}))
        if one.original is not None and one.identity is not None:
            filed[one.original] = one.identity
        folder = self._folders[name]
        job = folder.from_receipt(receipt, filed)
        if job is None:
            look.note([audit.stray(name, place, one.name)])
            return
        digest = bytes_digest(job)
        is_old = job.entered_at + folder.settings.duplicates_days * 86400.0 < self._clock.now()
        bytes_known = is_old or bool(await self._ledger.delivered_among(name, [digest]))
        finding = audit.unknown_receipt(name, place, one.name, job_id, job.outcome or "", bytes_known=bytes_known)
        look.note([finding])


def _of_ledger(sentence: str) -> Finding:
    return Finding(
        kind="ledger",
        what=f"the ledger: {sentence}",
        do="Stop hopperd, then `hopperd fsck --rebuild` makes a new ledger from folders and receipts.",
    )


def _trouble(folder: str, trouble: FolderTrouble) -> Finding:
    what = f"folder {folder} cannot be compared: {trouble.what}"
    return Finding(kind="folder", folder=folder, what=what, do="Nothing is concluded about it until it is there again.")


def _homeless(job: Job) -> Finding:
    return Finding(
        kind="unknown-folder",
        folder=job.folder,
        job=job.id,
        version=job.version,
        what=f"job {job.id} is open in folder {job.folder}, which is not in the configuration",
        do="Put the folder back into the configuration; its jobs stand still until then.",
    )


def _line(finding: Finding) -> dict[str, Any]:
    return {
        "kind": finding.kind,
        "folder": finding.folder,
        "job": finding.job,
        "file": shown_path(finding.path),
        "what": finding.what,
        "do": finding.do,
        "repairable": finding.mend is not None,
    }
