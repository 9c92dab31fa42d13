"""What people order: hold, release, retry, forget, pause, resume; which jobs are meant, and what is said about it.

Orders are events like any other: the machine says whether they are possible, the ledger records them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

from hopperd.errors import Stale, TransitionError
from hopperd.pipeline.events import Event, Forgotten, PutOnHold, Released, Retried
from hopperd.pipeline.job import OPEN_STAGES, Hold, Job, JobId, Policy, Stage
from hopperd.pipeline.machine import advance
from hopperd.ports import Clock, JobQuery, Ledger, Pause
from hopperd.settings import Settings
from hopperd.web.finding import LISTED_AT_ONCE, file_of, find
from hopperd.web.live import Live
from hopperd.web.refusal import Refusal

STALE_TRIES: Final = 5

OrderName = Literal["retry", "hold", "release", "forget"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """An order to jobs: named one by one (job id, file name, task number), or in bulk."""

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
        meant: dict[JobId, Job] = {}
        for text in order.jobs:
            found = await find(self._ledger, text)
            if not found:
                refused.append({"job": None, "file": text, "why": "no such job"})
            if len(found) > 1 and not order.failed and order.folder is None:
                candidates = [job for job in found if suits(order.name, job)]
                if len(candidates) != 1:
                    why = f"{len(found)} jobs match; name one by its id"
                    refused.append({"job": None, "file": text, "why": why})
                    continue
                found = candidates
            meant |= {job.id: job for job in found}
        if order.failed or (order.folder is not None and not order.jobs):
            meant |= await self._in_bulk(order)
        return list(meant.values())

    async def _in_bulk(self, order: Order) -> dict[JobId, Job]:
        if order.folder is not None and order.folder not in self._folders:
            raise Refusal(f"There is no folder {order.folder!r}; there are: {', '.join(self._folders)}.")
        stages = (Stage.FAILED, Stage.ABANDONED) if order.failed else OPEN_STAGES
        meant: dict[JobId, Job] = {}
        query = JobQuery(stages=stages, folder=order.folder, limit=LISTED_AT_ONCE)
        while True:
            page = await self._ledger.page(query)
            meant |= {job.id: job for job in page if suits(order.name, job)}
            if len(page) < query.limit:
                return meant
            query = replace(query, before=page[-1].id)

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


def suits(order: OrderName, job: Job) -> bool:
    match order:
        case "retry":
            return job.stage in (Stage.FAILED, Stage.ABANDONED) or job.is_open
        case "hold":
            return job.is_open and job.hold is None
        case "release":
            return job.hold is not None
        case "forget":
            return True


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
