"""Job → receipt: the one JSON document beside each filed original that says what became of it.

Pure. The shape is a contract (product.md, docs/reference/receipt.md): fields are added, never renamed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from hopperd.pipeline.job import Job, Stage
from hopperd.pipeline.naming import shown


def iso(at: float) -> str:
    """ISO 8601 in UTC with milliseconds, as in `2026-11-23T03:40:19.123Z`."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z"


def receipt(job: Job) -> dict[str, Any]:
    """The receipt of a job whose outcome is known, the same for each original of a group."""
    document: dict[str, Any] = {
        "job": job.id,
        "folder": job.folder,
        "outcome": job.outcome,
        "originals": [
            {"name": shown(original.name), "size_bytes": original.size_bytes, "sha256": original.sha256 or None}
            | ({"note": original.note} if original.note else {})
            for original in job.originals
        ],
        "stages": [{"stage": entry.stage.value, "at": iso(entry.at)} for entry in job.stages],
        "task": _task(job),
        "exports": [
            {
                "name": shown(export.name),
                "size_bytes": export.size_bytes,
                "sha256": export.sha256,
                "original": shown(job.originals[export.original].name),
            }
            for export in job.delivered_exports
        ],
        "doubts": job.doubts,
    }
    if job.notes:
        document["notes"] = list(job.notes)
    if job.tasks_before:
        document["tasks_before"] = list(job.tasks_before)
    if job.outcome == "duplicate" and job.twin is not None:
        document["duplicate_of"] = {"job": job.twin.job, "exports": list(job.twin.exports)}
    if job.failure is not None:
        document["failure"] = {
            "reason": job.failure.reason,
            "fault": job.failure.fault,
            "what": job.failure.what,
            "do": job.failure.do,
        }
    return document


def _task(job: Job) -> dict[str, Any] | None:
    """The CaptureTask as last seen, with every field the service sent but the tokens of its files, with which whoever
    reads the receipt could fetch and delete them; our own words for it come first."""
    if job.task_id is None:
        return None
    told: dict[str, Any] = _without_tokens(job.task or {})
    return {"id": job.task_id, "number": job.task_number, "pages": job.pages} | told


def _without_tokens(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _without_tokens(each) for key, each in value.items() if key.lower() != "token"}
    if isinstance(value, list | tuple):
        return [_without_tokens(each) for each in value]
    return value


def receipt_bytes(job: Job, at: float) -> bytes:
    """The receipt as it is written to disk. `at` closes the story: the stage the filing leads to."""
    document = receipt(job)
    last = Stage.FAILED if job.stage is Stage.ABANDONED else Stage.DONE
    if job.stage in (Stage.ABANDONED, Stage.DELIVERED):
        document["stages"].append({"stage": last.value, "at": iso(at)})
    return json.dumps(document, indent=2, ensure_ascii=False).encode("utf-8", "backslashreplace") + b"\n"
