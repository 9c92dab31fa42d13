"""Several nodes share an account's places and pauses. On a virtual clock; the ledger is simulated."""

from __future__ import annotations

import asyncio
import itertools
import random

import pytest

from hopperd.capture.admission import Limits
from hopperd.capture.fleet_places import FleetInFlight, dealt, gives_way
from hopperd.capture.limits import AccountLimits
from hopperd.errors import Stale
from hopperd.ports import Fleet, Kind, Other, ServiceTrouble
from tests.support.budget import Database, SimulatedBudget
from tests.support.turns import REFUSED, LoopClock, job, on_virtual_clock, settle


def other(node: str, holding: int = 0, waiting: int = 0, waited: float = 0.0) -> Other:
    return Other(node=node, asking=0, holding=holding, waiting=waiting, waited_seconds=waited)


class Node:
    """One node with jobs without end: each asks for a Run, and its task ends after `task_seconds`."""

    numbers = itertools.count()

    def __init__(self, name: str, database: Database, limits: Limits, seed: int = 0) -> None:
        dice = random.Random(seed)
        self.database, self.limit = database, limits.tasks_in_flight
        budget = SimulatedBudget(name, database, lambda: dice.uniform(0.001, 0.006))
        self.turns = AccountLimits("main", limits, clock=LoopClock(), random=lambda: 0.0, budget=budget)
        self.runs = self.refused = self.probes = 0
        self.is_closed_there = False
        self.tasks = [asyncio.create_task(self.turns.keep_sharing())]
        self.tasks.append(asyncio.create_task(self.turns.keep_probing(self._probe)))

    async def _probe(self) -> None:
        self.probes += 1
        if self.is_closed_there:
            raise REFUSED

    def work(self, workers: int, task_seconds: float) -> None:
        self.tasks += [asyncio.create_task(self._work(task_seconds)) for _ in range(workers)]

    async def _work(self, task_seconds: float) -> None:
        while True:
            await self._one(job(next(self.numbers)), task_seconds)

    async def _one(self, job_id: object, task_seconds: float) -> None:
        async with self.turns.turn(job_id, "run"):  # type: ignore[arg-type]
            if not self.database.intend(job_id, self.turns.most_in_flight or 0):  # type: ignore[arg-type]
                self.refused += 1
                self.turns.no_room(job_id)  # type: ignore[arg-type]
                return
            self.runs += 1
            await asyncio.sleep(0.02)
        await asyncio.sleep(task_seconds)
        self.turns.leave(job_id)  # type: ignore[arg-type]
        self.database.in_flight.discard(job_id)  # type: ignore[arg-type]

    async def die(self) -> None:
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        self.tasks.clear()


# ---------------------------------------------------------------------------------------------------------- dealing


def test_free_places_go_to_who_waits_and_has_the_fewest() -> None:
    nobody, b = other("b"), other("b", waiting=9)
    assert dealt(5, other("a", holding=3, waiting=9), ()) == 5
    assert dealt(5, other("a", holding=3, waiting=9), [nobody]) == 5
    assert dealt(5, other("a", holding=3, waiting=9), [b]) == 1
    assert dealt(4, other("a", waiting=1), [b]) == 1
    assert dealt(4, other("a"), [b]) == 0
    assert dealt(-2, other("a", waiting=1), [b]) == -2
    assert dealt(1, other("a", waiting=1, waited=1.0), [b]) == 1
    assert dealt(1, other("a", waiting=1), [other("b", waiting=1, waited=1.0)]) == 0


@pytest.mark.parametrize("seed", range(50))
def test_what_is_dealt_is_never_more_than_there_is(seed: int) -> None:
    dice = random.Random(seed)
    nodes = [other(f"n{n}", dice.randint(0, 9), dice.randint(0, 9)) for n in range(dice.randint(2, 6))]
    nodes = [one for one in nodes if one.waiting]
    free = dice.randint(0, 30)
    parts = [dealt(free, me, [one for one in nodes if one != me]) for me in nodes]
    if len(nodes) > 1:
        assert sum(parts) == min(free, sum(node.waiting for node in nodes))


def test_a_place_is_given_up_only_for_who_has_clearly_fewer() -> None:
    assert gives_way(1, [other("b", holding=0, waiting=1)])
    assert not gives_way(2, [other("b", holding=1, waiting=1)])
    assert gives_way(10, [other("b", holding=5, waiting=1)])
    assert not gives_way(10, [other("b", holding=9, waiting=1)])
    assert not gives_way(10, [other("b", holding=0, waiting=0)])


def test_places_beyond_the_limit_come_free_for_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    async def play() -> None:
        places = FleetInFlight(2)
        for number in range(4):
            places.enter(job(number))
        places.asked()
        places.heard(Fleet(in_flight=4, recorded=0, others=()), (), other("a", holding=4))
        waiting = asyncio.create_task(places.take(job(9)))
        for number in range(2):
            places.leave(job(number))
            await settle()
            assert not waiting.done(), "a place was given while as many as may be were in flight"
        places.leave(job(2))
        places.leave(job(2))
        assert await waiting
        assert (places.holding, places.waiting) == (2, 0)

    on_virtual_clock(play, monkeypatch)


