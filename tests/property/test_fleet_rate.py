"""Several nodes share one rate: never more than it in any second, nearly all of it used, whatever clocks do.

On a virtual clock, by seed. Every moment is the one at which a request leaves.
"""

from __future__ import annotations

import asyncio
import math
import random
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hopperd.capture.fleet_rate import FleetRate
from hopperd.capture.slots import ClockTie, lateness_allowed, most_in_a_second, pace
from tests.support.budget import Database, NodeClock, SimulatedBudget, busiest
from tests.support.turns import on_virtual_clock

RATES = st.floats(0.05, 2000.0)
DOUBTS = st.floats(0.0, 0.5)


class Node:
    """Sends whenever it gets a token, with `workers` of them; every one may sleep between two requests."""

    def __init__(
        self, name: str, rate: float, database: Database, dice: random.Random, seconds: Callable[[], float]
    ) -> None:
        self.sent: list[float] = []
        self.standing = 0
        budget = SimulatedBudget(name, database, seconds, NodeClock(dice))
        self.tokens = FleetRate("main", rate, budget=budget, behind=lambda: self.standing)
        self._workers: list[asyncio.Task[None]] = []

    def work(self, workers: int, rest: Callable[[], float] = lambda: 0.0) -> None:
        self._workers += [asyncio.create_task(self._work(rest)) for _ in range(workers)]

    async def _work(self, rest: Callable[[], float]) -> None:
        while True:
            await self.tokens.token()
            self.sent.append(asyncio.get_running_loop().time())
            await asyncio.sleep(rest())

    async def die(self) -> None:
        for task in self._workers:
            task.cancel()
        await asyncio.gather(*self._workers, return_exceptions=True)
        self._workers.clear()


def used(nodes: list[Node], rate: float, since: float, until: float) -> float:
    return sum(since <= at < until for node in nodes for at in node.sent) / (rate * (until - since))


@given(RATES, DOUBTS)
def test_what_is_late_by_what_is_allowed_never_makes_a_second_too_full(rate: float, doubt: float) -> None:
    apart = 1.0 / pace(rate, doubt)
    spread = doubt + lateness_allowed(rate, doubt)
    assert lateness_allowed(rate, doubt) > 0.0, "no moment could be used at all"
    # All that can fall into one second, where the first are as late as they may be and the last are not late at all.
    assert math.ceil((1.0 + spread) / apart - 1e-9) <= most_in_a_second(rate)


@given(st.floats(0.05, 2000.0), st.floats(0.0, 0.01))
def test_who_knows_the_databases_clock_well_uses_nearly_all_of_the_rate(rate: float, doubt: float) -> None:
    assert pace(rate, doubt) >= 0.975 * rate


@given(
    st.lists(st.tuples(st.floats(0.0, 0.2), st.floats(0.0, 0.2), st.floats(0.0, 3.0)), min_size=1, max_size=40),
    st.floats(-1e6, 1e6),
)
def test_a_moment_is_never_early_and_late_by_the_doubt_at_the_most(
    answers: list[tuple[float, float, float]], offset: float
) -> None:
    tie, now = ClockTie(), 0.0
    for there, back, rest in answers:
        tie.heard(now, now + there + back, now + there - offset)
        now += there + back + rest
        late = tie.ours(-offset) - 0.0
        assert -1e-6 <= late <= tie.doubt_seconds + 1e-6 and tie.doubt_seconds <= 0.4 + 1e-6


@pytest.mark.parametrize("step", [-3600.0, -0.5, 0.5, 3600.0])
def test_a_clock_that_was_set_is_noticed_at_the_next_answer(step: float) -> None:
    tie = ClockTie()
    for second in range(5):
        tie.heard(second, second + 0.01, second + 0.004)
    tie.heard(6.0, 6.01, 6.004 + step)
    assert tie.ours(7.0 + step) == pytest.approx(7.0, abs=0.01)


