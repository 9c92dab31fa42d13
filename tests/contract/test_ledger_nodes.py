"""Promise: every job has one node that carries it, and what a node that was given up still means to write is stale."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import psycopg
import pytest
import pytest_asyncio
from sqlalchemy import Connection

from hopperd.errors import Stale
from hopperd.ledger import migrate
from hopperd.ledger import postgres as postgres_ledger
from hopperd.ledger.lease import OWN_SECONDS, NodeLease
from hopperd.ledger.link import Link
from hopperd.ledger.store import Store
from hopperd.pipeline.events import Postponed, PutOnHold, Weather
from hopperd.pipeline.job import Hold, Job, JobId, Stage
from hopperd.pipeline.letters import Letter
from hopperd.ports import LEASE_SECONDS, LedgerTrouble, Wanted
from tests.support import postgres
from tests.support.stores import NOW, moved, new_job, opened, spoil

pytestmark = pytest.mark.asyncio

POSTPONED = Postponed(weather=Weather(kind="server", what="it rains"))
HOLD = PutOnHold(hold=Hold(reason="person", what="a person holds it", do="Release it.", since=NOW))
SEND = (Stage.CLAIMED, Stage.UPLOADED, Stage.SUBMITTING)


@dataclass
class Pair:
    """Two nodes on one ledger; the tests tell the database how long ago it saw each."""

    url: str
    stores: list[Store]
    links: list[Link]

    def unseen_for(self, seconds: float, *links: Link) -> None:
        """As if these had last been seen so long ago, and all had been there for an hour before."""
        with postgres.server().admin(self.url.rpartition("/")[2]) as admin:
            admin.execute("UPDATE nodes SET since = since - 3600 WHERE since > extract(epoch FROM now()) - 1800")
            for link in links:
                admin.execute("UPDATE nodes SET seen = seen - %s WHERE id = %s", (seconds, link.id))


@pytest_asyncio.fixture
async def pair(tmp_path: Path) -> AsyncIterator[Pair]:
    url = postgres.server().database()
    links = [Link(url, "", name, str(tmp_path / name)) for name in ("one", "other")]
    stores = [Store.open_shared(tmp_path / link.name, url, node=link.id) for link in links]
    for link in links:  # seen once; the tests beat for them, so that nobody beats in between
        link._open()
        link._beat()
    yield Pair(url, stores, links)
    for store, link in zip(stores, links, strict=True):
        link._leave()
        await store.close()


async def picked(store: Store, limit: int = 100, excluding: frozenset[JobId] = frozenset()) -> list[Job]:
    wanted = [Wanted(account="main", stages=SEND, limit=limit)]
    (found,), _ = await store.pick_up(wanted, NOW, excluding, {"us"})
    return found


async def test_each_job_is_picked_up_by_one_node(pair: Pair) -> None:
    one, other = pair.stores
    jobs = [await opened(one, new_job(n)) for n in range(100)]
    rounds = [await asyncio.gather(picked(one, 8), picked(other, 8)) for _ in range(1)]
    mine, theirs = rounds[0]
    assert len(mine) == len(theirs) == 8, "neither waits for the other"
    assert not {job.id for job in mine} & {job.id for job in theirs}
    in_hand: list[set[JobId]] = [set(), set()]
    while sum(map(len, in_hand)) < len(jobs):
        found = await asyncio.gather(
            *(picked(store, 8, frozenset(held)) for store, held in zip(pair.stores, in_hand, strict=True))
        )
        assert any(found), f"{len(jobs) - sum(map(len, in_hand))} jobs are nobody's"
        for held, more in zip(in_hand, found, strict=True):
            held |= {job.id for job in more}
    assert not in_hand[0] & in_hand[1]
    assert await picked(one, 100, frozenset(in_hand[0])) == []
    assert {job.version for job in await picked(one)} == {0}, "to carry on costs no version"


async def test_what_is_another_living_nodes_is_left_to_it(pair: Pair) -> None:
    one, other = pair.stores
    await opened(one, new_job(1))
    assert len(await picked(one)) == 1
    pair.unseen_for(LEASE_SECONDS - 3, pair.links[0])
    assert await picked(other) == []
    assert len(await picked(one)) == 1


async def test_what_a_node_cannot_read_is_not_its_own(pair: Pair) -> None:
    one, other = pair.stores
    spoiled = [await opened(one, new_job(number, due_at=NOW - 9)) for number in range(5)]
    whole = await opened(one, new_job(5))
    done = await opened(one, new_job(6, stage=Stage.DONE, tidy_remote=True))
    await spoil(one, *spoiled, done)
    assert await picked(one, limit=2) == [whole]
    assert await one.tidy_due("main", NOW, 1) == []
    for job in (*spoiled, done):
        assert await one.carrier(job.id) is None
    pair.unseen_for(2 * LEASE_SECONDS, pair.links[0])
    pair.links[1]._beat()
    assert [(job.id, job.version) for job in await picked(other, limit=2)] == [(whole.id, whole.version + 1)]


async def test_a_node_unseen_for_its_lease_loses_its_jobs_and_can_write_no_more(pair: Pair) -> None:
    one, other = pair.stores
    await opened(one, new_job(1))
    (job,) = await picked(one)
    pair.unseen_for(LEASE_SECONDS + 1, pair.links[0])
    (taken,) = await picked(other)
    assert (taken.id, taken.version, taken.stage) == (job.id, job.version + 1, job.stage)
    told = (await other.history(job.id))[-1]
    assert (told.event, told.version, dict(told.detail)) == ("taken-over", 1, {"by": "other", "left_by": "one"})
    with pytest.raises(Stale) as stale:
        await one.record(job, moved(job), POSTPONED, NOW)
    assert stale.value.taken_over, "nothing may be put on top"
    assert await other.record(taken, moved(taken), POSTPONED, NOW) == moved(taken)
    assert await other.integrity() == []
    assert await picked(one) == [], "it has to be given up by its new owner first"


async def test_what_a_node_leaves_to_others_is_theirs_without_a_lease_that_ends(pair: Pair) -> None:
    one, other = pair.stores
    jobs = [await opened(one, new_job(n)) for n in range(4)]
    in_hand, held, left, untouched = jobs
    assert len(await picked(one)) == 4
    await one.record(held, moved(held, hold=HOLD.hold), HOLD, NOW)
    assert await one.leave_to_others("another", SEND, []) == []
    assert await one.leave_to_others("main", [Stage.SUBMITTED], []) == []
    assert await other.leave_to_others("main", SEND, []) == [], "they are not its own"
    assert await one.leave_to_others("main", SEND, [in_hand.id, untouched.id]) == [left.id]
    (taken,) = await picked(other)
    assert (taken.id, taken.version) == (left.id, left.version), "nothing is taken from anybody"
    assert {job.id for job in await picked(one)} == {in_hand.id, untouched.id}
    assert sorted(await one.leave_to_others("main", SEND, [])) == sorted([in_hand.id, untouched.id])


async def test_a_node_that_was_not_there_itself_judges_nobody(pair: Pair) -> None:
    """After a pause of the database everybody has the time to be seen again."""
    one, other = pair.stores
    await opened(one, new_job(1))
    assert len(await picked(one)) == 1
    pair.unseen_for(LEASE_SECONDS + 30, *pair.links)
    assert await picked(other) == []
    pair.links[1]._beat()
    assert await picked(other) == []
    pair.links[0]._beat()
    assert len(await picked(one)) == 1


async def test_the_jobs_of_a_node_that_left_in_order_are_anybodys_at_once(pair: Pair) -> None:
    one, other = pair.stores
    await opened(one, new_job(1))
    assert len(await picked(one)) == 1
    pair.links[0]._leave()
    (taken,) = await picked(other)
    assert taken.version == 1
    states = {node.name: (node.is_alive, node.seen_seconds is None) for node in await other.nodes()}
    assert states == {"one": (False, True), "other": (True, False)}


async def test_a_daemon_that_starts_again_need_not_wait_for_its_own_lease(pair: Pair, tmp_path: Path) -> None:
    one, other = pair.stores
    again = Link(pair.url, "", "one", str(tmp_path / "one"))
    pair.links[0]._bury()
    await opened(one, new_job(1))
    assert len(await picked(one)) == 1
    assert await picked(other) == []
    await asyncio.to_thread(again.start, asyncio.get_running_loop())
    assert len(await picked(other)) == 1, "its state folder was locked anew: the life before is over"
    await asyncio.to_thread(again.stop)


async def test_an_order_from_another_node_wins_and_the_carrier_hears_of_it(pair: Pair, tmp_path: Path) -> None:
    one, other = pair.stores
    heard: list[str] = []
    listening = Link(pair.url, "", "listening", str(tmp_path))
    await asyncio.to_thread(listening.start, asyncio.get_running_loop())
    listening.attend(lambda: 0, heard.append)
    await opened(one, new_job(1))
    (job,) = await picked(one)
    await asyncio.sleep(0.3)  # the notice of the new job is through
    heard.clear()
    held = await other.record(job, moved(job, hold=HOLD.hold), HOLD, NOW)
    with pytest.raises(Stale) as stale:
        await one.record(job, moved(job), POSTPONED, NOW)
    assert not stale.value.taken_over, "a mark of a person is no other carrier"
    assert await one.get(job.id) == held
    async with asyncio.timeout(5):
        while "jobs" not in heard:
            await asyncio.sleep(0.01)
    await other.set_account_pause("main", None)
    async with asyncio.timeout(5):
        while "pauses" not in heard:
            await asyncio.sleep(0.01)
    await asyncio.to_thread(listening.stop)


async def test_a_letter_is_in_one_nodes_hand(pair: Pair) -> None:
    letters = [Letter(id=f"letter {n}", channel="hook/us", at=NOW, document="{}") for n in range(40)]
    await pair.stores[0].post(letters, {})
    taken = await asyncio.gather(*(store.letters_due("hook/us", NOW, 20) for store in pair.stores))
    assert sorted(letter.id for some in taken for letter in some) == sorted(letter.id for letter in letters)
    assert await pair.stores[0].letters_due("hook/us", NOW, 20) == []
    await pair.stores[0].postpone_letters([taken[0][0].id], NOW, "not now")
    await pair.stores[1].put_back_letters([taken[1][0].id])
    again = await pair.stores[1].letters_due("hook/us", NOW, 20)
    assert {letter.id for letter in again} == {taken[0][0].id, taken[1][0].id}


async def test_what_is_left_at_the_service_is_deleted_by_one_node(pair: Pair) -> None:
    one, other = pair.stores
    job = await opened(one, new_job(1))
    await one.record(job, moved(job, Stage.DONE, tidy_remote=True, outcome="delivered"), POSTPONED, NOW)
    found = await asyncio.gather(one.tidy_due("main", NOW, 8), other.tidy_due("main", NOW, 8))
    assert sorted(map(len, found)) == [0, 1]


async def test_the_eldest_node_alive_does_what_one_does_for_all(pair: Pair) -> None:
    for link in pair.links:
        link._beat()
    assert [link.lease.is_eldest for link in pair.links] == [True, False]
    pair.links[0]._leave()
    pair.links[1]._beat()
    assert pair.links[1].lease.is_eldest


async def test_one_node_at_a_time_proves_a_folder(pair: Pair) -> None:
    locks = [link.lock("folder us") for link in pair.links]
    await asyncio.to_thread(locks[0].take)
    waiting = asyncio.ensure_future(asyncio.to_thread(locks[1].take))
    await asyncio.sleep(0.2)
    assert not waiting.done()
    locks[0].give_back()
    await asyncio.wait_for(waiting, 5)
    locks[1].give_back()
    nowhere = Link("postgresql://nobody@127.0.0.1:1/none", "", "lost", "").lock("folder us")
    with pytest.raises(LedgerTrouble):
        nowhere.take()


async def test_a_lease_that_was_over_puts_down_all_that_was_in_hand() -> None:
    now = 1000.0
    lease = NodeLease(lambda: now)
    job = JobId("a")
    assert not lease.is_held
    assert lease.renewed(now)
    lease.take(job)
    lease.check(job)
    now += OWN_SECONDS - 1
    lease.check(job)
    assert not lease.renewed(now), "in time"
    now += OWN_SECONDS - 1
    lease.check(job)
    now += 2
    with pytest.raises(Stale):
        lease.check(job)
    assert lease.renewed(now), "too late: another may have taken over"
    with pytest.raises(Stale):
        lease.check(job)
    lease.take(job)
    lease.check(job)
    lease.put_down(job)
    with pytest.raises(Stale):
        lease.check(job)


async def test_a_node_that_stops_in_the_midst_of_a_transaction_keeps_no_locks(pair: Pair) -> None:
    """Between two statements of a pipeline no limit of PostgreSQL's own counts."""
    frozen = postgres_ledger.connect(pair.url, "", postgres_ledger.NAME)
    frozen.pgconn.enter_pipeline_mode()
    frozen.pgconn.send_query_params(b"SELECT pg_advisory_xact_lock(1)", None)
    frozen.pgconn.send_flush_request()  # no sync follows: the server waits for the next statement
    frozen.pgconn.flush()
    began = time.monotonic()
    with psycopg.connect(pair.url, autocommit=True) as waiting:
        waiting.execute("SET lock_timeout = '15s'")
        answered = asyncio.create_task(asyncio.to_thread(waiting.execute, "SELECT pg_advisory_lock(1)"))
        while not answered.done():
            pair.links[1]._beat()
            await asyncio.sleep(0.2)
        await answered
    assert 0.5 * postgres_ledger.SILENT_SECONDS < time.monotonic() - began < 10
    frozen.close()


