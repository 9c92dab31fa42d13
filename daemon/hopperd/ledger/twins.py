"""Whose bytes: one job per folder and digest has them, until it delivers (then for good) or ends otherwise.

Each function runs inside a transaction of the pump. A row that its job no longer backs, because it is gone or has
finished without delivering, counts as free.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from typing import Any, Final

from sqlalchemy import Connection

from hopperd.ledger import prepared, statements
from hopperd.pipeline.identity import bytes_digest
from hopperd.pipeline.job import Job, JobId, Stage, Twin
from hopperd.pipeline.naming import shown

_ENDED: Final = (Stage.ABANDONED, Stage.FAILED, Stage.DONE)


def take(connection: Connection, job: Job) -> Twin | None:
    """Take the job's bytes for it; where another job has them, say which."""
    holder = _holder(connection, job)
    if holder is not None and (holder.job == job.id):
        return None
    if holder is not None and not _is_free(holder):
        return Twin(job=JobId(holder.job), delivered=bool(holder.delivered), exports=tuple(json.loads(holder.exports)))
    _put(connection, job, holder is not None, delivered=False, at=job.opened_at)
    return None


def recorded(connection: Connection, before: Job, after: Job, at: float) -> None:
    """What a change of stage means for the job's bytes, and for those who wait for how it ends."""
    if after.stage is before.stage:
        return
    if after.stage is Stage.DELIVERED and after.outcome == "delivered":
        mark_delivered(connection, after, at)
    elif after.stage in _ENDED or after.stage is Stage.DELIVERED:
        free(connection, after, at)
    elif before.stage in _ENDED:
        take(connection, after)


def free(connection: Connection, job: Job, at: float) -> None:
    """Give back the bytes of a job that has not delivered them, and let those who waited look again."""
    give_back(connection, job.folder, bytes_digest(job), job.id, at)


def give_back(connection: Connection, folder: str, digest: str, job_id: JobId, at: float) -> None:
    _keep_others_out(connection, folder, digest)
    if prepared.run(connection, statements.FREE_DIGEST, {"in_folder": folder, "of_bytes": digest, "job_id": job_id}):
        wake(connection, [job_id], at)


def wake(connection: Connection, holders: Collection[str], at: float) -> None:
    prepared.run(connection, statements.WAKE_TWINS, {"holders": list(holders), "at": at})


def still_holds(connection: Connection, twin: JobId, job: Job) -> bool:
    """Whether the job that `job` waits for still has those bytes, with the end open."""
    holder = _holder(connection, job)
    return holder is not None and holder.job == twin and not holder.delivered and not _is_free(holder)


def has_undelivered(connection: Connection, job: Job) -> bool:
    holder = _holder(connection, job)
    return holder is not None and holder.job == job.id and not holder.delivered


def mark_delivered(connection: Connection, job: Job, at: float) -> None:
    """The first to deliver keeps the bytes, also where it was told to go on although another had them."""
    holder = _holder(connection, job)
    if holder is not None and holder.delivered:
        return
    _put(connection, job, holder is not None, delivered=True, at=at)
    wake(connection, {job.id} if holder is None else {job.id, holder.job}, at)


def _holder(connection: Connection, job: Job) -> Any:
    digest = bytes_digest(job)
    _keep_others_out(connection, job.folder, digest)
    found = prepared.rows(connection, statements.HOLDER, {"in_folder": job.folder, "of_bytes": digest})
    return found[0] if found else None


def _keep_others_out(connection: Connection, folder: str, digest: str) -> None:
    """Two nodes that ask about the same bytes do it one after the other; the only writer of an SQLite need not ask."""
    if connection.dialect.name != "sqlite":
        prepared.rows(connection, statements.LOCK_BYTES, {"in_folder": folder, "of_bytes": digest})


def _is_free(holder: Any) -> bool:
    return not holder.delivered and (not holder.is_open or bool(holder.ended_badly))


def _put(connection: Connection, job: Job, replacing: bool, *, delivered: bool, at: float) -> None:
    exports = json.dumps([shown(export.name) for export in job.exports] if delivered else [])
    values = {"job": job.id, "delivered": delivered, "at": at, "exports": exports}
    where = {"folder": job.folder, "digest": bytes_digest(job)}
    if replacing:
        prepared.run(
            connection, statements.UPDATE_DIGEST, values | {"in_folder": where["folder"], "of_bytes": where["digest"]}
        )
    else:
        prepared.run(connection, statements.INSERT_DIGEST, values | where)
