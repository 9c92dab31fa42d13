"""What is wrong with a ledger itself: pages, and rows that contradict each other. For `hopperd fsck`: reads it all."""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import Connection, Select, bindparam, exists, select, true

from hopperd.ledger import sqlite
from hopperd.ledger.queries import open_ids
from hopperd.ledger.rows import changing_columns, job_from_row
from hopperd.ledger.tables import OPEN, digests, history, jobs
from hopperd.pipeline.job import OPEN_STAGES

_OPEN_STAGES: Final = [stage.value for stage in OPEN_STAGES]

# Each finds job ids for which the sentence is true.
_CONTRADICTIONS: Final[tuple[tuple[str, Select[Any]], ...]] = (
    ("is counted as open in a stage that is not", select(jobs.c.id).where(OPEN, jobs.c.stage.not_in(_OPEN_STAGES))),
    (
        "is counted as finished in a stage that is not",
        select(jobs.c.id).where(jobs.c.is_open.is_not(true()), jobs.c.stage.in_(_OPEN_STAGES)),
    ),
    ("has no history", select(jobs.c.id).where(~exists().where(history.c.job == jobs.c.id))),
    (
        "has history and is not there",
        select(history.c.job).distinct().where(~exists().where(jobs.c.id == history.c.job)),
    ),
    (
        "has a history that does not end at its version",
        select(jobs.c.id).where(~exists().where(history.c.job == jobs.c.id, history.c.version == jobs.c.version)),
    ),
    (
        "has bytes that it did not deliver and is not there",
        select(digests.c.job).where(digests.c.delivered.is_not(true()), ~exists().where(jobs.c.id == digests.c.job)),
    ),
)


def problems(connection: Connection) -> list[str]:
    """In sentences, at most COMPLAINTS of each kind."""
    found: list[str] = []
    if connection.dialect.name == "sqlite":
        found = sqlite.problems(connection, "integrity_check")
    if found:
        return found  # the rows of a damaged file prove nothing
    for sentence, question in _CONTRADICTIONS:
        ids = connection.execute(question.limit(sqlite.COMPLAINTS)).scalars()
        found += [f"job {job_id} {sentence}" for job_id in ids]
    return found + _unreadable(connection)


def _unreadable(connection: Connection) -> list[str]:
    """Open jobs whose document does not say what their columns say."""
    found: list[str] = []
    rows = select(jobs).where(jobs.c.id == bindparam("job_id"))
    for job_id in open_ids(connection):
        found_row = connection.execute(rows, {"job_id": job_id}).one()
        row = found_row._mapping
        try:
            job = job_from_row(found_row)
        except (ValueError, TypeError, KeyError) as error:
            found.append(f"job {job_id} cannot be read: {error}")
            continue
        columns = changing_columns(job)
        differing = [name for name, value in columns.items() if name != "document" and row[name] != value]
        if differing:
            found.append(f"job {job_id} says otherwise in its document about {', '.join(sorted(differing))}")
        if len(found) >= sqlite.COMPLAINTS:
            break
    return found
