"""Promise: a ledger that moves to another database moves whole, keeps its name, and is left behind nowhere."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from hopperd.errors import LedgerError, LedgerInUse
from hopperd.ledger import moving
from hopperd.ledger.link import Link
from hopperd.ledger.store import Store
from hopperd.pipeline.events import Postponed, Weather
from hopperd.pipeline.job import Job, Stage
from hopperd.pipeline.letters import Letter
from hopperd.ports import FolderMark, JobQuery, Pause
from tests.support import postgres
from tests.support.stores import NOW, export, moved, new_job, opened

pytestmark = pytest.mark.asyncio

POSTPONED = Postponed(weather=Weather(kind="server", what="it rains"))
PAUSE = Pause(reason="person", what="w", do="d", since=NOW, by_person=True)
STAMP = "20260101T000000Z"


async def filled(store: Store) -> list[Job]:
    jobs = []
    for number in range(30):
        job = await opened(store, new_job(number, name=b"a \xff \x01 %d.pdf" % number, content=b"%d" % (number // 2)))
        if number % 3 == 0:
            delivered = moved(job, Stage.DELIVERED, outcome="delivered", exports=(export(),), task_id=f"task {number}")
            job = await store.record(job, delivered, POSTPONED, NOW)
        jobs.append(job)
    await store.set_account_pause("main", PAUSE)
    await store.set_mark(FolderMark(key="us/work", path=b"/srv/\xff", starts=7))
    await store.post([Letter(id="l", channel="hook/us", at=NOW, document="{}")], {"fact": "told"})
    return jobs


async def everything(store: Store) -> dict[str, Any]:
    jobs = await store.page(JobQuery(limit=1_000))
    return {
        "id": store.ledger_id,
        "jobs": jobs,
        "history": [await store.history(job.id) for job in jobs],
        "pauses": await store.account_pauses(),
        "marks": await store.marks(),
        "told": await store.told(),
        "letters": await store.letters_waiting(),
        "by task": await store.job_with_task("task 3"),
        "by name": await store.page(JobQuery(text=" 17.pdf")),
        "untwinned": await store.delivered_among("us", [job.originals[0].sha256 for job in jobs]),
        "wrong": await store.integrity(),
    }


async def test_there_and_back_it_is_the_same_ledger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(moving, "ROWS_AT_ONCE", 7)
    here, back = tmp_path / "here", tmp_path / "back"
    url = postgres.server().database()
    store = Store.open_state(here)
    await filled(store)
    before = await everything(store)
    with pytest.raises(LedgerInUse):
        moving.to_postgresql(str(here), url, "", STAMP)
    await store.close()

    there = moving.to_postgresql(str(here), url, "", STAMP)
    assert (there.ledger_id, there.rows["jobs"], there.rows["history"]) == (before["id"], 30, 40)
    assert sorted(path.name for path in here.iterdir()) == sorted(
        ["lock", *(Path(path).name for path in there.set_aside)]
    )
    with pytest.raises(LedgerError, match="nothing is to be moved"):
        moving.to_postgresql(str(here), url, "", STAMP)
    shared = Store.open_shared(here, url)
    assert await everything(shared) == before
    await shared.close()

    moving.to_sqlite(str(back), url, "", STAMP)
    again = Store.open_existing(back)
    assert await everything(again) == before
    await again.close()
    left = Store.open_shared(here, url)
    assert left.ledger_id != before["id"], "no node may take for the ledger what it was moved away from"
    await left.close()


async def test_nothing_is_overwritten_and_nobody_disturbed(tmp_path: Path) -> None:
    url = postgres.server().database()
    theirs = Store.open_shared(tmp_path / "theirs", url)
    await opened(theirs, new_job(1))
    store = Store.open_state(tmp_path / "mine")
    await opened(store, new_job(2))
    await store.close()
    with pytest.raises(LedgerError, match="not empty"):
        moving.to_postgresql(str(tmp_path / "mine"), url, "", STAMP)
    with pytest.raises(LedgerError, match="has a ledger already"):
        moving.to_sqlite(str(tmp_path / "mine"), url, "", STAMP)
    link = Link(url, "", "somebody", str(tmp_path))
    await asyncio.to_thread(link.start, asyncio.get_running_loop())
    with pytest.raises(LedgerError, match="works with this ledger on somebody"):
        moving.to_sqlite(str(tmp_path / "new"), url, "", STAMP)
    await asyncio.to_thread(link.stop)
    again = Store.open_existing(tmp_path / "mine")
    assert len(await again.open_job_ids()) == len(await theirs.open_job_ids()) == 1
    await again.close()
    await theirs.close()


@pytest.mark.parametrize("at", ["put_out_of_use", "rename", "write_id"])
async def test_a_move_back_that_was_cut_short_leaves_one_ledger_and_is_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: str
) -> None:
    url = postgres.server().database()
    shared = Store.open_shared(tmp_path / "node", url)
    await filled(shared)
    before = await everything(shared)
    await shared.close()
    back = tmp_path / "back"

    def dies(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        match at:
            case "put_out_of_use":
                patched.setattr(moving, "_put_out_of_use", dies)
            case "rename":
                patched.setattr(moving.os, "rename", dies)
            case "write_id":
                written = moving.state.write_id

                def write_id(folder: str, ledger_id: str) -> None:
                    written(folder, ledger_id) if folder.endswith(moving.ASIDE) else dies()

                patched.setattr(moving.state, "write_id", write_id)
        moving.to_sqlite(str(back), url, "", STAMP)
    left = Store.open_shared(tmp_path / "node", url)
    is_there, is_here = left.ledger_id == before["id"], (back / "ledger.sqlite").exists()
    await left.close()
    assert not (is_there and is_here), "two ledgers that a daemon would take"
    if not is_here:
        assert moving.to_sqlite(str(back), url, "", "20260102T000000Z").rows["jobs"] == 30
    again = Store.open_existing(back)
    assert await everything(again) == before
    await again.close()
    with pytest.raises(LedgerError, match="moved elsewhere already"):
        moving.to_sqlite(str(tmp_path / "third"), url, "", STAMP)


async def test_a_move_that_was_cut_short_at_its_end_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    url = postgres.server().database()
    store = Store.open_state(tmp_path)
    await filled(store)
    await store.close()

    def dies(*_: object) -> list[str]:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(moving.state, "set_aside", dies)
        moving.to_postgresql(str(tmp_path), url, "", STAMP)
    assert moving.to_postgresql(str(tmp_path), url, "", STAMP).rows["jobs"] == 30
    assert not (tmp_path / "ledger.sqlite").exists()
