"""Promise: whoever types a part of a name finds the newest jobs that have it, whatever the ledger's way to look."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path

import pytest
import pytest_asyncio
from sqlalchemy import Connection, text

from hopperd.ledger import pages, search
from hopperd.ledger.store import Store
from hopperd.pipeline.events import Changed, Claimed
from hopperd.pipeline.job import Job, Stage
from hopperd.ports import JobQuery
from tests.support.stores import NOW, STORES, moved, new_job, opened, original

pytestmark = pytest.mark.asyncio


@pytest_asyncio.fixture(params=sorted(STORES))
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    made: Callable[[str], Store] = STORES[request.param]  # type: ignore[assignment]
    found = made(str(tmp_path))
    yield found
    await found.close()


@pytest.fixture(autouse=True)
def small_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a few jobs are many slices."""
    monkeypatch.setattr(pages, "NAME_ROWS", 3)
    monkeypatch.setattr(search, "INDEX_ROWS", 4)
    monkeypatch.setattr(search, "PROPOSED_AT_ONCE", 2)


async def found(store: Store, part: str, **more: object) -> list[bytes]:
    return [job.originals[0].name for job in await store.page(JobQuery(text=part, **more))]  # type: ignore[arg-type]


async def fill(store: Store, names: list[bytes]) -> list[Job]:
    return [await opened(store, new_job(number, name), twins=False) for number, name in enumerate(names)]


@pytest.mark.parametrize("most", [1, 2, 1_000])
async def test_a_part_of_a_name_finds_all_that_have_it_newest_first(
    store: Store, monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    monkeypatch.setattr(search, "MOST_PROPOSED", most)
    names = [b"a-%d%s.pdf" % (number, b"-needle" if number % 3 == 0 else b"") for number in range(20)]
    await fill(store, names)
    wanted = [name for name in reversed(names) if b"needle" in name]
    assert await found(store, "NEEDLE") == wanted
    assert await found(store, "needle", limit=2) == wanted[:2]
    assert await found(store, "ee") == wanted
    assert await found(store, "needles") == []
    first = await store.page(JobQuery(text="needle", limit=3))
    assert await found(store, "needle", before=first[-1].id, limit=100) == wanted[3:]
    assert await found(store, "needle", folder="elsewhere") == []


@pytest.mark.parametrize(
    "name", ['say "hi" (1).pdf', "100%_sure.pdf", "it's AND OR NOT.pdf", "a*b NEAR c.pdf", "ÄÖÜß 発票.pdf"]
)
async def test_what_looks_like_a_query_is_only_text(store: Store, name: str) -> None:
    await fill(store, [name.encode(), b"other.pdf"])
    for part in (name, name[:5], name[1:6].upper()):
        assert await found(store, part) == [name.encode()], part


@pytest.mark.parametrize("most", [1, 1_000])
async def test_one_or_two_letters_are_found_wherever_they_stand(
    store: Store, monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    monkeypatch.setattr(search, "MOST_PROPOSED", most)
    names = ["a-qx", "xq", "発票", "q", "Ärger.pdf", *(f"{number}.pdf" for number in range(10))]
    await fill(store, [name.encode() for name in names])
    parts = {name[at : at + long].casefold() for name in names for at in range(len(name)) for long in (1, 2)}
    for part in {*parts, "zz", "z", "\U0010ffff", "\n", " "}:
        wanted = [name.encode() for name in reversed(names) if part in name.casefold()]
        assert await found(store, part) == wanted, part


async def test_names_without_an_end_are_found_by_their_last_letters_as_well(tmp_path: Path) -> None:
    """A ledger that was written before names ended with a line's end."""
    store = Store.open_state(str(tmp_path))
    await fill(store, [b"old-qx", b"other"])

    def as_before(connection: Connection) -> None:
        search.going(connection, [new_job(0).id])
        connection.execute(text("UPDATE jobs SET names = rtrim(names, char(10)) WHERE id = :id"), {"id": new_job(0).id})
        search.added(connection, [new_job(0).id])

    await store._pump.do(as_before)
    assert await found(store, "qx") == [b"old-qx"]
    await store.close()


async def test_a_job_that_left_the_ledger_is_not_found_and_leaves_nothing_behind(store: Store) -> None:
    jobs = await fill(store, [b"%d-thing.pdf" % number for number in range(6)])
    for job in jobs[:3]:
        await store.record(job, moved(job, Stage.FAILED), Claimed(), NOW)  # type: ignore[arg-type]  # any event will do
        assert await store.forget(job.id)
    assert await found(store, "thing") == [b"5-thing.pdf", b"4-thing.pdf", b"3-thing.pdf"]
    await fill(store, [b"%d-again.pdf" % number for number in range(6, 9)])
    assert await found(store, "thing") == [b"5-thing.pdf", b"4-thing.pdf", b"3-thing.pdf"]
    assert await store.integrity() == []


async def test_other_names_are_found_and_the_old_ones_are_not(store: Store) -> None:
    (job,) = await fill(store, [b"before.pdf"])
    after = replace(moved(job), originals=(original(b"afterwards.pdf"),))
    await store.record(job, after, Changed(originals=after.originals), NOW)
    assert await found(store, "afterwards") == [b"afterwards.pdf"]
    assert await found(store, "before") == []
