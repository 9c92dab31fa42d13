"""The rules: what each event means, and what to do next. Everything about transitions lives here.

This file does not know who we are: no disk, no clock, no service, no randomness. `advance` is the only writer of
stages; what is not in TRANSITIONS is an error that changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Final

from hopperd.errors import TransitionError
from hopperd.pipeline import events as e
from hopperd.pipeline.events import Event, Step, Weather
from hopperd.pipeline.job import (
    OPEN_STAGES,
    Export,
    Failure,
    Hold,
    Job,
    Original,
    Policy,
    Stage,
    StageAt,
    Task,
    TaskStatus,
)
from hopperd.pipeline.naming import export_name, filed_name, next_free
from hopperd.pipeline.polling import next_look_seconds
from hopperd.pipeline.results import (
    REMOVED,
    RESULTS_ALLOWED,
    hold_if_foreign,
    incomplete,
    no_result,
    noted,
    results_of,
    too_many,
)
from hopperd.pipeline.retry import delay_seconds

S = Stage

POISON_DEATHS: Final = 3
SERVER_ERRORS_ALLOWED: Final = 5
UPLOADS_LOST_ALLOWED: Final = 3
GONE_LOOKS: Final = 3
GONE_LOOKS_WHERE_NONE_PASS: Final = (
    20  # some fifteen minutes: a service that answers 404 to everything has lost its way
)
EXPIRY_MARGIN_SECONDS: Final = 60.0
NEAR_EXPIRY_SECONDS: Final = 86_400.0
TWIN_LOOK_SECONDS: Final = 30.0
STAGES_KEPT: Final = 200
NOTES_KEPT: Final = 20

PERHAPS_PAID_TWICE: Final = "may have been paid for twice"
PERHAPS_DELIVERED_TWICE: Final = "may be delivered twice"
DELIVERED_IN_PART: Final = "some of its exports were delivered before a name was found taken"

# Where each event may happen, and where it may lead. The stage diagram in the docs is drawn from this table.
TRANSITIONS: Final[Mapping[tuple[Stage, type], tuple[Stage, ...]]] = {
    (S.CLAIMED, e.TwinEnded): (S.CLAIMED, S.DELIVERED),
    (S.CLAIMED, e.Reclaimed): (S.CLAIMED,),
    (S.CLAIMED, e.Changed): (S.CLAIMED,),
    (S.CLAIMED, e.ChildDied): (S.CLAIMED, S.ABANDONED),
    (S.CLAIMED, e.Uploaded): (S.CLAIMED, S.UPLOADED),
    (S.UPLOADED, e.Changed): (S.CLAIMED,),
    (S.UPLOADED, e.UploadExpired): (S.CLAIMED, S.ABANDONED),
    (S.UPLOADED, e.RunIntended): (S.SUBMITTING,),
    (S.SUBMITTING, e.RunAccepted): (S.SUBMITTED,),
    (S.SUBMITTING, e.RunDeclined): (S.UPLOADED,),
    (S.SUBMITTING, e.RunDoubted): (S.SUBMITTING, S.UPLOADED),
    (S.SUBMITTING, e.UploadExpired): (S.CLAIMED, S.ABANDONED),
    (S.SUBMITTED, e.TaskSeen): (
        S.SUBMITTED,
        S.CAPTURED,
        S.UPLOADED,
        S.SUBMITTING,
        S.DELIVERED,
        S.ABANDONED,
    ),
    (S.SUBMITTED, e.TaskGone): (S.SUBMITTED, S.ABANDONED),
    (S.CAPTURED, e.Fetched): (S.FETCHED,),
    (S.CAPTURED, e.ResultGone): (S.CAPTURED, S.ABANDONED),
    (S.FETCHED, e.ExportNameTaken): (S.FETCHED, S.ABANDONED),
    (S.FETCHED, e.StagingLost): (S.CAPTURED,),
    (S.FETCHED, e.Delivered): (S.DELIVERED, S.ABANDONED),
    (S.DELIVERED, e.FilingNameTaken): (S.DELIVERED,),
    (S.DELIVERED, e.FiledAway): (S.DONE,),
    (S.ABANDONED, e.FilingNameTaken): (S.ABANDONED,),
    (S.ABANDONED, e.FiledAway): (S.FAILED,),
    (S.ABANDONED, e.Retried): (S.CLAIMED,),
    (S.FAILED, e.Retried): (S.CLAIMED,),
    (S.DONE, e.RemoteTidied): (S.DONE,),
    (S.DONE, e.RemoteTidyPostponed): (S.DONE,),
    # It is about the file: nothing of it is tried again.
    **{(stage, e.Refused): (S.ABANDONED,) for stage in (S.CLAIMED, S.UPLOADED, S.SUBMITTING, S.SUBMITTED, S.CAPTURED)},
    # Weather delays, and never fails. Weather of a Run is RunDeclined, so that the stage says what is certain.
    **{(stage, e.Postponed): (stage,) for stage in OPEN_STAGES if stage is not S.SUBMITTING},
    # A person may always hold, release and hurry an open job, and give it up until its results are ours: from then on
    # they may stand in out/ already, and a receipt that says "given up" would be wrong.
    # Not while a Run is being asked for: its answer belongs to the job as it stands, and comes in a moment.
    **{(stage, e.PutOnHold): (stage,) for stage in OPEN_STAGES if stage is not S.SUBMITTING},
    **{
        (stage, e.Released): (S.UPLOADED, S.SUBMITTED) if stage is S.UPLOADED else (stage,)
        for stage in OPEN_STAGES
        if stage is not S.SUBMITTING
    },
    (S.SUBMITTING, e.Released): (S.CLAIMED, S.UPLOADED, S.SUBMITTED),
    **{
        (stage, e.Retried): (S.CLAIMED, S.UPLOADED) if stage is S.SUBMITTING else (stage,)
        for stage in OPEN_STAGES
        if stage is not S.ABANDONED
    },
    **{
        (stage, e.Forgotten): (S.ABANDONED,)
        for stage in OPEN_STAGES
        if stage not in (S.FETCHED, S.DELIVERED, S.ABANDONED)
    },
}

ONCE_ONLY: Final[Mapping[Step, Event]] = {Step.RUN: e.RunIntended()}
"""Steps that cannot be repeated, and the intent that is durable before each is performed."""


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


# ---------------------------------------------------------------------------------------------- common movements


def _enter(job: Job, stage: Stage, at: float, **changes: Any) -> Job:
    """Into another stage, with a clean slate for its attempts; due at once unless `changes` say otherwise."""
    fresh: dict[str, Any] = {"stage": stage, "attempts": 0, "server_errors": 0, "gone_looks": 0}
    fresh |= {"waiting": None, "due_at": at}
    return replace(job, **{**fresh, **changes})


def _later(job: Job, weather: Weather, at: float) -> Job:
    """Due again after the retry delay. Five server errors on this job while others pass hold it."""
    errors = job.server_errors + (weather.kind == "server" and weather.others_pass)
    if errors >= SERVER_ERRORS_ALLOWED:
        hold = Hold(
            reason="server-errors",
            what=f"the service answered {errors} times with an error on this file while others passed: {weather.what}",
            do="Look at the file; then release the job to try again, or forget it.",
            since=at,
        )
        return replace(job, hold=hold, server_errors=0, waiting=weather.what)
    delay = delay_seconds(job.attempts, weather.jitter, retry_after=weather.retry_after_seconds)
    return replace(job, due_at=at + delay, attempts=job.attempts + 1, server_errors=errors, waiting=weather.what)


def _abandon(job: Job, failure: Failure, at: float) -> Job:
    originals = tuple(replace(original, filed_as=filed_name(original.name, None)) for original in job.originals)
    return _enter(job, S.ABANDONED, at, outcome="failed", failure=failure, originals=originals, hold=None)


def _to_be_filed(job: Job, at: float, **changes: Any) -> Job:
    """Everything at its destination: plan where the originals go in done/."""
    originals = tuple(replace(original, filed_as=filed_name(original.name, at)) for original in job.originals)
    return _enter(job, S.DELIVERED, at, originals=originals, **changes)


def _noted(job: Job, note: str) -> tuple[str, ...]:
    return job.notes if note in job.notes else (*job.notes, note)[-NOTES_KEPT:]


def _from_the_start(job: Job, at: float, **changes: Any) -> Job:
    """Back to claimed: nothing at the service counts any more. A task that was made is remembered."""
    before = (*job.tasks_before, job.task_id) if job.task_id else job.tasks_before
    clean: dict[str, Any] = {
        "tasks_before": before[-NOTES_KEPT:],
        "task_id": None,
        "task_number": None,
        "task": None,
        "submitted_at": None,
        "looks": 0,
        "looked_at": None,
        "verification_url": None,
        "results": (),
        "exports": (),
        "pages": None,
        "originals": tuple(replace(original, remote=None, note=None) for original in job.originals),
    }
    return _enter(job, S.CLAIMED, at, **{**clean, **changes})


def _date(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d")


def _moment(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H%M%SZ")


# ------------------------------------------------------------------------------------------ one handler per event


def _twin_ended(job: Job, event: e.TwinEnded, at: float, policy: Policy) -> Job:
    twin = event.twin
    if twin is None or policy.on_duplicate == "again":
        return _enter(job, S.CLAIMED, at, twin=None)
    if not twin.delivered:
        return replace(
            job,
            twin=twin,
            due_at=at + TWIN_LOOK_SECONDS,
            waiting=f"the same bytes are being worked on as job {twin.job}; waits for how that ends",
        )
    if policy.on_duplicate == "hold":
        hold = Hold(
            reason="duplicate",
            what=f"the same bytes were delivered as job {twin.job}",
            do="Release the job to capture it once more (it is paid for again), or forget it.",
            since=at,
        )
        return replace(job, twin=twin, hold=hold, waiting=None)
    return _to_be_filed(job, at, outcome="duplicate", twin=twin)


def _reclaimed(job: Job, event: e.Reclaimed, at: float, policy: Policy) -> Job:
    return _enter(job, S.CLAIMED, at, originals=event.originals)


def _changed(job: Job, event: e.Changed, at: float, policy: Policy) -> Job:
    return _from_the_start(job, at, originals=event.originals, notes=_noted(job, "changed while it waited in work/"))


def _child_died(job: Job, event: e.ChildDied, at: float, policy: Policy) -> Job:
    deaths = job.deaths + 1
    if deaths < POISON_DEATHS:
        return replace(job, deaths=deaths, due_at=at + 1.0, waiting=event.what)
    failure = Failure(
        reason="poison",
        fault="file",
        what=f"the program that looks into files died {deaths} times over this one: {event.what}",
        do="Open the file, print or save it as a new PDF, and put that in.",
    )
    return _abandon(replace(job, deaths=deaths), failure, at)


def _uploaded(job: Job, event: e.Uploaded, at: float, policy: Policy) -> Job:
    originals, remote = list(job.originals), event.remote
    if remote.expiring is not None and remote.expiring - EXPIRY_MARGIN_SECONDS <= at:
        # It was taken this very moment: one of the clocks is wrong. The service will say so where it drops the file.
        remote = replace(remote, expiring=None)
    originals[event.position] = replace(originals[event.position], remote=remote)
    pages = job.pages if event.pages is None else (job.pages or 0) + event.pages
    everything = all(original.remote is not None for original in originals)
    return _enter(job, S.UPLOADED if everything else S.CLAIMED, at, originals=tuple(originals), pages=pages)


def _upload_expired(job: Job, event: e.UploadExpired, at: float, policy: Policy) -> Job:
    lost = job.lost_uploads + event.said_by_service
    if lost >= UPLOADS_LOST_ALLOWED:
        failure = Failure(
            reason="upload-lost",
            fault="service",
            what=f"the service said {lost} times that it does not have the file it had just confirmed: {event.what}",
            do="Retry the job later; if it goes on, ask the service's support with the times in the history.",
        )
        return _abandon(replace(job, lost_uploads=lost), failure, at)
    delay = delay_seconds(lost - 1, 0.5) if event.said_by_service else 0.0
    return _from_the_start(job, at, lost_uploads=lost, due_at=at + delay, waiting=event.what)


def _run_intended(job: Job, event: e.RunIntended, at: float, policy: Policy) -> Job:
    # The attempts go along: a Run declined again and again must wait longer and longer.
    return replace(job, stage=S.SUBMITTING, waiting=None)


def _run_accepted(job: Job, event: e.RunAccepted, at: float, policy: Policy) -> Job:
    task = event.task
    wait = next_look_seconds(
        age_seconds=0.0,
        looks=0,
        typical_seconds=event.typical_seconds,
        polling=policy.polling,
        waits_for_person=False,
        jitter=event.jitter,
        spread=event.spread,
    )
    return _enter(
        job,
        S.SUBMITTED,
        at,
        task_id=task.id,
        task_number=task.number,
        task=task.raw,
        submitted_at=at,
        looks=0,
        looked_at=None,
        due_at=at + wait,
    )


def _run_declined(job: Job, event: e.RunDeclined, at: float, policy: Policy) -> Job:
    return _later(replace(job, stage=S.UPLOADED), event.weather, at)


def _run_doubted(job: Job, event: e.RunDoubted, at: float, policy: Policy) -> Job:
    foreign = job.doubts_foreign + (not event.own_death)
    doubted = replace(
        job, doubts=job.doubts + 1, doubts_foreign=foreign, notes=_noted(job, PERHAPS_PAID_TWICE), waiting=event.what
    )
    too_many = not event.own_death and foreign >= policy.doubts_allowed
    if policy.on_doubt == "hold" or too_many or event.our_mistake:
        why = f"{foreign} doubts are allowed at the most" if too_many else 'on_doubt = "hold"'
        why = "please report it with the log" if event.our_mistake else why
        hold = Hold(
            reason="doubt",
            what=f"nobody knows whether the service took the Run: {event.what} ({why})",
            do="Look for the task in the service's portal: `hopperd release JOB --task ID` if it is there, "
            "`hopperd release JOB` to ask again.",
            since=at,
        )
        # Held at once, nothing has been paid twice yet: the note waits until a person asks again.
        return replace(doubted, hold=hold, notes=job.notes)
    delay = 0.0 if event.own_death else delay_seconds(job.attempts, event.jitter)
    return replace(doubted, stage=S.UPLOADED, due_at=at + delay, attempts=job.attempts + 1)


def _task_seen(job: Job, event: e.TaskSeen, at: float, policy: Policy) -> Job:
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
            return _abandon(seen, _task_failed(task), at)
        case TaskStatus.CANCELED:
            before = (*seen.tasks_before, task.id)[-NOTES_KEPT:]
            return _enter(
                seen, S.UPLOADED, at, task_id=None, tasks_before=before, submitted_at=None, looks=0, waiting=CANCELED
            )
        case TaskStatus.WAITS_FOR_PERSON | TaskStatus.RUNNING:
            return _look_later(seen, event, at, policy)


CANCELED: Final = "the service canceled the task: the account's number of documents is used up"


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
    url = f"{policy.verification_base}{task.verification_id}" if person and task.verification_id else None
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
        return _abandon(job, too_many(task, len(results)), at)
    if results:
        captured = _enter(job, S.CAPTURED, at, results=results, originals=noted(job, task, results))
        return replace(captured, due_at=_fetch_due(captured, at))
    if task.documents and all(document.is_moved for document in task.documents):
        return _to_be_filed(job, at, outcome="removed", notes=_noted(job, REMOVED))
    return _abandon(job, no_result(task), at)


def _in_doubt_again(job: Job, hold: Hold, at: float) -> Job:
    """The task is not ours, whoever named it: whether the service took our own Run is as unknown as before."""
    forgotten = {"task_id": None, "task_number": None, "task": None, "submitted_at": None, "looks": 0}
    doubts = {"doubts": job.doubts + 1, "doubts_foreign": job.doubts_foreign + 1}
    return _enter(job, S.SUBMITTING, at, hold=hold, **forgotten, **doubts)


def _fetch_due(job: Job, at: float) -> float:
    """At once; in the past, and so before the others, where the results are near their expiry.

    The service names no date for a result unless it is asked for each: the date of the upload, which came before, is
    the earliest that it can be.
    """
    files = [original.remote for original in job.originals] + [result.remote for result in job.results]
    dates = [file.expiring for file in files if file is not None and file.expiring is not None]
    return min([at, *(date - NEAR_EXPIRY_SECONDS for date in dates)])


def _task_gone(job: Job, event: e.TaskGone, at: float, policy: Policy) -> Job:
    failure = Failure(
        reason="task-gone",
        fault="service",
        what=f"the service does not know task {job.task_number or job.task_id} any more: {event.what}",
        do="It was deleted in the portal, has expired, or belongs to another application. Retry the job to capture "
        "the file once more (it is paid for again).",
    )
    return _gone(job, event, failure, at)


def _result_gone(job: Job, event: e.ResultGone, at: float, policy: Policy) -> Job:
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
        return _abandon(replace(job, gone_looks=looks), failure, at)
    delay = delay_seconds(looks - 1, event.jitter)
    return replace(job, gone_looks=looks, due_at=at + delay, waiting=event.what)


def _fetched(job: Job, event: e.Fetched, at: float, policy: Policy) -> Job:
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
            date=_date(at),
        )
        taken = {export.name for export in exports}
        if name in taken:
            name = next_free(name, taken, on_taken="number", date=_moment(at))
        exports.append(
            Export(
                name=name,
                staged_as=staged.staged_as,
                size_bytes=staged.size_bytes,
                sha256=staged.sha256,
                original=result.original,
            )
        )
    return _enter(job, S.FETCHED, at, exports=tuple(exports))


def _export_name_taken(job: Job, event: e.ExportNameTaken, at: float, policy: Policy) -> Job:
    export = job.exports[event.position]
    if policy.on_taken == "fail":
        failure = Failure(
            reason="name-taken",
            fault="us",
            what='a file with the name of the export stands in out/ already, and on_taken is "fail"',
            do='Take that file away and retry the job (it is paid for again), or set on_taken to "number".',
        )
        delivered = tuple(job.exports[place] for place in event.delivered)
        notes = _noted(job, DELIVERED_IN_PART) if delivered else job.notes
        return _abandon(replace(job, exports=delivered, notes=notes), failure, at)
    others = {other.name for place, other in enumerate(job.exports) if place != event.position}
    name = next_free(export.name, event.taken | others | {export.name}, on_taken=policy.on_taken, date=_moment(at))
    exports = list(job.exports)
    exports[event.position] = replace(export, name=name)
    return replace(job, exports=tuple(exports), due_at=at)


def _staging_lost(job: Job, event: e.StagingLost, at: float, policy: Policy) -> Job:
    notes = job.notes if event.never_sent else _noted(job, PERHAPS_DELIVERED_TWICE)
    return _enter(job, S.CAPTURED, at, exports=(), notes=notes)


def _delivered(job: Job, event: e.Delivered, at: float, policy: Policy) -> Job:
    notes = _noted(job, PERHAPS_DELIVERED_TWICE) if event.perhaps_twice else job.notes
    failure = incomplete(job)
    if failure is not None:
        return _abandon(replace(job, notes=notes), failure, at)
    return _to_be_filed(job, at, outcome="delivered", notes=notes)


def _filing_name_taken(job: Job, event: e.FilingNameTaken, at: float, policy: Policy) -> Job:
    originals: list[Original] = list(job.originals)
    original = originals[event.position]
    planned = original.filed_as or original.name
    others = {other.filed_as for place, other in enumerate(originals) if place != event.position and other.filed_as}
    name = next_free(planned, event.taken | others | {planned}, on_taken="number", date=_moment(at))
    originals[event.position] = replace(original, filed_as=name)
    return replace(job, originals=tuple(originals), due_at=at)


def _filed_away(job: Job, event: e.FiledAway, at: float, policy: Policy) -> Job:
    originals = list(job.originals)
    for position, note in event.notes:
        originals[position] = replace(originals[position], note=note)
    failed = job.stage is S.ABANDONED
    remote = job.task_id is not None or any(original.remote for original in originals)
    tidy = remote and not failed and not policy.keep_remote
    return _enter(job, S.FAILED if failed else S.DONE, at, originals=tuple(originals), tidy_remote=tidy)


def _refused(job: Job, event: e.Refused, at: float, policy: Policy) -> Job:
    return _abandon(job, event.failure, at)


def _postponed(job: Job, event: e.Postponed, at: float, policy: Policy) -> Job:
    return _later(job, event.weather, at)


def _put_on_hold(job: Job, event: e.PutOnHold, at: float, policy: Policy) -> Job:
    return replace(job, hold=event.hold)


def _not_while_asking(job: Job) -> None:
    """Without a hold, `submitting` means that the answer is awaited this very moment."""
    if job.stage is S.SUBMITTING and job.hold is None:
        raise TransitionError("a Run is being asked for this very moment; nothing can be ordered until it is answered")


def _released(job: Job, event: e.Released, at: float, policy: Policy) -> Job:
    _not_while_asking(job)
    free = replace(job, hold=None, due_at=at, waiting=None, attempts=0, server_errors=0, gone_looks=0)
    if event.task_id is not None:
        if job.stage not in (S.UPLOADED, S.SUBMITTING):
            raise TransitionError(f"a task can be named only for a job whose Run is in doubt, and this is {job.stage}")
        return _enter(free, S.SUBMITTED, at, task_id=event.task_id, submitted_at=at, looks=0)
    if job.stage is S.SUBMITTING:
        notes = _noted(job, PERHAPS_PAID_TWICE)
        if any(original.remote is None for original in job.originals):
            # Read back from the folders: what the service holds was lost with the ledger.
            return _from_the_start(free, at, notes=notes)
        return _enter(free, S.UPLOADED, at, notes=notes)
    if job.is_duplicate:
        return replace(free, twin=None)
    return free


def _retried(job: Job, event: e.Retried, at: float, policy: Policy) -> Job:
    if job.is_open and job.stage is not S.ABANDONED:
        return _released(job, e.Released(), at, policy)
    # What a failed job did deliver comes once more.
    notes = _noted(job, PERHAPS_DELIVERED_TWICE) if job.delivered_exports else job.notes
    again = _from_the_start(job, at, outcome=None, failure=None, twin=None, hold=None, notes=notes)
    return replace(again, deaths=0, lost_uploads=0, tidy_remote=False)


def _forgotten(job: Job, event: e.Forgotten, at: float, policy: Policy) -> Job:
    _not_while_asking(job)
    failure = Failure(
        reason="forgotten",
        fault="us",
        what="a person gave this job up",
        do="Put the file in again if it is wanted after all.",
    )
    return _abandon(job, failure, at)


def _remote_tidied(job: Job, event: e.RemoteTidied, at: float, policy: Policy) -> Job:
    return replace(job, tidy_remote=False, attempts=0, waiting=None)


def _remote_tidy_postponed(job: Job, event: e.RemoteTidyPostponed, at: float, policy: Policy) -> Job:
    delay = delay_seconds(job.attempts, event.weather.jitter, retry_after=event.weather.retry_after_seconds)
    return replace(job, due_at=at + delay, attempts=job.attempts + 1)


_HANDLERS: Final[Mapping[type, Callable[[Job, Any, float, Policy], Job]]] = {
    e.TwinEnded: _twin_ended,
    e.Reclaimed: _reclaimed,
    e.Changed: _changed,
    e.ChildDied: _child_died,
    e.Uploaded: _uploaded,
    e.UploadExpired: _upload_expired,
    e.RunIntended: _run_intended,
    e.RunAccepted: _run_accepted,
    e.RunDeclined: _run_declined,
    e.RunDoubted: _run_doubted,
    e.TaskSeen: _task_seen,
    e.TaskGone: _task_gone,
    e.ResultGone: _result_gone,
    e.Fetched: _fetched,
    e.ExportNameTaken: _export_name_taken,
    e.StagingLost: _staging_lost,
    e.Delivered: _delivered,
    e.FilingNameTaken: _filing_name_taken,
    e.FiledAway: _filed_away,
    e.Refused: _refused,
    e.Postponed: _postponed,
    e.PutOnHold: _put_on_hold,
    e.Released: _released,
    e.Retried: _retried,
    e.Forgotten: _forgotten,
    e.RemoteTidied: _remote_tidied,
    e.RemoteTidyPostponed: _remote_tidy_postponed,
}
