"""What the log says of a job: one line for each fact."""

from __future__ import annotations

from typing import Any

from hopperd.pipeline.events import Event
from hopperd.pipeline.job import Job, Stage
from hopperd.pipeline.naming import printable


def tell(log: Any, before: Job, after: Job, event: Event, now: float) -> None:
    """The name of the event is stable; see docs/reference/events.md."""
    if not _is_news(before, after):
        log.debug(event.name, job=after.id, folder=after.folder, stage=after.stage.value)
        return
    name = printable(after.group or after.originals[0].name)
    bound = log.bind(job=after.id, folder=after.folder, stage=after.stage.value, file=name)
    extra: dict[str, object] = {}
    if after.task_id and not before.task_id:
        extra["task"] = after.task_number or after.task_id
    if after.verification_url and not before.verification_url:
        bound.warning("waits-for-person", verification=after.verification_url, task=after.task_number)
    if after.hold is not None and before.hold is None:
        bound.error("held", reason=after.hold.reason, what=after.hold.what, do=after.hold.do)
    if after.doubts > before.doubts:
        bound.warning("doubt", doubts=after.doubts, what=getattr(event, "what", ""))
    if after.failure is not None and before.failure is None:
        bound.error("abandoned", reason=after.failure.reason, fault=after.failure.fault, what=after.failure.what)
    elif after.stage is not before.stage:
        if after.exports and after.stage is Stage.DELIVERED:
            extra["exports"] = [printable(export.name) for export in after.exports]
        if after.outcome and after.stage is Stage.DONE:
            extra["outcome"] = after.outcome
            extra["seconds"] = round(after.entered_at - after.opened_at, 3)
        bound.info(event.name, **extra)
    elif after.waiting and after.waiting != before.waiting:
        bound.info(event.name, waiting=after.waiting, due_in_seconds=round(after.due_at - now, 1))


def _is_news(before: Job, after: Job) -> bool:
    """Whether more is to be told than that it happened: most looks find nothing new."""
    return (
        after.stage is not before.stage
        or after.doubts > before.doubts
        or (after.hold is not None and before.hold is None)
        or (after.failure is not None and before.failure is None)
        or bool(after.verification_url and not before.verification_url)
        or bool(after.waiting and after.waiting != before.waiting)
    )
