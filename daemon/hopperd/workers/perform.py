"""One short function per Step: the only I/O of a job. Operating errors come back as events, never as exceptions.

Each does what the ledger already calls for, and may be done again after a crash; the one exception, Run, is announced
in the ledger before it is performed (transitions.ONCE_ONLY).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import Any, Final, TypeVar

import structlog

from hopperd.pipeline import events as e
from hopperd.pipeline.events import Event, Step, Weather
from hopperd.pipeline.following import CANCELED
from hopperd.pipeline.job import Failure, Job, Original, Staged, Task, TaskStatus, replace
from hopperd.pipeline.naming import printable
from hopperd.pipeline.polling import learn
from hopperd.pipeline.receipt import receipt_bytes
from hopperd.pipeline.retry import delay_seconds
from hopperd.pipeline.transitions import ONCE_ONLY
from hopperd.ports import (
    ChangedUnderUs,
    Fetchable,
    FolderTrouble,
    LedgerTrouble,
    NameTaken,
    Pause,
    ServiceTrouble,
    Source,
)
from hopperd.workers.parts import AccountParts, FolderParts, Parts

log = structlog.get_logger("hopperd.perform")

Given = TypeVar("Given")

LEDGER_RETRY_SECONDS: Final = 1.0
FETCH_TRIES: Final = 3


async def perform(step: Step, job: Job, parts: Parts) -> Event:
    """Do the step; say what happened."""
    try:
        event = await _STEPS[step](job, parts)
    except FolderTrouble as trouble:
        return e.Postponed(weather=_folder_weather(trouble, step, job, parts))
    except LedgerTrouble as trouble:
        if step in ONCE_ONLY:
            raise
        return e.Postponed(weather=Weather(kind="disk", what=trouble.what, jitter=parts.random.random()))
    except (ChangedUnderUs, FileNotFoundError) as error:
        if step is not Step.UPLOAD:  # nothing else reads the original
            raise
        return await _changed(job, parts, why=printable(str(error)))
    folder = _folder(job, parts)
    if folder.troubles and folder.is_over(step) and not folder.troubles:
        log.info("folder-back", folder=job.folder)
    return event


def _account(job: Job, parts: Parts) -> AccountParts:
    return parts.accounts[job.account]


def _folder(job: Job, parts: Parts) -> FolderParts:
    return parts.folders[job.folder]


async def _while_it_answers(folder: FolderParts, call: Coroutine[Any, Any, Given]) -> Given:
    """FolderTrouble as soon as the folder hangs: a place that others wait for is not held for it.

    What was begun is called off, and ends by itself when the folder answers.
    """
    task, hangs = asyncio.create_task(call), asyncio.create_task(folder.hangs.wait())
    try:
        await asyncio.wait({task, hangs}, return_when=asyncio.FIRST_COMPLETED)
    except asyncio.CancelledError:
        task.cancel()
        await asyncio.wait({task})
        raise
    finally:
        hangs.cancel()
    if task.done():
        return task.result()
    task.cancel()
    task.add_done_callback(lambda ended: ended.cancelled() or ended.exception())
    raise FolderTrouble("gone", "the folder does not answer: does its share hang?")


def _folder_weather(trouble: FolderTrouble, step: Step, job: Job, parts: Parts) -> Weather:
    """Said of the folder as well: whoever looks there is not to look for the job that waits."""
    if _folder(job, parts).has_trouble(step, trouble.what, parts.clock.monotonic()):
        log.error("folder-trouble", folder=job.folder, what=trouble.what)
    kind: e.WeatherKind = "disk" if trouble.kind == "disk" else "folder"
    return Weather(kind=kind, what=trouble.what, jitter=parts.random.random())


def _refused(trouble: ServiceTrouble) -> e.Refused:
    failure = Failure(
        reason="refused",
        fault="file",
        what=f"the service refused the file: {trouble.what}",
        do="Open the file and see whether it is a readable invoice; then put it in again.",
    )
    return e.Refused(failure=failure)


VANISHED: Final = Failure(
    reason="vanished",
    fault="us",
    what="the original was taken out of work/ by somebody else before it was sent",
    do="Put the file into in/ again; nobody but hopperd should touch work/.",
)


# --------------------------------------------------------------------------------------------- before the paid step


async def _reclaim(job: Job, parts: Parts) -> Event:
    try:
        return e.Reclaimed(originals=await _folder(job, parts).disk.reclaim(job))
    except FileNotFoundError:
        return e.Refused(failure=replace(VANISHED, what="the original is neither in failed/ nor in work/ any more"))


async def _settle_twin(job: Job, parts: Parts) -> Event:
    return e.TwinEnded(twin=await parts.ledger.take_bytes(job))


async def _upload(job: Job, parts: Parts) -> Event:
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
    path = await _folder(job, parts).disk.at_hand(job.id, job.originals[position])
    try:
        inspecting = parts.inspector.inspect(path, job.folder, is_suspect=job.deaths > 0)
        verdict = await _while_it_answers(_folder(job, parts), inspecting)
    except ChildProcessError as death:
        return e.ChildDied(position=position, what=str(death))
    if verdict.failure is None:
        return verdict.pages
    if len(job.originals) == 1:
        return e.Refused(failure=verdict.failure)
    return e.Refused(failure=replace(verdict.failure, what=f"{printable(name)}: {verdict.failure.what}"))


async def _send(job: Job, position: int, pages: int | None, parts: Parts) -> Event:
    account, folder, original = _account(job, parts), _folder(job, parts), job.originals[position]
    source = Source(
        path=await folder.disk.at_hand(job.id, original),
        name=original.name,
        size_bytes=original.size_bytes,
        sha512=original.sha512,
        folder=job.folder,
    )
    try:
        async with account.turns.turn(job.id, "upload", job.folder):
            remote = await _while_it_answers(folder, account.service.upload(source))
    except ServiceTrouble as trouble:
        weather = account.turns.note_trouble(job.id, trouble)
        return _refused(trouble) if trouble.fault == "file" else e.Postponed(weather=weather)
    account.turns.note_success(job.id)
    # Whether the original is still the one that was claimed is asked before the Run, which is after every upload.
    return e.Uploaded(position=position, remote=remote, pages=pages)


async def _unchanged(job: Job, position: int, parts: Parts) -> bool:
    original = job.originals[position]
    identity = await _folder(job, parts).disk.identity(job.id, original.name)
    return identity is not None and identity.same_file(original.identity)


async def _changed(job: Job, parts: Parts, why: str = "the disk told otherwise a moment ago") -> Event:
    """Digest everything again. Only touched: the same bytes, so only the identity is new and nothing is lost.

    Where nothing has changed, something else was missing, and what was to be done is tried later.
    """
    disk = _folder(job, parts).disk
    try:
        originals = tuple([await disk.digest(job.id, original.name) for original in job.originals])
    except FileNotFoundError:
        return e.Refused(failure=VANISHED)
    except FolderTrouble as trouble:
        return e.Postponed(weather=_folder_weather(trouble, Step.UPLOAD, job, parts))
    if all(_is_same(now, then) for now, then in zip(originals, job.originals, strict=True)):
        what = f"the original is as it was claimed, and yet: {why}"
        return e.Postponed(weather=Weather(kind="disk", what=what, jitter=parts.random.random()))
    return e.Changed(originals=originals)


def _is_same(now: Original, then: Original) -> bool:
    return now.identity.same_file(then.identity) and (now.sha256, now.sha512) == (then.sha256, then.sha512)


async def _renew_upload(job: Job, parts: Parts) -> Event:
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
                return await _changed(job, parts)
    except FolderTrouble as trouble:
        return e.Postponed(weather=_folder_weather(trouble, Step.RUN, job, parts))
    return None


async def _run(job: Job, parts: Parts) -> Event:
    """Ask for a Run, once. The caller holds the turn and has recorded the intent."""
    account, folder = _account(job, parts), _folder(job, parts)
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
        _warn_once(parts, job.account, "demo-application", task)
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
            return _refused(trouble)
        case "gone":
            return e.UploadExpired(what=trouble.what, said_by_service=True)
        case _:
            return e.RunDeclined(weather=weather)


async def _settle_doubt(job: Job, parts: Parts) -> Event:
    return e.RunDoubted(
        what="hopperd ended between the written intent and the written answer",
        own_death=True,
        jitter=parts.random.random(),
    )


# -------------------------------------------------------------------------------------------- after the paid step


async def _look(job: Job, parts: Parts) -> Event:
    account = _account(job, parts)
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
    learned = _folder(job, parts).learned
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
            _warn_once(parts, job.account, "unknown-status", task)
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
    folder = _folder(job, parts)
    seen_before = max(0.0, job.looked_at - job.submitted_at) if job.looked_at is not None else 0.0
    age = max(seen_before, parts.clock.now() - job.submitted_at)
    folder.learned = learn(folder.learned, after_seconds=seen_before, by_seconds=age, has_ended=has_ended)


_warned: set[tuple[str, str, str]] = set()


def _warn_once(parts: Parts, account: str, about: str, task: Task) -> None:
    key = (account, about, task.status_text if about == "unknown-status" else "")
    if key in _warned or len(_warned) > 1000:
        return
    _warned.add(key)
    if about == "demo-application":
        log.warning("demo-application", account=account, do="Results of the demo application are not for real use.")
    else:
        log.warning("unknown-status", account=account, status=task.status_text, taken_as="still running")


async def _fetch(job: Job, parts: Parts) -> Event:
    account, disk = _account(job, parts), _folder(job, parts).disk
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
    account, folder, result = _account(job, parts), _folder(job, parts), job.results[place]
    name = f"{place + 1:04d}"
    tries = 1 if place == 0 else FETCH_TRIES
    while True:
        try:
            async with account.turns.turn(job.id, "fetch", job.folder):
                fetchable = Fetchable(result=result, path=folder.disk.staging_path(job.id, name), folder=job.folder)
                size_bytes, sha256 = await _while_it_answers(folder, account.service.fetch(fetchable))
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


async def _deliver(job: Job, parts: Parts) -> Event:
    folder = _folder(job, parts)
    outcome = await folder.disk.deliver(job, all_or_none=folder.policy.on_taken == "fail")
    if isinstance(outcome, NameTaken):
        return e.ExportNameTaken(position=outcome.position, taken=outcome.taken, delivered=outcome.delivered)
    if outcome in ("lost", "never-sent"):
        return e.StagingLost(never_sent=outcome == "never-sent")
    return e.Delivered(perhaps_twice=outcome == "perhaps-twice")


async def _file_away(job: Job, parts: Parts) -> Event:
    disk = _folder(job, parts).disk
    at = parts.clock.now()
    filed = await disk.file_away(job, _receipts(job, at))
    if isinstance(filed, NameTaken):
        return e.FilingNameTaken(position=filed.position, taken=filed.taken)
    if filed:  # something was noticed on the way: the receipts say so, too
        noted = list(job.originals)
        for position, note in filed:
            noted[position] = replace(noted[position], note=note)
        await disk.file_away(replace(job, originals=tuple(noted)), _receipts(replace(job, originals=tuple(noted)), at))
    if job.outcome == "delivered" and _folder(job, parts).settings.marker_files:
        await disk.mark_exports(job)  # last: it says that the set is complete, its receipt included
    return e.FiledAway(notes=tuple(filed))


def _receipts(job: Job, at: float) -> Mapping[int, bytes]:
    return dict.fromkeys(range(len(job.originals)), receipt_bytes(job, at))


async def tidy_remote(job: Job, parts: Parts) -> Event:
    """Delete task and files at the service. Upkeep's work: a job is done without it."""
    account = _account(job, parts)
    files = [original.remote for original in job.originals if original.remote is not None]
    files += [result.remote for result in job.results]
    try:
        async with account.turns.turn(job.id, "tidy", job.folder):
            await account.service.tidy(job.task_id, files)
    except ServiceTrouble as trouble:
        return e.RemoteTidyPostponed(weather=account.turns.note_trouble(job.id, trouble))
    account.turns.note_success(job.id)
    return e.RemoteTidied()


_STEPS: Final[Mapping[Step, Callable[[Job, Parts], Awaitable[Event]]]] = {
    Step.RECLAIM: _reclaim,
    Step.SETTLE_TWIN: _settle_twin,
    Step.UPLOAD: _upload,
    Step.RENEW_UPLOAD: _renew_upload,
    Step.RUN: _run,
    Step.SETTLE_DOUBT: _settle_doubt,
    Step.LOOK: _look,
    Step.FETCH: _fetch,
    Step.DELIVER: _deliver,
    Step.FILE_AWAY: _file_away,
}