async def test_old_and_new_nodes_work_side_by_side_while_the_ledger_changes_its_shape(
    pair: Pair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A rolling upgrade: a program of the next version adds what it needs, and an older one goes on beside it."""

    def grow(connection: Connection) -> None:
        connection.exec_driver_sql("ALTER TABLE jobs ADD COLUMN later DOUBLE PRECISION DEFAULT 0 NOT NULL")
        connection.exec_driver_sql("CREATE INDEX jobs_later ON jobs (later)")

    async def work(store: Store, numbers: Iterator[int], done: list[Job]) -> None:
        for number in numbers:
            job = await opened(store, new_job(number))
            done.append(await store.record(job, moved(job), POSTPONED, NOW))

    old, numbers, done = pair.stores[0], itertools.count(), []
    working = asyncio.create_task(work(old, numbers, done))
    while len(done) < 20:
        await asyncio.sleep(0.01)
    next_version = migrate.Migration(
        version=migrate.SCHEMA_VERSION + 1, oldest_reader=migrate.SCHEMA_VERSION, apply=grow
    )
    migrations = (*migrate.MIGRATIONS, next_version)
    newer = partial(migrate.bring_up_to_date, migrations=migrations, known=next_version.version)
    with monkeypatch.context() as patched:
        patched.setattr(migrate, "bring_up_to_date", newer)
        new = await asyncio.to_thread(Store.open_shared, tmp_path / "new", pair.url, node=pair.links[1].id)
    before = len(done)
    while len(done) < before + 20:
        await asyncio.sleep(0.01)
        assert not working.done(), "the old node came to a stop"
    working.cancel()
    await asyncio.gather(working, return_exceptions=True)
    found = {job.id for job in await picked(new, 1000)}
    assert {job.id for job in done} <= found | {job.id for job in await picked(old, 1000)}
    mine = done[-1]
    assert (await new.record(mine, moved(mine), POSTPONED, NOW)).version == mine.version + 1
    again = await asyncio.to_thread(Store.open_shared, tmp_path / "again", pair.url)  # an old one may start anew
    assert await again.integrity() == await new.integrity() == []
    await again.close()
    await new.close()
    with postgres.server().admin(pair.url.rpartition("/")[2]) as admin:
        rows = admin.execute("SELECT count(*) FROM pg_indexes WHERE indexname = 'jobs_later'").fetchone()
    assert rows == (1,)
