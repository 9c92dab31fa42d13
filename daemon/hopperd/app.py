"""The only place that builds things: settings → ledger, folders, accounts, workers, control socket → one daemon."""

from __future__ import annotations

import asyncio
import math
import os
import random
import sys
from collections.abc import Coroutine, Mapping
from pathlib import Path
from typing import Any, Final

import structlog

from hopperd import __version__, notify
from hopperd.capture.client import Client
from hopperd.capture.limits import AccountLimits
from hopperd.clock import WallClock
from hopperd.errors import ConfigurationError, ExitCode
from hopperd.folders.watch import QUICK_STEP_MS, STEP_MS, Watch
from hopperd.grounds import Grounds
from hopperd.inspection import ChildPool
from hopperd.invoices.content import sniff, tail_looks_unfinished
from hopperd.ledger.choice import budget_of
from hopperd.ledger.store import Store
from hopperd.logs import redaction
from hopperd.mailroom import Mailroom
from hopperd.mending import audit_of
from hopperd.neighbours import Neighbours, prepare_folder
from hopperd.outlook import window_of
from hopperd.pipeline.job import OPEN_STAGES, Export, JobId, Policy
from hopperd.policies import limits_of, policies_of, policy_of
from hopperd.ports import Pause
from hopperd.settings import Account, Folder, Settings, changes, load, reloaded
from hopperd.settings.bucket_path import in_bucket
from hopperd.threads import FileThreads
from hopperd.web.homeless import homeless
from hopperd.web.live import FolderState
from hopperd.workers.answering import Answering
from hopperd.workers.drain import Drain
from hopperd.workers.intake import Intake
from hopperd.workers.parts import AccountParts, FolderParts, Parts
from hopperd.workers.pulse import SWEEP_SECONDS, Pulse
from hopperd.workers.runner import Runner
from hopperd.workers.upkeep import Upkeep

log = structlog.get_logger("hopperd")

MAILROOM_SECONDS: Final = 10.0
INSPECTION: Final = (sys.executable, "-m", "hopperd.invoices.inspect_worker")


