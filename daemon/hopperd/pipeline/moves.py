"""What several events do to a job: into another stage, due later, given up, to be filed, from the start."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final

from hopperd.pipeline import events as e
from hopperd.pipeline.events import Weather
from hopperd.pipeline.job import Failure, Hold, Job, Policy, Stage, replace
from hopperd.pipeline.naming import filed_name
from hopperd.pipeline.retry import delay_seconds

S = Stage
SERVER_ERRORS_ALLOWED: Final = 5
NOTES_KEPT: Final = 20
PERHAPS_PAID_TWICE: Final = "may have been paid for twice"
PERHAPS_DELIVERED_TWICE: Final = "may be delivered twice"


def enter(job: Job, stage: Stage, at: float, **changes: Any) -> Job:
    """Into another stage, with a clean slate for its attempts; due at once unless `changes` say otherwise."""
    fresh: dict[str, Any] = {"stage": stage, "attempts": 0, "server_errors": 0, "gone_looks": 0}
    fresh |= {"waiting": None, "due_at": at}
    return replace(job, **{**fresh, **changes})


def later(job: Job, weather: Weather, at: float) -> Job:
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


def abandon(job: Job, failure: Failure, at: float) -> Job:
    originals = tuple(replace(original, filed_as=filed_name(original.name, None)) for original in job.originals)
    return enter(job, S.ABANDONED, at, outcome="failed", failure=failure, originals=originals, hold=None)


def to_be_filed(job: Job, at: float, **changes: Any) -> Job:
    """Everything at its destination: plan where the originals go in done/."""
    originals = tuple(replace(original, filed_as=filed_name(original.name, at)) for original in job.originals)
    return enter(job, S.DELIVERED, at, originals=originals, **changes)


def with_note(job: Job, note: str) -> tuple[str, ...]:
    return job.notes if note in job.notes else (*job.notes, note)[-NOTES_KEPT:]


def from_the_start(job: Job, at: float, **changes: Any) -> Job:
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
    return enter(job, S.CLAIMED, at, **{**clean, **changes})


def date(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d")


def moment(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H%M%SZ")


def refused(job: Job, event: e.Refused, at: float, policy: Policy) -> Job:
    return abandon(job, event.failure, at)


def postponed(job: Job, event: e.Postponed, at: float, policy: Policy) -> Job:
    return later(job, event.weather, at)
