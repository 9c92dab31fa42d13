"""Promise: `run --once` ends when nothing can move any more except by a person, and not before."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import pytest_asyncio

from hopperd.ledger.store import Store
from hopperd.pipeline.events import Claimed
from hopperd.pipeline.job import Job, Stage, Twin
from hopperd.ports import Pause
from hopperd.workers import drain
from hopperd.workers.drain import Drain
from hopperd.workers.intake import Intake
from hopperd.workers.parts import Parts
from tests.support.jobs import NOW, job

pytestmark = pytest.mark.asyncio

WAIT_SECONDS = 60.0


class Looks:
    """A clock whose every sleep is one look; the tests say what happens in between."""

    def __init__(self) -> None:
        self.slept = 0.0
        self.waking = asyncio.Event()
        self.asleep = asyncio.Event()

    def now(self) -> float:
        return NOW + self.slept

    def monotonic(self) -> float:
        return self.slept

    async def sleep(self, seconds: float) -> None:
        self.asleep.set()
        await self.waking.wait()
        self.waking.clear()
        self.slept += seconds


class Line:
    """A drain over a ledger, with nothing to come in."""

    def __init__(self, ledger: Store) -> None:
        self.ledger = ledger
        self.clock = Looks()
        self.turns = SimpleNamespace(pause_now=None)
        accounts = {"main": SimpleNamespace(turns=self.turns)}
        parts = SimpleNamespace(ledger=ledger, clock=self.clock, accounts=accounts, folders={"us": None})
        idle = SimpleNamespace(is_idle=True, pause=None, trouble=None)
        drained = Drain(cast("Parts", parts), [cast("Intake", idle)], WAIT_SECONDS)
        self.running = asyncio.create_task(drained.run())

    async def put(self, *jobs: Job) -> None:
        for one in jobs:
            await self.ledger.open(one, Claimed(), twins=False)

    async def look(self, seconds: float = 0.0) -> bool:
        """One look, `seconds` later; whether it is still waiting after it."""
        await self.clock.asleep.wait()
        self.clock.asleep.clear()
        self.clock.slept += seconds
        self.clock.waking.set()
        asleep = asyncio.create_task(self.clock.asleep.wait())
        await asyncio.wait({asleep, self.running}, return_when=asyncio.FIRST_COMPLETED)
        asleep.cancel()
        return not self.running.done()


@pytest_asyncio.fixture
async def line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Line]:
    monkeypatch.setattr(drain, "JOBS_AT_ONCE", 4)
    ledger = Store.open_state(tmp_path, inline=True)
    line = Line(ledger)
    yield line
    line.running.cancel()
    await asyncio.wait({line.running})
    await ledger.close()


def waiting(for_job: Job, **changes: Any) -> Job:
    return job(Stage.CLAIMED, **({"twin": Twin(job=for_job.id), "due_at": NOW + 1000} | changes))


async def test_with_nothing_to_do_it_ends_well(line: Line) -> None:
    assert not await line.look()
    assert line.running.result() == "fine"


async def test_a_job_on_its_way_is_seen_however_many_newer_ones_wait_for_it(line: Line) -> None:
    first = job(Stage.SUBMITTED, due_at=NOW + 500)
    await line.put(first, *(waiting(first) for _ in range(20)))
    for _ in range(3):
        assert await line.look(WAIT_SECONDS)


async def test_a_job_on_its_way_is_seen_however_many_newer_ones_are_not_ours(line: Line) -> None:
    await line.put(job(Stage.SUBMITTED), *(job(Stage.CLAIMED, folder="gone") for _ in range(20)))
    for _ in range(3):
        assert await line.look(WAIT_SECONDS)


async def test_a_job_whose_twin_has_just_ended_is_waited_for(line: Line) -> None:
    gone = job(Stage.DONE, outcome="delivered")
    await line.put(waiting(gone, due_at=NOW))
    assert await line.look()
    assert await line.look()
    assert not await line.look(WAIT_SECONDS + 1), "but not for ever: its folder is perhaps paused"


async def test_what_waits_for_a_held_job_waits_for_a_person(line: Line) -> None:
    held = job(Stage.UPLOADED)
    await line.put(waiting(held))
    assert not await line.look()
    assert line.running.result() == "work-failed"


async def test_bad_weather_is_waited_out_for_its_time(line: Line) -> None:
    await line.put(*(job(Stage.UPLOADED, attempts=2) for _ in range(9)))
    assert await line.look()
    assert await line.look(WAIT_SECONDS - 1)
    assert not await line.look(2)
    assert line.running.result() == "work-failed"


async def test_refused_credentials_end_it_at_once(line: Line) -> None:
    line.turns.pause_now = Pause(reason="credentials", what="refused", do="Mend them.", since=NOW)
    await line.put(job(Stage.UPLOADED))
    assert not await line.look()
    assert line.running.result() == "credentials"
