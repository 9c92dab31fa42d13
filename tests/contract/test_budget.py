"""The budget of a fleet in a real PostgreSQL: moments that nobody else has, and what the nodes hear of one another."""

from __future__ import annotations

import asyncio
import itertools
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import AsyncIterator, Iterator

import psycopg
import pytest
import pytest_asyncio
from sqlalchemy import create_engine, insert

from hopperd.ledger.budget import PostgresBudget
from hopperd.ledger.rows import job_row
from hopperd.ledger.tables import jobs, metadata
from hopperd.pipeline.job import Stage
from hopperd.ports import Bears, LedgerTrouble, Need, Pause
from tests.support.budget import busiest
from tests.support.postgres import Server, server
from tests.support.stores import new_job

NOTHING = Need(is_busy=False, asking=(), holding=0, waiting=0)


@pytest.fixture
def url() -> str:
    return server().database()


@pytest_asyncio.fixture
async def two(url: str) -> AsyncIterator[tuple[PostgresBudget, PostgresBudget]]:
    nodes = PostgresBudget(url, "", uuid.uuid4().hex), PostgresBudget(url, "", uuid.uuid4().hex)
    _make_ledger(url)
    yield nodes
    for node in nodes:
        await node.close()


def _make_ledger(url: str) -> None:
    engine = create_engine(url.replace("postgresql://", "postgresql+psycopg://"))
    with engine.begin() as connection:
        metadata.create_all(connection)
        connection.execute(
            insert(jobs),
            [
                job_row(new_job(1, stage=Stage.SUBMITTING)),
                job_row(new_job(2, stage=Stage.SUBMITTED)),
                job_row(new_job(3, stage=Stage.SUBMITTED, verification_url="https://x")),
                job_row(new_job(4, stage=Stage.CAPTURED)),
                job_row(new_job(5, stage=Stage.SUBMITTED, account="another")),
            ],
        )
    engine.dispose()


