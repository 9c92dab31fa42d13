"""The steps from a captured task to originals in done/ or failed/, and what is deleted at the service afterwards."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from hopperd.pipeline import events as e
from hopperd.pipeline.events import Event
from hopperd.pipeline.job import Job, Staged, replace
from hopperd.pipeline.receipt import receipt_bytes
from hopperd.pipeline.retry import delay_seconds
from hopperd.ports import Fetchable, NameTaken, ServiceTrouble
from hopperd.workers.parts import Parts
from hopperd.workers.stepping import account_of, folder_of, while_it_answers

FETCH_TRIES: Final = 3


async def fetch(job: Job, parts: Parts) -> Event:
    account, disk = account_of(job, parts), folder_of(job, parts).disk
    account.turns.leave(job.id)
    await disk.open_staging(job)
    staged: list[Staged] = []
    for place in range(len(job.results)):
        fetched = await _fetch_result(job, place, parts)
        if not isinstance(fetched, Staged):
            return fetched
        staged.append(fetched)
    parts.lease.check(job.id)
    await disk.seal_staging(job, staged)
    return e.Fetched(staged=tuple(staged))


async def _fetch_result(job: Job, place: int, parts: Parts) -> Staged | Event:
    """One result. After the first it is tried again here: else all that were fetched before it would be once more."""
    account, folder, result = account_of(job, parts), folder_of(job, parts), job.results[place]
    name = f"{place + 1:04d}"
    tries = 1 if place == 0 else FETCH_TRIES
    while True:
        try:
            async with account.turns.turn(job.id, "fetch", job.folder):
                fetchable = Fetchable(result=result, path=folder.disk.staging_path(job.id, name), folder=job.folder)
                size_bytes, sha256 = await while_it_answers(folder, account.service.fetch(fetchable))
        except ServiceTrouble as trouble:
            weather, tries = account.turns.note_trouble(job.id, trouble), tries - 1
            if trouble.fault in ("gone", "file"):
                passes = weather.others_pass or trouble.fault == "file"
                return e.ResultGone(result=result, what=trouble.what, others_pass=passes, jitter=weather.jitter)
            if trouble.fault != "weather" or not tries:
                return e.Postponed(weather=weather)
            await parts.clock.sleep(delay_seconds(0, weather.jitter, retry_after=weather.retry_after_seconds))
        else:
            account.turns.note_success(job.id)
            return Staged(result=place, staged_as=name, size_bytes=size_bytes, sha256=sha256)


async def deliver(job: Job, parts: Parts) -> Event:
    folder = folder_of(job, parts)
    outcome = await folder.disk.deliver(job, all_or_none=folder.policy.on_taken == "fail")
    if isinstance(outcome, NameTaken):
        return e.ExportNameTaken(position=outcome.position, taken=outcome.taken, delivered=outcome.delivered)
    if outcome in ("lost", "never-sent"):
        return e.StagingLost(never_sent=outcome == "never-sent")
    return e.Delivered(perhaps_twice=outcome == "perhaps-twice")


async def file_away(job: Job, parts: Parts) -> Event:
    disk = folder_of(job, parts).disk
    at = parts.clock.now()
    filed = await disk.file_away(job, _receipts(job, at))
    if isinstance(filed, NameTaken):
        return e.FilingNameTaken(position=filed.position, taken=filed.taken)
    if filed:  # something was noticed on the way: the receipts say so, too
        noted = list(job.originals)
        for position, note in filed:
            noted[position] = replace(noted[position], note=note)
        await disk.file_away(replace(job, originals=tuple(noted)), _receipts(replace(job, originals=tuple(noted)), at))
    if job.outcome == "delivered" and folder_of(job, parts).settings.marker_files:
        await disk.mark_exports(job)  # last: it says that the set is complete, its receipt included
    return e.FiledAway(notes=tuple(filed))


def _receipts(job: Job, at: float) -> Mapping[int, bytes]:
    return dict.fromkeys(range(len(job.originals)), receipt_bytes(job, at))


async def tidy_remote(job: Job, parts: Parts) -> Event:
    """Delete task and files at the service. Upkeep's work: a job is done without it."""
    account = account_of(job, parts)
    files = [original.remote for original in job.originals if original.remote is not None]
    files += [result.remote for result in job.results]
    try:
        async with account.turns.turn(job.id, "tidy", job.folder):
            await account.service.tidy(job.task_id, files)
    except ServiceTrouble as trouble:
        return e.RemoteTidyPostponed(weather=account.turns.note_trouble(job.id, trouble))
    account.turns.note_success(job.id)
    return e.RemoteTidied()
