"""Which jobs a person means: by a job's id, a file's name, or the number or id of a task.

A search finds part of a name as well: enough to read about a job, never to order about it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from hopperd.pipeline.job import Job, JobId, Stage, is_job_id
from hopperd.pipeline.naming import shown, unprintable
from hopperd.ports import JobQuery, Ledger

LISTED_AT_ONCE: Final = 200
NAMESAKES: Final = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """`named`: jobs whose id, name, task or number the text is; `alike`: others that a search finds. Newest first.

    `is_all`: every job that the search finds was looked at, so no other is named so.
    """

    named: tuple[Job, ...] = ()
    alike: tuple[Job, ...] = ()
    is_all: bool = True

    @property
    def one(self) -> Job | None:
        """The only job that is named so."""
        return self.named[0] if len(self.named) == 1 and self.is_all else None


def file_of(job: Job) -> str:
    return shown(job.group if job.group is not None else job.originals[0].name)


def is_named(job: Job, text: str) -> bool:
    names = [file_of(job), *(shown(original.name) for original in job.originals)]
    tasks = (job.task_id, job.task_number, *job.tasks_before)
    return text in tasks or any(text in (name, name.rpartition("/")[2]) for name in names)


async def find(
    ledger: Ledger,
    text: str,
    *,
    folder: str | None = None,
    stages: Sequence[Stage] | None = None,
    most: int = LISTED_AT_ONCE,
) -> Found:
    """Among the jobs of `folder` and in `stages`, where said; no more than `most` are looked at, the newest ones."""
    if is_job_id(text) and (job := await ledger.get(JobId(text))) is not None:
        is_among = folder in (None, job.folder) and (stages is None or job.stage in stages)
        return Found(named=(job,) if is_among else ())
    named: dict[JobId, Job] = {}
    alike: dict[JobId, Job] = {}
    is_all = True
    for meant in dict.fromkeys((text, unprintable(text))):
        query = JobQuery(text=meant, folder=folder, stages=stages, limit=LISTED_AT_ONCE)
        is_all = await _search(ledger, query, most, named, alike) and is_all
    others = tuple(job for job in alike.values() if job.id not in named)
    return Found(named=tuple(named.values()), alike=others, is_all=is_all)


async def _search(ledger: Ledger, query: JobQuery, most: int, named: dict[JobId, Job], alike: dict[JobId, Job]) -> bool:
    """Whether there are no more than those that were looked at."""
    text = query.text or ""
    for _ in range(0, most, query.limit):
        page = await ledger.page(query)
        named |= {job.id: job for job in page if is_named(job, text)}
        if len(alike) < LISTED_AT_ONCE:
            alike |= {job.id: job for job in page if job.id not in named}
        if len(page) < query.limit:
            return True
        if len(named) > NAMESAKES:
            return False
        query = replace(query, before=page[-1].id)
    return False