def _run_query(url: str, statement: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(statement.encode())


@pytest.mark.asyncio
async def test_moments_follow_one_another_and_none_lies_in_the_past(url: str) -> None:
    budget = PostgresBudget(url, "", uuid.uuid4().hex)
    first = await budget.reserve("main", 3, 0.5, 1000.0)
    second = await budget.reserve("main", 1, 0.5, 1000.0)
    another = await budget.reserve("another", 1, 0.5, 1000.0)
    assert abs(first.first_at - first.now) < 0.1 and abs(another.first_at - another.now) < 0.1
    assert second.first_at == pytest.approx(first.first_at + 1.5, abs=1e-5)
    await asyncio.sleep(0.0)
    _run_query(url, "UPDATE budgets SET next_at = next_at - 3600")
    late = await budget.reserve("main", 1, 0.5, 1000.0)
    assert late.first_at >= second.now, "a moment that is over was given away"
    await budget.close()


@pytest.mark.asyncio
async def test_what_was_given_by_a_clock_that_has_been_set_holds_nobody_up(url: str) -> None:
    budget = PostgresBudget(url, "", uuid.uuid4().hex)
    await budget.reserve("main", 1, 0.1, 20.0)
    _run_query(url, "UPDATE budgets SET next_at = next_at + 86400")
    reserved = await budget.reserve("main", 1, 0.1, 20.0)
    assert 19.0 < reserved.first_at - reserved.now <= 20.1
    await budget.close()


def test_no_moment_is_given_twice_however_many_ask_at_once(url: str) -> None:
    got: list[float] = []
    trouble: list[BaseException] = []

    async def reserve() -> None:
        budget = PostgresBudget(url, "", uuid.uuid4().hex)
        for count in range(40):
            reserved = await budget.reserve("main", 1 + count % 5, 0.001, 1000.0)
            got.extend(reserved.first_at + place * 0.001 for place in range(1 + count % 5))
        await budget.close()

    def live() -> None:
        try:
            asyncio.run(reserve())
        except BaseException as error:
            trouble.append(error)

    threads = [threading.Thread(target=live) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not trouble
    got.sort()
    assert len(got) == 6 * 120
    assert min(later - earlier for earlier, later in itertools.pairwise(got)) >= 0.000999


@pytest.mark.asyncio
async def test_nodes_hear_of_one_another_and_of_those_that_went_no_more(
    two: tuple[PostgresBudget, PostgresBudget], url: str
) -> None:
    one, other = two
    await one.tell("main", Need(is_busy=True, asking=(new_job(9).id,), holding=7, waiting=3))
    heard = await other.tell("main", NOTHING)
    (seen,) = heard.others
    assert (seen.node, seen.asking, seen.holding, seen.waiting) == (one.node, 1, 7, 3)
    assert (await one.tell("main", NOTHING)).others == (), "one that has no work was counted"
    assert (await other.tell("main", NOTHING)).others == (), "one that has no work any more was counted"
    await one.tell("main", Need(is_busy=True, asking=(), holding=0, waiting=0))
    _run_query(url, "UPDATE budget_needs SET seen_at = seen_at - 5")
    assert (await other.tell("main", NOTHING)).others == (), "one that died five seconds ago was counted"


@pytest.mark.asyncio
async def test_what_is_in_flight_is_what_the_ledger_says(two: tuple[PostgresBudget, PostgresBudget]) -> None:
    one, _ = two
    asking = (new_job(1).id, new_job(4).id, new_job(77).id)
    heard = await one.tell("main", Need(is_busy=True, asking=asking, holding=3, waiting=0))
    assert (heard.in_flight, heard.recorded) == (2, 1)
    assert (await one.tell("another", NOTHING)).in_flight == 1


@pytest.mark.asyncio
async def test_what_one_node_finds_closed_the_others_hear(two: tuple[PostgresBudget, PostgresBudget]) -> None:
    one, other = two
    pause = Pause(reason="network", what="it is away", do="", since=1.0)
    bears = Bears(cuts=3, size=5.6, careful_from=4.5)
    await one.tell("main", Need(is_busy=True, asking=(), holding=0, waiting=0, pause=pause, bears=bears))
    seen = (await other.tell("main", NOTHING)).others
    assert [(other.pause, other.bears) for other in seen] == [(pause, bears)]


@pytest.fixture
def own_server() -> Iterator[Server]:
    one = Server()
    yield one
    one.remove()


def test_a_database_that_was_away_is_asked_again(own_server: Server) -> None:
    async def play() -> None:
        url = own_server.database()
        budget = PostgresBudget(url, "", uuid.uuid4().hex)
        before = await budget.reserve("main", 1, 5.0, 1000.0)
        own_server.kill()
        with pytest.raises(LedgerTrouble, match="budget"):
            await budget.reserve("main", 1, 5.0, 1000.0)
        own_server.start()
        after = await budget.reserve("main", 1, 5.0, 1000.0)
        assert after.first_at >= before.first_at + 4.999, "what was given before the crash was given again"
        await budget.close()

    asyncio.run(play())


@pytest.mark.parametrize("rate", [20.0, 200.0])
def test_processes_together_keep_to_the_rate_whoever_dies_or_joins(url: str, rate: float) -> None:
    sent: list[list[float]] = []

    def start(seconds: float) -> tuple[subprocess.Popen[str], threading.Thread]:
        command = [sys.executable, "-m", "tests.support.fleet_node", url, str(rate), str(seconds)]
        node = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        moments: list[float] = []
        sent.append(moments)
        first = threading.Event()

        def read() -> None:
            assert node.stdout is not None
            for line in node.stdout:
                if line.endswith("\n"):  # its last words may have been cut short
                    moments.append(float(line))
                    first.set()

        reader = threading.Thread(target=read)
        reader.start()
        assert first.wait(60.0), "a node never got a token"
        return node, reader

    nodes = [start(60.0), start(6.0)]
    time.sleep(1.0)
    nodes[0][0].kill()
    nodes.append(start(2.0))
    for node, reader in nodes:
        node.wait(60.0)
        reader.join()
        assert node.stdout is not None
        node.stdout.close()
    moments = sorted(at for one in sent for at in one)
    most = busiest(moments)
    assert most <= rate + max(1.0, 0.01 * rate), f"{most} in one second at {rate:.0f}/s"
    assert len(moments) >= 0.5 * rate * (moments[-1] - moments[0])
