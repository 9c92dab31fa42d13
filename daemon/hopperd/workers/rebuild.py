"""`hopperd fsck --rebuild`, the part that fills: what folders and receipts tell goes into a new, empty ledger.

Reads the folders and changes nothing in them. Done again from the start where it was cut short.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from hopperd.pipeline.events import Rebuilt
from hopperd.pipeline.identity import group_of
from hopperd.pipeline.job import Identity, Job, JobId
from hopperd.pipeline.naming import printable
from hopperd.pipeline.rebuilt import doubtful_job, fetched_job
from hopperd.ports import Clock, Filed, Leftover, StagedJob
from hopperd.workers.audit import PLACES
from hopperd.workers.repairs import AuditedFolder, AuditLedger


@dataclass(slots=True)
class Refilled:
    """What became of one folder."""

    finished: int = 0
    held: int = 0
    from_staging: int = 0
    remarks: list[str] = field(default_factory=list)


async def refill(ledger: AuditLedger, clock: Clock, folder: AuditedFolder) -> Refilled:
    """Finished jobs from receipts, then what lies in work/ as doubts. Raises FolderTrouble."""
    filled = Refilled()
    for place in PLACES:
        async for portion in folder.survey.filed(place):
            await _take_receipts(ledger, clock, folder, portion, filled)
    staged = {one.job_id: one for one in (await folder.survey.staging())[0]}
    work = await folder.survey.work()
    for leftover in work.jobs:
        if leftover.names or leftover.others:
            await _hold(ledger, clock, folder, leftover, staged.get(leftover.job_id), filled)
    for stray in work.strays:
        filled.remarks.append(f"{printable(stray)} lies in work/ and is nobody's job; it was left there")
    for job_id in staged.keys() - {leftover.job_id for leftover in work.jobs if leftover.names or leftover.others}:
        if staged[job_id].files and await ledger.get(job_id) is None:
            filled.remarks.append(
                f"staging of job {job_id} in out/.hopperd/ has no original any more; it was left there"
            )
    return filled


async def _take_receipts(
    ledger: AuditLedger, clock: Clock, folder: AuditedFolder, portion: Sequence[Filed], filled: Refilled
) -> None:
    """Each member of a group has the same receipt; where they lie comes together one by one."""
    told: dict[JobId, tuple[Mapping[str, Any], dict[bytes, Identity]]] = {}
    for one in portion:
        if one.receipt is None:
            filled.remarks.append(f"{printable(one.name)} was filed without a receipt; it was left there")
            continue
        _, filed = told.setdefault(JobId(str(one.receipt["job"])), (one.receipt, {}))
        if one.original is not None and one.identity is not None:
            filed[one.original] = one.identity
    known = await ledger.get_many(list(told))
    jobs: list[Job] = []
    for job_id, (receipt, filed) in told.items():
        before = known.get(job_id)
        if before is not None:
            filed |= {o.filed_as: o.identity for o in before.originals if o.filed_as is not None}
        job = folder.from_receipt(receipt, filed)
        if job is None:
            filled.remarks.append(f"the receipt of job {job_id} is not understood; it was left as it is")
        elif before is None or before.entered_at <= job.entered_at:
            jobs.append(job)
            filled.finished += before is None
    if jobs:
        await ledger.restore(jobs, Rebuilt(read_from="receipt"), clock.now())


async def _hold(
    ledger: AuditLedger,
    clock: Clock,
    folder: AuditedFolder,
    leftover: Leftover,
    staged: StagedJob | None,
    filled: Refilled,
) -> None:
    names = leftover.names or leftover.others  # claimed when the settings were others, where they take none of it now
    originals = tuple([await folder.disk.digest(leftover.job_id, name) for name in names])
    now = clock.now()
    job = doubtful_job(
        leftover.job_id,
        originals,
        folder=folder.settings.name,
        account=folder.settings.account,
        priority=folder.settings.priority,
        group=group_of(names, by_folder=folder.by_folder),
        at=now,
        before=await ledger.get(leftover.job_id),
    )
    date = datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%d")
    fetched = None
    if staged is not None and staged.is_whole and staged.manifest is not None:
        fetched = fetched_job(job, staged.manifest, policy=folder.policy, at=now, date=date)
    source = "work" if fetched is None else "staging"
    await ledger.restore([fetched or job], Rebuilt(read_from=source), now)
    filled.held += 1
    filled.from_staging += fetched is not None
