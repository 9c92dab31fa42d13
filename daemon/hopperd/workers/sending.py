"""The steps until the service has taken a Run: originals, twins, uploads, the Run itself and doubts about it."""

from __future__ import annotations

from hopperd.pipeline import events as e
from hopperd.pipeline.events import Event, Step, Weather
from hopperd.pipeline.job import Job, Original, Task, replace
from hopperd.pipeline.naming import printable
from hopperd.ports import FolderTrouble, LedgerTrouble, ServiceTrouble, Source
from hopperd.workers.parts import AccountParts, Parts
from hopperd.workers.stepping import (
    LEDGER_RETRY_SECONDS,
    VANISHED,
    account_of,
    folder_of,
    folder_weather,
    refused,
    warn_once,
    while_it_answers,
)


async def reclaim(job: Job, parts: Parts) -> Event:
    try:
        return e.Reclaimed(originals=await folder_of(job, parts).disk.reclaim(job))
    except FileNotFoundError:
        return e.Refused(failure=replace(VANISHED, what="the original is neither in failed/ nor in work/ any more"))


async def settle_twin(job: Job, parts: Parts) -> Event:
    return e.TwinEnded(twin=await parts.ledger.take_bytes(job))


async def upload(job: Job, parts: Parts) -> Event:
    position = next(place for place, original in enumerate(job.originals) if original.remote is None)
    # One unusable file fails the group, so all of it is looked into before the first byte is sent.
    pages: int | None = None
    for place in range(len(job.originals)) if position == 0 else (position,):
        looked = await _inspect(job, place, parts)
        if not isinstance(looked, int | None):
            return looked
        pages = looked if place == position else pages
    return await _send(job, position, pages, parts)


async def _inspect(job: Job, position: int, parts: Parts) -> int | Event | None:
    """Pages, or the event that says why the original must not be sent."""
    name = job.originals[position].name
    path = await folder_of(job, parts).disk.at_hand(job.id, job.originals[position])
    try:
        inspecting = parts.inspector.inspect(path, job.folder, is_suspect=job.deaths > 0)
        verdict = await while_it_answers(folder_of(job, parts), inspecting)
    except ChildProcessError as death:
        return e.ChildDied(position=position, what=str(death))
    if verdict.failure is None:
        return verdict.pages
    if len(job.originals) == 1:
        return e.Refused(failure=verdict.failure)
    return e.Refused(failure=replace(verdict.failure, what=f"{printable(name)}: {verdict.failure.what}"))


async def _send(job: Job, position: int, pages: int | None, parts: Parts) -> Event:
    account, folder, original = account_of(job, parts), folder_of(job, parts), job.originals[position]
    source = Source(
        path=await folder.disk.at_hand(job.id, original),
        name=original.name,
        size_bytes=original.size_bytes,
        sha512=original.sha512,
        folder=job.folder,
    )
    try:
        async with account.turns.turn(job.id, "upload", job.folder):
            remote = await while_it_answers(folder, account.service.upload(source))
    except ServiceTrouble as trouble:
        weather = account.turns.note_trouble(job.id, trouble)
        return refused(trouble) if trouble.fault == "file" else e.Postponed(weather=weather)
    account.turns.note_success(job.id)
    # Whether the original is still the one that was claimed is asked before the Run, which is after every upload.
    return e.Uploaded(position=position, remote=remote, pages=pages)


async def _unchanged(job: Job, position: int, parts: Parts) -> bool:
    original = job.originals[position]
    identity = await folder_of(job, parts).disk.identity(job.id, original.name)
    return identity is not None and identity.same_file(original.identity)