@pytest.mark.parametrize("seed", range(60))
def test_the_fleet_never_sends_more_than_the_rate(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Any demand, any answers; nodes die, join, are stopped for a while and go on."""

    async def play() -> None:
        dice = random.Random(seed)
        rate = dice.choice([0.5, 1.0, 3.0, 7.5, 10.0, 50.0, 100.0, 500.0])
        database, nodes = Database(), []
        loop = asyncio.get_running_loop()
        spikes = dice.choice([0.0, 0.02])

        def seconds() -> float:
            return dice.uniform(0.05, 5.0) if dice.random() < spikes else dice.uniform(0.0002, 0.006)

        def join() -> Node:
            node = Node(f"node-{len(nodes)}", rate, database, dice, seconds)
            node.standing = dice.choice([0, 0, 30])
            slow = dice.choice([0.0, 0.05, 2.0])
            node.work(dice.choice([1, 4, 40]), lambda: dice.expovariate(1 / slow) if slow else 0.0)
            nodes.append(node)
            return node

        alive = [join() for _ in range(dice.randint(1, 5))]
        for _ in range(dice.randint(3, 8)):
            await asyncio.sleep(dice.uniform(0.0, 6.0))
            match dice.choice(["join", "die", "rest"]):
                case "join":
                    alive.append(join())
                case "die" if len(alive) > 1:
                    await alive.pop(dice.randrange(len(alive))).die()
        await asyncio.sleep(3.0)
        for node in alive:
            await node.die()
        moments = [at for node in nodes for at in node.sent]
        most = busiest(moments)
        assert moments, "nobody sent anything"
        assert most <= most_in_a_second(rate), f"{most} in one second at {rate}/s, {loop.time()}"

    on_virtual_clock(play, monkeypatch)


@pytest.mark.parametrize("nodes_count", [1, 2, 4, 9])
@pytest.mark.parametrize("rate", [1.0, 10.0, 50.0, 500.0])
def test_where_there_is_demand_nearly_all_of_the_rate_is_used(
    rate: float, nodes_count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def play() -> None:
        dice = random.Random(nodes_count)
        database = Database()
        nodes = [
            Node(f"node-{n}", rate, database, dice, lambda: dice.uniform(0.0005, 0.004)) for n in range(nodes_count)
        ]
        for node in nodes:
            node.work(3)  # as many lines as an account has
            node.standing = 100
        await asyncio.sleep(2.0)
        began, seconds = asyncio.get_running_loop().time(), max(20.0, 60.0 / rate)
        before = database.reservations
        await asyncio.sleep(seconds)
        assert used(nodes, rate, began, began + seconds) >= 0.97 - 1.0 / (rate * seconds)
        counts = [sum(at >= began for at in node.sent) for node in nodes]
        assert max(counts) - min(counts) <= max(2.0, 0.1 * max(counts)) + 0.2 * rate, f"an unfair share: {counts}"
        assert database.reservations - before <= max(rate, 6.0) * seconds, "the database is asked too often"
        for node in nodes:
            await node.die()

    on_virtual_clock(play, monkeypatch)


def test_an_idle_node_takes_nothing_and_a_new_one_counts_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    async def play() -> None:
        dice, database = random.Random(5), Database()
        busy, other = (Node(n, 50.0, database, dice, lambda: 0.002) for n in ("busy", "other"))
        busy.work(3)
        busy.standing = 100
        await asyncio.sleep(10.0)
        assert used([busy], 50.0, 2.0 + 1000.0, 10.0 + 1000.0) >= 0.97 and not other.sent
        joined = asyncio.get_running_loop().time()
        other.work(3)
        other.standing = 100
        await asyncio.sleep(4.0)
        assert other.sent[0] - joined <= 0.5, "it waited long for its first token"
        assert 0.4 <= used([other], 50.0, joined + 1.0, joined + 4.0) <= 0.6
        died = asyncio.get_running_loop().time()
        await other.die()
        await asyncio.sleep(4.0)
        assert used([busy], 50.0, died + 0.5, died + 4.0) >= 0.96, "a dead node's share was not back at once"
        await busy.die()

    on_virtual_clock(play, monkeypatch)


def test_who_slept_over_his_moments_has_lost_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """The process was stopped between the answer and the sending: its clock has gone on, and the others have sent."""

    async def play() -> None:
        dice, database = random.Random(7), Database()
        node = Node("sleeper", 50.0, database, dice, lambda: 0.002)
        node.standing = 100
        node.work(3)
        await asyncio.sleep(5.0)
        loop = asyncio.get_running_loop()
        woke = loop.time() + 0.9
        loop.at = woke  # type: ignore[attr-defined]  # nothing ran meanwhile
        await asyncio.sleep(2.0)
        since = [at for at in node.sent if at >= woke]
        assert since[0] > woke + 0.003, "a moment of before was still used: no reservation can have been answered yet"
        assert busiest(since) <= 51
        await node.die()

    on_virtual_clock(play, monkeypatch)


def test_without_the_database_nobody_sends_and_it_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    async def play() -> None:
        dice, database = random.Random(9), Database()
        node = Node("alone", 50.0, database, dice, lambda: 0.002)
        node.standing = 100
        node.work(3)
        await asyncio.sleep(3.0)
        database.is_away = True
        away = asyncio.get_running_loop().time()
        await asyncio.sleep(10.0)
        assert node.tokens.trouble == "the database does not answer"
        assert max(node.sent) <= away + 0.5, "it sent what cannot be recorded"
        database.is_away = False
        await asyncio.sleep(2.0)
        assert node.tokens.trouble is None and max(node.sent) > away + 10.0
        assert busiest(node.sent) <= 51
        await node.die()

    on_virtual_clock(play, monkeypatch)


@pytest.mark.parametrize("step", [-3600.0, -1.0, 1.0, 3600.0])
def test_a_database_whose_clock_is_set_stops_nobody_for_long(step: float, monkeypatch: pytest.MonkeyPatch) -> None:
    async def play() -> None:
        dice, database = random.Random(11), Database()
        nodes = [Node(n, 50.0, database, dice, lambda: 0.002) for n in ("one", "two")]
        for node in nodes:
            node.standing = 100
            node.work(3)
        await asyncio.sleep(3.0)
        database.offset += step
        await asyncio.sleep(30.0)
        now = asyncio.get_running_loop().time()
        assert used(nodes, 50.0, now - 5.0, now) >= 0.96
        for node in nodes:
            await node.die()

    on_virtual_clock(play, monkeypatch)


def test_a_new_rate_counts_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    async def play() -> None:
        dice, database = random.Random(13), Database()
        node = Node("one", 0.1, database, dice, lambda: 0.002)
        node.standing = 100
        node.work(3)
        await asyncio.sleep(1.0)
        node.tokens.set(100.0)
        await asyncio.sleep(20.0)
        now = asyncio.get_running_loop().time()
        assert used([node], 100.0, now - 3.0, now) >= 0.96
        await node.die()

    on_virtual_clock(play, monkeypatch)


def test_a_cancelled_wait_loses_no_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    async def play() -> None:
        dice, database = random.Random(17), Database()
        node = Node("one", 10.0, database, dice, lambda: 0.002)
        first = [asyncio.create_task(node.tokens.token()) for _ in range(5)]
        await asyncio.sleep(0.15)
        for task in first[2:]:
            task.cancel()
        await asyncio.gather(*first, return_exceptions=True)
        began = asyncio.get_running_loop().time()
        await node.tokens.token()
        assert asyncio.get_running_loop().time() - began <= 0.11

    on_virtual_clock(play, monkeypatch)
