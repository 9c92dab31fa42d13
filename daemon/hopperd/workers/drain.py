"""`run --once`: when nothing can move any more except by a person, and how it went."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Final, Literal

from hopperd.pipeline.job import OPEN_STAGES, Job, Stage, replace
from hopperd.ports import JobQuery
from hopperd.workers.intake import Intake
from hopperd.workers.parts import Parts

Ended = Literal["fine", "work-failed", "credentials"]
LOOK_SECONDS: Final = 0.1
JOBS_AT_ONCE: Final = 500
TIDY_SECONDS: Final = 10.0


class Drain:
    """Watches a line until it stands still. `wait_seconds` is how much weather in a row is waited out."""

    def __init__(self, parts: Parts, intakes: Sequence[Intake], wait_seconds: float) -> None:
        self._parts = parts
        self._intakes = intakes
        self._wait_seconds = wait_seconds
        self._started = parts.clock.now()
        self._weather_since: float | None = None
        self._tidy_since: float | None = None

    async def run(self) -> Ended:
        while True:
            await self._parts.clock.sleep(LOOK_SECONDS)
            incoming = self._incoming()  # before the jobs: what is being claimed meanwhile must be seen on one side
            accounts, is_moving = await self._look_at_jobs()
            troubled = [intake for intake in self._intakes if intake.trouble is not None]
            if not accounts and not incoming and not troubled and not await self._is_twin_woken():
                if await self._is_tidy():
                    return await self._verdict()
                continue
            if accounts and accounts <= self._refused_accounts() and not incoming:
                return "credentials"
            if is_moving or any(intake not in troubled for intake in incoming):
                self._weather_since = None
            elif self._weather_seconds() > self._wait_seconds:
                return "work-failed"

    def _incoming(self) -> list[Intake]:
        return [intake for intake in self._intakes if not intake.is_idle and intake.pause is None]

    async def _look_at_jobs(self) -> tuple[set[str], bool]:
        """The accounts of jobs that could still move by themselves, up to the first that weather does not keep; and
        whether there is such a one. Who waits for its twin moves when the twin does."""
        accounts: set[str] = set()
        async for job in self._jobs(waiting_for_twin=False):
            accounts.add(job.account)
            if job.attempts == 0 and self._parts.accounts[job.account].turns.pause_now is None:
                return accounts, True
        return accounts, False

    async def _is_twin_woken(self) -> bool:
        """Whether one that waited for its twin is to look again now: the twin has ended, and it moves in a moment."""
        now = self._parts.clock.now()
        async for job in self._jobs(waiting_for_twin=True):
            if job.due_at <= now:
                return True
        return False

    async def _jobs(self, *, waiting_for_twin: bool) -> AsyncIterator[Job]:
        """Open jobs of this configuration that no person keeps; the newest first."""
        folders, accounts = self._parts.folders, self._parts.accounts
        query = JobQuery(
            stages=OPEN_STAGES,
            held=False,
            waiting_for_person=False,
            waiting_for_twin=waiting_for_twin,
            limit=JOBS_AT_ONCE,
        )
        while True:
            page = await self._parts.ledger.page(query)
            for job in page:
                if job.folder in folders and job.account in accounts:
                    yield job
            if len(page) < JOBS_AT_ONCE:
                return
            query = replace(query, before=page[-1].id)

    async def _is_tidy(self) -> bool:
        """Remote clean-up has ended, or it has had its time: a job is done without it."""
        if not await self._parts.ledger.untidied():
            return True
        self._tidy_since = self._tidy_since or self._parts.clock.monotonic()
        return self._parts.clock.monotonic() - self._tidy_since > min(TIDY_SECONDS, self._wait_seconds)

    def _refused_accounts(self) -> set[str]:
        pauses = {name: parts.turns.pause_now for name, parts in self._parts.accounts.items()}
        return {name for name, pause in pauses.items() if pause is not None and pause.reason == "credentials"}

    def _weather_seconds(self) -> float:
        now = self._parts.clock.monotonic()
        if self._weather_since is None:
            self._weather_since = now
        return now - self._weather_since

    async def _verdict(self) -> Ended:
        """Fine only if nothing failed since the start and nothing is held or waits for a person."""
        still_open = await self._parts.ledger.page(JobQuery(stages=OPEN_STAGES, limit=1))
        failed = await self._parts.ledger.page(JobQuery(stages=(Stage.FAILED,), entered_since=self._started, limit=1))
        return "work-failed" if still_open or failed else "fine"
