"""What a person orders: hold, release, retry, forget."""

from __future__ import annotations

from hopperd.errors import TransitionError
from hopperd.pipeline import events as e
from hopperd.pipeline.job import Failure, Job, Policy, Stage, replace
from hopperd.pipeline.moves import (
    PERHAPS_DELIVERED_TWICE,
    PERHAPS_PAID_TWICE,
    abandon,
    enter,
    from_the_start,
    with_note,
)

S = Stage


def put_on_hold(job: Job, event: e.PutOnHold, at: float, policy: Policy) -> Job:
    return replace(job, hold=event.hold)


def _not_while_asking(job: Job) -> None:
    """Without a hold, `submitting` means that the answer is awaited this very moment."""
    if job.stage is S.SUBMITTING and job.hold is None:
        raise TransitionError("a Run is being asked for this very moment; nothing can be ordered until it is answered")


def released(job: Job, event: e.Released, at: float, policy: Policy) -> Job:
    _not_while_asking(job)
    free = replace(job, hold=None, due_at=at, waiting=None, attempts=0, server_errors=0, gone_looks=0)
    if event.task_id is not None:
        if job.stage not in (S.UPLOADED, S.SUBMITTING):
            raise TransitionError(f"a task can be named only for a job whose Run is in doubt, and this is {job.stage}")
        return enter(free, S.SUBMITTED, at, task_id=event.task_id, submitted_at=at, looks=0)
    if job.stage is S.SUBMITTING:
        notes = with_note(job, PERHAPS_PAID_TWICE)
        if any(original.remote is None for original in job.originals):
            # Read back from the folders: what the service holds was lost with the ledger.
            return from_the_start(free, at, notes=notes)
        return enter(free, S.UPLOADED, at, notes=notes)
    if job.is_duplicate:
        return replace(free, twin=None)
    return free


def retried(job: Job, event: e.Retried, at: float, policy: Policy) -> Job:
    if job.is_open and job.stage is not S.ABANDONED:
        return released(job, e.Released(), at, policy)
    # What a failed job did deliver comes once more.
    notes = with_note(job, PERHAPS_DELIVERED_TWICE) if job.delivered_exports else job.notes
    again = from_the_start(job, at, outcome=None, failure=None, twin=None, hold=None, notes=notes)
    return replace(again, deaths=0, lost_uploads=0, tidy_remote=False)


def forgotten(job: Job, event: e.Forgotten, at: float, policy: Policy) -> Job:
    _not_while_asking(job)
    failure = Failure(
        reason="forgotten",
        fault="us",
        what="a person gave this job up",
        do="Put the file in again if it is wanted after all.",
    )
    return abandon(job, failure, at)
