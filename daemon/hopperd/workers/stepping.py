"""What the steps share: whose a job is, and what trouble of a folder means to it."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, Final, TypeVar

import structlog

from hopperd.pipeline import events as e
from hopperd.pipeline.events import Step, Weather
from hopperd.pipeline.job import Failure, Job, Task
from hopperd.ports import FolderTrouble, ServiceTrouble
from hopperd.workers.parts import AccountParts, FolderParts, Parts

log = structlog.get_logger("hopperd.perform")

Given = TypeVar("Given")

LEDGER_RETRY_SECONDS: Final = 1.0


def account_of(job: Job, parts: Parts) -> AccountParts:
    return parts.accounts[job.account]


def folder_of(job: Job, parts: Parts) -> FolderParts:
    return parts.folders[job.folder]


async def while_it_answers(folder: FolderParts, call: Coroutine[Any, Any, Given]) -> Given:
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


def folder_weather(trouble: FolderTrouble, step: Step, job: Job, parts: Parts) -> Weather:
    """Said of the folder as well: whoever looks there is not to look for the job that waits."""
    if folder_of(job, parts).has_met(step, trouble.what, parts.clock.monotonic()):
        log.error("folder-trouble", folder=job.folder, what=trouble.what)
    kind: e.WeatherKind = "disk" if trouble.kind == "disk" else "folder"
    return Weather(kind=kind, what=trouble.what, jitter=parts.random.random())


def refused(trouble: ServiceTrouble) -> e.Refused:
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


_warned: set[tuple[str, str, str]] = set()


def warn_once(parts: Parts, account: str, about: str, task: Task) -> None:
    key = (account, about, task.status_text if about == "unknown-status" else "")
    if key in _warned or len(_warned) > 1000:
        return
    _warned.add(key)
    if about == "demo-application":
        log.warning("demo-application", account=account, do="Results of the demo application are not for real use.")
    else:
        log.warning("unknown-status", account=account, status=task.status_text, taken_as="still running")
