"""Which jobs a person means: by a job's id, a file's name, or the number or id of a task."""

from __future__ import annotations

from typing import Final

from hopperd.pipeline.job import Job, JobId, is_job_id
from hopperd.pipeline.naming import shown, unprintable
from hopperd.ports import JobQuery, Ledger

LISTED_AT_ONCE: Final = 200


def file_of(job: Job) -> str:
    return shown(job.group if job.group is not None else job.originals[0].name)


def is_named(job: Job, text: str) -> bool:
    names = [shown(original.name) for original in job.originals]
    return text in (job.task_id, job.task_number) or any(text in (name, name.rpartition("/")[2]) for name in names)


async def find(ledger: Ledger, text: str) -> list[Job]:
    if is_job_id(text):
        job = await ledger.get(JobId(text))
        return [job] if job is not None else []
    for meant in dict.fromkeys((text, unprintable(text))):
        found = await ledger.page(JobQuery(text=meant, limit=LISTED_AT_ONCE))
        if found:
            return [job for job in found if is_named(job, meant)] or found
    return []
