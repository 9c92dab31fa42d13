"""Job and Event ↔ rows."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from functools import cache
from operator import attrgetter
from typing import Any, Final, cast

from hopperd.ledger.codec import from_json, to_json
from hopperd.pipeline.events import Claimed, Event, Rebuilt, TakenOver
from hopperd.pipeline.identity import bytes_digest
from hopperd.pipeline.job import OPEN_STAGES, Job, JobId, Original, RemoteFile, Stage, Task, replace
from hopperd.pipeline.moves import PERHAPS_DELIVERED_TWICE
from hopperd.pipeline.naming import shown
from hopperd.ports import HistoryRow

NAMES_LETTERS: Final = 100_000
NAMES_END: Final = "\n\n"

Row = dict[str, Any]


def job_row(job: Job) -> Row:
    """The whole row of a new job."""
    return changing_columns(job) | {
        "id": job.id,
        "folder": job.folder,
        "account": job.account,
        "opened_at": job.opened_at,
        "names": searchable(job),
    }


def changing_columns(job: Job) -> Row:
    """The columns that an event may change. The others are indexed, and not writing them keeps their indexes still."""
    return _always(job) | {
        "stage": job.stage.value,
        "is_open": job.is_open,
        "held": job.hold is not None,
        "waiting_for_person": job.verification_url is not None and job.stage is Stage.SUBMITTED,
        "doubtful": job.doubts > 0,
        "perhaps_twice": PERHAPS_DELIVERED_TWICE in job.notes,
        "ended_badly": job.stage in (Stage.ABANDONED, Stage.FAILED),
        "tidy": job.tidy_remote,
        "priority": job.priority,
        "entered_at": job.entered_at,
        "digest": bytes_digest(job),
        "twin": job.twin.job if waits_for_twin(job) and job.twin is not None else None,
    }


def changed_columns(before: Job, after: Job) -> Row:
    """The columns to write where the one has become the other; of three shapes.

    A database writes to every index that has a written column, whether or not its value is another. `due_at` is always
    written: the ledger may have moved it without a word to whoever had the job in hand.
    """
    if not _is_ordinary(before, after):
        return changing_columns(after)
    if after.stage is before.stage and after.entered_at == before.entered_at:
        return _always(after)
    return _always(after) | {"stage": after.stage.value, "entered_at": after.entered_at}


def _always(job: Job) -> Row:
    return {"version": job.version, "due_at": job.due_at, "document": to_json(job)}


def _is_ordinary(before: Job, after: Job) -> bool:
    """On its way before and after, and nothing has changed that a column tells, but for its stage."""
    return (
        before.stage in _ON_ITS_WAY
        and after.stage in _ON_ITS_WAY
        and _TOLD_BY_COLUMNS(before) == _TOLD_BY_COLUMNS(after)
        and (before.originals is after.originals or _bytes(before) == _bytes(after))
        and after.verification_url is None
    )


_ON_ITS_WAY: Final = frozenset(OPEN_STAGES) - {Stage.ABANDONED}
_TOLD_BY_COLUMNS: Final = attrgetter("hold", "verification_url", "doubts", "notes", "tidy_remote", "priority", "twin")


def _bytes(job: Job) -> list[str]:
    return [original.sha256 for original in job.originals]


def waits_for_twin(job: Job) -> bool:
    return job.is_open and job.twin is not None and not job.twin.delivered


def job_from_row(row: Any) -> Job:
    """From `document`, `version` and `due_at` of a row."""
    job = from_json(Job, row.document)
    if job.version == row.version and job.due_at == row.due_at:
        return job
    return replace(job, version=row.version, due_at=row.due_at)


def searchable(job: Job) -> str:
    """The names of its originals, one a line, as a person would type them; every letter has two after it."""
    names = [folded(shown(original.name)) for original in job.originals]
    if job.group is not None:
        names.insert(0, folded(shown(job.group)))
    return "\n".join(names)[: NAMES_LETTERS - len(NAMES_END)] + NAMES_END


def folded(text: str) -> str:
    """Without case, composed, each control character a space: what is searched, and what is searched for."""
    composed = unicodedata.normalize("NFC", unicodedata.normalize("NFC", text).casefold())
    return "".join(" " if unicodedata.category(letter)[0] == "C" else letter for letter in composed)


def history_row(job: Job, event: Event | Claimed | Rebuilt | TakenOver, at: float) -> Row:
    return {
        "job": job.id,
        "version": job.version,
        "at": at,
        "event": event.name,
        "stage": job.stage.value,
        "detail": _DETAIL.encode(_shallow(event)),
    }


def history_from_row(row: Any) -> HistoryRow:
    return HistoryRow(
        job=JobId(row.job),
        version=row.version,
        at=row.at,
        event=row.event,
        stage=Stage(row.stage),
        detail=json.loads(row.detail),
    )


def _shallow(value: Any) -> dict[str, Any]:
    return {name: getattr(value, name) for name in _names(cast("Any", type(value)))}


@cache
def _names(kind: Any) -> tuple[str, ...]:
    return tuple(field.name for field in fields(kind))


def _told(value: Any) -> Any:
    """What history tells: no token of the service, and not the whole task, which stands in the job."""
    if isinstance(value, bytes):
        return shown(value)
    if isinstance(value, frozenset):
        return sorted(value)
    if isinstance(value, RemoteFile):
        return {"id": value.id, "expiring": value.expiring}
    if isinstance(value, Task):
        return {
            "id": value.id,
            "number": value.number,
            "status": value.status.value,
            "status_text": value.status_text,
            "verification_id": value.verification_id,
            "documents": len(value.documents),
        }
    if isinstance(value, Original):
        return {"name": value.name, "size_bytes": value.size_bytes, "sha256": value.sha256}
    if isinstance(value, Mapping):
        return dict(value)
    if is_dataclass(value):
        return _shallow(value)
    raise TypeError(f"history cannot tell {type(value).__name__}")


_DETAIL: Final = json.JSONEncoder(separators=(",", ":"), default=_told, allow_nan=False, check_circular=False)
