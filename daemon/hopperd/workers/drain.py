"""`run --once`: when nothing can move any more except by a person, and how it went."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal

from hopperd.pipeline.job import OPEN_STAGES, Job, Stage
from hopperd.ports import JobQuery
from hopperd.workers.intake import Intake
from hopperd.workers.parts import Parts

Ended = Literal["fine", "work-failed", "credentials"]
LOOK_SECONDS: Final = 0.1
JOBS_LOOKED_AT: Final = 500
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
            jobs = await self._parts.ledger.page(
                JobQuery(stages=OPEN_STAGES, held=False, waiting_for_person=False, limit=JOBS_LOOKED_AT)
            )
            movable = self._movable(jobs)
            troubled = [intake for intake in self._intakes if intake.trouble is not None]
            if not movable and not incoming and not troubled:
                if await self._is_tidy():
                    return await self._verdict()
                continue
            refused = self._refused_accounts()
            if movable and {job.account for job in movable} <= refused and not incoming:
                return "credentials"
            if self._is_weather(movable, incoming, troubled):
                if self._weather_seconds() > self._wait_seconds:
                    return "work-failed"
            else:
                self._weather_since = None

    def _incoming(self) -> list[Intake]:
        return [intake for intake in self._intakes if not intake.is_idle and intake.pause is None]

    def _movable(self, jobs: Sequence[Job]) -> list[Job]:
        """Jobs that could still move by themselves. One that waits for its twin moves when the twin does."""
        folders, accounts = self._parts.folders, self._parts.accounts
        at_home = [job for job in jobs if job.folder in folders and job.account in accounts]
        return [job for job in at_home if not (job.twin and not job.twin.delivered)]

    async def _is_tidy(self) -> bool:
        """Remote clean-up has ended, or it has had its time: a job is done without it."""
        if not await self._parts.ledger.untidied():
            return True
        self._tidy_since = self._tidy_since or self._parts.clock.monotonic()
        return self._parts.clock.monotonic() - self._tidy_since > min(TIDY_SECONDS, self._wait_seconds)

    def _refused_accounts(self) -> set[str]:
        pauses = {name: parts.turns.pause_now for name, parts in self._parts.accounts.items()}
        return {name for name, pause in pauses.items() if pause is not None and pause.reason == "credentials"}

    def _is_weather(self, movable: Sequence[Job], incoming: Sequence[Intake], troubled: Sequence[Intake]) -> bool:
        if any(intake not in troubled for intake in incoming):
            return False
        for job in movable:
            account_paused = self._parts.accounts[job.account].turns.pause_now is not None
            if job.attempts == 0 and not account_paused:
                return False
        return bool(movable or troubled)

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
