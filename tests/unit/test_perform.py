"""The steps' own decisions, with a disk and a service that say what a test wants."""

from __future__ import annotations

import contextlib
import random
from collections.abc import AsyncIterator, Callable
from types import SimpleNamespace
from typing import Any

import pytest

from hopperd.pipeline import events as e
from hopperd.pipeline.events import Event, Step, Weather
from hopperd.pipeline.job import Job, Policy, Stage, Task, TaskStatus, replace
from hopperd.ports import ChangedUnderUs, Fetchable, Pause, ServiceTrouble
from hopperd.workers.parts import FolderParts
from hopperd.workers.perform import perform
from tests.support.jobs import NOW, job, original, result

pytestmark = pytest.mark.asyncio

CLAIMED = original()


class Turns:
    def __init__(self, pause: Pause | None = None) -> None:
        self.pause_now = pause

    @contextlib.asynccontextmanager
    async def turn(self, *_: object) -> AsyncIterator[None]:
        yield

    def note_success(self, job_id: str) -> None: ...

    def leave(self, job_id: str) -> None: ...

    def note_trouble(self, job_id: str, trouble: ServiceTrouble) -> Weather:
        return Weather(kind="server", what=trouble.what)

    def pause(self, pause: Pause) -> None:
        self.pause_now = pause


class Disk:
    """Originals as they were claimed, unless `now` says what became of them."""

    def __init__(self, now: Callable[[], Any] = lambda: CLAIMED) -> None:
        self._now = now
        self.sealed = 0

    async def at_hand(self, *_: object) -> bytes:
        return b"/nowhere"

    async def digest(self, *_: object) -> Any:
        return self._now()

    async def open_staging(self, job: Job) -> None: ...

    def staging_path(self, job_id: str, name: str) -> bytes:
        return b"/nowhere/" + name.encode()

    async def seal_staging(self, job: Job, staged: Any) -> None:
        self.sealed = len(staged)


async def performed(step: Step, one: Job, **parts: Any) -> Event:
    async def sleep(seconds: float) -> None: ...

    ledger = parts.pop("ledger", None)
    disk, turns = parts.pop("disk", Disk()), parts.pop("turns", Turns())
    folder: Any = FolderParts(settings=None, policy=Policy(), disk=disk, inbox=None, prepare=sleep)  # type: ignore[arg-type]
    world: Any = SimpleNamespace(
        accounts={"main": SimpleNamespace(turns=turns, service=parts.pop("service", None))},
        folders={"us": folder},
        clock=SimpleNamespace(now=lambda: NOW, monotonic=lambda: 0.0, sleep=sleep),
        lease=SimpleNamespace(check=lambda job_id: None),
        random=random.Random(1),
        ledger=ledger,
        **parts,
    )
    return await perform(step, one, world)


# ------------------------------------------------------------------------------------- what the disk says, or another


def looks_with(error: Exception) -> Any:
    async def inspect(*_: object, **__: object) -> None:
        raise error

    return SimpleNamespace(inspect=inspect)


@pytest.mark.parametrize("error", [FileNotFoundError("/opt/python"), ChangedUnderUs("the file changed")])
async def test_an_original_that_has_not_changed_is_not_begun_anew_at_once(error: Exception) -> None:
    event = await performed(Step.UPLOAD, job(Stage.CLAIMED, originals=(CLAIMED,)), inspector=looks_with(error))
    assert isinstance(event, e.Postponed)
    assert "the original is as it was claimed" in event.weather.what and str(error) in event.weather.what


async def test_an_original_that_has_changed_is_taken_as_it_is_now() -> None:
    other = replace(CLAIMED, sha256="f" * 64)
    event = await performed(
        Step.UPLOAD,
        job(Stage.CLAIMED, originals=(CLAIMED,)),
        disk=Disk(lambda: other),
        inspector=looks_with(ChangedUnderUs("changed")),
    )
    assert event == e.Changed(originals=(other,))


async def test_an_original_that_is_gone_is_refused() -> None:
    def gone() -> None:
        raise FileNotFoundError

    event = await performed(
        Step.UPLOAD,
        job(Stage.CLAIMED, originals=(CLAIMED,)),
        disk=Disk(gone),
        inspector=looks_with(FileNotFoundError("work/1/a.pdf")),
    )
    assert isinstance(event, e.Refused) and event.failure.reason == "vanished"


async def test_nothing_else_takes_a_missing_file_for_the_original() -> None:
    class Service:
        async def look(self, task_id: str) -> Task:
            raise FileNotFoundError("/etc/ssl/ca.pem")

    with pytest.raises(FileNotFoundError):
        await performed(Step.LOOK, job(Stage.SUBMITTED), service=Service())


# --------------------------------------------------------------------------------------------------------- results


class Stumbling:
    """Every so manyth fetch is answered with an error, or all from a certain one on."""

    def __init__(self, every: int = 0, down_from: int = 10**9) -> None:
        self._every, self._down_from = every, down_from
        self.asked = 0

    async def fetch(self, fetchable: Fetchable) -> tuple[int, str]:
        self.asked += 1
        if self.asked >= self._down_from or (self._every and self.asked % self._every == 0):
            raise ServiceTrouble("weather", "fetch: 500", status=500)
        return 10, "0" * 64


async def test_one_result_that_stumbles_costs_no_other_result() -> None:
    service, disk = Stumbling(every=10), Disk()
    one = job(Stage.CAPTURED, results=tuple(result(place) for place in range(500)))
    assert isinstance(await performed(Step.FETCH, one, service=service, disk=disk), e.Fetched)
    assert disk.sealed == 500 and service.asked < 560


async def test_a_service_that_is_down_is_left_alone_after_a_few_tries() -> None:
    service = Stumbling(down_from=3)
    one = job(Stage.CAPTURED, results=tuple(result(place) for place in range(500)))
    assert isinstance(await performed(Step.FETCH, one, service=service), e.Postponed)
    assert service.asked == 5


async def test_a_first_result_is_tried_once() -> None:
    service = Stumbling(down_from=1)
    assert isinstance(
        await performed(Step.FETCH, job(Stage.CAPTURED, results=(result(),)), service=service), e.Postponed
    )
    assert service.asked == 1


# ---------------------------------------------------------------------------------------------------------- pauses


def canceled() -> Any:
    async def look(task_id: str) -> Task:
        return Task(id=task_id, number=None, status=TaskStatus.CANCELED, status_text="Canceled", raw={})

    return SimpleNamespace(look=look)


class Pauses:
    def __init__(self) -> None:
        self.kept: list[Pause] = []

    async def set_account_pause(self, account: str, pause: Pause) -> None:
        self.kept.append(pause)


@pytest.mark.parametrize(("scope", "kept"), [("all", 0), ("runs", 1)])
async def test_a_ceiling_does_not_take_the_place_of_a_persons_pause_of_everything(scope: Any, kept: int) -> None:
    by_person = Pause(reason="person", what="paused", do="resume", since=NOW, by_person=True, scope=scope)
    turns, ledger = Turns(by_person), Pauses()
    await performed(Step.LOOK, job(Stage.SUBMITTED), service=canceled(), turns=turns, ledger=ledger)
    assert len(ledger.kept) == kept and (turns.pause_now is by_person) is (kept == 0)
