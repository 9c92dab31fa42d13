"""Promise: a ledger in PostgreSQL loses nothing it has answered, whoever dies; and of two nodes never both win."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import psycopg
import pytest
import pytest_asyncio

from hopperd.errors import LedgerError, Stale
from hopperd.ledger.store import Store
from hopperd.pipeline.events import Postponed, Weather
from hopperd.pipeline.job import Job
from hopperd.ports import JobQuery, LedgerTrouble
from tests.support import postgres
from tests.support.stores import NOW, moved, new_job, opened

pytestmark = pytest.mark.asyncio

POSTPONED = Postponed(weather=Weather(kind="server", what="it rains"))
Two = tuple[Store, Store]


@pytest_asyncio.fixture
async def two(tmp_path: Path) -> AsyncIterator[Two]:
    """Two nodes on one ledger."""
    url = postgres.server().database()
    nodes = tuple(Store.open_shared(tmp_path / name, url) for name in ("one", "other"))
    yield nodes[0], nodes[1]
    for node in nodes:
        await node.close()


async def test_it_is_one_ledger_for_all_and_the_first_makes_it(tmp_path: Path) -> None:
    url = postgres.server().database()
    with pytest.raises(LedgerError, match="no ledger"):
        Store.open_shared(tmp_path / "early", url, makes=False)
    stores = await asyncio.gather(
        *(asyncio.to_thread(Store.open_shared, tmp_path / f"{number}", url) for number in range(4))
    )
    assert len({store.ledger_id for store in stores}) == 1
    job = await opened(stores[0], new_job(1))
    assert [await store.get(job.id) for store in stores] == [job] * 4
    for store in stores:
        await store.close()


async def test_of_two_nodes_that_record_the_same_version_one_wins(two: Two) -> None:
    jobs = await asyncio.gather(*(opened(two[0], new_job(n)) for n in range(60)))
    records = [node.record(job, moved(job), POSTPONED, NOW) for job in jobs for node in two]
    answers = await asyncio.gather(*records, return_exceptions=True)
    for number, job in enumerate(jobs):
        pair = answers[2 * number : 2 * number + 2]
        assert [isinstance(answer, Stale) for answer in pair].count(True) == 1, pair
        assert [row.version for row in await two[1].history(job.id)] == [0, 1]
    assert await two[0].integrity() == []


async def test_of_two_nodes_with_the_same_bytes_one_has_them_and_the_other_waits(two: Two) -> None:
    pairs = [
        [new_job(2 * number + place, content=b"the same %d" % number) for place in range(2)] for number in range(40)
    ]
    taken = await asyncio.gather(*(opened(node, job) for pair in pairs for node, job in zip(two, pair, strict=True)))
    for number in range(40):
        first, second = taken[2 * number : 2 * number + 2]
        holders = [job for job in (first, second) if job.twin is None]
        assert len(holders) == 1, "both of two twins would be paid for"
        (waiting,) = [job for job in (first, second) if job.twin is not None]
        assert waiting.twin is not None
        assert waiting.twin.job == holders[0].id


async def test_the_same_job_opened_by_two_nodes_is_one_job(two: Two) -> None:
    """A leftover that both adopt."""
    answers = await asyncio.gather(*(opened(node, new_job(n)) for n in range(40) for node in two))
    assert [answers[2 * n] for n in range(40)] == [answers[2 * n + 1] for n in range(40)]
    assert len(await two[0].open_job_ids()) == 40


async def test_a_session_that_was_ended_is_opened_again(two: Two) -> None:
    job = await opened(two[0], new_job(1))
    with postgres.server().admin() as admin:
        admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'hopperd%'")
    troubles = 0
    while True:
        try:
            after = await two[0].record(job, moved(job), POSTPONED, NOW)
            break
        except LedgerTrouble:
            troubles += 1
            await asyncio.sleep(0.05)
    assert troubles >= 1
    assert await two[0].get(job.id) == after


async def test_what_was_answered_outlives_the_server(tmp_path: Path) -> None:
    server = postgres.Server()
    store = Store.open_shared(tmp_path, server.database())
    known: list[Job] = []
    outcomes: set[str] = set()
    stopping = asyncio.Event()

    async def write(number: int) -> None:
        while not stopping.is_set():
            try:
                known.append(await opened(store, new_job(number)))
                outcomes.add("answered" if "trouble" not in outcomes else "answered again")
                number += 16
            except LedgerTrouble:
                outcomes.add("trouble")
                await asyncio.sleep(0.02)

    async def until(outcome: str) -> None:
        async with asyncio.timeout(60):
            while outcome not in outcomes:
                await asyncio.sleep(0.01)

    writers = [asyncio.ensure_future(write(number)) for number in range(16)]
    await until("answered")
    server.kill()
    await until("trouble")
    server.start()
    await until("answered again")
    stopping.set()
    await asyncio.gather(*writers)
    missing = {job.id for job in known} - set(await store.open_job_ids())
    assert not missing, f"promise 1 broken: {len(missing)} acknowledged jobs are gone"
    assert await store.integrity() == []
    await store.close()
    server.remove()


async def test_a_password_is_said_where_one_is_asked_for(tmp_path: Path) -> None:
    server = postgres.server()
    role, password = postgres.GUARDED
    url = server.database()
    name = url.rpartition("/")[2]
    with server.admin() as admin:
        admin.execute(f"ALTER DATABASE {name} OWNER TO {role}")
    for wrong in ("", "wrong"):
        with pytest.raises(LedgerError, match="cannot be reached"):
            Store.open_shared(tmp_path, server.url(name, role), wrong)
    store = Store.open_shared(tmp_path, server.url(name, role), password)
    await opened(store, new_job(1))
    await store.close()


async def test_a_session_has_a_name_and_limits(two: Two) -> None:
    await opened(two[0], new_job(1))
    with postgres.server().admin() as admin:
        rows = admin.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'hopperd' AND datname = %s",
            (await _database(two[0]),),
        ).fetchone()
    assert rows == (2,)
    limits = await two[0]._read(
        lambda c: [
            c.exec_driver_sql(f"SHOW {name}").scalar()
            for name in (
                "statement_timeout",
                "lock_timeout",
                "idle_in_transaction_session_timeout",
                "tcp_keepalives_idle",
            )
        ]
    )
    assert limits == ["30s", "10s", "4s", "5"]


async def _database(store: Store) -> str:
    found: str = await store._read(lambda c: str(c.exec_driver_sql("SELECT current_database()").scalar()))
    return found


async def test_a_row_that_another_keeps_is_trouble_and_not_silence(two: Two, monkeypatch: pytest.MonkeyPatch) -> None:
    job = await opened(two[0], new_job(1))
    await two[0]._pump.do(lambda c: c.exec_driver_sql("SET SESSION lock_timeout = '100ms'"))
    with psycopg.connect(postgres.server().url(await _database(two[0]))) as somebody:
        somebody.execute("SELECT id FROM jobs FOR UPDATE")
        with pytest.raises(LedgerTrouble, match="will not"):
            await two[0].record(job, moved(job), POSTPONED, NOW)
    assert await two[0].record(job, moved(job), POSTPONED, NOW) == moved(job)


async def test_what_no_text_of_the_database_can_hold_is_written_all_the_same(two: Two) -> None:
    job = await opened(two[0], new_job(1, name=b"a\xff\x01.pdf", group=b"nul"))
    assert await two[1].get(job.id) == job
    assert await two[0].page(JobQuery(text="a\0b")) == []
    await two[0].postpone_letters(["no such"], NOW, "the hook said \0")
    assert await two[0].get(job.id.__class__("no\0such")) is None


async def test_it_is_copied_by_its_own_tools(two: Two, tmp_path: Path) -> None:
    with pytest.raises(LedgerError, match="pg_dump"):
        await two[0].backup(bytes(tmp_path / "copy"))
