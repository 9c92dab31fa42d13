"""What each event means once results are ours: exports, their names, filing, and tidying up at the service."""

from __future__ import annotations

from typing import Final

from hopperd.pipeline import events as e
from hopperd.pipeline.job import Export, Failure, Job, Original, Policy, Stage, replace
from hopperd.pipeline.moves import (
    PERHAPS_DELIVERED_TWICE,
    abandon,
    date,
    enter,
    moment,
    to_be_filed,
    with_note,
)
from hopperd.pipeline.naming import export_name, next_free
from hopperd.pipeline.results import (
    incomplete,
)
from hopperd.pipeline.retry import delay_seconds

S = Stage
DELIVERED_IN_PART: Final = "some of its exports were delivered before a name was found taken"


def fetched(job: Job, event: e.Fetched, at: float, policy: Policy) -> Job:
    exports: list[Export] = []
    ordinals: dict[int, int] = {}
    for staged in event.staged:
        result = job.results[staged.result]
        ordinals[result.original] = ordinals.get(result.original, 0) + 1
        name = export_name(
            job.originals[result.original].name,
            result.name,
            ordinals[result.original],
            template=policy.export_name,
            job=job.id,
            task_number=job.task_number,
            date=date(at),
        )
        taken = {export.name for export in exports}
        if name in taken:
            name = next_free(name, taken, on_taken="number", date=moment(at))
        exports.append(
            Export(
                name=name,
                staged_as=staged.staged_as,
                size_bytes=staged.size_bytes,
                sha256=staged.sha256,
                original=result.original,
            )
        )
    return enter(job, S.FETCHED, at, exports=tuple(exports))


def export_name_taken(job: Job, event: e.ExportNameTaken, at: float, policy: Policy) -> Job:
    export = job.exports[event.position]
    if policy.on_taken == "fail":
        failure = Failure(
            reason="name-taken",
            fault="us",
            what='a file with the name of the export stands in out/ already, and on_taken is "fail"',
            do='Take that file away and retry the job (it is paid for again), or set on_taken to "number".',
        )
        delivered = tuple(job.exports[place] for place in event.delivered)
        notes = with_note(job, DELIVERED_IN_PART) if delivered else job.notes
        return abandon(replace(job, exports=delivered, notes=notes), failure, at)
    others = {other.name for place, other in enumerate(job.exports) if place != event.position}
    name = next_free(export.name, event.taken | others | {export.name}, on_taken=policy.on_taken, date=moment(at))
    exports = list(job.exports)
    exports[event.position] = replace(export, name=name)
    return replace(job, exports=tuple(exports), due_at=at)


def staging_lost(job: Job, event: e.StagingLost, at: float, policy: Policy) -> Job:
    notes = job.notes if event.never_sent else with_note(job, PERHAPS_DELIVERED_TWICE)
    return enter(job, S.CAPTURED, at, exports=(), notes=notes)


def delivered(job: Job, event: e.Delivered, at: float, policy: Policy) -> Job:
    notes = with_note(job, PERHAPS_DELIVERED_TWICE) if event.perhaps_twice else job.notes
    failure = incomplete(job)
    if failure is not None:
        return abandon(replace(job, notes=notes), failure, at)
    return to_be_filed(job, at, outcome="delivered", notes=notes)


def filing_name_taken(job: Job, event: e.FilingNameTaken, at: float, policy: Policy) -> Job:
    originals: list[Original] = list(job.originals)
    original = originals[event.position]
    planned = original.filed_as or original.name
    others = {other.filed_as for place, other in enumerate(originals) if place != event.position and other.filed_as}
    name = next_free(planned, event.taken | others | {planned}, on_taken="number", date=moment(at))
    originals[event.position] = replace(original, filed_as=name)
    return replace(job, originals=tuple(originals), due_at=at)


def filed_away(job: Job, event: e.FiledAway, at: float, policy: Policy) -> Job:
    originals = list(job.originals)
    for position, note in event.notes:
        originals[position] = replace(originals[position], note=note)
    failed = job.stage is S.ABANDONED
    remote = job.task_id is not None or any(original.remote for original in originals)
    tidy = remote and not failed and not policy.keep_remote
    return enter(job, S.FAILED if failed else S.DONE, at, originals=tuple(originals), tidy_remote=tidy)


def remote_tidied(job: Job, event: e.RemoteTidied, at: float, policy: Policy) -> Job:
    return replace(job, tidy_remote=False, attempts=0, waiting=None)


def remote_tidy_postponed(job: Job, event: e.RemoteTidyPostponed, at: float, policy: Policy) -> Job:
    delay = delay_seconds(job.attempts, event.weather.jitter, retry_after=event.weather.retry_after_seconds)
    return replace(job, due_at=at + delay, attempts=job.attempts + 1)
