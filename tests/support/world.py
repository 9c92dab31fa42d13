"""The whole daemon but for its network and its children, on a virtual clock, killed and restarted at will.

Real: the rules, the workers, the ledger (SQLite, on a memory file system where there is one), the folders' code on real
files, the limits. Simulated: the service, the inspection, time. Everything outside passes `Taps`, which can fail or end
the process before or after any call.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import os
import random
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Executor
from pathlib import Path
from typing import Any
from unittest import mock

import asyncio_throttle.throttler
import structlog

from hopperd.capture.limits import AccountLimits
from hopperd.folders import places
from hopperd.folders.disk import HotFolder
from hopperd.folders.identity import prepare
from hopperd.folders.inbox import HotInbox
from hopperd.folders.layout import Layout
from hopperd.invoices.content import sniff, tail_looks_unfinished
from hopperd.ledger import migrate
from hopperd.ledger.store import Store
from hopperd.pipeline.job import OPEN_STAGES, Job
from hopperd.policies import limits_of, policy_of
from hopperd.ports import Budget, JobQuery, LedgerTrouble, Verdict
from hopperd.settings import Account, Folder
from hopperd.workers.intake import Intake
from hopperd.workers.parts import AccountParts, FolderParts, Parts
from hopperd.workers.runner import Runner
from hopperd.workers.upkeep import Upkeep
from tests.support.oracle import Verdict as Judgement
from tests.support.oracle import judge
from tests.support.recorded_tables import RecordedTables
from tests.support.simulated_service import SimulatedService, Weather
from tests.support.taps import Killed, Taps
from tests.support.virtual import InlineExecutor, VirtualClock, VirtualLoop

START = 1_790_000_000.0
MEMORY = "/dev/shm"
LOOKED_AT_EVERY_SECONDS = 3.0
TABLES = RecordedTables()


class SimulatedInspector:
    """Says "one page" of everything: what is in a file is not what a simulation is about."""

    async def inspect(self, path: bytes, folder: str, *, is_suspect: bool = False) -> Verdict:
        return Verdict(kind="pdf", pages=1)


class World:
    """One hot folder. The service outlives every process; each `life` is one process from start to end."""

    def __init__(
        self,
        seed: int = 0,
        *,
        weather: Weather | None = None,
        folder: dict[str, Any] | None = None,
        account: dict[str, Any] | None = None,
        no_intent: bool = False,
    ) -> None:
        self.rng = random.Random(seed)
        self.root = Path(tempfile.mkdtemp(prefix="world-", dir=MEMORY if os.path.isdir(MEMORY) else None))
        self.loop = VirtualLoop()
        self.clock = VirtualClock(self.loop, START)
        self.taps = Taps()
        self.store: Store | None = None  # while a process lives: its ledger
        self.put: Counter[str] = Counter()
        self.lives = 0
        self.busiest_second = 0
        self.no_intent = no_intent
        self.service = SimulatedService(
            random.Random(seed + 1),
            weather or Weather(),
            lambda what: self.tap(what),
            lambda: START + self.loop.time(),
        )
        self._account = Account(
            **{  # type: ignore[arg-type]
                "name": "main",
                "base_url": "http://127.0.0.1:1",
                "application_id": "a",
                "requests_per_second": 1000.0,
                **(account or {}),
            }
        )
        self._folder = Folder(
            **{  # type: ignore[arg-type]
                "name": "us",
                "path": self.root,
                "account": "main",
                "region": "US",
                "quiet_seconds": 1.0,
                "sweep_seconds": 5.0,
                **(folder or {}),
            }
        )
        self.layout = Layout.of(self._folder)
        self._alone = asyncio.Lock()  # who proves a folder, where several nodes do

    def __enter__(self) -> World:
        self._undo = contextlib.ExitStack()
        self._undo.enter_context(mock.patch.object(places, "TAP", lambda what: self.tap(f"{what} disk")))
        self._undo.enter_context(mock.patch.object(migrate, "metadata", TABLES))
        self._undo.enter_context(mock.patch.object(asyncio_throttle.throttler, "time", self))
        asyncio.set_event_loop(self.loop)
        self.loop.set_exception_handler(lambda loop, context: None)  # the tasks of a killed process are nobody's
        structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
        return self

    def __exit__(self, *_: object) -> None:
        self._undo.close()
        self.loop.close()
        asyncio.set_event_loop(None)
        structlog.reset_defaults()
        shutil.rmtree(self.root)

    def tap(self, what: str) -> None:
        """Told of each call outside, before and after."""
        self.taps(what)

    def monotonic(self) -> float:
        """For asyncio-throttle, which asks a module called `time`."""
        return self.loop.time()

    # ------------------------------------------------------------------------------------------------------ files

    def put_in(self, name: str, content: bytes) -> None:
        target = self.root / "in" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
        self.put[hashlib.sha256(content).hexdigest()] += 1

    # ------------------------------------------------------------------------------------------------------ lives

    def live(self, taps: Taps | None = None, *, seconds: float = 4 * 3600.0) -> bool:
        """One process: until nothing can move any more (True), or it was killed or ran out of `seconds` (False)."""
        self.taps = taps if taps is not None else Taps()
        self.taps.now = self.loop.time
        self.lives += 1
        self.service.requests.clear()
        ended = self.loop.run_until_complete(self._live(seconds))
        self.busiest_second = max(self.busiest_second, _busiest_second(self.service.requests))
        return ended

    @property
    def is_too_busy(self) -> bool:
        """The service saw more requests within one second of one process than the account allows."""
        rate = self._account.requests_per_second
        return self.busiest_second > rate + max(1.0, 0.01 * rate)

    async def _live(self, seconds: float) -> bool:
        store: Store | None = None
        tasks: list[asyncio.Task[Any]] = []
        try:
            store = Store.open_state(self.root / "state", tap=lambda what: self.taps(f"{what}"), inline=True)
            self.store = store
            parts = self._parts(store, self.clock, InlineExecutor())
            runner = Runner(parts)
            parts.wake = runner.wake
            if self.no_intent:
                forget_intents(store)
            intake, upkeep = Intake("us", parts, runner.wake), Upkeep(parts)
            limits = parts.accounts["main"].turns
            for job_id in await store.in_flight("main"):
                limits.enter(job_id)
            await intake.prepare()
            jobs = [runner.run(), intake.run(), upkeep.run(), limits.keep_probing(self.service.probe)]  # type: ignore[attr-defined]
            tasks = [asyncio.ensure_future(job) for job in jobs]
            return await self._until_still(store, intake, tasks, self.loop.time() + seconds)
        except Killed:
            return False
        except LedgerTrouble:
            return False  # it could not even start: the next life tries again
        finally:
            await self._end(store, tasks)

    async def _until_still(self, store: Store, intake: Intake, tasks: list[asyncio.Task[Any]], deadline: float) -> bool:
        """Everything is taken in, nothing open can move, nothing is to be tidied."""
        died = asyncio.Event()
        self.taps.when_dead = died.set
        moving_at = -1  # the last call after which something could still move: without another, it still can
        while self.loop.time() < deadline:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(died.wait(), LOOKED_AT_EVERY_SECONDS)
            if self.taps.dead:
                return False
            for task in tasks:
                if task.done() and not task.cancelled() and (error := task.exception()) is not None:
                    raise error  # a worker of ours ended by a mistake
            if intake.is_idle and intake.trouble is None and self.taps.count != moving_at:
                if not await store.unfinished() and not await store.untidied():
                    return True
                moving_at = self.taps.count
        return False

    async def _end(self, store: Store | None, tasks: list[asyncio.Task[Any]]) -> None:
        """As if the process were gone: whatever its tasks still try finds every call dead."""
        self.taps.dead = True
        for task in asyncio.all_tasks(self.loop):
            if task is not asyncio.current_task():
                task.cancel()
        while others := [task for task in asyncio.all_tasks(self.loop) if task is not asyncio.current_task()]:
            await asyncio.wait(others)
        for task in tasks:
            if task.done() and not task.cancelled():
                task.exception()  # it has been looked at
        if store is not None:
            with contextlib.suppress(Killed):
                await store.close()

    def _parts(self, store: Store, clock: VirtualClock, pool: Executor, budget: Budget | None = None) -> Parts:
        turns = AccountLimits("main", limits_of(self._account), clock=clock, random=self.rng.random, budget=budget)
        inbox = HotInbox(
            self.layout,
            self._folder,
            pool,
            store.ledger_id,
            sniff=sniff,
            looks_unfinished=tail_looks_unfinished,
        )

        async def prepare_folder() -> None:
            async with self._alone:
                for mark in prepare(self.layout, store.ledger_id, await store.marks()).marks:
                    await store.set_mark(mark)

        return Parts(
            ledger=store,
            clock=clock,
            inspector=SimulatedInspector(),
            accounts={"main": AccountParts(settings=self._account, service=self.service, turns=turns)},
            folders={
                "us": FolderParts(
                    settings=self._folder,
                    policy=policy_of(self._folder, self._account),
                    disk=HotFolder(self.layout, pool),
                    inbox=inbox,
                    prepare=prepare_folder,
                )
            },
            random=self.rng,
        )

    def _ledger(self) -> Store:
        """As a command has it."""
        return Store.open_state(self.root / "state", inline=True)

    def jobs(self) -> list[Job]:
        """What the ledger holds, newest first."""

        async def read() -> list[Job]:
            store = self._ledger()
            found = await store.page(JobQuery(limit=1000))
            await store.close()
            return list(found)

        return self.loop.run_until_complete(read())

    def release_all(self) -> int:
        """As a person would: release every held job. Returns how many there were."""

        async def release() -> int:
            from hopperd.pipeline.events import Released
            from hopperd.pipeline.machine import advance

            store = self._ledger()
            held = await store.page(JobQuery(held=True, stages=OPEN_STAGES, limit=1000))
            for job in held:
                after = advance(job, Released(), self.clock.now(), policy_of(self._folder, self._account))
                await store.record(job, after, Released(), self.clock.now())
            await store.close()
            return len(held)

        return self.loop.run_until_complete(release())

    def live_out(self, live: Callable[[], bool], on_doubt: str, lives: int = 12) -> list[str]:
        """A person releases what is held, and after the first of them the weather is good, until everything has ended.

        Returns what was broken.
        """
        broken: list[str] = []
        nobody_released = True
        for _ in range(lives):
            if not live():
                broken.append("promise 7: hours were not enough to bring it to rest")
                break
            if on_doubt == "hold" and nobody_released:  # until then, no Run at all may be an extra one
                broken += [sentence for sentence in self.judge(finished=False).broken if "promise 3" in sentence]
            self.service.weather = Weather()
            if not self.release_all():
                break
            nobody_released = False
        else:
            broken.append("promise 7: it never came to an end")
        return broken + self.judge().broken

    # -------------------------------------------------------------------------------------------------- judgement

    def judge(self, *, finished: bool = True) -> Judgement:
        """The same oracle as for real processes, on a log of what the simulated service really did."""
        log = self.root / "service.jsonl"
        with log.open("w") as file:
            for number, (task, digests) in enumerate(self.service.runs):
                ids = [f"{number}-{place}" for place in range(len(digests))]
                for file_id, sha256 in zip(ids, digests, strict=True):
                    file.write(json.dumps({"event": "upload", "file_id": file_id, "sha256": sha256}) + "\n")
                file.write(json.dumps({"event": "run", "task_id": task, "file_ids": ids, "billed": True}) + "\n")
            for sha256 in self.service.served:
                file.write(json.dumps({"event": "download", "sha256": sha256}) + "\n")
        return judge(self.root, log, self.put, finished=finished)


def forget_intents(store: Store) -> None:
    """The mutant that shows that the oracle looks: the intent is not written, so a crash leaves no doubt behind."""
    record = store.record

    async def careless(before: Any, after: Any, event: Any, at: float, **_: Any) -> Any:
        if event.name == "run-intended":
            return after
        if before.stage == "submitting":  # never written: compare with what the ledger has
            current = await store.get(before.id)
            assert current is not None
            from dataclasses import replace

            return await record(current, replace(after, version=current.version + 1), event, at)
        return await record(before, after, event, at)

    store.record = careless  # type: ignore[method-assign]


def _busiest_second(requests: list[float]) -> int:
    most = first = 0
    for place, at in enumerate(requests):
        while requests[first] <= at - 1.0:
            first += 1
        most = max(most, place - first + 1)
    return most


Judge = Callable[[], Judgement]
