"""Turns of an account: rate, places, pauses. On a virtual clock but for the rate, which a real one measures."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import Awaitable

import pytest

from hopperd.capture.admission import Limits
from hopperd.capture.places import InFlight, Places
from hopperd.capture.rate import Rate
from hopperd.ports import Kind, Pause
from tests.support.turns import job, limits, on_virtual_clock, settle, weather

# ------------------------------------------------------------------------------------------------------------ rate


@pytest.mark.parametrize("per_second", [10.0, 50.0, 500.0])
def test_the_rate_is_used_and_never_exceeded(per_second: float) -> None:
    seconds = 3.0
    sent: list[float] = []

    async def saturate() -> None:
        rate = Rate(per_second)

        async def worker() -> None:
            while True:
                await rate.token()
                sent.append(time.monotonic())

        workers = [asyncio.create_task(worker()) for _ in range(40)]
        await asyncio.sleep(seconds)
        for task in workers:
            task.cancel()
        await asyncio.gather(*workers, return_exceptions=True)

    asyncio.run(saturate())
    busiest = max(sum(1 for other in sent if moment <= other < moment + 1.0) for moment in sent)
    assert busiest <= per_second + max(1.0, 0.01 * per_second), f"{busiest} in one second at {per_second}/s"
    # How much of it is used on a machine that has nothing else to do, tests/bench/limit.py measures.
    assert len(sent) >= 0.3 * per_second * seconds


@pytest.mark.parametrize("per_second", [0.1, 0.5, 1.0, 3.0, 7.5, 1000.0])
def test_rates_below_and_above_one_are_kept(per_second: float, monkeypatch: pytest.MonkeyPatch) -> None:
    async def take() -> None:
        rate = Rate(per_second)
        count = max(20, int(per_second))
        await rate.token()
        started = asyncio.get_running_loop().time()
        for _ in range(count):
            await rate.token()
        elapsed = asyncio.get_running_loop().time() - started
        burst = max(1, round(per_second / 10))
        assert (count - burst) / per_second <= elapsed <= 1.04 * count / per_second

    on_virtual_clock(take, monkeypatch)


def test_a_new_rate_counts_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    async def change() -> None:
        turns, loop = limits(Limits(requests_per_second=1.0)), asyncio.get_running_loop()
        for number in range(2):
            async with turns.turn(job(number), "look"):
                pass
        turns.set(Limits(requests_per_second=1000.0))
        started = loop.time()
        for number in range(100):
            async with turns.turn(job(number), "look"):
                pass
        assert loop.time() - started < 1.2

    on_virtual_clock(change, monkeypatch)


# ---------------------------------------------------------------------------------------------------------- places


def test_places_are_given_in_order_and_none_is_lost_to_a_cancellation(monkeypatch: pytest.MonkeyPatch) -> None:
    async def play() -> None:
        places, order = Places(1), []
        await places.take()

        async def ask(name: str) -> None:
            await places.take()
            order.append(name)

        tasks = {name: asyncio.create_task(ask(name)) for name in "abcd"}
        await settle()
        tasks["b"].cancel()
        places.give()
        tasks["a"].cancel()  # in the same instant as the place is given to it
        await settle()
        assert order in (["c"], ["a"])
        for _ in range(5):
            if places.taken:
                places.give()
            await settle()
        assert places.taken == 0 and order[-2:] == ["c", "d"]

    on_virtual_clock(play, monkeypatch)


def test_who_is_turned_away_gives_back_no_place(monkeypatch: pytest.MonkeyPatch) -> None:
    async def play() -> None:
        places = Places(1)
        await places.take()
        waiting = asyncio.create_task(places.take("us"))
        await settle()
        places.turn_away("cut off")
        waiting.cancel()  # in the same instant
        assert isinstance((await asyncio.gather(waiting, return_exceptions=True))[0], asyncio.CancelledError)
        assert places.taken == 1
        places.give()

    on_virtual_clock(play, monkeypatch)


def test_folders_are_given_places_in_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    async def take() -> None:
        places, order = Places(1), []

        async def worker(folder: str, number: int) -> None:
            await places.take(folder)
            order.append(f"{folder}{number}")
            await asyncio.sleep(1.0)
            places.give()

        workers = [asyncio.create_task(worker("flood", number)) for number in range(5)]
        await settle()
        workers += [asyncio.create_task(worker(folder, 0)) for folder in ("single", "gone", "other")]
        await settle()
        workers[-2].cancel()
        await asyncio.gather(*workers, return_exceptions=True)
        assert order == ["flood0", "flood1", "single0", "other0", "flood2", "flood3", "flood4"]
        assert places.taken == 0

    on_virtual_clock(take, monkeypatch)


@pytest.mark.parametrize("kind", ["upload", "run", "look", "fetch"])
def test_one_request_of_a_folder_waits_for_two_of_a_flooded_one_and_not_for_all(
    kind: Kind, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def flood() -> None:
        turns = limits(Limits(requests_per_second=10.0, uploads_at_once=2, fetches_at_once=2))
        loop = asyncio.get_running_loop()

        async def ask(number: int, folder: str) -> float:
            asked = loop.time()
            async with turns.turn(job(number), kind, folder):
                waited = loop.time() - asked
            turns.leave(job(number))
            return waited

        others = [asyncio.create_task(ask(number, "flood")) for number in range(50)]
        await asyncio.sleep(1.0)
        waited = await ask(100, "single")
        assert waited <= 0.45, f"{waited:.2f} s, where all others take {50 / 10:.0f} s"
        assert max(await asyncio.gather(*others)) >= 4.0

    on_virtual_clock(flood, monkeypatch)


def test_places_can_become_fewer_and_more_while_in_use(monkeypatch: pytest.MonkeyPatch) -> None:
    async def play() -> None:
        places = Places(3)
        for _ in range(3):
            await places.take()
        waiting = asyncio.create_task(places.take())
        places.limit = 1
        places.give()
        places.give()
        await settle()
        assert not waiting.done()
        places.limit = 2
        await waiting
        assert places.taken == 2

    on_virtual_clock(play, monkeypatch)


def test_uploads_and_fetches_keep_to_their_places(monkeypatch: pytest.MonkeyPatch) -> None:
    async def play() -> None:
        turns = limits(Limits(requests_per_second=10_000.0, uploads_at_once=2, fetches_at_once=1))
        now: Counter[Kind] = Counter()
        most: Counter[Kind] = Counter()

        async def work(number: int, kind: Kind) -> None:
            async with turns.turn(job(number), kind):
                now[kind] += 1
                most[kind] = max(most[kind], now[kind])
                await asyncio.sleep(1.0)
                now[kind] -= 1
            turns.note_success(job(number))

        kinds: list[Kind] = ["upload", "fetch", "look", "tidy"]
        await asyncio.gather(*(work(n, kinds[n % 4]) for n in range(40)))
        assert (most["upload"], most["fetch"]) == (2, 1) and most["look"] > 2
        assert turns.describe()["requests"] == turns.describe()["uploads"] == 0

    on_virtual_clock(play, monkeypatch)


def test_tasks_in_flight_hold_their_place_until_they_leave(monkeypatch: pytest.MonkeyPatch) -> None:
    async def play() -> None:
        turns = limits(Limits(requests_per_second=10_000.0, tasks_in_flight=2))
        turns.enter(job(1))
        turns.enter(job(1))
        async with turns.turn(job(2), "run"):
            pass
        async with turns.turn(job(2), "run"):  # asked again after a doubt: it has its place already
            pass
        started = asyncio.Event()

        async def third() -> None:
            async with turns.turn(job(3), "run"):
                started.set()

        task = asyncio.create_task(third())
        await settle()
        assert not started.is_set()
        turns.leave(job(1))
        turns.leave(job(1))
        await task
        turns.enter(job(4))  # a fact: beyond the limit
        assert turns.describe()["tasks_in_flight"] == 3

    on_virtual_clock(play, monkeypatch)


def test_a_run_cancelled_before_its_turn_holds_no_place(monkeypatch: pytest.MonkeyPatch) -> None:
    async def play() -> None:
        turns = limits(Limits(requests_per_second=10_000.0, tasks_in_flight=1))
        turns.pause(Pause(reason="ceiling", what="", do="", since=0.0, by_person=True, scope="runs"))

        async def run() -> None:
            async with turns.turn(job(1), "run"):
                pass

        task = asyncio.create_task(run())
        await settle()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert turns.describe()["tasks_in_flight"] == 0 and turns.describe()["requests"] == 0

    on_virtual_clock(play, monkeypatch)


def test_looks_starve_no_uploads_and_uploads_no_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    async def play() -> None:
        turns = limits(Limits(requests_per_second=20.0, uploads_at_once=1000))
        done: Counter[Kind] = Counter()

        async def work(number: int, kind: Kind) -> None:
            async with turns.turn(job(number), kind):
                done[kind] += 1

        looks = [asyncio.create_task(work(n, "look")) for n in range(500)]
        await asyncio.sleep(0.1)
        uploads = [asyncio.create_task(work(n + 1000, "upload")) for n in range(50)]
        await asyncio.sleep(2.0)
        assert done["upload"] >= 15 and done["look"] >= 15, done
        for task in looks + uploads:
            task.cancel()
        await asyncio.gather(*looks, *uploads, return_exceptions=True)

    on_virtual_clock(play, monkeypatch)


@pytest.mark.parametrize("seed", range(20))
def test_no_place_is_ever_lost(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Hundreds of turns cancelled at random moments among pauses, refusals and new limits."""

    async def play() -> None:
        dice = random.Random(seed)
        turns = limits(Limits(requests_per_second=200.0, uploads_at_once=2, fetches_at_once=2, tasks_in_flight=5))

        async def work(number: int) -> None:
            kind: Kind = dice.choice(["upload", "run", "look", "fetch", "tidy"])
            try:
                async with turns.turn(job(number), kind):
                    await asyncio.sleep(dice.random())
                    if dice.random() < 0.2:
                        turns.note_trouble(job(number), dice.choice([weather(429), weather(), weather(503)]))
                    else:
                        turns.note_success(job(number))
            finally:
                turns.leave(job(number))

        tasks: list[Awaitable[None]] = []
        for number in range(300):
            task = asyncio.create_task(work(number))
            tasks.append(task)
            if dice.random() < 0.5:
                asyncio.get_running_loop().call_later(dice.random() * 4, task.cancel)
            if number % 50 == 0:
                turns.resume()
                turns.set(Limits(requests_per_second=200.0, uploads_at_once=dice.randint(1, 4), tasks_in_flight=3))
            await asyncio.sleep(dice.random() * 0.02)
        waker = asyncio.create_task(turns.keep_probing(lambda: asyncio.sleep(0)))
        async with asyncio.timeout(3600):
            await asyncio.gather(*tasks, return_exceptions=True)
        waker.cancel()
        figures = turns.describe()
        assert (figures["uploads"], figures["fetches"], figures["tasks_in_flight"], figures["requests"]) == (0, 0, 0, 0)

    on_virtual_clock(play, monkeypatch)


