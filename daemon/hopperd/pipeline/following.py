"""What each event means while the service works: looks at the task, what came of it, what is gone."""

from __future__ import annotations

from typing import Final
from urllib.parse import quote

from hopperd.pipeline import events as e
from hopperd.pipeline.job import Failure, Hold, Job, Policy, Stage, Task, TaskStatus, replace
from hopperd.pipeline.moves import (
    NOTES_KEPT,
    abandon,
    enter,
    to_be_filed,
    with_note,
)
from hopperd.pipeline.polling import next_look_seconds
from hopperd.pipeline.results import (
    REMOVED,
    RESULTS_ALLOWED,
    hold_if_foreign,
    no_result,
    noted,
    results_of,
    too_many,
)
from hopperd.pipeline.retry import delay_seconds

S = Stage
GONE_LOOKS: Final = 3
GONE_LOOKS_WHERE_NONE_PASS: Final = 20
"""Some fifteen minutes: a service that answers 404 to everything has lost its way."""

NEAR_EXPIRY_SECONDS: Final = 86_400.0
CANCELED: Final = "the service canceled the task: the account's number of documents is used up"


def task_seen(job: Job, event: e.TaskSeen, at: float, policy: Policy) -> Job:
    task = event.task
    seen = replace(
        job,
        task=task.raw,
        task_number=task.number or job.task_number,
        looks=job.looks + 1,
        looked_at=at,
        attempts=0,
        server_errors=0,
        gone_looks=0,
        waiting=None,
        verification_url=None,
    )
    match task.status:
        case TaskStatus.DONE:
            return _task_done(seen, task, at)
        case TaskStatus.FAILED:
            return abandon(seen, _task_failed(task), at)
        case TaskStatus.CANCELED:
            before = (*seen.tasks_before, task.id)[-NOTES_KEPT:]
            return enter(
                seen, S.UPLOADED, at, task_id=None, tasks_before=before, submitted_at=None, looks=0, waiting=CANCELED
            )
        case TaskStatus.WAITS_FOR_PERSON | TaskStatus.RUNNING:
            return _look_later(seen, event, at, policy)


def _task_failed(task: Task) -> Failure:
    number = task.number or task.id
    return Failure(
        reason="task-failed",
        fault="service",
        what=f"the service gave up on task {number}; it does not say why",
        do="Open the file and see whether it can be read; then retry the job, or enter the invoice by hand.",
    )


def _look_later(job: Job, event: e.TaskSeen, at: float, policy: Policy) -> Job:
    task = event.task
    person = task.status is TaskStatus.WAITS_FOR_PERSON
    url = (
        f"{policy.verification_base}{quote(task.verification_id, safe='')}" if person and task.verification_id else None
    )
    wait = next_look_seconds(
        age_seconds=at - (job.submitted_at or at),
        looks=job.looks,
        typical_seconds=event.typical_seconds,
        polling=policy.polling,
        waits_for_person=person,
        jitter=event.jitter,
        spread=event.spread,
    )
    waiting = f"waits for a person at {url or 'the verification page'}" if person else None
    return replace(job, due_at=at + wait, verification_url=url or ("" if person else None), waiting=waiting)


def _task_done(job: Job, task: Task, at: float) -> Job:
    foreign = hold_if_foreign(job, task, at)
    if foreign is not None:
        return _in_doubt_again(job, foreign, at)
    results = results_of(job, task)
    if len(results) > RESULTS_ALLOWED:
        return abandon(job, too_many(task, len(results)), at)
    if results:
        captured = enter(job, S.CAPTURED, at, results=results, originals=noted(job, task, results))
        return replace(captured, due_at=_fetch_due(captured, at))
    if task.documents and all(document.is_moved for document in task.documents):
        return to_be_filed(job, at, outcome="removed", notes=with_note(job, REMOVED))
    return abandon(job, no_result(task), at)


def _in_doubt_again(job: Job, hold: Hold, at: float) -> Job:
    """The task is not ours, whoever named it: whether the service took our own Run is as unknown as before."""
    forgotten = {"task_id": None, "task_number": None, "task": None, "submitted_at": None, "looks": 0}
    doubts = {"doubts": job.doubts + 1, "doubts_foreign": job.doubts_foreign + 1}
    return enter(job, S.SUBMITTING, at, hold=hold, **forgotten, **doubts)


def _fetch_due(job: Job, at: float) -> float:
    """At once; in the past, and so before the others, where the results are near their expiry.

    The service names no date for a result unless it is asked for each: the date of the upload, which came before, is
    the earliest that it can be.
    """
    files = [original.remote for original in job.originals] + [result.remote for result in job.results]
    dates = [file.expiring for file in files if file is not None and file.expiring is not None]
    return min([at, *(date - NEAR_EXPIRY_SECONDS for date in dates)])


def task_gone(job: Job, event: e.TaskGone, at: float, policy: Policy) -> Job:
    failure = Failure(
        reason="task-gone",
        fault="service",
        what=f"the service does not know task {job.task_number or job.task_id} any more: {event.what}",
        do="It was deleted in the portal, has expired, or belongs to another application. Retry the job to capture "
        "the file once more (it is paid for again).",
    )
    return _gone(job, event, failure, at)


def result_gone(job: Job, event: e.ResultGone, at: float, policy: Policy) -> Job:
    failure = Failure(
        reason="result-gone",
        fault="service",
        what=f"the service no longer has the result {event.result.name} of task {job.task_number or job.task_id}",
        do="Retry the job to capture the file once more (it is paid for again).",
    )
    return _gone(job, event, failure, at)


def _gone(job: Job, event: e.TaskGone | e.ResultGone, failure: Failure, at: float) -> Job:
    """What was there a moment ago is asked for again, before it is believed to be gone.

    Soon where the service knows what others ask for; where it knows nobody's, it is the service that is to be doubted.
    """
    looks = job.gone_looks + 1
    if looks >= (GONE_LOOKS if event.others_pass else GONE_LOOKS_WHERE_NONE_PASS):
        return abandon(replace(job, gone_looks=looks), failure, at)
    delay = delay_seconds(looks - 1, event.jitter)
    return replace(job, gone_looks=looks, due_at=at + delay, waiting=event.what)
