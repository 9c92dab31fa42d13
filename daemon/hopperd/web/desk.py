"""What people ask and order: status, lists, one job's story, hold, release, retry, forget, pause, resume.

The same desk serves the control API of a running daemon and a command that opened the ledger itself because no daemon
runs. Orders are events like any other: the machine says whether they are possible, the ledger records them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal, Protocol

from hopperd import __version__
from hopperd.errors import Stale, TransitionError
from hopperd.pipeline.events import Event, Forgotten, PutOnHold, Released, Retried
from hopperd.pipeline.job import OPEN_STAGES, Export, Hold, Job, JobId, Policy, Stage, is_job_id
from hopperd.pipeline.machine import advance
from hopperd.pipeline.naming import shown, unprintable
from hopperd.pipeline.receipt import iso
from hopperd.ports import BacklogCell, Clock, Doubts, FolderTrouble, JobQuery, Ledger, LeftAlone, Pause
from hopperd.settings import Settings
from hopperd.web.exported import handed_out
from hopperd.web.failures import newest_failed
from hopperd.web.homeless import homeless
from hopperd.web.orders import Order, file_of, is_named, suits, what_was_done
from hopperd.web.shapes import AGE_EDGES, AGE_NAMES, backlog_table, job_line, job_story, node_line, pause_line

LISTED_AT_ONCE = 200
STALE_TRIES = 5
NEEDS_PERSON_SHOWN = 50
DOUBTS_SHOWN_SECONDS = 7 * 86400.0
FAILED_SHOWN_SECONDS = 86400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class FolderState:
    """What only the running daemon knows of a hot folder."""

    waiting_files: int = 0
    waiting_is_exact: bool = True
    left_alone: tuple[LeftAlone, ...] = ()
    left_alone_total: int = 0
    swept_at: float | None = None
    trouble: str | None = None
    events: bool = False


class Live(Protocol):
    """The running daemon, as far as the desk needs it."""

    def folder_state(self, folder: str) -> FolderState: ...

    def account_pause(self, account: str) -> Pause | None: ...

    def account_trouble(self, account: str) -> str | None:
        """What the last request of the account met, in words; None while requests get through."""
        ...

    def account_figures(self, account: str) -> Mapping[str, Any]: ...

    def policy(self, folder: str) -> Policy: ...

    def letter_troubles(self) -> Mapping[str, str | None]:
        """Every channel on which letters go out, and why nothing gets through on it."""
        ...

    async def read_export(self, folder: str, export: Export) -> bytes:
        """As `ports.Folders.read_export`."""
        ...

    def moved(self) -> None:
        """Jobs may be due that were not: look again."""
        ...

    async def pause_account(self, account: str, pause: Pause | None) -> None: ...

    async def pause_folder(self, folder: str, pause: Pause | None) -> None: ...


class Refusal(Exception):
    """The desk cannot do what was asked; the sentence says why and what to do."""


class Desk:
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

    # ------------------------------------------------------------------------------------------------- reading

    async def status(self) -> dict[str, Any]:
        now = self._clock.now()
        cells = await self._ledger.backlog(now, AGE_EDGES)
        open_cells = [cell for cell in cells if cell.stage in OPEN_STAGES]
        doubts = await self._ledger.doubts()
        held = await self._ledger.page(JobQuery(held=True, stages=OPEN_STAGES, limit=NEEDS_PERSON_SHOWN))
        waiting = await self._ledger.page(
            JobQuery(waiting_for_person=True, stages=OPEN_STAGES, limit=NEEDS_PERSON_SHOWN)
        )
        failed, _ = await newest_failed(self.jobs, now - FAILED_SHOWN_SECONDS)
        return {
            "version": __version__,
            "running": self._live is not None,
            "at": iso(now),
            "ledger": self._ledger.ledger_id,
            "nodes": [node_line(node) for node in await self._ledger.nodes()],
            "backlog": backlog_table(open_cells, now),
            "age_buckets": list(AGE_NAMES),
            "open": sum(cell.jobs for cell in open_cells),
            "doubtful": doubts.open,
            "doubts": await self._doubts(doubts, now),
            "letters": await self._letters(now),
            "history": await self._history(now),
            "folders": await self._folder_lines(open_cells),
            "accounts": await self._account_lines(),
            "held": [job_line(job, now) for job in held],
            "waiting_for_person": [job_line(job, now) for job in waiting],
            "stuck": await self._stuck(now, open_cells),
            "homeless": homeless(open_cells, self._folders, self._settings.accounts),
            "failed": failed,
        }

    async def _doubts(self, doubts: Doubts, now: float) -> dict[str, Any]:
        """How many may have been paid for or delivered twice, and the newest of them: open, or finished lately."""
        counted = {
            "open": doubts.open,
            "finished": doubts.finished,
            "perhaps_delivered_twice": doubts.perhaps_delivered_twice,
        }
        found: list[Job] = []
        if any(counted.values()):
            found = await self._ledger.page(JobQuery(perhaps_twice=True, limit=NEEDS_PERSON_SHOWN))
        lately = [job for job in found if job.is_open or now - job.entered_at < DOUBTS_SHOWN_SECONDS]
        return counted | {"jobs": [job_line(job, now) for job in lately]}

    async def _letters(self, now: float) -> list[dict[str, Any]]:
        """Every channel on which deliveries or notices go out, and what waits on it."""
        waiting = await self._ledger.letters_waiting()
        troubles = self._live.letter_troubles() if self._live is not None else {}
        return [
            {
                "channel": channel,
                "waiting": waiting[channel].letters if channel in waiting else 0,
                "oldest_seconds": round(max(0.0, now - waiting[channel].oldest_at), 3) if channel in waiting else 0.0,
                "trouble": troubles.get(channel),
            }
            for channel in sorted({*waiting, *troubles})
        ]

    async def _history(self, now: float) -> dict[str, Any]:
        oldest = await self._ledger.oldest_finished()
        limits = self._settings.history
        age = round(max(0.0, now - oldest), 3) if oldest is not None else None
        return {"days": limits.days, "rows": limits.rows, "oldest_seconds": age}

    async def cells(self) -> list[BacklogCell]:
        """Open jobs by folder, stage and age."""
        return [cell for cell in await self._ledger.backlog(self._clock.now(), AGE_EDGES) if cell.stage in OPEN_STAGES]

    async def _stuck(self, now: float, cells: Sequence[BacklogCell]) -> list[dict[str, Any]]:
        stuck: list[dict[str, Any]] = []
        oldest: dict[tuple[str, Stage], float] = {}
        for cell in cells:
            place = (cell.folder, cell.stage)
            oldest[place] = min(cell.oldest_opened_at, oldest.get(place, cell.oldest_opened_at))
        for name, folder in self._folders.items():
            for stage in OPEN_STAGES:
                limit = folder.stuck_after.of(stage.value)
                if limit is None or now - oldest.get((name, stage), now) <= limit:
                    continue  # nothing there is even as old
                query = JobQuery(folder=name, stages=(stage,), held=False, in_stage_since=now - limit, limit=20)
                stuck += [
                    job_line(job, now, limit) for job in await self._ledger.page(query) if job.verification_url is None
                ]
        return stuck[:NEEDS_PERSON_SHOWN]

    async def _folder_lines(self, cells: Sequence[Any]) -> list[dict[str, Any]]:
        pauses = await self._ledger.folder_pauses()
        lines = []
        for name, folder in self._folders.items():
            line: dict[str, Any] = {
                "folder": name,
                "account": folder.account,
                "in": str(folder.inbox),
                "open": sum(cell.jobs for cell in cells if cell.folder == name),
                "paused": pause_line(pauses.get(name)),
                "originals": {"after": folder.after, "done_days": folder.done_days},
            }
            if self._live is not None:
                state = self._live.folder_state(name)
                line |= {
                    "waiting_files": state.waiting_files,
                    "trouble": state.trouble,
                    "swept": iso(state.swept_at) if state.swept_at is not None else None,
                    "left_alone": [
                        {"file": shown(left.name), "reason": left.reason, "what": left.what}
                        for left in state.left_alone[:NEEDS_PERSON_SHOWN]
                    ],
                    "left_alone_total": state.left_alone_total,
                }
            lines.append(line)
        return lines

    async def _account_lines(self) -> list[dict[str, Any]]:
        recorded = await self._ledger.account_pauses()
        lines = []
        for name in self._settings.accounts:
            pause = recorded.get(name)
            line: dict[str, Any] = {"account": name}
            if self._live is not None:
                pause = self._live.account_pause(name) or pause
                line |= {**self._live.account_figures(name), "trouble": self._live.account_trouble(name)}
            lines.append(line | {"paused": pause_line(pause)})
        return lines

    async def jobs(self, query: JobQuery) -> dict[str, Any]:
        """A page of jobs, newest first, and the cursor of the next page where there is one."""
        now = self._clock.now()
        found = await self._ledger.page(query)
        more = found[-1].id if len(found) == query.limit else None
        return {"jobs": [job_line(job, now, self._stuck_after(job)) for job in found], "next": more}

    def _stuck_after(self, job: Job) -> float | None:
        folder = self._folders.get(job.folder)
        return folder.stuck_after.of(job.stage.value) if folder is not None else None

    async def story(self, text: str) -> dict[str, Any]:
        """One job by its id, its file's name, or the number or id of its task; all that match, if there are several."""
        found = await self.find(text)
        if not found:
            raise Refusal(f"No job is known by {text!r}: `hopperd list` shows what there is.")
        now = self._clock.now()
        if len(found) > 1:
            return {"matches": [job_line(job, now) for job in found]}
        job = found[0]
        node = await self._ledger.carrier(job.id) if job.is_open else None
        return job_story(job, await self._ledger.history(job.id), now, self._folders.get(job.folder), node)

    async def exported(self, job_id: JobId, number: int) -> bytes:
        """One export of a job, counted from 0, as it was delivered. For a running daemon."""
        job = await self._ledger.get(job_id)
        folder = self._folders.get(job.folder) if job is not None else None
        if job is None or folder is None or not 0 <= number < len(job.delivered_exports):
            raise Refusal("There is no such export.")
        if self._live is None:
            raise Refusal("No daemon runs; take it from out/.")
        try:
            return await handed_out(job.delivered_exports[number], partial(self._live.read_export, job.folder))
        except FolderTrouble as trouble:
            raise Refusal(f"It cannot be read now: {trouble.what}.") from None

    async def find(self, text: str) -> list[Job]:
        if is_job_id(text):
            job = await self._ledger.get(JobId(text))
            return [job] if job is not None else []
        for meant in dict.fromkeys((text, unprintable(text))):
            found = await self._ledger.page(JobQuery(text=meant, limit=LISTED_AT_ONCE))
            if found:
                return [job for job in found if is_named(job, meant)] or found
        return []

    # ------------------------------------------------------------------------------------------------- ordering

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
            found = await self.find(text)
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