# ------------------------------------------------------------------------------------------------------ in the fleet


@pytest.mark.parametrize("limit", [1, 2, 7, 50])
@pytest.mark.parametrize("count", [2, 4])
def test_the_fleet_has_no_more_in_flight_than_it_may_and_shares_by_need(
    limit: int, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def play() -> None:
        database, limits = Database(), Limits(requests_per_second=200.0, tasks_in_flight=limit)
        nodes = [Node(f"node-{n}", database, limits, n) for n in range(count)]
        nodes[0].work(60, 2.0)
        await asyncio.sleep(10.0)
        assert nodes[0].runs >= 0.85 * limit * 10.0 / 2.1, "one that is alone did not get what there was"
        for node in nodes[1:]:
            node.work(60, 2.0)
        await asyncio.sleep(8.0)
        began = [node.runs for node in nodes]
        await asyncio.sleep(60.0)
        runs = [node.runs - before for node, before in zip(nodes, began, strict=True)]
        assert database.most_in_flight == limit
        assert sum(runs) >= (0.7 if limit < count * 2 else 0.85) * limit * 60.0 / 2.03, runs
        assert min(runs) >= 0.5 * max(runs), f"an unfair share: {runs}"
        assert sum(node.refused for node in nodes) <= 0.1 * sum(runs), "tokens were wasted on places there are not"
        for node in nodes:
            await node.die()

    on_virtual_clock(play, monkeypatch)


def test_a_dead_nodes_places_are_its_tasks_until_they_end(monkeypatch: pytest.MonkeyPatch) -> None:
    async def play() -> None:
        database, limits = Database(), Limits(requests_per_second=200.0, tasks_in_flight=10)
        dead, alive = (Node(name, database, limits) for name in ("dead", "alive"))
        dead.work(20, 1000.0)
        await asyncio.sleep(5.0)
        await dead.die()
        alive.work(20, 1.0)
        await asyncio.sleep(10.0)
        assert alive.runs == 0 and database.most_in_flight == 10
        for job_id in list(database.in_flight)[:4]:
            database.in_flight.discard(job_id)  # they ended
        await asyncio.sleep(20.0)
        assert alive.runs >= 50 and database.most_in_flight == 10
        await alive.die()

    on_virtual_clock(play, monkeypatch)


def test_what_is_done_at_once_is_divided_among_those_who_have_work(monkeypatch: pytest.MonkeyPatch) -> None:
    async def play() -> None:
        database, limits = Database(), Limits(requests_per_second=500.0, uploads_at_once=8, fetches_at_once=8)
        nodes = [Node(f"node-{n}", database, limits, n) for n in range(4)]
        now: list[int] = [0]
        most = [0]

        async def upload(node: Node) -> None:
            while True:
                async with node.turns.turn(job(next(Node.numbers)), "upload"):
                    now[0] += 1
                    most[0] = max(most[0], now[0])
                    await asyncio.sleep(0.3)
                    now[0] -= 1
                node.turns.note_success(job(0))

        nodes[0].tasks += [asyncio.create_task(upload(nodes[0])) for _ in range(30)]
        await asyncio.sleep(5.0)
        assert most[0] == 8, "one that is alone did not get all"
        for node in nodes[1:]:
            node.tasks += [asyncio.create_task(upload(node)) for _ in range(30)]
        await asyncio.sleep(2.0)
        most[0] = 0
        await asyncio.sleep(5.0)
        assert most[0] == 8
        assert [node.turns.describe()["requests_at_once"] <= limits.requests_at_once // 4 for node in nodes] == [
            True
        ] * 4
        for node in nodes[1:]:
            await node.die()
        await asyncio.sleep(5.0)
        assert nodes[0].turns.describe()["uploads"] == 8, "the share of those who died was not back"
        await nodes[0].die()

    on_virtual_clock(play, monkeypatch)


# ------------------------------------------------------------------------------------------------------------ pauses


def test_what_one_node_finds_closed_is_closed_for_all_and_opens_for_all(monkeypatch: pytest.MonkeyPatch) -> None:
    async def play() -> None:
        database, limits = Database(), Limits(requests_per_second=50.0)
        nodes = [Node(f"node-{n}", database, limits, n) for n in range(3)]
        for node in nodes:
            node.is_closed_there = True
        nodes[0].turns.note_trouble(job(1), REFUSED)
        await asyncio.sleep(2.5)
        assert all(node.turns.pause_now is not None for node in nodes), "one refusal was not enough for all"
        await asyncio.sleep(600.0)
        assert all(node.turns.pause_now is not None for node in nodes)
        assert sum(node.probes for node in nodes) <= 3 * 12, "they asked more often than each by itself would"
        for node in nodes:
            node.is_closed_there = False
        await asyncio.sleep(305.0)  # the longest that the first to find out waits between two probes
        assert all(node.turns.pause_now is None for node in nodes)
        await asyncio.sleep(30.0)
        assert all(node.turns.pause_now is None for node in nodes), "one closed again what another had found open"
        for node in nodes:
            await node.die()

    on_virtual_clock(play, monkeypatch)


def test_a_node_with_a_wrong_token_closes_the_account_for_itself_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """A token that is being changed, node by node: who has the right one finds out by one free probe."""

    async def play() -> None:
        database, limits = Database(), Limits(requests_per_second=50.0)
        right, wrong = (Node(name, database, limits) for name in ("right", "wrong"))
        right.work(2, 1.0)
        await asyncio.sleep(1.0)
        wrong.is_closed_there = True
        wrong.turns.note_trouble(job(1), REFUSED)
        await asyncio.sleep(3.0)
        assert wrong.turns.pause_now is not None and right.turns.pause_now is None
        runs = right.runs
        await asyncio.sleep(120.0)
        assert right.runs > runs + 20 and right.probes == 1
        for node in (right, wrong):
            await node.die()

    on_virtual_clock(play, monkeypatch)


def test_a_node_that_alone_does_not_reach_the_service_turns_its_jobs_away(monkeypatch: pytest.MonkeyPatch) -> None:
    """The other has no work at all: it says how it is there because it heard of a pause."""

    async def play() -> None:
        database, limits = Database(), Limits(requests_per_second=50.0, tasks_in_flight=1)
        cut_off, idle = (Node(name, database, limits) for name in ("cut-off", "idle"))
        cut_off.is_closed_there = True
        cut_off.turns.note_trouble(job(1), REFUSED)

        async def ask(number: int, kind: Kind) -> None:
            async with cut_off.turns.turn(job(number), kind):
                pass

        kinds: tuple[Kind, ...] = ("look", "upload", "run", "run", "fetch", "tidy")
        waiting = [asyncio.create_task(ask(number, kind)) for number, kind in enumerate(kinds)]
        await asyncio.sleep(4.0)
        assert not cut_off.turns.is_cut_off and not any(task.done() for task in waiting)
        await asyncio.sleep(6.0)
        assert cut_off.turns.is_cut_off and not idle.turns.is_cut_off
        assert [type(await asyncio.wait_for(each, 1.0)) for each in map(_outcome, waiting)] == [Stale] * len(kinds)
        with pytest.raises(Stale):
            await ask(9, "look")
        cut_off.is_closed_there = False
        cut_off.turns.probe_now()
        await asyncio.sleep(2.0)
        assert not cut_off.turns.is_cut_off
        await asyncio.wait_for(ask(10, "run"), 5.0)
        for node in (cut_off, idle):
            await node.die()

    on_virtual_clock(play, monkeypatch)


async def _outcome(task: asyncio.Task[None]) -> BaseException | None:
    await asyncio.wait({task})
    return task.exception()


def test_where_nobody_reaches_the_service_everybody_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    async def play() -> None:
        database, limits = Database(), Limits(requests_per_second=50.0)
        nodes = [Node(f"node-{n}", database, limits, n) for n in range(2)]
        for node in nodes:
            node.is_closed_there = True
        nodes[0].turns.note_trouble(job(1), REFUSED)
        for _ in range(120):
            await asyncio.sleep(1.0)
            assert not any(node.turns.is_cut_off for node in nodes)
        for node in nodes:
            await node.die()

    on_virtual_clock(play, monkeypatch)


def test_trouble_with_the_database_is_said_where_people_look(monkeypatch: pytest.MonkeyPatch) -> None:
    async def play() -> None:
        database = Database(is_away=True)
        node = Node("node", database, Limits(requests_per_second=50.0, tasks_in_flight=5))

        async def look() -> None:
            async with node.turns.turn(job(1), "look"):
                pass

        looking = asyncio.create_task(look())
        await asyncio.sleep(5.0)
        assert not looking.done() and node.turns.trouble_now == "the database does not answer"
        database.is_away = False
        await asyncio.sleep(2.0)
        assert looking.done() and node.turns.trouble_now is None
        await node.die()

    on_virtual_clock(play, monkeypatch)


def test_trouble_of_one_request_closes_nothing_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    async def play() -> None:
        database, limits = Database(), Limits(requests_per_second=50.0)
        one, two = (Node(name, database, limits) for name in ("one", "two"))
        one.turns.note_trouble(job(1), ServiceTrouble("weather", "an error", kind="server", status=500))
        await asyncio.sleep(3.0)
        assert one.turns.pause_now is None and two.turns.pause_now is None
        for node in (one, two):
            await node.die()

    on_virtual_clock(play, monkeypatch)