class Daemon:
    """One running daemon. `run` ends when it was told to stop, or, with `once`, when nothing can move by itself."""

    def __init__(self, settings: Settings, store: Store, neighbours: Neighbours) -> None:
        self._settings = settings
        self._store = store
        self._neighbours = neighbours
        self._clock = WallClock()
        self._stop = asyncio.Event()
        self._threads = FileThreads([folder.name for folder in settings.folders])
        self._limits: dict[str, AccountLimits] = {}
        self._budget = budget_of(settings, neighbours.id)
        self._background: set[asyncio.Task[None]] = set()
        folders = {folder.name: folder for folder in settings.folders}
        self._inspector = ChildPool(INSPECTION, settings.inspection, folders, self._threads.of)
        self._pulse = Pulse(self._clock.monotonic)
        self._grounds = Grounds(settings.state)
        self._open: dict[str, int] = {}
        self._window = window_of(store, lambda: self._settings, self._clock, self, self._pulse, self._threads.of)
        self._parts = Parts(
            ledger=store,
            clock=self._clock,
            inspector=self._inspector,
            accounts={name: self._account_parts(account) for name, account in settings.accounts.items()},
            folders={folder.name: self._folder_parts(folder) for folder in settings.folders},
            random=random.Random(),  # noqa: S311 (jitter and job ids, no secrets)
            pulse=self._pulse,
            history=settings.history,
            lease=neighbours.lease,
        )
        self._allow_sweeps()
        self._runner = Runner(self._parts)
        self._parts.wake = self.moved
        self._upkeep = Upkeep(self._parts)
        self._mailroom = Mailroom(settings, store, self._clock, self, self._window.metrics, neighbours.lease)
        self._intakes = {name: Intake(name, self._parts, self._runner.wake) for name in self._parts.folders}

    # ------------------------------------------------------------------------------------------------- building

    def _account_parts(self, account: Account) -> AccountParts:
        turns = AccountLimits(
            account.name,
            limits_of(account),
            clock=self._clock,
            random=random.random,
            on_wait=lambda seconds: self._window.metrics.waited(account.name, seconds),
            budget=self._budget,
        )
        self._limits[account.name] = turns
        redaction.know([account.application_token.get_secret_value()])
        return AccountParts(settings=account, service=self._client(account), turns=turns)

    def _client(self, account: Account) -> Client:
        def note(purpose: str, outcome: str) -> None:
            self._window.metrics.requested(account.name, purpose, outcome)

        turns, pools = self._limits[account.name], self._threads.transfers
        return Client(account, more=turns.more, more_tidying=turns.more_tidying, pools=pools, note=note)

    def _folder_parts(self, folder: Folder) -> FolderParts:
        account = self._settings.accounts[folder.account]
        ground = self._grounds.of(folder, self._threads.of(folder.name))
        return FolderParts(
            settings=folder,
            policy=policy_of(folder, account),
            disk=ground.disk(),
            inbox=ground.inbox(
                self._store.ledger_id,
                self._settings.free_space_bytes,
                sniff=sniff,
                looks_unfinished=tail_looks_unfinished,
            ),
            prepare=lambda: prepare_folder(ground, self._store, self._neighbours),
            waiting_seconds=lambda: self._threads.waiting_seconds(folder.name),
            answers=lambda: ground.answers(self._threads.asking(folder.name)),
        )

    # -------------------------------------------------------------------------------------------------- running

    async def prepare(self) -> None:
        """Prove all folders at once. Raises FolderIdentityError; one that is gone for the moment, or does not answer,
        stops nobody."""
        proofs = (intake.prepare() for intake in self._intakes.values())
        for ended in await asyncio.gather(*proofs, return_exceptions=True):
            if ended is not None:
                raise ended

    async def run(self, *, once: bool, wait_seconds: float) -> ExitCode:
        await self._remember()
        ended: ExitCode = ExitCode.FINE
        async with self._window.open(self._backup, self._fsck), asyncio.TaskGroup() as group:
            workers = [
                group.create_task(self._runner.run(), name="runner"),
                group.create_task(self._upkeep.run(), name="upkeep"),
                group.create_task(Answering(self._parts, self._intakes).run(), name="answering"),
                *(group.create_task(intake.run(), name=f"intake {n}") for n, intake in self._intakes.items()),
                *(
                    group.create_task(self._limits[name].keep_probing(self._prober(name)), name=f"probe {name}")
                    for name in self._limits
                ),
                *(group.create_task(limits.keep_sharing(), name=f"share {n}") for n, limits in self._limits.items()),
                *(group.create_task(self._keep_watching(name), name=f"watch {name}") for name in self._watched()),
                group.create_task(self._pulse.keep(self._count_open), name="pulse"),
                group.create_task(notify.keep_telling(self._pulse.silent, self._backlog_line), name="notify"),
                *self._mailroom.start(group),
                group.create_task(self._neighbours.mind(self._store, self, lambda: self._runner.busy), name="mind"),
            ]
            notify.tell("READY=1", f"STATUS={self._backlog_line()}")
            log.info("started", version=__version__, folders=list(self._parts.folders), ledger=self._store.ledger_id)
            try:
                if once:
                    ended = await self._until_drained(wait_seconds)
                else:
                    await self._stop.wait()
            finally:  # also where a worker has died of a mistake: a Run in flight would be cut off, and paid for again
                await _to_its_end(self._wind_down(workers))
        return ended

    async def _count_open(self) -> None:
        self._open = await self._store.open_jobs()

    def _backlog_line(self) -> str:
        waiting = sum(intake.waiting for intake in self._intakes.values())
        troubled = sum(intake.trouble is not None for intake in self._intakes.values())
        paused = sum(limits.pause_now is not None for limits in self._limits.values())
        line = f"{sum(self._open.values())} jobs open, {self._runner.busy} in hand, {waiting} files waiting"
        line += f"; folders in trouble: {troubled}" if troubled else ""
        return line + (f"; accounts paused: {paused}" if paused else "")

    def _allow_sweeps(self) -> None:
        """A folder may be looked at seldom, and where there is none nothing is swept."""
        rarest = max((3.0 * folder.sweep_seconds for folder in self._settings.folders), default=math.inf)
        self._pulse.allow("sweep", max(SWEEP_SECONDS, rarest))

    def _prober(self, name: str) -> Any:
        return lambda: self._parts.accounts[name].service.probe()

    async def _remember(self) -> None:
        """What the ledger knows about accounts: pauses, and how many tasks are in flight."""
        for name, pause in (await self._store.account_pauses()).items():
            if name in self._limits:
                self._limits[name].pause(pause)
        for name, pause in (await self._store.folder_pauses()).items():
            if name in self._intakes:
                self._intakes[name].pause = pause
                self._runner.paused_folders.add(name)
        for name, limits in self._limits.items():
            for job_id in await self._store.in_flight(name):
                limits.enter(job_id)
        cells = [cell for cell in await self._store.backlog(self._clock.now(), ()) if cell.stage in OPEN_STAGES]
        for line in homeless(cells, self._parts.folders, self._parts.accounts):
            log.error("homeless", **line)

    def _watched(self) -> list[str]:
        """Where events can come; a bucket has none."""
        folders = [folder.settings for folder in self._parts.folders.values()]
        return [one.name for one in folders if one.events == "auto" and in_bucket(one.path) is None]

    async def _keep_watching(self, name: str) -> None:
        """Once the folder has answered: a watch begins with Python's lock held, which a share that hangs would keep."""
        intake = self._intakes[name]
        await intake.proven.wait()
        settings = self._parts.folders[name].settings
        step_ms = STEP_MS if settings.quiet_seconds >= 1.0 else QUICK_STEP_MS
        watch = Watch(os.fsencode(settings.inbox), intake.hint, self._threads.watching(name), step_ms)
        watch.follow(intake.folders)
        intake.follow = watch.follow
        await watch.run()

    async def _backup(self, path: Path) -> None:
        await self._store.backup(os.fsencode(path), moves_on=True)

    async def _fsck(self, repair: bool) -> dict[str, Any]:
        def claiming(job_id: JobId) -> bool:
            return any(intake.is_just_claimed(job_id) for intake in self._intakes.values())

        policies, pools = policies_of(self._settings), self._threads.of
        audit = audit_of(self._settings, self._store, self._clock, policies, pools, claiming, self.moved)
        return await audit.run(repair=repair)

    async def _until_drained(self, wait_seconds: float) -> ExitCode:
        drained = asyncio.create_task(Drain(self._parts, list(self._intakes.values()), wait_seconds).run())
        stopped = asyncio.create_task(self._stop.wait())
        await asyncio.wait({drained, stopped}, return_when=asyncio.FIRST_COMPLETED)
        for task in (drained, stopped):
            if not task.done():
                task.cancel()
        if not drained.done() or drained.cancelled():
            return ExitCode.WORK_FAILED
        return {
            "fine": ExitCode.FINE,
            "work-failed": ExitCode.WORK_FAILED,
            "credentials": ExitCode.CREDENTIALS,
        }[await drained]

    async def _wind_down(self, workers: list[asyncio.Task[None]]) -> None:
        """Intake first; then a Run in flight may end; then everything else is put down."""
        log.info("stopping", in_hand=self._runner.busy)
        notify.tell("STOPPING=1", f"STATUS=stopping, {self._runner.busy} jobs in hand")
        self._upkeep.stop()
        for intake in self._intakes.values():
            intake.stop()
        await self._runner.stop(self._settings.stop_seconds)
        intakes = [task for task in workers if task.get_name().startswith("intake")]
        await asyncio.wait(intakes, timeout=2.0)
        await self._mailroom.stop(min(self._settings.stop_seconds, MAILROOM_SECONDS))
        for task in workers:
            task.cancel()

    async def close(self) -> None:
        for account in self._parts.accounts.values():
            await account.service.close()
        await self._inspector.close()
        if self._budget is not None:
            await self._budget.close()
        if self._background:
            await asyncio.wait(self._background, timeout=2.0)
        await self._threads.end()
        log.info("stopped")

    # -------------------------------------------------------------------------------------------------- signals

    def stop(self) -> None:
        self._stop.set()

    async def reload(self) -> None:
        """What SIGHUP does: read the configuration again, apply what can change, say what cannot."""
        notify.reloading()
        try:
            await self._reload()
        finally:
            notify.tell("READY=1", f"STATUS={self._backlog_line()}")

    async def _reload(self) -> None:
        try:
            new = await asyncio.to_thread(load, self._settings.path)
        except ConfigurationError as error:
            log.error(  # noqa: TRY400 (a mistake in a file, not in the program: its sentences say all)
                "reload-refused", problems=list(error.problems), kept="the configuration as it was"
            )
            return
        applied, needs_restart = changes(self._settings, new)
        self._settings = reloaded(self._settings, new)
        for account in self._settings.accounts.values():
            await self._reload_account(account)
        for folder in self._settings.folders:
            parts = self._parts.folders[folder.name]
            parts.settings = folder
            parts.policy = policy_of(folder, self._settings.accounts[folder.account])
            parts.disk.delete_delivered = folder.after == "delete"
            parts.inbox.reload(folder)
            self._intakes[folder.name].reload()
        self._parts.history = self._settings.history
        self._allow_sweeps()
        self._inspector.reload({folder.name: folder for folder in self._settings.folders})
        log.info("reloaded", applied=applied, needs_restart=needs_restart)
        self.moved()

    async def _reload_account(self, account: Account) -> None:
        parts, limits = self._parts.accounts[account.name], self._limits[account.name]
        limits.set(limits_of(account))
        if parts.settings != account:
            redaction.know([account.application_token.get_secret_value()])
            before, parts.settings = parts.service, account
            parts.service = self._client(account)
            task = asyncio.create_task(_close_later(before, account.answer_seconds + account.stall_seconds))
            self._background.add(task)
            task.add_done_callback(self._background.discard)
        limits.probe_now()

    # ------------------------------------------------------------------------------- what the window sees (web.live)

    def folder_state(self, folder: str) -> FolderState:
        intake = self._intakes[folder]
        return FolderState(
            waiting_files=intake.waiting,
            left_alone=intake.left_alone,
            left_alone_total=intake.left_alone_total,
            swept_at=intake.swept_at,
            trouble=self.folder_trouble(folder),
        )

    def _ledger_trouble(self) -> str | None:
        trouble = self._runner.ledger_trouble
        return f"the ledger cannot be written: {trouble}" if trouble is not None else None

    def folder_trouble(self, folder: str) -> str | None:
        met = self._parts.folders[folder].trouble(self._clock.monotonic())
        return self._intakes[folder].trouble or met or self._ledger_trouble()

    def letter_troubles(self) -> Mapping[str, str | None]:
        return self._mailroom.troubles()

    def account_pause(self, account: str) -> Pause | None:
        return self._limits[account].pause_now

    def account_trouble(self, account: str) -> str | None:
        return self._limits[account].trouble_now

    def account_figures(self, account: str) -> Mapping[str, Any]:
        return self._limits[account].describe()

    def policy(self, folder: str) -> Policy:
        parts = self._parts.folders.get(folder)
        return parts.policy if parts is not None else Policy()

    async def read_export(self, folder: str, export: Export) -> bytes:
        return await self._parts.folders[folder].disk.read_export(export)

    def moved(self) -> None:
        self._runner.wake()
        for intake in self._intakes.values():
            intake.wake()

    async def pause_account(self, account: str, pause: Pause | None) -> None:
        if pause is None:
            self._limits[account].resume()
        else:
            self._limits[account].pause(pause)

    async def pause_folder(self, folder: str, pause: Pause | None) -> None:
        self._intakes[folder].pause = pause
        if pause is None:
            self._runner.paused_folders.discard(folder)
        else:
            self._runner.paused_folders.add(folder)
        self._intakes[folder].wake()


async def _to_its_end(work: Coroutine[Any, Any, None]) -> None:
    """Also where whoever waits for it is cancelled meanwhile, as happens where a worker dies during an orderly stop."""
    task, cancelled = asyncio.create_task(work), None
    while not task.done():
        try:
            await asyncio.wait({task})
        except asyncio.CancelledError as error:
            cancelled = error
    await task
    if cancelled is not None:
        raise cancelled


async def _close_later(client: Any, seconds: float) -> None:
    await asyncio.sleep(seconds)
    await client.close()
