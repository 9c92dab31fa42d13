"""Asking for jobs. Each function runs inside a transaction of the pump, and none reads past what it was asked for."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

import structlog
from sqlalchemy import Connection, Float, Integer, Select, bindparam, case, func, select, true

from hopperd.ledger import prepared, statements
from hopperd.ledger.codec import from_json
from hopperd.ledger.rows import history_from_row, job_from_row
from hopperd.ledger.tables import FINISHED, OPEN, jobs
from hopperd.pipeline.job import Job, JobId, Stage, new_job_id
from hopperd.ports import BacklogCell, Doubts, FolderMark, HistoryRow, Pause, Wanted

IDS_AT_ONCE: Final = 500
MOST_SAID: Final = 1_000

_STAGES: Final[Mapping[str, Stage]] = {stage.value: stage for stage in Stage}

log = structlog.get_logger("ledger")

_said: set[str] = set()  # what cannot be read and the log tells of already: jobs, and a stage nobody knows


def job_by_id(connection: Connection, job_id: JobId) -> Job | None:
    return jobs_by_id(connection, [job_id]).get(job_id)


def jobs_by_id(connection: Connection, job_ids: Iterable[str]) -> dict[JobId, Job]:
    """In the order of `job_ids`; the ones the ledger does not know are left out."""
    wanted = list(dict.fromkeys(job_ids))
    found: dict[str, Job] = {}
    for some in chunks(wanted):
        rows = prepared.rows(connection, statements.JOBS_BY_ID, {"ids": list(some)})
        found.update((row.id, job) for row in rows if (job := _readable(row)) is not None)
    return {JobId(job_id): found[job_id] for job_id in wanted if job_id in found}


def _readable(row: Any) -> Job | None:
    """One row that cannot be read, as after a mistake of ours, must not stop the others; `fsck` names the open ones."""
    try:
        return job_from_row(row)
    except ValueError as error:
        if row.id not in _said and len(_said) < MOST_SAID:
            _said.add(row.id)
            log.exception(
                "ledger.job-unreadable", job=row.id, what=str(error)[:500], do="Please report it with the log."
            )
        return None


def known_unreadable() -> int:
    """How many rows were found that cannot be read: so many more are to be asked for."""
    return len(_said)


def first_readable(connection: Connection, limit: int, ids: Callable[[int], Iterable[str]]) -> list[Job]:
    """The first `limit` jobs that can be read: those that cannot would take the places of others for ever.

    `ids` is asked for so many ids, in their order. It is asked again only where rows are found to be unreadable for the
    first time.
    """
    while True:
        known = len(_said)
        found: dict[JobId, Job] = {}
        for some in chunks(list(ids(limit + known)), max(1, limit)):
            found |= jobs_by_id(connection, some)
            if len(found) >= limit:
                break
        if len(found) >= limit or len(_said) == known:
            return list(found.values())[:limit]


def due(
    connection: Connection,
    account: str,
    stages: Sequence[Stage],
    now: float,
    limit: int,
    excluding: Collection[JobId],
    folders: Collection[str] | None,
) -> list[Job]:
    # The excluded are asked for and left out here: as a condition they would make a statement of any length.
    statement = statements.DUE if folders is None else statements.DUE_IN_FOLDERS
    parameters: dict[str, Any] = {
        "of_account": account,
        "in_stages": [stage.value for stage in stages],
        "now": now,
    }
    if folders is not None:
        parameters["in_folders"] = list(folders)

    def ids(most: int) -> list[str]:
        found = prepared.values(connection, statement, parameters | {"most": most + len(excluding)})
        return [job_id for job_id in found if job_id not in excluding]

    return first_readable(connection, limit, ids)


def pick_up(
    connection: Connection, wanted: Sequence[Wanted], now: float, excluding: Collection[JobId], folders: Collection[str]
) -> tuple[list[list[Job]], float | None]:
    """Nothing is looked for in the lanes while nothing at all is due: the usual answer of an idle line."""
    found: list[list[Job]] = [[] for _ in wanted]
    if prepared.rows(connection, statements.DUE_AT_ALL, {"now": now}):
        found = [due(connection, one.account, one.stages, now, one.limit, excluding, folders) for one in wanted]
    return found, next_due(connection, now)


def next_due(connection: Connection, now: float) -> float | None:
    earliest: float | None = prepared.value(connection, statements.NEXT_DUE, {"now": now})
    return earliest


def in_flight(connection: Connection, account: str) -> list[JobId]:
    return [JobId(i) for i in prepared.values(connection, statements.IN_FLIGHT, {"of_account": account})]


def open_by_folder(connection: Connection) -> dict[str, int]:
    return dict(prepared.rows(connection, statements.OPEN_BY_FOLDER))


def unfinished(connection: Connection) -> int:
    return int(prepared.value(connection, statements.UNFINISHED))


def untidied(connection: Connection) -> int:
    return int(prepared.value(connection, statements.UNTIDIED))


def doubts(connection: Connection) -> Doubts:
    row = connection.execute(statements.DOUBTS).one()
    return Doubts(open=row[0] or 0, finished=row[1] or 0, perhaps_delivered_twice=row[2] or 0)


def came_in(connection: Connection, since: float, until: float) -> dict[str, int]:
    """By id, which begins with the moment a job was opened: reads no more than it counts."""
    first, last = new_job_id(max(0.0, since), bytes(5)), new_job_id(max(0.0, until), bytes(5))
    became = case(
        (jobs.c.ended_badly.is_(true()), "failed"),
        (FINISHED, "delivered"),
        (jobs.c.held.is_(true()), "held"),
        else_="open",
    )
    counted = select(became, func.count()).where(jobs.c.id >= first, jobs.c.id < last).group_by(became)
    return dict.fromkeys(("delivered", "failed", "held", "open"), 0) | dict(connection.execute(counted).all())


def tidy_due(connection: Connection, account: str, now: float, limit: int) -> list[Job]:
    asked = {"of_account": account, "now": now}
    return first_readable(
        connection, limit, lambda most: prepared.values(connection, statements.TIDY_DUE, asked | {"most": most})
    )


def open_ids(connection: Connection) -> list[JobId]:
    return [JobId(job_id) for job_id in prepared.values(connection, statements.OPEN_IDS)]


def history(connection: Connection, job_id: JobId) -> list[HistoryRow]:
    rows = prepared.rows(connection, statements.HISTORY, {"job_id": job_id})
    return [history_from_row(row) for row in rows]


def job_with_task(connection: Connection, task_id: str) -> JobId | None:
    """The newest that has it or had it. Not one that only took it for its own, and was held for that."""
    ids = prepared.values(connection, statements.JOBS_WITH_TASK, {"task_id": task_id})
    known = jobs_by_id(connection, ids)
    return next((job.id for job in known.values() if task_id in (job.task_id, *job.tasks_before)), None)


# ----------------------------------------------------------------------------------------------------------- backlog


def backlog(connection: Connection, now: float, bucket_edges: Sequence[float]) -> list[BacklogCell]:
    """`age_bucket` counts the edges (seconds, ascending) that the age of a job has reached."""
    rows = connection.execute(_backlog(len(bucket_edges)), {"now": now} | _edges(bucket_edges)).mappings()
    return [
        BacklogCell(
            folder=row["folder"],
            account=row["account"],
            stage=stage,
            age_bucket=row["bucket"],
            jobs=row["jobs"],
            held=row["held"],
            waiting_for_person=row["waiting"],
            oldest_opened_at=row["oldest"],
        )
        for row in rows
        if (stage := _known_stage(row["stage"])) is not None
    ]


def _known_stage(name: str) -> Stage | None:
    stage = _STAGES.get(name)
    if stage is None and name not in _said:
        _said.add(name)
        log.error("ledger.stage-unknown", stage=name, do="Please report it with the log.")
    return stage


def _edges(edges: Sequence[float]) -> dict[str, float]:
    return {f"edge_{place}": edge for place, edge in enumerate(edges)}


def _backlog(edges: int) -> Select[Any]:
    age = bindparam("now", type_=Float) - jobs.c.opened_at
    below = [(age < bindparam(f"edge_{place}", type_=Float), place) for place in range(edges)]
    bucket = (case(*below, else_=edges) if below else func.abs(0, type_=Integer)).label("bucket")
    return (
        select(
            jobs.c.folder,
            jobs.c.account,
            jobs.c.stage,
            bucket,
            func.count().label("jobs"),
            func.sum(case((jobs.c.held, 1), else_=0)).label("held"),
            func.sum(case((jobs.c.waiting_for_person, 1), else_=0)).label("waiting"),
            func.min(jobs.c.opened_at).label("oldest"),
        )
        .where(OPEN)
        .group_by(jobs.c.folder, jobs.c.account, jobs.c.stage, bucket)
    )


# ---------------------------------------------------------------------------------------------------- pauses and marks


def pauses(connection: Connection, kind: str) -> dict[str, Pause]:
    rows = prepared.rows(connection, statements.PAUSES[kind])
    return {name: _pause(name, document) for name, document in rows}


def _pause(name: str, document: str) -> Pause:
    """One that cannot be read is a pause all the same, until a person looks at it."""
    try:
        return from_json(Pause, document)
    except ValueError:
        return Pause(
            reason="unreadable",
            what="it is paused, and the ledger cannot say why",
            do=f"Where nothing speaks against it: hopperd resume {name}",
            since=0.0,
            by_person=True,
        )


def marks(connection: Connection) -> dict[str, FolderMark]:
    rows = prepared.rows(connection, statements.MARKS)
    return {row.key: FolderMark(key=row.key, path=bytes(row.path), starts=row.starts) for row in rows}


def chunks(ids: Sequence[str], size: int = IDS_AT_ONCE) -> Iterator[Sequence[str]]:
    for start in range(0, len(ids), size):
        yield ids[start : start + size]
