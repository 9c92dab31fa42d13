"""Asking for jobs. Each function runs inside a transaction of the pump, and none reads past what it was asked for."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from functools import cache
from typing import Any, Final

import structlog
from sqlalchemy import ColumnElement, Connection, Float, Integer, Select, bindparam, case, func, or_, select, true

from hopperd.ledger import prepared, statements
from hopperd.ledger.codec import from_json
from hopperd.ledger.rows import folded, history_from_row, job_from_row
from hopperd.ledger.search import NAME_ROWS, Proposals
from hopperd.ledger.tables import ENDED_BADLY, FINISHED, OPEN, PERHAPS_TWICE, jobs, tasks
from hopperd.pipeline.job import OPEN_STAGES, Job, JobId, Stage, new_job_id, replace
from hopperd.ports import BacklogCell, Doubts, FolderMark, HistoryRow, JobQuery, Pause, Wanted

PAGE_JOBS: Final = 1_000
SEARCH_LETTERS: Final = 500
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
    for some in _chunks(wanted):
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


def first_readable(connection: Connection, limit: int, ids: Callable[[int], Iterable[str]]) -> list[Job]:
    """The first `limit` jobs that can be read: those that cannot would take the places of others for ever.

    `ids` is asked for so many ids, in their order. It is asked again only where rows are found to be unreadable for the
    first time.
    """
    while True:
        known = len(_said)
        found: dict[JobId, Job] = {}
        for some in _chunks(list(ids(limit + known)), max(1, limit)):
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


# ------------------------------------------------------------------------------------------------------------- pages


def page(connection: Connection, query: JobQuery) -> list[Job]:
    """Newest first, PAGE_JOBS at most. `failed`: abandoned or failed."""
    if query.text is None:
        newest, asked = _newest(_shape(query)), _asked(query)
        return first_readable(
            connection,
            max(0, min(query.limit, PAGE_JOBS)),
            lambda most: prepared.values(connection, newest, asked | {"most": most}),
        )
    search = Search(query)
    while search.go_on(connection):
        pass
    return search.jobs


@cache
def _newest(shape: JobQuery) -> Select[Any]:
    conditions = tuple(_conditions(shape))
    return select(jobs.c.id).where(*conditions).order_by(jobs.c.id.desc()).limit(bindparam("most"))


class Search:
    """A page of jobs whose names contain a text, or that have that id or task. Newest first, slice by slice."""

    def __init__(self, query: JobQuery) -> None:
        self._query = query
        self._limit = max(0, min(query.limit, PAGE_JOBS))
        self._enough = self._limit + len(_said)
        self._conditions = tuple(_conditions(query))
        self._asked = _asked(query)
        self._folded = folded(query.text or "")[:SEARCH_LETTERS]
        self._proposals = Proposals(self._folded)
        self._found: set[str] | None = None
        self._named: set[str] = set()
        self._before = query.before
        self._is_proposing = False
        self._has_proposed = False
        self.jobs: list[Job] = []

    def go_on(self, connection: Connection) -> bool:
        """One slice; False when `jobs` is the answer."""
        if self._found is None:
            self._found = set(self._exact(connection)[: self._enough])
            return True
        if self._is_proposing:
            self._is_proposing = self._proposals.go_on(connection)
            if self._is_proposing or self._proposals.too_many:
                return True
            for some in _chunks(self._proposals.ids):
                self._named |= set(self._right(connection, some))
            return self._end(connection)
        # What many names contain is found among the newest; the index is for what they do not contain.
        goes_on = self._read_names(connection)
        if goes_on and not self._has_proposed:
            self._is_proposing = self._has_proposed = True
        return goes_on or self._end(connection)

    def _read_names(self, connection: Connection) -> bool:
        """The names alone, which stand in an index; then what else was asked for."""
        newer = jobs.c.id < self._before if self._before is not None else true()
        oldest = select(jobs.c.id).where(newer).order_by(jobs.c.id.desc()).limit(1).offset(NAME_ROWS - 1)
        last: str | None = connection.execute(oldest).scalar()
        like = jobs.c.names.contains(self._folded, autoescape=True)
        named = select(jobs.c.id).where(like, newer).order_by(jobs.c.id.desc())
        if last is not None:
            named = named.where(jobs.c.id >= last)
        some = connection.execute(named.limit(IDS_AT_ONCE)).scalars().all()
        if some:
            self._named |= set(self._right(connection, some)[: self._enough])
            if len(self._named) >= self._enough:
                return False
        if len(some) == IDS_AT_ONCE:
            last = some[-1]
        self._before = JobId(last) if last is not None else None
        return last is not None

    def _end(self, connection: Connection) -> bool:
        found = sorted(self._named | (self._found or set()), reverse=True)
        self.jobs = first_readable(connection, self._limit, lambda most: found[:most])
        return False

    def _exact(self, connection: Connection) -> Sequence[str]:
        exact = (self._query.text or "").strip()[:SEARCH_LETTERS]
        has_task = select(tasks.c.job).where(or_(tasks.c.task == exact, tasks.c.number == exact)).limit(IDS_AT_ONCE)
        return self._right(connection, [exact.lower(), *connection.execute(has_task).scalars()])

    def _right(self, connection: Connection, ids: Sequence[str]) -> Sequence[str]:
        """Those of `ids` that are what else was asked for, newest first."""
        right = select(jobs.c.id).where(jobs.c.id.in_(ids), *self._conditions).order_by(jobs.c.id.desc())
        return connection.execute(right, self._asked).scalars().all()


# What a query may compare with: any value makes the same statement.
_COMPARED: Final = ("folder", "account", "opened_before", "in_stage_since", "entered_since", "before")


def _asked(query: JobQuery) -> dict[str, Any]:
    return {f"of_{name}": value for name in _COMPARED if (value := getattr(query, name)) is not None}


def _shape(query: JobQuery) -> JobQuery:
    """The same for all queries that are one statement with other parameters."""
    compared: dict[str, Any] = {name: "" for name in _COMPARED if getattr(query, name) is not None}
    return replace(query, **compared, stages=None if query.stages is None else tuple(query.stages), limit=0)


def _conditions(query: JobQuery) -> Iterator[ColumnElement[bool]]:
    """The values of what is compared are not looked at: `_asked` has them."""
    is_open, ended_badly = _only_open(query), _only_ended_badly(query)
    if query.folder is not None:
        yield _plain(jobs.c.folder, is_open or ended_badly) == bindparam("of_folder")
    if query.account is not None:
        yield _plain(jobs.c.account, is_open or ended_badly) == bindparam("of_account")
    if query.held is not None:
        yield jobs.c.held == query.held
    if query.waiting_for_person is not None:
        yield jobs.c.waiting_for_person == query.waiting_for_person
    if query.waiting_for_twin is not None:
        yield jobs.c.twin.is_not(None) if query.waiting_for_twin else jobs.c.twin.is_(None)
    if query.stages is not None:
        yield jobs.c.stage.in_([stage.value for stage in query.stages])
    if is_open:
        yield OPEN  # said aloud, so that the index over open jobs answers
    elif query.stages is not None and not set(query.stages) & set(OPEN_STAGES):
        yield FINISHED
    if ended_badly:
        yield ENDED_BADLY
    if query.perhaps_twice:
        yield PERHAPS_TWICE
    if query.failed is False:
        yield jobs.c.ended_badly.is_(False)
    if query.opened_before is not None:
        yield jobs.c.opened_at < bindparam("of_opened_before")
    if query.in_stage_since is not None:
        yield jobs.c.entered_at < bindparam("of_in_stage_since")
    if query.entered_since is not None:
        yield jobs.c.entered_at >= bindparam("of_entered_since")
    if query.before is not None:
        yield jobs.c.id < bindparam("of_before")


def _only_open(query: JobQuery) -> bool:
    if query.held or query.waiting_for_person:
        return True
    return query.stages is not None and set(query.stages) <= set(OPEN_STAGES)


def _only_ended_badly(query: JobQuery) -> bool:
    return bool(query.failed) or (query.stages is not None and set(query.stages) <= {Stage.ABANDONED, Stage.FAILED})


def _plain(column: ColumnElement[str], without_index: bool) -> ColumnElement[str]:
    """Put so, no index over the column, finished jobs and all, looks better than the partial one that is meant."""
    return column.concat("") if without_index else column


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


def _chunks(ids: Sequence[str], size: int = IDS_AT_ONCE) -> Iterator[Sequence[str]]:
    for start in range(0, len(ids), size):
        yield ids[start : start + size]
