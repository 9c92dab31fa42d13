"""What people order: hold, release, retry, forget, pause, resume; which jobs are meant, and what is said about it.

Orders are events like any other: the machine says whether they are possible, the ledger records them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

from hopperd.errors import Stale, TransitionError
from hopperd.pipeline.events import Event, Forgotten, PutOnHold, Released, Retried
from hopperd.pipeline.job import FAILED_STAGES, OPEN_STAGES, Hold, Job, JobId, Policy, Stage
from hopperd.pipeline.machine import advance
from hopperd.ports import Clock, JobQuery, Ledger, Pause
from hopperd.settings import Settings
from hopperd.web.finding import LISTED_AT_ONCE, Found, file_of, find
from hopperd.web.live import Live
from hopperd.web.refusal import Refusal

STALE_TRIES: Final = 5
CANDIDATES_TOLD: Final = 5
MOST_LOOKED_AT: Final = 50_000

OrderName = Literal["retry", "hold", "release", "forget"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """An order to jobs named one by one (job id, file name, task id or number), or to many at once.

    `failed` and `folder` say which many; where jobs are named, they narrow what a name may mean.
    """

    name: OrderName
    jobs: tuple[str, ...] = ()
    failed: bool = False
    folder: str | None = None
    task: str | None = None
    why: str = ""


class Orders:
    """`live` is the running daemon; without one, `policies` says what the folders' rules are."""

    def __init__(
        self,
        ledger: Ledger,
        settings: Settings,
        clock: Clock,
        live: Live | None,
        policies: Mapping[str, Policy] | None = None,
    ) -> None:
        self._ledger = ledger
        self._settings = settings
        self._clock = clock
        self._live = live
        self._policies = policies or {}
        self._folders = {folder.name: folder for folder in settings.folders}

    async def order(self, order: Order) -> dict[str, Any]:
        """Carry out an order; says what it did to which job, and what it could not do and why."""
        did: list[dict[str, Any]] = []
        refused: list[dict[str, Any]] = []
        for job in await self._meant(order, refused):
            try:
                did.append(await self._order_one(order, job))
            except (TransitionError, Refusal, Stale) as no:
                refused.append({"job": job.id, "file": file_of(job), "why": str(no) or "it moved at the same moment"})
        if self._live is not None and did:
            self._live.moved()
        return {"order": order.name, "did": did, "refused": refused}

    async def _meant(self, order: Order, refused: list[dict[str, Any]]) -> list[Job]:
        if order.folder is not None:
            self._known("folder", order.folder)
        if not order.jobs:
            return await self._in_bulk(order)
        stages = FAILED_STAGES if order.failed else None
        meant: dict[JobId, Job] = {}
        for text in order.jobs:
            found = await find(self._ledger, text, folder=order.folder, stages=stages, most=MOST_LOOKED_AT)
            if (job := found.one) is not None:
                meant[job.id] = job
            else:
                refused.append({"job": None, "file": text, "why": why_nobody(order, found)})
        return list(meant.values())

    async def _in_bulk(self, order: Order) -> list[Job]:
        meant: dict[JobId, Job] = {}
        for stages in stages_in_bulk(order):
            query = JobQuery(stages=stages, folder=order.folder, limit=LISTED_AT_ONCE)
            while True:
                page = await self._ledger.page(query)
                meant |= {job.id: job for job in page if suits(order.name, job)}
                if len(page) < query.limit:
                    break
                query = replace(query, before=page[-1].id)
        return list(meant.values())

    async def _order_one(self, order: Order, job: Job) -> dict[str, Any]:
        if order.name == "forget" and not job.is_open:
            if not await self._ledger.forget(job.id):
                raise Refusal("it is not in the ledger any more")
            return {"job": job.id, "file": file_of(job), "stage": job.stage.value, "what": "left the ledger"}
        if order.task is not None:
            await self._check_task(order.task, job)
        for _ in range(STALE_TRIES):
            event = self._event(order, job)
            now = self._clock.now()
            after = advance(job, event, now, self._policy(job.folder))
            try:
                after = await self._ledger.record(job, after, event, now)
            except Stale:
                current = await self._ledger.get(job.id)
                if current is None:
                    raise
                job = current
                continue
            return {
                "job": job.id,
                "file": file_of(job),
                "stage": after.stage.value,
                "what": what_was_done(order, job, after),
            }
        raise Stale("it moved at the same moment, again and again; try once more")

    async def _check_task(self, task: str, job: Job) -> None:
        other = await self._ledger.job_with_task(task)
        if other is not None and other != job.id:
            raise Refusal(f"task {task} belongs to job {other}")

    def _event(self, order: Order, job: Job) -> Event:
        match order.name:
            case "retry":
                if job.hold is not None:
                    raise Refusal(f"it is held ({job.hold.what}); release lets it go on")
                if job.stage is Stage.DONE:
                    raise Refusal('it is done; to capture it again put the file in again (on_duplicate = "again")')
                return Retried()
            case "hold":
                if job.hold is not None:
                    raise Refusal(f"it is held already: {job.hold.what}")
                what = order.why or "a person holds it"
                return PutOnHold(
                    hold=Hold(reason="person", what=what, do="Release it when it may go on.", since=self._clock.now())
                )
            case "release":
                if job.hold is None:
                    raise Refusal("it is not held")
                return Released(task_id=order.task)
            case "forget":
                if job.stage in (Stage.FETCHED, Stage.DELIVERED):
                    raise Refusal("its results were fetched and are being delivered and filed; it ends by itself")
                return Forgotten()

    def _policy(self, folder: str) -> Policy:
        return self._live.policy(folder) if self._live is not None else self._policies.get(folder, Policy())

    async def pause(self, kind: Literal["account", "folder"], name: str, why: str) -> dict[str, Any]:
        self._known(kind, name)
        pause = Pause(
            reason="person",
            what=why or "a person paused it",
            do=f"hopperd resume {name}",
            since=self._clock.now(),
            by_person=True,
        )
        await self._set_pause(kind, name, pause)
        return {"paused": name, "kind": kind}

    async def resume(self, kind: Literal["account", "folder"], name: str) -> dict[str, Any]:
        self._known(kind, name)
        await self._set_pause(kind, name, None)
        if self._live is not None:
            self._live.moved()
        return {"resumed": name, "kind": kind}

    def _known(self, kind: Literal["account", "folder"], name: str) -> None:
        known = list(self._settings.accounts) if kind == "account" else list(self._folders)
        if name not in known:
            raise Refusal(f"There is no {kind} {name!r}; there are: {', '.join(known)}.")

    async def _set_pause(self, kind: Literal["account", "folder"], name: str, pause: Pause | None) -> None:
        if kind == "account":
            await self._ledger.set_account_pause(name, pause)
            if self._live is not None:
                await self._live.pause_account(name, pause)
        else:
            await self._ledger.set_folder_pause(name, pause)
            if self._live is not None:
                await self._live.pause_folder(name, pause)


