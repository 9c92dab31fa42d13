"""Writing jobs: opening, recording events, forgetting. Each function runs inside a transaction of the pump.

Many records at once are three statements. A lost race is found before anything of that record is written, so it can
be told to its caller alone while the others commit.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection

from hopperd.errors import NoRoom, Stale
from hopperd.ledger import fleet, outbox, prepared, search, statements, twins
from hopperd.ledger.queries import job_by_id
from hopperd.ledger.rows import Row, changed_columns, history_row, job_row, searchable, waits_for_twin
from hopperd.pipeline.events import Changed, Claimed, Event, Rebuilt
from hopperd.pipeline.identity import bytes_digest
from hopperd.pipeline.job import Job, JobId, Stage, replace
from hopperd.pipeline.letters import Letter


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    before: Job
    after: Job
    event: Event
    at: float
    letters: Sequence[Letter] = ()
    most_in_flight: int | None = None
    """Only if this job is one of so many in flight of its account, at the most; None where nobody else counts."""

    def __post_init__(self) -> None:
        if self.after.id != self.before.id or self.after.version != self.before.version + 1:
            raise ValueError(f"job {self.before.id}: a record leads from one version to the next")


def open_job(connection: Connection, job: Job, event: Claimed, with_twins: bool) -> Job:
    there = job_by_id(connection, job.id)
    if there is not None:
        return there
    if prepared.rows(connection, statements.VERSIONS, {"ids": [job.id]}):
        return job  # its row cannot be read: it stays as it is until somebody has looked at it
    if with_twins:
        job = replace(job, twin=twins.take(connection, job))
    prepared.run(connection, statements.INSERT_JOB, job_row(job))
    search.added(connection, [job.id])
    prepared.run(connection, statements.INSERT_HISTORY, history_row(job, event, job.opened_at))
    _note_tasks(connection, [job])
    fleet.notify(connection, "jobs", now_and_then=True)
    return job


def restore(connection: Connection, jobs: Sequence[Job], event: Rebuilt, at: float) -> None:
    """Put jobs that were read back from folders and receipts, in place of finished ones of the same id."""
    for job in jobs:
        forget(connection, [job.id])
        if prepared.rows(connection, statements.VERSIONS, {"ids": [job.id]}):
            continue  # open: it knows better
        if job.is_open:
            job = replace(job, twin=twins.take(connection, job))
        prepared.run(connection, statements.INSERT_JOB, job_row(job))
        search.added(connection, [job.id])
        prepared.run(connection, statements.INSERT_HISTORY, history_row(job, event, at))
        if job.outcome == "delivered":
            twins.mark_delivered(connection, job, job.entered_at)
    _note_tasks(connection, jobs)


def record_many(connection: Connection, records: Sequence[Record]) -> list[Job | Stale]:
    """Record in order. Each answer is the job as it stands now, or Stale where its race was lost."""
    answers: list[Job | Stale] = []
    together: list[Record] = []
    for record in records:
        if _needs_a_look_first(record):
            answers += _record_together(connection, together)
            answers += _record_after_a_look(connection, record)
            together = []
        else:
            together.append(record)
    return answers + _record_together(connection, together)


def forget(connection: Connection, job_ids: Sequence[JobId]) -> int:
    """Delete finished jobs and all that is theirs but the digests they delivered. Returns how many."""
    if not job_ids:
        return 0
    # By their columns: one that cannot be read must not stay for ever, nor keep the others from being forgotten.
    rows = prepared.rows(connection, statements.FINISHED_AMONG, {"ids": list(job_ids)})
    for row in rows:
        twins.give_back(connection, row.folder, row.digest, row.id, row.due_at)
    gone = [JobId(row.id) for row in rows]
    search.going(connection, gone)
    for statement in (statements.DELETE_HISTORY, statements.DELETE_TASKS, statements.DELETE_JOBS):
        prepared.run(connection, statement, {"ids": gone})
    return len(gone)


def _needs_a_look_first(record: Record) -> bool:
    """Whether the bytes table has a say in what is written, or the places in flight."""
    is_limited = record.most_in_flight is not None
    return is_limited or waits_for_twin(record.after) or isinstance(record.event, Changed)


def _record_after_a_look(connection: Connection, record: Record) -> list[Job | Stale]:
    if isinstance(record.event, Changed):
        return _record_changed(connection, record)
    after = record.after
    if record.most_in_flight is not None and (stale := _stale(connection, [record])):
        return [stale[0]]  # a lost race is said first: perhaps this record itself was written before
    if record.most_in_flight is not None and not _has_room(connection, after.account, record.most_in_flight):
        return [NoRoom(f"job {after.id}: {record.most_in_flight} tasks of {after.account} are in flight already")]
    if after.twin is not None and not twins.still_holds(connection, after.twin.job, after):
        # It ended while this job was about to wait for it: nobody would wake it.
        record = replace(record, after=replace(after, due_at=min(after.due_at, record.at)))
    return _record_together(connection, [record])


def _has_room(connection: Connection, account: str, most: int) -> bool:
    """Until this transaction ends nobody else is told so."""
    if connection.dialect.name == "postgresql":
        prepared.rows(connection, statements.LOCK_PLACES, {"of_places": f"hopperd places of {account}"})
    return int(prepared.value(connection, statements.COUNT_IN_FLIGHT, {"of_account": account})) < most


def _record_changed(connection: Connection, record: Record) -> list[Job | Stale]:
    """Other bytes than were claimed: give the old ones back, and take the new ones as if just opened."""
    before, after = record.before, record.after
    stale = _stale(connection, [record])
    if stale:
        return [stale[0]]
    had = twins.has_undelivered(connection, before)
    if bytes_digest(before) != bytes_digest(after) and (had or before.twin is not None):
        twins.free(connection, before, record.at)
        if after.stage is Stage.CLAIMED:
            record = replace(record, after=replace(after, twin=twins.take(connection, after)))
    return _record_together(connection, [record])


def _record_together(connection: Connection, records: Sequence[Record]) -> list[Job | Stale]:
    if not records:
        return []
    stale = _stale(connection, records)
    winners = [record for place, record in enumerate(records) if place not in stale]
    if winners:
        _write(connection, winners)
    return [stale.get(place) or record.after for place, record in enumerate(records)]


def _stale(connection: Connection, records: Sequence[Record]) -> dict[int, Stale]:
    """By place: the records whose job is no longer at the version they started from."""
    ids = list({record.before.id for record in records})
    rows = prepared.rows(connection, statements.VERSIONS, {"ids": ids})
    versions: dict[str, int] = {row.id: row.version for row in rows}
    elsewhere = {row.id for row in rows if row.owner is not None and row.owner != fleet.me(connection)}
    stale: dict[int, Stale] = {}
    for place, record in enumerate(records):
        now = versions.get(record.before.id)
        if now == record.before.version:
            versions[record.before.id] = record.after.version
            if record.before.id in elsewhere:  # an order of a person: who carries the job is to hear of it
                fleet.notify(connection, "jobs")
        else:
            what = "is not in the ledger" if now is None else f"is at version {now}, not {record.before.version}"
            stale[place] = Stale(f"job {record.before.id} {what}", taken_over=record.before.id in elsewhere)
    return stale


def _write(connection: Connection, records: Sequence[Record]) -> None:
    rows = [
        changed_columns(record.before, record.after) | {"job_id": record.before.id, "at_version": record.before.version}
        for record in records
    ]
    for some in _alike(rows):
        prepared.run_many(connection, statements.UPDATE_JOB, some)
    prepared.run_many(
        connection,
        statements.INSERT_HISTORY,
        [history_row(record.after, record.event, record.at) for record in records],
    )
    outbox.put(connection, [letter for record in records for letter in record.letters])
    _note_tasks(connection, [r.after for r in records if _task(r.after) != _task(r.before)])
    for record in records:
        if record.after.originals is not record.before.originals:
            _note_names(connection, record)
        twins.recorded(connection, record.before, record.after, record.at)


def _alike(rows: Sequence[Row]) -> Iterator[list[Row]]:
    """Rows of one shape together. Those of one job stay in their order: it is rare that there are several."""
    if len({row["job_id"] for row in rows}) < len(rows):
        yield from ([row] for row in rows)
        return
    by_shape: dict[int, list[Row]] = {}
    for row in rows:
        by_shape.setdefault(len(row), []).append(row)
    yield from by_shape.values()


def _task(job: Job) -> tuple[str | None, str | None]:
    return job.task_id, job.task_number


def _note_tasks(connection: Connection, jobs: Sequence[Job]) -> None:
    jobs = [job for job in jobs if job.task_id is not None]
    if jobs:
        prepared.run_many(
            connection, statements.DELETE_TASK, [{"task_id": job.task_id, "job_id": job.id} for job in jobs]
        )
        prepared.run_many(
            connection,
            statements.INSERT_TASK,
            [{"task": job.task_id, "job": job.id, "number": job.task_number} for job in jobs],
        )


def _note_names(connection: Connection, record: Record) -> None:
    names = searchable(record.after)
    if names != searchable(record.before):
        search.going(connection, [record.after.id])
        prepared.run(connection, statements.UPDATE_NAMES, {"job_id": record.after.id, "names": names})
        search.added(connection, [record.after.id])
