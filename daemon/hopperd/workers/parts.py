"""What the workers work with: the ports, joined by app.py, and the settings that shape them."""

from __future__ import annotations

import asyncio
import math
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final

from hopperd.pipeline.events import Step
from hopperd.pipeline.job import JobId, Policy
from hopperd.pipeline.polling import Learned
from hopperd.ports import ALONE, CaptureService, Clock, Folders, Inbox, Inspector, Lease, Ledger, Turns
from hopperd.settings import Account, Folder, HistoryLimits
from hopperd.workers.pulse import Pulse

NOTHING_LEARNED: Final = Learned(mean_log=math.log(2.0), var_log=1.5**2)
"""Before the first task has ended: looks from two seconds on, with gaps that grow as fast as the widest spread says."""


ANSWERS_KEPT: Final = 10_000
TROUBLE_REMEMBERED_SECONDS: Final = 300.0


class Answered:
    """Which job the tasks named by the latest Runs belong to, also before the ledger has recorded it."""

    def __init__(self) -> None:
        self._jobs: dict[str, JobId] = {}

    def claim(self, task_id: str, job_id: JobId) -> JobId:
        """The job whose task it is: this one, unless another's Run was answered with it before."""
        first = self._jobs.setdefault(task_id, job_id)
        if len(self._jobs) > ANSWERS_KEPT:
            del self._jobs[next(iter(self._jobs))]
        return first


@dataclass(slots=True)
class AccountParts:
    """One account: its settings, the service as its application sees it, its limits."""

    settings: Account
    service: CaptureService
    turns: Turns
    answered: Answered = field(default_factory=Answered)


async def _at_once() -> None: ...


@dataclass(slots=True)
class FolderParts:
    """One hot folder: its settings, the rules they make, its disk."""

    settings: Folder
    policy: Policy
    disk: Folders
    inbox: Inbox
    prepare: Callable[[], Awaitable[None]]
    learned: Learned = NOTHING_LEARNED
    hangs: asyncio.Event = field(default_factory=asyncio.Event)  # nothing is begun that would hang as well
    waiting_seconds: Callable[[], float] = lambda: 0.0  # for how long the oldest of what was asked of it has been
    answers: Callable[[], Awaitable[None]] = _at_once  # a small question, for what is there to answer it

    troubles: dict[Step, tuple[str, float]] = field(default_factory=dict)  # what the latest try of each met, and when

    def has_met(self, step: Step, what: str, now: float) -> bool:
        """The step has met trouble. True: the folder had none."""
        is_new = self.trouble(now) is None
        self.troubles[step] = what, now
        return is_new

    def has_passed(self, step: Step) -> bool:
        """The step is done. True: it was the last that had met trouble."""
        return self.troubles.pop(step, None) is not None and not self.troubles

    def trouble(self, now: float) -> str | None:
        """What steps of jobs meet in the folder at present. Nobody may be left to try: what is old is forgotten."""
        self.troubles = {step: met for step, met in self.troubles.items() if now - met[1] < TROUBLE_REMEMBERED_SECONDS}
        return next(iter(self.troubles.values()), (None, now))[0]

    @property
    def is_hanging(self) -> bool:
        """It was asked for something small, and has not answered for long."""
        return self.hangs.is_set()

    @property
    def run_properties(self) -> dict[str, str]:
        """The string properties of every Run of this folder, the folder's further ones included."""
        settings = self.settings
        return {
            **settings.properties,
            "region": settings.region,
            "export_format": settings.export_format,
            "verification_type": settings.verification_type,
        }


@dataclass(slots=True)
class Parts:
    """Everything, for one daemon."""

    ledger: Ledger
    clock: Clock
    inspector: Inspector
    accounts: dict[str, AccountParts]
    folders: dict[str, FolderParts]
    random: random.Random
    wake: Callable[[], None] = lambda: None
    pulse: Pulse = field(default_factory=Pulse)
    lease: Lease = ALONE
    history: HistoryLimits = field(default_factory=lambda: HistoryLimits())
