"""Answers and moments that nobody expects: none of them ends the line, pays on and on, or blames a file."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest

from hopperd.capture import wire
from hopperd.ledger.store import Store
from hopperd.pipeline.events import Forgotten
from hopperd.pipeline.job import Job, Policy, RemoteFile, Stage, Task
from hopperd.pipeline.machine import advance
from hopperd.ports import JobQuery, LedgerTrouble, ServiceTrouble, Source
from tests.support.world import World

DAY_SECONDS = 86_400.0


def invoice(number: object) -> bytes:
    return f"%PDF-1.4 {number}\n%%EOF".encode()


def jobs_of(world: World) -> list[Job]:
    async def all_jobs() -> list[Job]:
        store = Store.open_state(world.root / "state", inline=True)
        found = await store.page(JobQuery(limit=50))
        await store.close()
        return found

    return world.loop.run_until_complete(all_jobs())


def receipts(world: World) -> list[dict[str, Any]]:
    return [json.loads(path.read_text()) for path in sorted(world.root.rglob("*.receipt.json"))]


# ------------------------------------------------------------------------------------------------ places in flight


def test_tasks_that_are_gone_give_their_places_back() -> None:
    with World(account={"tasks_in_flight": 2}) as world:
        look, gone = world.service.look, set[str]()

        async def two_are_gone(task_id: str) -> Task:
            if len(gone) < 2:
                gone.add(task_id)
            if task_id in gone:
                raise ServiceTrouble("gone", "404: no such task", status=404)
            return await look(task_id)

        world.service.look = two_are_gone  # type: ignore[method-assign]
        for number in range(4):
            world.put_in(f"{number}.pdf", invoice(number))
        assert world.live(), "the others are asked for as well"
        assert len(world.service.runs) == 4


def test_jobs_that_a_person_gave_up_give_their_places_back() -> None:
    with World(account={"tasks_in_flight": 2}) as world:
        look, given_up = world.service.look, set[str]()

        async def given_up_meanwhile(task_id: str) -> Task:
            task = await look(task_id)
            if len(given_up) < 2:
                given_up.add(task_id)
                await _forget(world, task_id)
            return task

        world.service.look = given_up_meanwhile  # type: ignore[method-assign]
        for number in range(4):
            world.put_in(f"{number}.pdf", invoice(number))
        assert world.live(), "the others are asked for as well"
        assert len(world.service.runs) == 4


async def _forget(world: World, task_id: str) -> None:
    store = world.store
    assert store is not None
    job_id = await store.job_with_task(task_id)
    job = await store.get(job_id) if job_id is not None else None
    assert job is not None
    now = world.clock.now()
    await store.record(job, advance(job, Forgotten(), now, Policy()), Forgotten(), now)


# -------------------------------------------------------------------------------------------------- answers to a Run


@pytest.mark.parametrize(
    "said",
    ['{"id":"%s","status":"Done","documents":[],"x":' + "[" * 300 + "]" * 300 + "}", '{"id":"%s","number":"\udc80"}'],
    ids=["deep", "no-unicode"],
)
def test_an_answer_that_cannot_be_kept_is_a_doubt_and_held_after_three(said: str) -> None:
    with World() as world:
        run = world.service.run

        async def odd(files: Sequence[RemoteFile], properties: Mapping[str, str]) -> Task:
            task = await run(files, properties)
            body = (said % task.id).encode("utf-8", "surrogateescape")
            try:
                return wire.read_task(body)
            except wire.Unreadable as why:
                raise wire.unreadable_trouble("run", 200, str(why), body) from None

        world.service.run = odd  # type: ignore[method-assign]
        world.put_in("a.pdf", invoice(1))
        world.live(seconds=1800.0)
        (job,) = jobs_of(world)
        assert (job.hold and job.hold.reason, job.doubts, len(world.service.runs)) == ("doubt", 3, 3)


@pytest.mark.parametrize("on_doubt", ["resubmit", "hold"])
def test_a_mistake_of_ours_after_the_run_was_asked_for_holds_the_job_at_once(on_doubt: str) -> None:
    with World(folder={"on_doubt": on_doubt}) as world:
        run = world.service.run

        async def mistaken(files: Sequence[RemoteFile], properties: Mapping[str, str]) -> Task:
            return replace(await run(files, properties), number="\ud800")  # the ledger cannot write it

        world.service.run = mistaken  # type: ignore[method-assign]
        for number in range(3):
            world.put_in(f"{number}.pdf", invoice(number))
        assert world.live(seconds=1800.0)
        assert len(world.service.runs) == 3, "each was paid for once"
        for job in jobs_of(world):
            assert (job.stage, job.hold and job.hold.reason, job.doubts) == (Stage.SUBMITTING, "doubt", 1)
            assert job.hold is not None
            assert "report it" in job.hold.what


def test_a_job_whose_row_cannot_be_read_stops_no_other_and_fsck_names_it() -> None:
    with World() as world:
        world.put_in("a.pdf", invoice(1))
        world.live(seconds=2.5)
        (job,) = jobs_of(world)

        async def spoil() -> list[str]:
            store = Store.open_state(world.root / "state", inline=True)
            await store._pump.do(lambda c: c.exec_driver_sql("UPDATE jobs SET document = '{'"))
            found = await store.integrity()
            await store.close()
            return found

        (named,) = world.loop.run_until_complete(spoil())
        assert f"job {job.id} cannot be read" in named
        world.put_in("b.pdf", invoice(2))
        world.live(seconds=120.0)
        assert (world.root / "out" / "b.json").exists()


# ------------------------------------------------------------------------------------------------------------- 404


def test_a_service_that_answers_404_to_everything_for_a_while_fails_no_file() -> None:
    with World() as world:
        look, since = world.service.look, list[float]()

        async def lost_its_way(task_id: str) -> Task:
            since.append(world.loop.time())
            if world.loop.time() - since[0] < 600.0:
                raise ServiceTrouble("gone", "look: 404: an HTML page", status=404)
            return await look(task_id)

        world.service.look = lost_its_way  # type: ignore[method-assign]
        for number in range(5):
            world.put_in(f"{number}.pdf", invoice(number))
        assert world.live()
        assert [job.stage for job in jobs_of(world)] == [Stage.DONE] * 5
        assert not world.judge().broken


def test_a_task_that_alone_is_gone_is_given_up_within_minutes() -> None:
    with World() as world:
        look, lost = world.service.look, list[str]()

        async def one_is_gone(task_id: str) -> Task:
            if not lost:
                lost.append(task_id)
            if task_id == lost[0]:
                raise ServiceTrouble("gone", "look: 404", status=404)
            return await look(task_id)

        world.service.look = one_is_gone  # type: ignore[method-assign]
        world.put_in("a.pdf", invoice("a"))
        for number in range(20):
            world.put_in(f"{number}.pdf", invoice(number))
        assert world.live(seconds=120.0)
        ended = [job.failure.reason if job.failure else job.outcome for job in jobs_of(world)]
        assert sorted(map(str, ended)) == ["delivered"] * 20 + ["task-gone"]


# ----------------------------------------------------------------------------------------------------- wrong clocks


def test_a_start_with_a_clock_far_ahead_forgets_nothing() -> None:
    with World() as world:
        world.put_in("a.pdf", invoice(1))
        assert world.live()
        world.clock.step(4 * 365 * DAY_SECONDS)
        world.live(seconds=3600.0)
        world.clock.step(-4 * 365 * DAY_SECONDS)
        world.put_in("the same again.pdf", invoice(1))
        assert world.live()
        assert len(world.service.runs) == 1
        assert sorted(receipt["outcome"] for receipt in receipts(world)) == ["delivered", "duplicate"]


def test_what_was_filed_before_the_clock_was_set_is_kept() -> None:
    with World(folder={"done_days": 30}) as world:
        now = world.clock.now()
        world.clock.step(1_000_000.0 - now)  # a machine without a clock of its own, before the network told it
        world.put_in("a.pdf", invoice(1))
        assert world.live()
        world.clock.step(now - 1_000_000.0)
        world.put_in("b.pdf", invoice(2))
        world.live(seconds=2 * DAY_SECONDS)
        assert not world.judge().broken


def test_an_upload_that_seems_to_expire_at_once_is_not_made_again_and_again() -> None:
    with World() as world:
        upload, uploads = world.service.upload, list[str]()

        async def soon_gone(source: Source) -> RemoteFile:
            uploads.append("upload")
            return replace(await upload(source), expiring=world.clock.now() + 50.0)

        world.service.upload = soon_gone  # type: ignore[method-assign]
        world.put_in("a.pdf", invoice(1))
        assert world.live()
        assert (len(uploads), len(world.service.runs)) == (1, 1)


# ---------------------------------------------------------------------------------------------------- the ledger's disk


def test_a_full_disk_of_the_ledger_while_a_duplicate_is_settled_delays_and_holds_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    take, full = Store.take_bytes, [True]

    async def full_once(self: Store, job: Job) -> Any:
        if full:
            full.clear()
            raise LedgerTrouble("database or disk is full")
        return await take(self, job)

    monkeypatch.setattr(Store, "take_bytes", full_once)
    with World() as world:
        world.put_in("a.pdf", invoice(1))
        world.put_in("b.pdf", invoice(1))
        assert world.live()
        assert not full
        assert sorted(receipt["outcome"] for receipt in receipts(world)) == ["delivered", "duplicate"]
