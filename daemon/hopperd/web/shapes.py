"""Jobs, history and backlog as the JSON that commands print and the control API answers. A contract: fields are added,
never renamed (docs/reference/json.md). Names of files are shown, never raw; times are ISO 8601 UTC; ages are seconds.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from hopperd.folders.file_away import TAKEN_AWAY
from hopperd.pipeline.job import Job, Stage
from hopperd.pipeline.naming import shown
from hopperd.pipeline.receipt import iso, receipt
from hopperd.ports import BacklogCell, HistoryRow, Node, Pause
from hopperd.settings import Folder

AGE_EDGES = (60.0, 300.0, 900.0, 3600.0, 4 * 3600.0, 86400.0)
"""Edges of the age buckets in seconds; the last bucket is open."""
AGE_NAMES = ("<1m", "<5m", "<15m", "<1h", "<4h", "<1d", "older")


def node_line(node: Node) -> dict[str, Any]:
    """One daemon of several that share the ledger. `state`: working, gone (its lease is over), or left (in order)."""
    left = node.seen_seconds is None
    return {
        "node": node.name,
        "id": node.id,
        "version": node.version,
        "started": iso(node.started),
        "state": "left" if left else "working" if node.is_alive else "gone",
        "seen_seconds": round(node.seen_seconds, 3) if node.seen_seconds is not None else None,
        "carries": node.carries,
        "in_hand": node.in_hand,
    }


def job_line(job: Job, now: float, stuck_after: float | None = None) -> dict[str, Any]:
    """One job as `list` shows it."""
    line: dict[str, Any] = {
        "job": job.id,
        "folder": job.folder,
        "account": job.account,
        "file": shown(job.group if job.group is not None else job.originals[0].name),
        "files": len(job.originals),
        "size_bytes": job.size_bytes,
        "stage": job.stage.value,
        "opened": iso(job.opened_at),
        "age_seconds": round(max(0.0, now - job.opened_at), 3),
        "in_stage_seconds": round(max(0.0, now - job.entered_at), 3),
        "doubts": job.doubts,
    }
    if job.outcome:
        line["outcome"] = job.outcome
    if job.task_id:
        line["task"] = {"id": job.task_id, "number": job.task_number}
    if job.is_open and job.due_at > now and job.hold is None:
        line["due"] = iso(job.due_at)
    if job.waiting and job.is_open:
        line["waiting"] = job.waiting
    if job.verification_url is not None and job.is_open:
        line["verification"] = job.verification_url
    if job.hold is not None:
        line["hold"] = {
            "reason": job.hold.reason,
            "what": job.hold.what,
            "do": job.hold.do,
            "since": iso(job.hold.since),
        }
    if job.failure is not None:
        line["failure"] = {
            "reason": job.failure.reason,
            "fault": job.failure.fault,
            "what": job.failure.what,
            "do": job.failure.do,
        }
    if job.notes:
        line["notes"] = list(job.notes)
    if job.delivered_exports:
        line["exports"] = [shown(export.name) for export in job.delivered_exports]
    if stuck_after is not None and is_stuck(job, now, stuck_after):
        line["stuck"] = True
    return line


def is_stuck(job: Job, now: float, stuck_after: float) -> bool:
    """Open, not held, not waiting for a person, and longer in its stage than its folder's `stuck_after` says."""
    return job.is_open and job.hold is None and job.verification_url is None and now - job.entered_at > stuck_after


def job_story(
    job: Job, rows: Iterable[HistoryRow], now: float, folder: Folder | None, node: str | None = None
) -> dict[str, Any]:
    """One job's whole history as `show` tells it. `folder` is its hot folder, while it is configured; `node` the one
    of several that carries it."""
    story = {
        **job_line(job, now),
        "originals": receipt(job)["originals"],
        "filed": [shown(name) for name in _filed(job, folder)],
        "receipt": receipt(job) if job.outcome else None,
        "history": [
            {
                "version": row.version,
                "at": iso(row.at),
                "event": row.event,
                "stage": row.stage.value,
                "detail": dict(row.detail),
            }
            for row in rows
        ],
    }
    if job.twin is not None and job.twin.delivered:
        story["duplicate_of"] = {"job": job.twin.job, "exports": list(job.twin.exports)}
    if folder is not None:
        story["paths"] = _paths(job, folder)
    if node is not None:
        story["node"] = node
    return story


def _filed(job: Job, folder: Folder | None) -> list[bytes]:
    """Where below done/ or failed/ its originals lie: neither those that were taken away from work/ before, nor those
    that `after = "delete"` removed. It keeps what it notices anything about."""
    removes = folder is not None and folder.after == "delete" and job.outcome == "delivered"
    return [
        original.filed_as
        for original in job.originals
        if original.filed_as and original.note != TAKEN_AWAY and not (removes and original.note is None)
    ]


def _paths(job: Job, folder: Folder) -> dict[str, list[str]]:
    """Where originals and exports lie, as paths on this machine; for a duplicate those of the first job, too."""
    if job.is_open:
        originals = [f"{folder.work}/{job.id}/{shown(original.name)}" for original in job.originals]
    else:
        root = folder.failed if job.stage is Stage.FAILED else folder.done
        originals = [f"{root}/{shown(name)}" for name in _filed(job, folder)]
    exports = [f"{folder.out}/{shown(export.name)}" for export in job.delivered_exports]
    paths = {"originals": originals, "exports": exports}
    if job.twin is not None and job.twin.delivered:
        paths["delivered_before"] = [f"{folder.out}/{name}" for name in job.twin.exports]
    return paths


def pause_line(pause: Pause | None) -> dict[str, Any] | None:
    if pause is None:
        return None
    return {
        "reason": pause.reason,
        "what": pause.what,
        "do": pause.do,
        "since": iso(pause.since),
        "by_person": pause.by_person,
        "scope": pause.scope,
    }


def backlog_table(cells: Iterable[BacklogCell], now: float) -> list[dict[str, Any]]:
    """Open jobs by stage and age, in the order of the stages; the buckets are AGE_NAMES."""
    rows: dict[Stage, dict[str, Any]] = {}
    for cell in cells:
        row = rows.setdefault(
            cell.stage,
            {
                "stage": cell.stage.value,
                "jobs": 0,
                "held": 0,
                "waiting_for_person": 0,
                "oldest_seconds": 0.0,
                "by_age": [0] * len(AGE_NAMES),
            },
        )
        row["jobs"] += cell.jobs
        row["held"] += cell.held
        row["waiting_for_person"] += cell.waiting_for_person
        row["oldest_seconds"] = max(row["oldest_seconds"], round(max(0.0, now - cell.oldest_opened_at), 3))
        row["by_age"][cell.age_bucket] += cell.jobs
    return [rows[stage] for stage in Stage if stage in rows]