def stages_in_bulk(order: Order) -> list[tuple[Stage, ...]]:
    """The stages to go through, one part after the other: each part is what an index of the ledger answers."""
    if order.failed:
        return [FAILED_STAGES]
    if order.folder is None:
        return []
    return [OPEN_STAGES, (Stage.FAILED,)] if order.name == "retry" else [OPEN_STAGES]


def suits(order: OrderName, job: Job) -> bool:
    """Whether a job is meant by an order to many: nobody said that it is held, or not, on purpose."""
    match order:
        case "retry" | "hold":
            return job.hold is None
        case "release":
            return job.hold is not None
        case "forget":
            return True


def why_nobody(order: Order, found: Found) -> str:
    """Why a text names no job to order about, and how to name one. An order takes no guess."""
    among = " among the failed jobs" if order.failed else ""
    among += f"{' of' if among else ' in'} folder {order.folder}" if order.folder is not None else ""
    if len(found.named) > 1:
        many = len(found.named) if found.is_all else f"more than {len(found.named) - 1}"
        return f"{many} jobs{among} are named so: {_told(found.named)}; name one by its id"
    if not found.is_all:
        return f"the names of more than {MOST_LOOKED_AT} jobs{among} contain it; name the one that is meant by its id"
    if found.alike:
        return f"no job{among} is named so; a search finds {_told(found.alike)}; name one by its id or its whole name"
    return f"no such job{among}"


def _told(jobs: Sequence[Job]) -> str:
    told = [f"{job.id} ({job.folder}/{file_of(job)}, {job.stage})" for job in jobs]
    return ", ".join(told[:CANDIDATES_TOLD]) + (", and others" if len(told) > CANDIDATES_TOLD else "")


def what_was_done(order: Order, before: Job, after: Job) -> str:
    match order.name:
        case "retry" if not before.is_open or before.stage is Stage.ABANDONED:
            return "starts again from its original"
        case "retry":
            return f"tries its next step at once ({after.stage})"
        case "hold":
            return f"held at {after.stage}"
        case "release" if order.task is not None:
            return f"goes on with task {order.task}"
        case "release" if before.stage is Stage.SUBMITTING:
            return "released; the Run is asked for once more"
        case "release":
            return f"released at {after.stage}"
        case "forget":
            return "given up; its original goes to failed/"