@pytest.mark.parametrize(("held_up", "more"), [(0.02, 0), (0.3, 1)])
def test_a_token_that_has_waited_long_for_the_intent_is_not_used(
    held_up: float, more: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def play() -> None:
        waits: list[float] = []
        turns = limits(Limits(requests_per_second=20.0), on_wait=waits.append)
        async with turns.turn(job(1), "run"):
            await asyncio.sleep(held_up)
            await turns.renew(job(1))
            assert len(waits) == 1 + more

    on_virtual_clock(play, monkeypatch)


def test_in_flight_counts_a_job_once(monkeypatch: pytest.MonkeyPatch) -> None:
    async def play() -> None:
        flying = InFlight(1)
        assert await flying.take(job(1))
        assert not await flying.take(job(1))
        waiting = asyncio.create_task(flying.take(job(2)))
        await settle()
        flying.enter(job(2))  # it became a fact while it waited
        flying.leave(job(1))
        flying.leave(job(2))
        assert await waiting in (True, False)
        flying.leave(job(2))
        assert len(flying) == flying.places.taken == 0

    on_virtual_clock(play, monkeypatch)


def test_who_asks_for_more_never_waits_behind_who_waits_for_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tidying asks for several requests within one turn, and holds its place in the window meanwhile."""

    async def tidy_two() -> None:
        turns = limits()
        turns.pause(Pause(reason="person", what="for a moment", do="", since=0.0))  # makes the window one place wide
        turns.resume()
        done: list[str] = []

        async def tidy(name: str) -> None:
            async with turns.turn(job(name), "tidy"):
                await asyncio.sleep(0.1)
                await turns.more_tidying()
                done.append(name)

        async with asyncio.timeout(60):
            await asyncio.gather(tidy("a"), tidy("b"), tidy("c"))
        assert done == ["a", "b", "c"]

    on_virtual_clock(tidy_two, monkeypatch)
