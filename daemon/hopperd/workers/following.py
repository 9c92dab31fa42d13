"""The step that follows a task, and what a look tells beyond its job."""

from __future__ import annotations

import structlog

from hopperd.pipeline import events as e
from hopperd.pipeline.events import Event
from hopperd.pipeline.following import CANCELED
from hopperd.pipeline.job import Job, Task, TaskStatus
from hopperd.pipeline.polling import learn
from hopperd.ports import Pause, ServiceTrouble
from hopperd.workers.parts import AccountParts, Parts
from hopperd.workers.stepping import account_of, folder_of, warn_once

log = structlog.get_logger("hopperd.perform")


async def look(job: Job, parts: Parts) -> Event:
    account = account_of(job, parts)
    try:
        async with account.turns.turn(job.id, "look", job.folder):
            task = await account.service.look(job.task_id or "")
    except ServiceTrouble as trouble:
        weather = account.turns.note_trouble(job.id, trouble)
        match trouble.fault:
            case "gone":
                return e.TaskGone(what=trouble.what, others_pass=weather.others_pass, jitter=weather.jitter)
            case "file" if trouble.status == 400:
                return e.TaskGone(what=trouble.what, others_pass=True, jitter=weather.jitter)
            case _:
                return e.Postponed(weather=weather)
    account.turns.note_success(job.id)
    await _take_note(job, task, account, parts)
    learned = folder_of(job, parts).learned
    return e.TaskSeen(
        task=task, typical_seconds=learned.typical_seconds, spread=learned.spread, jitter=parts.random.random()
    )


async def _take_note(job: Job, task: Task, account: AccountParts, parts: Parts) -> None:
    """What a look tells beyond the job: durations, places in flight, the account's ceiling, things to warn about."""
    if task.status in (TaskStatus.RUNNING, TaskStatus.DONE):
        _learn(job, parts, has_ended=task.status is TaskStatus.DONE)
    if task.status is TaskStatus.RUNNING:
        account.turns.enter(job.id)
        if not task.is_known_status:
            warn_once(parts, job.account, "unknown-status", task)
        return
    account.turns.leave(job.id)
    stands = account.turns.pause_now
    is_stopped = stands is not None and stands.by_person and stands.scope == "all"
    if task.status is TaskStatus.CANCELED and not is_stopped:  # what a person has stopped stays so, and is more
        pause = Pause(
            reason="ceiling",
            what=CANCELED,
            do=f"Raise the number of documents at the service, then: hopperd resume {job.account}",
            since=parts.clock.now(),
            by_person=True,
            scope="runs",
        )
        account.turns.pause(pause)
        await parts.ledger.set_account_pause(job.account, pause)
        log.error("account-paused", account=job.account, reason=pause.reason, what=pause.what, do=pause.do)


def _learn(job: Job, parts: Parts, *, has_ended: bool) -> None:
    """How long tasks of the folder take. Not from one that waits, or waited, for a person."""
    if job.submitted_at is None or job.verification_url is not None:
        return
    folder = folder_of(job, parts)
    seen_before = max(0.0, job.looked_at - job.submitted_at) if job.looked_at is not None else 0.0
    age = max(seen_before, parts.clock.now() - job.submitted_at)
    folder.learned = learn(folder.learned, after_seconds=seen_before, by_seconds=age, has_ended=has_ended)
