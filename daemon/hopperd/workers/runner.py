"""Takes what is due, performs one step, records what happened, and so on until the job waits for something.

One task carries one job at a time, and only jobs in hand are in memory: the backlog stays in `in/` and in the ledger.
What is in hand is bounded by lanes, so that a thousand uploads cannot keep a finished task from being fetched.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, Final, Literal

import structlog

from hopperd.errors import NoRoom, Stale
from hopperd.logs import redaction
from hopperd.pipeline.events import Event, PutOnHold, RunAccepted, RunDeclined, RunDoubted, Step, Weather
from hopperd.pipeline.job import Hold, Job, JobId, Stage, replace
from hopperd.pipeline.machine import advance, next_step
from hopperd.pipeline.naming import printable
from hopperd.pipeline.transitions import ONCE_ONLY
from hopperd.ports import LedgerTrouble, Wanted
from hopperd.workers.parts import Parts
from hopperd.workers.perform import perform
from hopperd.workers.sending import changed_before_run
from hopperd.workers.stepping import LEDGER_RETRY_SECONDS
from hopperd.workers.telling import tell

log = structlog.get_logger("hopperd.runner")

Lane = Literal["send", "look", "fetch", "file"]
LANES: Final[dict[Lane, tuple[Stage, ...]]] = {
    "send": (Stage.CLAIMED, Stage.UPLOADED, Stage.SUBMITTING),
    "look": (Stage.SUBMITTED,),
    "fetch": (Stage.CAPTURED,),
    "file": (Stage.FETCHED, Stage.DELIVERED, Stage.ABANDONED),
}
AT_THE_SERVICE: Final[frozenset[Lane]] = frozenset({"send", "look", "fetch"})
LOOKS_IN_HAND: Final = 64
FILINGS_IN_HAND: Final = 32
SUSPECTS_IN_HAND: Final = 1
SUSPECTS_SET_ASIDE: Final = 500
LONGEST_NAP_SECONDS: Final = 5.0
SHORTEST_NAP_SECONDS: Final = 0.01
LEASE_NAP_SECONDS: Final = 0.5


class Runner:
    """Carries every open job of every account. `run` ends only when `stop` was called."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._log: Any = log.bind()  # once: making a logger costs as much as writing its line
        self._in_hand: dict[JobId, asyncio.Task[None]] = {}
        self._lanes: dict[tuple[str, Lane], dict[JobId, str]] = {}  # with the folder of each
        self._asking: set[JobId] = set()  # a Run of theirs is under way: not to be disturbed
        self._suspects: set[JobId] = set()  # in hand, and a child has died over them
        self._set_aside: set[JobId] = set()  # due, and suspects as well: their turn comes when one is put down
        self._untouchable: set[JobId] = set()  # a mistake was made over them, and another when they were to be held
        self._wake = asyncio.Event()
        self._turns = 0
        self._stopping = False
        self._unrecorded: set[JobId] = set()  # what happened to them waits for the ledger's disk
        self.ledger_trouble: str | None = None
        self.paused_folders: set[str] = set()

    def wake(self) -> None:
        """Something may be due: a job was opened, released, or changed by a person."""
        self._wake.set()

    @property
    def busy(self) -> int:
        return len(self._in_hand)

    async def run(self) -> None:
        while not self._stopping:
            self._wake.clear()
            try:
                nap = await self._pick_up()
                if not self._unrecorded:  # a full disk can be read from: only what is written proves it well
                    self.ledger_trouble = None
            except LedgerTrouble as trouble:
                self._say_ledger_trouble(trouble)
                nap = LEDGER_RETRY_SECONDS
            try:
                async with asyncio.timeout(nap):
                    await self._wake.wait()
            except TimeoutError:
                pass
            else:
                # Many carries end within a moment: one look at the ledger serves them all.
                await self._parts.clock.sleep(SHORTEST_NAP_SECONDS)

    async def _pick_up(self) -> float:
        """Take in hand what is due and has room in its lane; seconds until something is due next."""
        if not self._parts.lease.is_held:
            return LEASE_NAP_SECONDS
        cut_off = {name for name, account in self._parts.accounts.items() if account.turns.is_cut_off}
        for account in cut_off:
            await self._leave_to_others(account)
        lanes = [
            (lane, Wanted(account=account, stages=LANES[lane], limit=free))
            for account in self._parts.accounts
            for lane in (LANES if account not in cut_off else LANES.keys() - AT_THE_SERVICE)
            if (free := self._lane_size(account, lane) - self._taken(account, lane)) > 0
        ]
        now = self._parts.clock.now()
        folders = {name for name, folder in self._parts.folders.items() if not folder.is_hanging} - self.paused_folders
        not_these = self._in_hand.keys() | self._set_aside | self._untouchable
        found, next_due = await self._parts.ledger.pick_up([wanted for _, wanted in lanes], now, not_these, folders)
        for (lane, wanted), jobs in zip(lanes, found, strict=True):
            for job in await self._with_others_first(wanted, jobs, now, not_these, folders):
                if job.id not in self._in_hand and not self._stopping and not self._is_set_aside(job):
                    self._take_in_hand(job, self._held(wanted.account, lane))
        if next_due is None:
            return LONGEST_NAP_SECONDS
        return min(LONGEST_NAP_SECONDS, max(SHORTEST_NAP_SECONDS, next_due - self._parts.clock.now()))

    async def _leave_to_others(self, account: str) -> None:
        """What needs the service, where other nodes reach it and this one does not; not what has begun."""
        stages = [stage for lane in sorted(AT_THE_SERVICE) for stage in LANES[lane]]
        left = await self._parts.ledger.leave_to_others(account, stages, self._in_hand.keys())
        for job_id in left:
            self._parts.accounts[account].turns.leave(job_id)
        if left:
            log.warning("left-to-others", account=account, jobs=len(left))

    async def _with_others_first(
        self, wanted: Wanted, jobs: list[Job], now: float, not_these: Collection[JobId], folders: set[str]
    ) -> list[Job]:
        """Where more is due than fits, half of the room is for one folder, another each time: what is due longest are
        perhaps the thousand files of a single one, and nobody else's file is to wait until they are through."""
        if len(jobs) < wanted.limit:
            return jobs
        settings = {name: self._parts.folders[name].settings for name in folders}
        sharing = sorted(
            name
            for name, one in settings.items()
            if one.account == wanted.account and one.priority >= jobs[0].priority  # a lower one waits by order
        )
        if len(sharing) < 2:
            return jobs
        self._turns += 1
        favoured = {sharing[self._turns % len(sharing)]}
        half = replace(wanted, limit=(wanted.limit + 1) // 2)
        (first,), _ = await self._parts.ledger.pick_up([half], now, not_these, favoured)
        known = {job.id for job in first}
        return [*first, *(job for job in jobs if job.id not in known)][: wanted.limit]

    def _held(self, account: str, lane: Lane) -> dict[JobId, str]:
        return self._lanes.setdefault((account, lane), {})

    def _taken(self, account: str, lane: Lane) -> int:
        """Places in the lane. What hangs with its folder takes none: the other folders' jobs go on past it."""
        held = self._held(account, lane).values()
        return sum(not self._parts.folders[folder].is_hanging for folder in held)

    def _is_set_aside(self, job: Job) -> bool:
        """A job over which a child has died goes one at a time, so that poison never has more than one child."""
        if not job.deaths or job.stage is not Stage.CLAIMED:
            return False
        if len(self._suspects) < SUSPECTS_IN_HAND:
            self._suspects.add(job.id)
            return False
        if len(self._set_aside) < SUSPECTS_SET_ASIDE:
            self._set_aside.add(job.id)
            self._wake.set()  # the question is asked again without it: it may have taken another's place in the answer
        return True

    def _take_in_hand(self, job: Job, held: dict[JobId, str]) -> None:
        held[job.id] = job.folder
        self._parts.lease.take(job.id)
        task = asyncio.create_task(self._carry_safely(job), name=f"carry {job.id}")
        self._in_hand[job.id] = task
        task.add_done_callback(partial(self._put_down, held, job.id))

    def _lane_size(self, account: str, lane: Lane) -> int:
        settings = self._parts.accounts[account].settings
        match lane:
            case "send":
                return max(16, 4 * settings.uploads_at_once)
            case "look":
                return LOOKS_IN_HAND
            case "fetch":
                return max(8, 2 * settings.fetches_at_once)
            case "file":
                return FILINGS_IN_HAND

    def _put_down(self, held: dict[JobId, str], job_id: JobId, _: object) -> None:
        held.pop(job_id, None)
        self._in_hand.pop(job_id, None)
        self._parts.lease.put_down(job_id)
        self._unrecorded.discard(job_id)
        if job_id in self._suspects:
            self._suspects.discard(job_id)
            self._set_aside.clear()
        self._wake.set()

    # ------------------------------------------------------------------------------------------------ one job

    async def _carry_safely(self, job: Job) -> None:
        try:
            await self.carry(job)
        except Stale:
            pass  # somebody else moved it: put down quietly
        except LedgerTrouble as trouble:
            self._say_ledger_trouble(trouble)  # taken in hand again when the ledger answers
        except Exception as mistake:  # a mistake of ours must cost one job, not the line
            log.exception("internal-error", job=job.id, folder=job.folder, stage=job.stage.value)
            try:
                await self._hold_after_mistake(job.id, mistake)
            except (Stale, LedgerTrouble):
                pass
            except Exception:
                # It cannot even be held: left alone until the next start, so that no step of it is done for ever.
                self._untouchable.add(job.id)
                log.exception("job-set-aside", job=job.id, folder=job.folder, do="Please report it with the log.")

    async def carry(self, job: Job) -> None:
        """Step after step until nothing is due. The one loop of the daemon."""
        clock = self._parts.clock
        while (step := next_step(job, clock.now())) and job.due_at <= clock.now() and not self._stopping:
            if step in ONCE_ONLY:
                carried = await self._ask_once(step, job)
                if carried is None:
                    return
                job = carried
            else:
                self._parts.lease.check(job.id)
                job = await self._record(job, await perform(step, job, self._parts))

    async def _ask_once(self, step: Step, job: Job) -> Job | None:
        """The unrepeatable step: a place and a token first, then the durable intent, then the request."""
        turns = self._parts.accounts[job.account].turns
        try:
            async with turns.turn(job.id, "run", job.folder):
                if self._stopping:
                    return None
                if next_step(job, self._parts.clock.now()) is step:  # the upload may have expired while we waited
                    called_off = await changed_before_run(job, self._parts)
                    if called_off is not None:
                        return await self._record(job, called_off)
                    self._parts.lease.check(job.id)
                    async with self._undisturbed(job.id):
                        try:
                            job = await self._record(job, ONCE_ONLY[step], most_in_flight=turns.most_in_flight)
                        except NoRoom:
                            turns.no_room(job.id)
                            return None
                        job = await self._record_answer(job, await self._ask(step, job))
            return job
        finally:
            if job.stage is not Stage.SUBMITTED:
                turns.leave(job.id)

    async def _ask(self, step: Step, job: Job) -> Event:
        """What came of the intent; where it did not come to a request, that is certain, and no doubt."""
        try:
            await self._parts.accounts[job.account].turns.renew(job.id)  # the intent may have waited long for the disk
            self._parts.lease.check(job.id)
        except Stale as stale:
            what = f"the Run was not asked for: {stale}"
            return RunDeclined(weather=Weather(kind="network", what=what, jitter=self._parts.random.random()))
        return await perform(step, job, self._parts)

    async def _record_answer(self, job: Job, event: Event) -> Job:
        try:
            return await self._record(job, event)
        except Stale:
            if isinstance(event, RunAccepted):  # whoever settles the doubt may be a person, who is to hear of the task
                log.warning(
                    "run-answered-late",
                    job=job.id,
                    folder=job.folder,
                    task=event.task.number or event.task.id,
                    task_id=event.task.id,
                    do=f"`hopperd show {job.id}`: where it is held, `hopperd release {job.id} --task {event.task.id}`.",
                )
            raise

    @asynccontextmanager
    async def _undisturbed(self, job_id: JobId) -> AsyncIterator[None]:
        self._asking.add(job_id)
        try:
            yield
        finally:
            self._asking.discard(job_id)

    async def _record(self, job: Job, event: Event, *, most_in_flight: int | None = None) -> Job:
        """Record the event durably. While the ledger's disk is full the event is kept, not the job redone.

        Where a person put a mark on the job meanwhile, the event still happened: it is recorded on top of the mark.
        Stale is raised where the job has left its stage.
        """
        now = self._parts.clock.now()
        while True:
            after = advance(job, event, now, self._parts.folders[job.folder].policy)
            try:
                recorded = await self._parts.ledger.record(job, after, event, now, most_in_flight=most_in_flight)
            except LedgerTrouble as trouble:
                self._unrecorded.add(job.id)
                self._say_ledger_trouble(trouble)
                await self._parts.clock.sleep(LEDGER_RETRY_SECONDS)
            except Stale as stale:
                current = await self._parts.ledger.get(job.id)
                if current == after:  # a commit that reported trouble had taken effect
                    return self._recorded(job, after, event, now)
                if stale.taken_over:
                    raise
                if current is None or current.stage is not job.stage or current.version == job.version:
                    raise
                if event in ONCE_ONLY.values():
                    raise  # an intent is no fact yet: whoever held the job meanwhile was first
                job = current
            else:
                self._unrecorded.discard(job.id)
                return self._recorded(job, recorded, event, now)

    def _recorded(self, before: Job, after: Job, event: Event, now: float) -> Job:
        if not _may_have_a_task(after):
            self._parts.accounts[after.account].turns.leave(after.id)
        tell(self._log, before, after, event, now)
        return after

    async def _hold_after_mistake(self, job_id: JobId, mistake: Exception) -> None:
        job = await self._parts.ledger.get(job_id)
        if job is None or not job.is_open or job.hold is not None:
            return
        what = printable(redaction.clean(f"hopperd made a mistake at this step: {type(mistake).__name__}: {mistake}"))
        if job.stage is Stage.SUBMITTING:  # whatever went wrong, the Run may have been asked for
            await self._record(job, RunDoubted(what=what, our_mistake=True))
            return
        hold = Hold(
            reason="internal-error",
            what=what,
            do="Please report it with the log; then release the job to try again.",
            since=self._parts.clock.now(),
        )
        await self._record(job, PutOnHold(hold=hold))

    def _say_ledger_trouble(self, trouble: LedgerTrouble) -> None:
        if self.ledger_trouble is None:
            log.error("ledger-trouble", what=str(trouble), do=trouble.do)
        self.ledger_trouble = str(trouble)

    # ------------------------------------------------------------------------------------------------ the end

    async def stop(self, seconds: float) -> None:
        """Put everything down; a Run in flight may end within `seconds`, so that an orderly stop makes no doubt."""
        self._stopping = True
        self._wake.set()
        for job_id, task in list(self._in_hand.items()):
            if job_id not in self._asking:
                task.cancel()
        tasks = list(self._in_hand.values())
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=seconds)
            for task in late:
                task.cancel()
            if late:
                log.warning("stopped-with-runs-in-flight", runs=len(late))
                await asyncio.wait(late, timeout=5)


def _may_have_a_task(job: Job) -> bool:
    """Whether it takes a place among the account's tasks in flight. A doubt that waits for a person takes none."""
    return job.stage is Stage.SUBMITTED or (job.stage is Stage.SUBMITTING and job.hold is None)
