"""The rules: what to do next with a job, and what becomes of it with an event.

This file does not know who we are: no disk, no clock, no service, no randomness. `advance` is the only writer of
stages; what is not in TRANSITIONS is an error that changes nothing. Each event has one handler, in the file of its
time: sending.py, following.py, delivering.py; what may happen at any time is in moves.py, or in orders.py where a
person orders it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from hopperd.errors import TransitionError
from hopperd.pipeline import delivering, following, moves, orders, sending
from hopperd.pipeline import events as e
from hopperd.pipeline.events import Event, Step
from hopperd.pipeline.job import Job, Policy, Stage, StageAt, replace
from hopperd.pipeline.sending import EXPIRY_MARGIN_SECONDS
from hopperd.pipeline.transitions import TRANSITIONS

STAGES_KEPT: Final = 200


def next_step(job: Job, now: float) -> Step | None:
    """What to do next with the job, whether or not it is due. None: nothing, by itself."""
    if job.hold is not None:
        return None
    match job.stage:
        case Stage.CLAIMED:
            if any(original.filed_as is not None for original in job.originals):
                return Step.RECLAIM
            return Step.SETTLE_TWIN if job.twin is not None else Step.UPLOAD
        case Stage.UPLOADED:
            return Step.RENEW_UPLOAD if upload_expired(job, now) else Step.RUN
        case Stage.SUBMITTING:
            return Step.SETTLE_DOUBT
        case Stage.SUBMITTED:
            return Step.LOOK
        case Stage.CAPTURED:
            return Step.FETCH
        case Stage.FETCHED:
            return Step.DELIVER
        case Stage.DELIVERED | Stage.ABANDONED:
            return Step.FILE_AWAY
        case Stage.DONE | Stage.FAILED:
            return None


def upload_expired(job: Job, now: float) -> bool:
    """The service has dropped an uploaded original, or is about to."""
    return any(
        original.remote is not None
        and original.remote.expiring is not None
        and original.remote.expiring - EXPIRY_MARGIN_SECONDS <= now
        for original in job.originals
    )


def advance(job: Job, event: Event, at: float, policy: Policy) -> Job:
    """The job after the event. Raises TransitionError, and changes nothing, where the table has no such pair."""
    allowed = TRANSITIONS.get((job.stage, type(event)))
    if allowed is None:
        raise TransitionError(f"{event.name} cannot happen to a job that is {job.stage}")
    handler = _HANDLERS[type(event)]
    after: Job = handler(job, event, at, policy)
    if after.stage not in allowed:
        raise TransitionError(f"{event.name} led from {job.stage} to {after.stage}, which the table does not allow")
    if after.stage is job.stage:
        return replace(after, version=job.version + 1)
    stages = (*job.stages, StageAt(stage=after.stage, at=at))[-STAGES_KEPT:]
    return replace(after, stages=stages, version=job.version + 1)


_HANDLERS: Final[Mapping[type, Callable[[Job, Any, float, Policy], Job]]] = {
    e.TwinEnded: sending.twin_ended,
    e.Reclaimed: sending.reclaimed,
    e.Changed: sending.changed,
    e.ChildDied: sending.child_died,
    e.Uploaded: sending.uploaded,
    e.UploadExpired: sending.upload_expired,
    e.RunIntended: sending.run_intended,
    e.RunAccepted: sending.run_accepted,
    e.RunDeclined: sending.run_declined,
    e.RunDoubted: sending.run_doubted,
    e.TaskSeen: following.task_seen,
    e.TaskGone: following.task_gone,
    e.ResultGone: following.result_gone,
    e.Fetched: delivering.fetched,
    e.ExportNameTaken: delivering.export_name_taken,
    e.StagingLost: delivering.staging_lost,
    e.Delivered: delivering.delivered,
    e.FilingNameTaken: delivering.filing_name_taken,
    e.FiledAway: delivering.filed_away,
    e.Refused: moves.refused,
    e.Postponed: moves.postponed,
    e.PutOnHold: orders.put_on_hold,
    e.Released: orders.released,
    e.Retried: orders.retried,
    e.Forgotten: orders.forgotten,
    e.RemoteTidied: delivering.remote_tidied,
    e.RemoteTidyPostponed: delivering.remote_tidy_postponed,
}
