"""Promise: an order takes no guess. It acts on the job that is named, or says why it cannot know which one is meant."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import pytest_asyncio

from hopperd.ledger.store import Store
from hopperd.pipeline.events import Claimed, Released
from hopperd.pipeline.job import Hold, Job, Stage
from hopperd.settings import Folder, Settings
from hopperd.web import finding, orders
from hopperd.web.orders import Order, Orders
from hopperd.web.readings import Readings
from hopperd.web.refusal import Refusal
from tests.support.jobs import HOLD, NOW, job, original
from tests.support.stores import moved

pytestmark = pytest.mark.asyncio

DOUBT = Hold(reason="doubt", what="nobody knows whether it was accepted", do="", since=NOW)
CLOCK: Any = SimpleNamespace(now=lambda: NOW, monotonic=lambda: NOW)


def named(name: bytes, stage: Stage = Stage.CLAIMED, **changes: Any) -> Job:
    return job(stage, originals=(original(name),), **changes)


class Office:
    """A ledger with some jobs, and the two who answer for it."""

    def __init__(self, state: Path) -> None:
        folders = tuple(Folder(name=name, path=state / name, account="main", region="US") for name in ("us", "eu"))
        settings = Settings(state=state, folders=folders)
        self.store = Store.open_state(str(state / "ledger"), inline=True)
        self.orders = Orders(self.store, settings, CLOCK, None)
        self.readings = Readings(self.store, lambda: settings, CLOCK, None)

    async def open(self, *jobs: Job) -> None:
        for one in jobs:
            await self.store.open(one, Claimed(), twins=False)

    async def order(self, name: Any, *names: str, **more: Any) -> tuple[list[str], str]:
        """To which jobs it did something, and what it said of the others."""
        answer = await self.orders.order(Order(name=name, jobs=names, **more))
        return [line["job"] for line in answer["did"]], "; ".join(line["why"] for line in answer["refused"])


@pytest_asyncio.fixture
async def office(tmp_path: Path) -> AsyncIterator[Office]:
    one = Office(tmp_path)
    yield one
    await one.store.close()


@pytest.mark.parametrize("name", ["retry", "hold", "release", "forget"])
async def test_what_only_a_search_finds_is_told_and_left_alone(office: Office, name: str) -> None:
    only = named(b"scan-47110.pdf", hold=HOLD if name == "release" else None)
    await office.open(only)
    did, said = await office.order(name, "4711")
    assert not did
    assert said == (
        f"no job is named so; a search finds {only.id} (us/scan-47110.pdf, claimed); "
        "name one by its id or its whole name"
    )
    assert (await office.store.get(only.id)) == only
    assert (await office.readings.story("4711"))["job"] == only.id, "to read, part of a name is enough"


@pytest.mark.parametrize("text", ["sub/a.pdf", "a.pdf", "task-7", "1126563", "task-before"])
async def test_a_job_is_named_by_its_id_its_files_or_its_task(office: Office, text: str) -> None:
    one = named(b"sub/a.pdf", Stage.SUBMITTED, task_id="task-before")
    await office.open(one, named(b"aa.pdf"))
    again = moved(one, task_id="task-7", task_number="1126563", tasks_before=("task-before",))
    await office.store.record(one, again, Released(), NOW)
    for meant in (text, one.id):
        assert await office.order("hold", meant) == ([one.id], "")
        assert await office.order("release", meant) == ([one.id], "")


async def test_a_group_is_named_as_it_is_listed_and_by_each_of_its_files(office: Office) -> None:
    group = job(group=b"march", originals=(original(b"march/1.pdf"), original(b"march/2.pdf")))
    await office.open(group)
    for text in ("march", "march/2.pdf", "1.pdf"):
        assert (await office.order("hold", text))[0] == [group.id]
        assert (await office.order("release", text))[0] == [group.id]


async def test_a_name_that_several_jobs_have_is_told_with_their_ids(office: Office) -> None:
    done, held = named(b"a.pdf", Stage.DONE), named(b"sub/a.pdf", Stage.UPLOADED, hold=HOLD)
    await office.open(done, held)
    did, said = await office.order("release", "a.pdf")
    assert not did, "that only one of them is held makes it no less of a guess"
    assert said == (
        f"2 jobs are named so: {held.id} (us/sub/a.pdf, uploaded), {done.id} (us/a.pdf, done); name one by its id"
    )
    assert await office.order("release", "sub/a.pdf") == ([held.id], "")


async def test_a_namesake_far_down_the_list_is_seen(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(finding, "LISTED_AT_ONCE", 2)
    first, others, last = named(b"a.pdf"), [named(b"a.pdf.%d" % n) for n in range(5)], named(b"a.pdf")
    await office.open(first, *others, last)
    did, said = await office.order("forget", "a.pdf")
    assert not did
    assert said.startswith("2 jobs are named so")
    monkeypatch.setattr(orders, "MOST_LOOKED_AT", 4)
    did, said = await office.order("forget", "a.pdf")
    assert not did
    assert "more than 4 jobs contain it" in said, "what was not looked at may be named so, too"


async def test_a_folder_narrows_what_a_name_means(office: Office) -> None:
    us, eu = named(b"a.pdf"), named(b"a.pdf", folder="eu")
    await office.open(us, eu, named(b"invoice-1.pdf"), named(b"invoice-2.pdf", folder="eu"))
    assert (await office.order("forget", "invoice", folder="us"))[0] == []
    assert await office.order("hold", "a.pdf", folder="us") == ([us.id], "")
    assert await office.order("hold", eu.id, folder="us") == ([], "no such job in folder us")
    assert (await office.store.get(eu.id)) == eu
    with pytest.raises(Refusal, match="no folder 'uk'"):
        await office.order("forget", "a.pdf", folder="uk")


async def test_failed_narrows_what_a_name_means_and_orders_nothing_about_the_others(office: Office) -> None:
    failed, other = named(b"a.pdf", Stage.FAILED), named(b"b.pdf", Stage.FAILED)
    await office.open(failed, named(b"a.pdf", Stage.DONE), other)
    assert await office.order("retry", "a.pdf", failed=True) == ([failed.id], "")
    assert (await office.store.get(other.id)) == other
    assert (await office.order("forget", "c.pdf", failed=True, folder="us"))[1] == (
        "no such job among the failed jobs of folder us"
    )


async def test_retry_of_a_folder_takes_what_failed_and_what_waits_and_releases_nothing(office: Office) -> None:
    doubt = named(b"a.pdf", Stage.SUBMITTING, hold=DOUBT, doubts=1)
    disputed = named(b"b.pdf", hold=HOLD)
    failed, waiting = named(b"c.pdf", Stage.FAILED), named(b"d.pdf", Stage.UPLOADED, due_at=NOW + 900)
    elsewhere, done = named(b"e.pdf", Stage.FAILED, folder="eu"), named(b"f.pdf", Stage.DONE)
    await office.open(doubt, disputed, failed, waiting, elsewhere, done)
    did, said = await office.order("retry", folder="us")
    assert (sorted(did), said) == (sorted([failed.id, waiting.id]), "")
    for untouched in (doubt, disputed, elsewhere, done):
        assert (await office.store.get(untouched.id)) == untouched
    assert sorted((await office.order("release", folder="us"))[0]) == sorted([doubt.id, disputed.id])


async def test_a_held_job_is_not_retried_by_name_either(office: Office) -> None:
    doubt = named(b"a.pdf", Stage.SUBMITTING, hold=DOUBT, doubts=1)
    await office.open(doubt)
    did, said = await office.order("retry", doubt.id)
    assert not did, "it would be another Run that nobody asked for"
    assert said == "it is held (nobody knows whether it was accepted); release lets it go on"
