"""Folders and receipts → jobs again, where the ledger that knew them is lost.

Pure. What is told by a receipt is taken as it stands. What nobody tells any more is held as a doubt: a file in work/
may have been sent and paid for, and its exports delivered.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final, cast
from urllib.parse import unquote_to_bytes

from hopperd.pipeline.identity import group_of
from hopperd.pipeline.job import (
    Export,
    Failure,
    Fault,
    Hold,
    Identity,
    Job,
    JobId,
    Original,
    Outcome,
    Policy,
    Stage,
    StageAt,
    Twin,
    made_at,
    replace,
)
from hopperd.pipeline.moves import PERHAPS_DELIVERED_TWICE
from hopperd.pipeline.naming import export_name, next_free, shown

OUTCOMES: Final = ("delivered", "duplicate", "removed", "failed")
NOT_STAGED: Final = "no result of it stood in staging when the ledger was made again"
NOWHERE: Final = Identity(device=0, inode=0, size_bytes=0, mtime_ns=0)
_RELEASE: Final = (
    "Look for the task in the service's portal: `hopperd release JOB --task ID` if it is there, `hopperd release JOB` "
    "to ask for a Run, `hopperd forget JOB` if its exports came already."
)


def unshown(text: str) -> bytes:
    """The name that `shown` shows as `text`."""
    if "%" in text:
        raw = unquote_to_bytes(text)
        if shown(raw) == text:
            return raw
    return text.encode("utf-8", "surrogateescape")


def finished_job(
    document: Mapping[str, Any],
    *,
    folder: str,
    account: str,
    by_folder: bool,
    filed: Mapping[bytes, Identity],
) -> Job | None:
    """The job that a receipt tells of; None where it is no receipt as we write them.

    `filed` are paths below done/ or failed/ where originals of it lie, as far as they are known.
    """
    try:
        return _finished(document, folder, account, by_folder, filed)
    except (KeyError, TypeError, ValueError, AttributeError, IndexError):
        return None


def _finished(
    document: Mapping[str, Any], folder: str, account: str, by_folder: bool, filed: Mapping[bytes, Identity]
) -> Job:
    outcome = document["outcome"]
    if outcome not in OUTCOMES:
        raise ValueError(outcome)
    stages = tuple(StageAt(stage=Stage(one["stage"]), at=_seconds(one["at"])) for one in document["stages"])
    originals = tuple(_original(one, filed) for one in document["originals"])
    failed, twin, task = document.get("failure"), document.get("duplicate_of"), document.get("task") or {}
    doubts = int(document["doubts"])
    return Job(
        id=JobId(str(document["job"])),
        folder=folder,
        account=account,
        stage=Stage.FAILED if outcome == "failed" else Stage.DONE,
        opened_at=stages[0].at,
        due_at=stages[-1].at,
        originals=originals,
        stages=stages,
        group=group_of([original.name for original in originals], by_folder=by_folder),
        doubts=doubts,
        doubts_foreign=doubts,
        pages=task.get("pages") if isinstance(task.get("pages"), int) else None,
        task_id=str(task["id"]) if task else None,
        task_number=str(task["number"]) if task.get("number") is not None else None,
        task=task or None,
        tasks_before=tuple(str(one) for one in document.get("tasks_before", ())),
        exports=tuple(_export(one, originals) for one in document["exports"]),
        outcome=cast("Outcome", outcome),
        failure=_failure(failed) if failed else None,
        twin=_twin(twin) if twin else None,
        notes=tuple(str(note) for note in document.get("notes", ())),
    )


def _original(one: Mapping[str, Any], filed: Mapping[bytes, Identity]) -> Original:
    name, size_bytes = unshown(one["name"]), int(one["size_bytes"])
    places = [path for path in filed if path == name or path.endswith(b"/" + name)]
    filed_as = places[0] if places else next(iter(filed), None) if len(filed) == 1 else None
    there = filed.get(filed_as, NOWHERE) if filed_as is not None else NOWHERE
    if there.size_bytes != size_bytes:
        there = Identity(device=0, inode=0, size_bytes=size_bytes, mtime_ns=0)
    return Original(
        name=name,
        identity=there,
        sha256=str(one["sha256"] or ""),
        sha512="",  # taken again before anything is uploaded
        filed_as=filed_as,
        note=one.get("note"),
    )


def _export(one: Mapping[str, Any], originals: Sequence[Original]) -> Export:
    """An older receipt does not say of which original it is."""
    of = next((place for place, original in enumerate(originals) if shown(original.name) == one.get("original")), 0)
    return Export(
        name=unshown(one["name"]),
        staged_as="",
        size_bytes=int(one["size_bytes"]),
        sha256=str(one["sha256"]),
        original=of,
    )


def _twin(one: Mapping[str, Any]) -> Twin:
    return Twin(job=JobId(str(one["job"])), delivered=True, exports=tuple(str(name) for name in one["exports"]))


def _failure(one: Mapping[str, Any]) -> Failure:
    return Failure(
        reason=str(one["reason"]), fault=cast("Fault", one["fault"]), what=str(one["what"]), do=str(one["do"])
    )


def _seconds(at: str) -> float:
    return datetime.fromisoformat(at).timestamp()


# ---------------------------------------------------------------------------------------------------- what is open


def doubtful_job(
    job_id: JobId,
    originals: tuple[Original, ...],
    *,
    folder: str,
    account: str,
    priority: int,
    group: bytes | None,
    at: float,
    before: Job | None = None,
) -> Job:
    """A job for what lies in work/. Held: nobody knows how far it had come. `before` is what a receipt of it tells."""
    what = "its ledger was lost, and nobody knows whether the service took the Run"
    if before is not None:
        what += f"; there is a receipt of it that says {before.outcome}"
    opened_at = min(made_at(job_id), at)
    return Job(
        id=job_id,
        folder=folder,
        account=account,
        stage=Stage.SUBMITTING,
        opened_at=opened_at,
        due_at=at,
        originals=originals,
        stages=(StageAt(stage=Stage.CLAIMED, at=opened_at), StageAt(stage=Stage.SUBMITTING, at=at)),
        group=group,
        priority=priority,
        doubts=1 + (before.doubts if before is not None else 0),
        hold=Hold(reason="doubt", what=what, do=_RELEASE, since=at),
        notes=(PERHAPS_DELIVERED_TWICE,),
    )


def fetched_job(doubtful: Job, manifest: Mapping[str, Any], *, policy: Policy, at: float, date: str) -> Job | None:
    """The same job where its staging stands whole: delivered from there when released, without another Run.

    None where the manifest does not say what the exports are to be called: an older hopperd wrote it.
    """
    try:
        exports = _staged_exports(doubtful, manifest, policy, date)
    except (KeyError, TypeError, ValueError, IndexError, AttributeError):
        return None
    task = manifest.get("task")
    if not isinstance(task, str) or not task:
        return None
    number = manifest.get("number")
    hold = Hold(
        reason="doubt",
        what="its ledger was lost; its exports were fetched, stand whole in staging and seem not to be delivered",
        do="Look whether they are in out/ already; `hopperd release JOB` delivers them, without another Run.",
        since=at,
    )
    staged = {export.original for export in exports}
    return replace(
        doubtful,
        stage=Stage.FETCHED,
        originals=tuple(
            one if place in staged else replace(one, note=NOT_STAGED) for place, one in enumerate(doubtful.originals)
        ),
        stages=(doubtful.stages[0], StageAt(stage=Stage.FETCHED, at=at)),
        task_id=task,
        task_number=str(number) if number is not None else None,
        exports=exports,
        hold=hold,
    )


def _staged_exports(job: Job, manifest: Mapping[str, Any], policy: Policy, date: str) -> tuple[Export, ...]:
    exports: list[Export] = []
    ordinals: dict[int, int] = {}
    for one in manifest["files"]:
        position = int(one["original"])
        ordinals[position] = ordinals.get(position, 0) + 1
        name = export_name(
            job.originals[position].name,
            str(one["result"]),
            ordinals[position],
            template=policy.export_name,
            job=job.id,
            task_number=str(manifest["number"]) if manifest.get("number") is not None else None,
            date=date,
        )
        taken: set[bytes] = {export.name for export in exports}
        exports.append(
            Export(
                name=next_free(name, taken, on_taken="number", date=date) if name in taken else name,
                staged_as=str(one["name"]),
                size_bytes=int(one["size_bytes"]),
                sha256=str(one["sha256"]),
                original=position,
            )
        )
    return tuple(exports)
