"""Pages of jobs, newest first: by what they are, or by a text in their names."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Select, bindparam, or_, select, true

from hopperd.ledger import prepared
from hopperd.ledger.queries import IDS_AT_ONCE, chunks, first_readable, known_unreadable
from hopperd.ledger.rows import folded
from hopperd.ledger.search import NAME_ROWS, Proposals
from hopperd.ledger.tables import ENDED_BADLY, FINISHED, OPEN, PERHAPS_TWICE, jobs, tasks
from hopperd.pipeline.job import OPEN_STAGES, Job, JobId, Stage, replace
from hopperd.ports import JobQuery

PAGE_JOBS: Final = 1_000
SEARCH_LETTERS: Final = 500


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
        self._enough = self._limit + known_unreadable()
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
            for some in chunks(self._proposals.ids):
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
