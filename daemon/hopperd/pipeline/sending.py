"""What each event means until the service has taken a Run: twins, uploads, the Run itself and doubts about it."""

from __future__ import annotations

from typing import Final

from hopperd.pipeline import events as e
from hopperd.pipeline.job import Failure, Hold, Job, Policy, Stage, replace
from hopperd.pipeline.moves import (
    PERHAPS_PAID_TWICE,
    abandon,
    enter,
    from_the_start,
    later,
    to_be_filed,
    with_note,
)
from hopperd.pipeline.polling import next_look_seconds
from hopperd.pipeline.retry import delay_seconds

S = Stage
POISON_DEATHS: Final = 3
UPLOADS_LOST_ALLOWED: Final = 3
EXPIRY_MARGIN_SECONDS: Final = 60.0
TWIN_LOOK_SECONDS: Final = 30.0


def twin_ended(job: Job, event: e.TwinEnded, at: float, policy: Policy) -> Job:
    twin = event.twin
    if twin is None or policy.on_duplicate == "again":
        return enter(job, S.CLAIMED, at, twin=None)
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
    return to_be_filed(job, at, outcome="duplicate", twin=twin)


def reclaimed(job: Job, event: e.Reclaimed, at: float, policy: Policy) -> Job:
    return enter(job, S.CLAIMED, at, originals=event.originals)


def changed(job: Job, event: e.Changed, at: float, policy: Policy) -> Job:
    return from_the_start(job, at, originals=event.originals, notes=with_note(job, "changed while it waited in work/"))


def child_died(job: Job, event: e.ChildDied, at: float, policy: Policy) -> Job:
    deaths = job.deaths + 1
    if deaths < POISON_DEATHS:
        return replace(job, deaths=deaths, due_at=at + 1.0, waiting=event.what)
    failure = Failure(
        reason="poison",
        fault="file",
        what=f"the program that looks into files died {deaths} times over this one: {event.what}",
        do="Open the file, print or save it as a new PDF, and put that in.",
    )
    return abandon(replace(job, deaths=deaths), failure, at)


def uploaded(job: Job, event: e.Uploaded, at: float, policy: Policy) -> Job:
    originals, remote = list(job.originals), event.remote
    if remote.expiring is not None and remote.expiring - EXPIRY_MARGIN_SECONDS <= at:
        # It was taken this very moment: one of the clocks is wrong. The service will say so where it drops the file.
        remote = replace(remote, expiring=None)
    originals[event.position] = replace(originals[event.position], remote=remote)
    pages = job.pages if event.pages is None else (job.pages or 0) + event.pages
    everything = all(original.remote is not None for original in originals)
    return enter(job, S.UPLOADED if everything else S.CLAIMED, at, originals=tuple(originals), pages=pages)


def upload_expired(job: Job, event: e.UploadExpired, at: float, policy: Policy) -> Job:
    lost = job.lost_uploads + event.said_by_service
    if lost >= UPLOADS_LOST_ALLOWED:
        failure = Failure(
            reason="upload-lost",
            fault="service",
            what=f"the service said {lost} times that it does not have the file it had just confirmed: {event.what}",
            do="Retry the job later; if it goes on, ask the service's support with the times in the history.",
        )
        return abandon(replace(job, lost_uploads=lost), failure, at)
    delay = delay_seconds(lost - 1, 0.5) if event.said_by_service else 0.0
    return from_the_start(job, at, lost_uploads=lost, due_at=at + delay, waiting=event.what)


def run_intended(job: Job, event: e.RunIntended, at: float, policy: Policy) -> Job:
    # The attempts go along: a Run declined again and again must wait longer and longer.
    return replace(job, stage=S.SUBMITTING, waiting=None)


def run_accepted(job: Job, event: e.RunAccepted, at: float, policy: Policy) -> Job:
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
    return enter(
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


def run_declined(job: Job, event: e.RunDeclined, at: float, policy: Policy) -> Job:
    return later(replace(job, stage=S.UPLOADED), event.weather, at)


def run_doubted(job: Job, event: e.RunDoubted, at: float, policy: Policy) -> Job:
    foreign = job.doubts_foreign + (not event.own_death)
    doubted = replace(
        job, doubts=job.doubts + 1, doubts_foreign=foreign, notes=with_note(job, PERHAPS_PAID_TWICE), waiting=event.what
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
