"""What nobody waits for: remote clean-up, clock steps, notices of jobs that are stuck, retention.

A job is done without any of it; whatever fails here is tried again at the next round.
"""

from __future__ import annotations

import asyncio
import datetime
import math
from typing import Final

import structlog

from hopperd.errors import Stale
from hopperd.pipeline.job import OPEN_STAGES, Job, JobId, Policy, Stage
from hopperd.pipeline.machine import advance
from hopperd.pipeline.naming import printable
from hopperd.pipeline.retry import LONGEST_DELAY_SECONDS
from hopperd.ports import FolderTrouble, JobQuery, LedgerTrouble
from hopperd.workers.delivering import tidy_remote
from hopperd.workers.parts import Parts

log = structlog.get_logger("hopperd.upkeep")

ROUND_SECONDS: Final = 2.0
TIDIED_AT_ONCE: Final = 8
"""Each is three short requests: at 300 ms a request eight keep up with nine invoices a second."""

TIDIED_BETWEEN_QUESTIONS: Final = 8 * TIDIED_AT_ONCE
TIDY_AGAIN_SECONDS: Final = 0.5

CLOCK_STEP_SECONDS: Final = 60.0
STUCK_EVERY_SECONDS: Final = 60.0
RETENTION_EVERY_SECONDS: Final = 3600.0
DAY_SECONDS: Final = 86400.0
IDLE_DAYS_BELIEVED: Final = 7
"""A clock that is further ahead of the last job is perhaps wrong; retention waits a day for somebody to set it."""

STUCK_REMEMBERED: Final = 10_000
PURGED_AT_ONCE: Final = 200
COUNTED_AT_ONCE: Final = 10_000


