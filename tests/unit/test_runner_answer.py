"""Promise: not paid for twice in silence. What becomes of a Run whose node was given up around its answer."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import pytest_asyncio
import structlog
from sqlalchemy import Connection, update

from hopperd.errors import Stale
from hopperd.ledger.store import Store
from hopperd.ledger.tables import jobs
from hopperd.pipeline.events import Claimed
from hopperd.pipeline.job import Job, JobId, Policy, Stage, Task, TaskStatus
from hopperd.pipeline.polling import Learned
from hopperd.workers.parts import Answered, Parts
from hopperd.workers.runner import Runner
from tests.support.jobs import NOW, job

pytestmark = pytest.mark.asyncio

TASK = Task(id="task-that-is-paid-for", number="4711", status=TaskStatus.RUNNING, status_text="New", raw={})


class Scene:
    """A node that asks for one Run; `at` says what happens to it, and when."""

    most_in_flight = 5

    def __init__(self, ledger: Store, job: Job) -> None:
        self.ledger = ledger
        self.job = job
        self.runs = 0
        self.at: dict[str, Any] = {}
        disk = SimpleNamespace(identity=self._identity)
        folder = SimpleNamespace(
            policy=Policy(),
            disk=disk,
            learned=Learned.fresh(2.0),
            run_properties={},
            has_passed=lambda step: False,
            is_hanging=False,
        )
        account = SimpleNamespace(turns=self, service=self, answered=Answered(), settings=None)
        parts = SimpleNamespace(
            ledger=ledger,
            clock=SimpleNamespace(now=lambda: NOW, monotonic=lambda: 1.0, sleep=asyncio.sleep),
            random=random.Random(1),
            accounts={"main": account},
            folders={"us": folder},
            lease=SimpleNamespace(check=self._check),
        )
        self._checks = 0
        self._runner = Runner(cast("Parts", parts))

    async def play(self) -> Job:
        await self._runner._carry_safely(self.job)
        found = await self.ledger.get(self.job.id)
        assert found is not None
        return found

    async def is_taken_over(self) -> None:
        def take(connection: Connection) -> None:
            connection.execute(update(jobs).values(owner="other node", version=jobs.c.version + 1))

        await self.ledger._pump.do(take)

    async def _happens(self, moment: str) -> None:
        if moment in self.at:
            await self.at[moment]()

    async def _identity(self, *_: object) -> object:
        return self.job.originals[0].identity

    def _check(self, _: JobId) -> None:
        self._checks += 1
        if self._checks == self.at.get("lease-over-at-check"):
            raise Stale("this node's lease was over", taken_over=True)

    @contextlib.asynccontextmanager
    async def turn(self, *_: object) -> AsyncIterator[None]:
        yield

    async def renew(self, _: JobId) -> None:
        await self._happens("renewed")

    def leave(self, _: JobId) -> None: ...

    def note_success(self, _: JobId) -> None: ...

    async def run(self, *_: object) -> Task:
        self.runs += 1
        await self._happens("asked")
        return TASK


@pytest_asyncio.fixture
async def scene(tmp_path: Path) -> AsyncIterator[Scene]:
    ledger = Store.open_state(tmp_path, inline=True)
    uploaded = job(Stage.UPLOADED)
    yield Scene(ledger, await ledger.open(uploaded, Claimed(), twins=False))
    await ledger.close()


async def test_a_run_is_asked_for_and_its_answer_recorded(scene: Scene) -> None:
    found = await scene.play()
    assert (found.stage, found.task_id, scene.runs) == (Stage.SUBMITTED, TASK.id, 1)


async def test_a_task_is_told_of_although_its_job_was_taken_over(scene: Scene) -> None:
    scene.at["asked"] = scene.is_taken_over
    with structlog.testing.capture_logs() as logged:
        found = await scene.play()
    assert found.task_id is None
    (line,) = [line for line in logged if line["event"] == "run-answered-late"]
    assert (line["job"], line["task"], line["task_id"]) == (found.id, "4711", TASK.id)
    assert TASK.id in line["do"]


async def test_a_run_that_was_certainly_not_asked_for_is_no_doubt(scene: Scene) -> None:
    async def cut_off() -> None:
        raise Stale("other nodes reach the service, this one does not")

    scene.at["renewed"] = cut_off
    found = await scene.play()
    assert (found.stage, found.doubts, scene.runs) == (Stage.UPLOADED, 0, 0)


async def test_nor_where_the_lease_ended_before_the_request_and_nobody_took_the_job(scene: Scene) -> None:
    scene.at["lease-over-at-check"] = 2
    found = await scene.play()
    assert (found.stage, found.doubts, scene.runs) == (Stage.UPLOADED, 0, 0)


async def test_who_took_the_job_over_meanwhile_keeps_it(scene: Scene) -> None:
    scene.at |= {"lease-over-at-check": 2, "renewed": scene.is_taken_over}
    found = await scene.play()
    assert (found.stage, found.version, scene.runs) == (Stage.SUBMITTING, scene.job.version + 2, 0)