async def changed(job: Job, parts: Parts, why: str = "the disk told otherwise a moment ago") -> Event:
    """Digest everything again. Only touched: the same bytes, so only the identity is new and nothing is lost.

    Where nothing has changed, something else was missing, and what was to be done is tried later.
    """
    disk = folder_of(job, parts).disk
    try:
        originals = tuple([await disk.digest(job.id, original.name) for original in job.originals])
    except FileNotFoundError:
        return e.Refused(failure=VANISHED)
    except FolderTrouble as trouble:
        return e.Postponed(weather=folder_weather(trouble, Step.UPLOAD, job, parts))
    if all(_is_same(now, then) for now, then in zip(originals, job.originals, strict=True)):
        what = f"the original is as it was claimed, and yet: {why}"
        return e.Postponed(weather=Weather(kind="disk", what=what, jitter=parts.random.random()))
    return e.Changed(originals=originals)


def _is_same(now: Original, then: Original) -> bool:
    return now.identity.same_file(then.identity) and (now.sha256, now.sha512) == (then.sha256, then.sha512)


async def renew_upload(job: Job, parts: Parts) -> Event:
    return e.UploadExpired(what="what was uploaded has expired at the service, so it is uploaded again")


# ------------------------------------------------------------------------------------------------- the paid step


async def changed_before_run(job: Job, parts: Parts) -> Event | None:
    """The last look at the originals before they are paid for: the event that calls the Run off, or None.

    What was uploaded is no longer what lies in work/: it is digested and uploaded anew. A disk that would not tell
    delays the Run: what cannot be filed need not be paid for yet.
    """
    try:
        for position in range(len(job.originals)):
            if not await _unchanged(job, position, parts):
                return await changed(job, parts)
    except FolderTrouble as trouble:
        return e.Postponed(weather=folder_weather(trouble, Step.RUN, job, parts))
    return None


async def run(job: Job, parts: Parts) -> Event:
    """Ask for a Run, once. The caller holds the turn and has recorded the intent."""
    account, folder = account_of(job, parts), folder_of(job, parts)
    files = [original.remote for original in job.originals if original.remote is not None]
    try:
        task = await account.service.run(files, folder.run_properties)
    except ServiceTrouble as trouble:
        return _run_trouble(job, trouble, account, parts)
    account.turns.note_success(job.id)
    owner = await _owner(task, job, account, parts)
    if owner is not None:
        what = f"the answer names task {task.number or task.id}, which is {owner}: an old answer came in its place"
        return e.RunDoubted(what=what, jitter=parts.random.random())
    if task.is_demo:
        warn_once(parts, job.account, "demo-application", task)
    return e.RunAccepted(
        task=task,
        typical_seconds=folder.learned.typical_seconds,
        spread=folder.learned.spread,
        jitter=parts.random.random(),
    )


async def _owner(task: Task, job: Job, account: AccountParts, parts: Parts) -> str | None:
    """Whose the task in a Run's answer is already, in words: what was named before cannot be the answer to this Run."""
    if task.id == job.task_id or task.id in job.tasks_before:
        return "an earlier one of this job"
    first = account.answered.claim(task.id, job.id)  # two answers may come before either is recorded
    if first != job.id:
        return f"that of job {first}"
    while True:
        try:
            other = await parts.ledger.job_with_task(task.id)
        except LedgerTrouble:  # the answer is not lost for that: recording it would have to wait as well
            await parts.clock.sleep(LEDGER_RETRY_SECONDS)
        else:
            return f"that of job {other}" if other not in (None, job.id) else None


def _run_trouble(job: Job, trouble: ServiceTrouble, account: AccountParts, parts: Parts) -> Event:
    weather = account.turns.note_trouble(job.id, trouble)
    match trouble.fault:
        case "doubt":
            return e.RunDoubted(what=trouble.what, jitter=weather.jitter)
        case "file":
            return refused(trouble)
        case "gone":
            return e.UploadExpired(what=trouble.what, said_by_service=True)
        case _:
            return e.RunDeclined(weather=weather)


async def settle_doubt(job: Job, parts: Parts) -> Event:
    return e.RunDoubted(
        what="hopperd ended between the written intent and the written answer",
        own_death=True,
        jitter=parts.random.random(),
    )