class Upkeep:
    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._stopping = False
        self._wall: float | None = None
        self._monotonic = 0.0
        self._stuck_at = 0.0
        self._retention_at: float | None = None  # None: not decided yet in this life
        self._too_many: int | None = None  # jobs beyond the limit of rows, as last counted
        self._told_stuck: dict[tuple[JobId, Stage], None] = {}

    def stop(self) -> None:
        self._stopping = True

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self._keep_round())
            for account in self._parts.accounts:
                group.create_task(self._keep_tidy(account))

    async def _keep_round(self) -> None:
        while not self._stopping:
            try:
                await self.round()
            except LedgerTrouble as trouble:
                log.warning("upkeep-postponed", what=str(trouble))
            await self._parts.clock.sleep(ROUND_SECONDS)

    async def _keep_tidy(self, account: str) -> None:
        """As long as there is much to delete, at once; soon again where there was some; else every now and then."""
        while not self._stopping:
            nap = ROUND_SECONDS
            try:
                tidied = await self._tidy(account)
                nap = 0.0 if tidied == TIDIED_BETWEEN_QUESTIONS else TIDY_AGAIN_SECONDS if tidied else ROUND_SECONDS
            except LedgerTrouble as trouble:
                log.warning("upkeep-postponed", what=str(trouble))
            if nap:
                await self._parts.clock.sleep(nap)

    async def round(self) -> None:
        """Everything but the deleting at the service once, in small steps."""
        await self._mind_the_clock()
        now = self._parts.clock.monotonic()
        if not self._parts.lease.is_eldest:
            return  # what is left is done by one node for all
        if now >= self._stuck_at:
            self._stuck_at = now + STUCK_EVERY_SECONDS
            await self._tell_stuck()
        if self._retention_at is None:
            self._retention_at = now if await self._is_believable() else now + DAY_SECONDS
        if now >= self._retention_at and not await self._let_go() and not await self._purge():
            self._retention_at = now + RETENTION_EVERY_SECONDS

    async def _is_believable(self) -> bool:
        """Whether the wall clock may be trusted to say what is old enough to be let go."""
        last = await self._parts.ledger.page(JobQuery(limit=1))
        idle_seconds = self._parts.clock.now() - last[0].opened_at if last else 0.0
        if idle_seconds <= IDLE_DAYS_BELIEVED * DAY_SECONDS:
            return True
        log.warning(
            "retention-postponed",
            what=f"by this machine's clock the last job is {idle_seconds / DAY_SECONDS:.0f} days old",
            do="Nothing, if that is true: what is old enough is let go in a day. Else set the clock.",
        )
        return False

    async def _mind_the_clock(self) -> None:
        """Due times are of the wall clock: when it steps, none may lie further ahead than any delay can be.

        At the first round always: a step while no daemon ran is seen by nobody.
        """
        wall, monotonic = self._parts.clock.now(), self._parts.clock.monotonic()
        step = (wall - self._wall) - (monotonic - self._monotonic) if self._wall is not None else None
        if step is None or abs(step) > CLOCK_STEP_SECONDS:
            clamped = await self._parts.ledger.clamp_due(wall, LONGEST_DELAY_SECONDS)
            if step is not None or clamped:
                log.warning("clock-stepped", seconds=round(step or 0.0, 1), due_times_clamped=clamped)
                self._parts.wake()
            if step is not None:
                self._retention_at = monotonic + DAY_SECONDS  # which of the two times was right will have shown
        self._wall, self._monotonic = wall, monotonic

    async def _tidy(self, account: str) -> int:
        """Delete task and files at the service, for jobs that are done. How many it went well for.

        In a line of its own behind the account's limits, so that it costs nobody his place, and as many at once as keep
        up with what is delivered: what is left at the service for long is forgotten there and may be somebody's secret.
        """
        if self._parts.accounts[account].turns.is_cut_off:
            return 0
        due = await self._parts.ledger.tidy_due(account, self._parts.clock.now(), TIDIED_BETWEEN_QUESTIONS)
        left = iter(due)

        async def some() -> int:
            well = 0
            for job in left:
                if self._stopping:
                    break
                well += await self._tidy_one(job)
            return well

        return sum(await asyncio.gather(*(some() for _ in range(min(TIDIED_AT_ONCE, len(due))))))

    async def _tidy_one(self, job: Job) -> bool:
        try:
            event = await tidy_remote(job, self._parts)
        except Stale:
            return False  # this node is cut off from the service
        now = self._parts.clock.now()
        folder = self._parts.folders.get(job.folder)  # it may have left the configuration
        after = advance(job, event, now, folder.policy if folder is not None else Policy())
        try:
            await self._parts.ledger.record(job, after, event, now)
        except Stale:
            pass
        except LedgerTrouble as trouble:
            log.warning("upkeep-postponed", what=str(trouble))
            return False
        return True

    async def _let_go(self) -> int:
        """A small step of what retention asks for: old days of done/, old digests. 0 when nothing was left to do."""
        gone = 0
        now = self._parts.clock.now()
        for name, folder in self._parts.folders.items():
            days = folder.settings.done_days
            if days == 0:
                continue
            before = datetime.datetime.fromtimestamp(now - days * DAY_SECONDS, datetime.UTC).date()
            try:
                cleared = await folder.disk.clear_done(before)
            except FolderTrouble as trouble:
                log.warning("retention-postponed", folder=name, what=trouble.what)
                continue
            if cleared:
                log.info("done-cleared", folder=name, files=cleared, before=before.isoformat())
            gone += cleared
        remembered = max((folder.settings.duplicates_days for folder in self._parts.folders.values()), default=0)
        if remembered:
            gone += await self._parts.ledger.purge_digests(now - remembered * DAY_SECONDS)
        return gone

    async def _purge(self) -> int:
        """A small step of what the history's limits ask for; 0 when nothing was left to do.

        The rows are counted once for each round of retention, in slices with rests between: what is added meanwhile
        is found the next time.
        """
        limits = self._parts.history
        if limits.days:
            gone = await self._parts.ledger.purge(self._parts.clock.now() - limits.days * DAY_SECONDS, PURGED_AT_ONCE)
            if gone:
                log.info("history-purged", jobs=gone, older_than_days=limits.days)
                return gone
        if limits.rows and self._too_many is None:
            self._too_many = await self._count() - limits.rows
        if self._too_many is not None and self._too_many > 0:
            gone = await self._parts.ledger.purge(math.inf, min(PURGED_AT_ONCE, self._too_many))
            self._too_many -= gone
            if gone:
                log.info("history-purged", jobs=gone, more_than_rows=limits.rows)
                return gone
        self._too_many = None
        return 0

    async def _count(self) -> int:
        count, after = 0, ""
        while True:
            some, last = await self._parts.ledger.count_slice(after, COUNTED_AT_ONCE)
            count += some
            if last is None or some < COUNTED_AT_ONCE:
                return count
            after = last
            await self._parts.clock.sleep(0.01)

    async def _tell_stuck(self) -> None:
        """One notice for each job and stage that has not moved for longer than its folder allows. Nothing fails."""
        now = self._parts.clock.now()
        for name, folder in self._parts.folders.items():
            for stage in OPEN_STAGES:
                limit = folder.settings.stuck_after.of(stage.value)
                if limit is None:
                    continue
                query = JobQuery(folder=name, stages=(stage,), held=False, in_stage_since=now - limit, limit=100)
                for job in await self._parts.ledger.page(query):
                    if job.verification_url is not None or (job.id, stage) in self._told_stuck:
                        continue
                    if len(self._told_stuck) >= STUCK_REMEMBERED:
                        self._told_stuck.pop(next(iter(self._told_stuck)))
                    self._told_stuck[(job.id, stage)] = None
                    log.warning(
                        "stuck",
                        job=job.id,
                        folder=name,
                        stage=stage.value,
                        file=printable(job.group or job.originals[0].name),
                        seconds=round(now - job.entered_at),
                        waiting=job.waiting,
                        do=f"hopperd show {job.id}",
                    )
