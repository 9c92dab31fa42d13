"""Several nodes on one ledger and one hot folder, on a virtual clock: killed, frozen, cut off, with differing clocks.

As `World`, with PostgreSQL in place of SQLite: the same statements as in earnest, on a real server, where the clock
alone is the world's (`statement_timestamp` is a function of ours there). The nodes' sessions are used in turn, so that
a seed gives the same run each time; a part of the notices is lost.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextvars import ContextVar, copy_context
from dataclasses import dataclass, field
from typing import Any
from unittest import mock

from hopperd.capture import share
from hopperd.ledger import fleet, link
from hopperd.ledger.lease import NodeLease
from hopperd.ledger.store import Store
from hopperd.ledger.tables import metadata
from hopperd.ports import LedgerTrouble, ServiceTrouble
from hopperd.workers.adoption import ADOPT_EVERY_SECONDS, ADOPTED_AFTER_SECONDS
from hopperd.workers.intake import Intake
from hopperd.workers.parts import Parts
from hopperd.workers.runner import Runner
from hopperd.workers.upkeep import Upkeep
from tests.support.fleet_budget import LedgerDatabase, ReachedBudget
from tests.support.fleet_database import AtThisMoment, database, say_when
from tests.support.taps import Killed, Taps
from tests.support.virtual import InlineExecutor, VirtualClock
from tests.support.world import LOOKED_AT_EVERY_SECONDS, START, World, forget_intents

NOTICES_LOST = 0.3
TOLD_EVERY_SECONDS = 2.0
SHORTEST_SLEEP_SECONDS = 1e-6  # less than that would not move the clock
CALM_SECONDS = 3 * 3600.0
CLEAR_SECONDS = ADOPTED_AFTER_SECONDS + 2 * ADOPT_EVERY_SECONDS
"""After a death: until then its last claims may lie in work/, and nobody have looked."""

Span = tuple[float, float]


@dataclass(slots=True, kw_only=True)
class Fate:
    """What happens to one machine. Spans are seconds of the world.

    `kills`: at which call each of its lives ends; then it is down for a while, or for ever. `fails`: at which call of
    each life there is an error. `sleeps`: at which of its calls it is frozen, and for how long.
    """

    kills: Sequence[int] = ()
    fails: frozenset[int] = frozenset()
    down_seconds: float = 5.0
    stays_dead: bool = False
    sleeps: dict[int, float] = field(default_factory=dict)
    no_ledger: Sequence[Span] = ()
    no_service: Sequence[Span] = ()
    clock_ahead_seconds: float = 0.0


class FleetWorld(World):
    """`fates`: one for each machine."""

    def __init__(self, seed: int, fates: Sequence[Fate], **options: Any) -> None:
        super().__init__(seed, **options)
        self._server, self.url = database()
        self.shared = LedgerDatabase(self._server)
        self.dice = random.Random(seed + 2)
        self.machines = [Machine(self, f"node-{number}", fate) for number, fate in enumerate(fates)]
        self.living: list[Life] = []
        self.died_at = float("-inf")  # the last of those who died

    def __enter__(self) -> FleetWorld:
        self._server.execute("; ".join(f"DELETE FROM {table}" for table in metadata.tables if table != "meta"))
        super().__enter__()
        self._undo.enter_context(mock.patch.object(fleet, "notify", self._notice))
        for name in ("WAITING_SECONDS", "BUSY_SECONDS", "IDLE_SECONDS"):  # less often than in earnest: hours go by here
            self._undo.enter_context(mock.patch.object(share, name, TOLD_EVERY_SECONDS))
        self._undo.enter_context(mock.patch.object(link, "awake_or_asleep", self.loop.time))
        self._undo.enter_context(mock.patch.object(self.service, "caller_is_awake", _caller_is_awake))
        self.loop.set_task_factory(_known_task)
        return self

    def tap(self, what: str) -> None:
        _here.get().tap(what)

    def _notice(self, connection: object, what: str, *, now_and_then: bool = False) -> None:
        for life in self.living:
            if life is not _here.get(None) and self.dice.random() >= NOTICES_LOST:
                self.loop.call_soon(life.hear)

    def shared_ledger(self, state: str, node: str | None, tap: Callable[[str], None] | None = None) -> Store:
        return Store.open_shared(self.root / "states" / state, self.url, node=node, inline=True, tap=tap)

    def _ledger(self) -> Store:
        store = self.shared_ledger("command", None)
        store._pump = AtThisMoment(store._pump, self)
        return store

    # ------------------------------------------------------------------------------------------------- running

    def work(self) -> bool:
        """Until nothing can move any more (True), or hours went by. Afterwards all machines are off."""
        return self.loop.run_until_complete(self._work())

    async def _work(self) -> bool:
        store = self._ledger()
        operating = [asyncio.ensure_future(machine.operate()) for machine in self.machines]
        try:
            return await self._until_all_still(store, operating)
        finally:
            for task in operating:
                task.cancel()
            await asyncio.gather(*operating, return_exceptions=True)
            await store.close()

    async def _until_all_still(self, store: Store, operating: Sequence[asyncio.Task[None]]) -> bool:
        calls = [-1]
        deadline = self.loop.time() + CALM_SECONDS
        while self.loop.time() < deadline:
            await asyncio.sleep(LOOKED_AT_EVERY_SECONDS)
            for task in operating:
                if task.done() and (error := task.exception()) is not None:
                    raise error
            is_clear = self.loop.time() > self.died_at + CLEAR_SECONDS
            if not is_clear or not self.living or not all(life.is_idle for life in self.living):
                continue
            now = [machine.calls for machine in self.machines]
            if now != calls and not await store.unfinished() and not await store.untidied():
                return True
            calls = now
        return False


class Machine:
    """Where one node runs, life after life."""

    def __init__(self, world: FleetWorld, name: str, fate: Fate) -> None:
        self.world, self.name, self.fate = world, name, fate
        self.clock = VirtualClock(world.loop, START + fate.clock_ahead_seconds)
        self.calls = 0  # outside, of all its lives
        self.frozen_until = 0.0
        self.life: Life  # the last one
        self._kills = list(fate.kills)

    async def operate(self) -> None:
        """As systemd does: started again whenever it has ended."""
        while True:
            kill = self._kills.pop(0) if self._kills else None
            self.world.lives += 1
            kill_at = frozenset() if kill is None else frozenset({kill})
            self.life = Life(self, Taps(kill_at=kill_at, fail_at=self.fate.fails))
            await asyncio.create_task(self.life.live())
            if not self._kills and self.fate.stays_dead:
                return
            await asyncio.sleep(self.fate.down_seconds)

    async def awake(self) -> None:
        """A call outside: the machine may be frozen before it, and for as long as it is nothing happens here."""
        while seconds := self.asleep_seconds():
            await asyncio.sleep(seconds)

    def asleep_seconds(self) -> float:
        """The same where nothing can be awaited: how long until it is awake."""
        self.calls += 1
        now = self.world.loop.time()
        if self.calls in self.fate.sleeps:
            self.frozen_until = max(self.frozen_until, now + self.fate.sleeps[self.calls])
        left = self.frozen_until - now
        return left if left > SHORTEST_SLEEP_SECONDS else 0.0

    async def reach_ledger(self) -> None:
        await self.awake()
        if self.is_cut_off(self.fate.no_ledger):
            raise LedgerTrouble("no network to the database")

    def is_cut_off(self, spans: Sequence[Span]) -> bool:
        now = self.world.loop.time()
        return any(start <= now < end for start, end in spans)


class Life:
    """One node: one process from its start to its end."""

    def __init__(self, machine: Machine, taps: Taps) -> None:
        self.machine, self.world, self.taps = machine, machine.world, taps
        self.tasks: set[asyncio.Task[Any]] = set()
        self.runner: Runner | None = None
        self.intake: Intake | None = None
        self.link = link.Link(self.world.url, "", machine.name, str(self.world.root / "states" / machine.name))
        self.link.id = f"{machine.name}.{self.world.lives}"  # its own draws by chance, which no seed replays
        self.link.lease = NodeLease(self.world.loop.time)

    def tap(self, what: str) -> None:
        if "service" in what and self.machine.is_cut_off(self.machine.fate.no_service):
            is_doubt = what == "after service run"
            raise ServiceTrouble("doubt" if is_doubt else "weather", "no network", kind="network")
        self.taps(what)

    def hear(self) -> None:
        if self.runner is not None and self.intake is not None and not self.taps.dead:
            self.runner.wake()
            self.intake.wake()

    @property
    def is_idle(self) -> bool:
        return self.intake is not None and self.intake.is_idle and self.intake.trouble is None

    async def live(self) -> None:
        """Until it is killed or cancelled. Raises the mistake that a worker ended by."""
        _here.set(self)
        died = asyncio.Event()
        self.taps.when_dead = died.set
        store: Store | None = None
        workers: list[asyncio.Future[Any]] = []
        try:
            while self.machine.is_cut_off(self.machine.fate.no_ledger):
                await asyncio.sleep(1.0)
            store = self._opened()
            self.world.living.append(self)
            with contextlib.suppress(LedgerTrouble):  # it could not even start: the next life tries again
                workers = [asyncio.ensure_future(worker) for worker in await self._workers(store)]
            if workers:
                await asyncio.wait([asyncio.ensure_future(died.wait()), *workers], return_when=asyncio.FIRST_COMPLETED)
            for worker in [] if self.taps.dead else workers:
                if worker.done() and not worker.cancelled() and (error := worker.exception()) is not None:
                    raise error
        except Killed:
            pass
        finally:
            await self._end(store)

    def _opened(self) -> Store:
        store = self.world.shared_ledger(self.machine.name, self.link.id, self.tap)
        store._pump = _OfANode(store._pump, self)
        with contextlib.ExitStack() as undo:
            undo.callback(self.link._drop)
            self.link._open()
            say_when(self.link._session(), self.world)
            self.link._bury()
            self.link._beat()
            undo.pop_all()
        return store

    async def _workers(self, store: Store) -> list[Any]:
        if self.world.no_intent:
            forget_intents(store)
        parts = self._parts(store)
        self.runner = Runner(parts)
        parts.wake = self.runner.wake
        self.intake = Intake("us", parts, self.runner.wake)
        limits = parts.accounts["main"].turns
        for job_id in await store.in_flight("main"):
            limits.enter(job_id)
        await self.intake.prepare()
        upkeep = Upkeep(parts)
        probing: Any = limits.keep_probing(self.world.service.probe)  # type: ignore[attr-defined]
        sharing: Any = limits.keep_sharing()  # type: ignore[attr-defined]
        return [self._beat(), self.runner.run(), self.intake.run(), upkeep.run(), probing, sharing]

    def _parts(self, store: Store) -> Parts:
        world = self.world
        budget = ReachedBudget(self.link.id, world.shared, self.machine.reach_ledger)
        parts = world._parts(store, self.machine.clock, _Executor(self.machine), budget)
        parts.lease = self.link.lease
        parts.random = random.Random(self.world.dice.random())
        return parts

    async def _beat(self) -> None:
        while True:
            await self.machine.awake()
            if not self.machine.is_cut_off(self.machine.fate.no_ledger):
                say_when(self.link._session(), self.world)
                self.link._beat()
            await asyncio.sleep(link.BEAT_SECONDS)

    async def _end(self, store: Store | None) -> None:
        """The process is gone: whatever its tasks still try finds every call dead."""
        self.taps.dead = True
        self.world.died_at = self.world.loop.time()
        if self in self.world.living:
            self.world.living.remove(self)
        while others := [task for task in self.tasks if not task.done()]:
            for task in others:
                task.cancel()
            await asyncio.wait(others)
        self.link._drop()
        if store is not None:
            with contextlib.suppress(Killed):
                await store.close()


_here: ContextVar[Life] = ContextVar("life")


def _known_task(loop: asyncio.AbstractEventLoop, coroutine: Any, **options: Any) -> asyncio.Task[Any]:
    """Each task is known to the life it belongs to."""
    task = asyncio.Task(coroutine, loop=loop, **options)
    life = _here.get(None)
    if life is not None:
        life.tasks.add(task)
        task.add_done_callback(life.tasks.discard)
    return task


async def _caller_is_awake() -> None:
    await _here.get().machine.awake()


class _Executor(InlineExecutor):
    """A disk call at once, or when the machine is awake again."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        seconds = self._machine.asleep_seconds()
        if not seconds:
            return super().submit(fn, *args, **kwargs)
        later: Future[Any] = Future()

        def now() -> None:
            life = _here.get()
            if life.taps.dead:
                later.cancel()
                return
            done = InlineExecutor.submit(self, fn, *args, **kwargs)
            later.set_exception(error) if (error := done.exception()) else later.set_result(done.result())

        self._machine.world.loop.call_later(seconds, now, context=copy_context())
        return later


class _OfANode(AtThisMoment):
    def __init__(self, pump: Any, life: Life) -> None:
        super().__init__(pump, life.world)
        self._life = life

    async def _before(self) -> None:
        if self._life.taps.dead:
            raise Killed("the ledger")
        await self._life.machine.reach_ledger()
        await super()._before()

    async def _after(self) -> None:
        await self._life.machine.awake()
