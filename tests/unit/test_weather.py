"""Pauses, cool-downs and probes of an account: who closes it, who opens it, and what one job may conclude."""

from __future__ import annotations

import asyncio
import math

import pytest
import structlog

from hopperd.capture.weather import AccountWeather
from hopperd.ports import Kind, Pause, ServiceTrouble
from tests.support.turns import REFUSED, is_paused, job, limits, on_virtual_clock, settle, weather

# ---------------------------------------------------------------------------------------------------------- pauses


def test_refused_credentials_pause_the_account_after_one_request(monkeypatch: pytest.MonkeyPatch) -> None:
    async def play() -> None:
        turns, sent = limits(), 0
        answers: list[ServiceTrouble | None] = [REFUSED, REFUSED, None]
        probes: list[float] = []

        async def probe() -> None:
            probes.append(asyncio.get_running_loop().time())
            if (answer := answers.pop(0)) is not None:
                raise answer

        async def work(number: int) -> None:
            nonlocal sent
            async with turns.turn(job(number), "look"):
                sent += 1
                if sent == 1:
                    assert turns.note_trouble(job(number), REFUSED).kind == "credentials"

        async with turns.turn(job(0), "look"):
            turns.note_trouble(job(0), REFUSED)
        started = asyncio.get_running_loop().time()
        sent = 1
        workers = [asyncio.create_task(work(n)) for n in range(1, 30)]
        probing = asyncio.create_task(turns.keep_probing(probe))
        await asyncio.sleep(150.0)
        assert sent == 1 and is_paused(turns)
        await asyncio.gather(*workers)
        assert [round(at - started) for at in probes] == [60, 180, 420]
        assert sent == 30 and not is_paused(turns)
        probing.cancel()
        await asyncio.gather(probing, return_exceptions=True)

    with structlog.testing.capture_logs() as logged:
        on_virtual_clock(play, monkeypatch)
    told = [(line["event"], line.get("reason")) for line in logged]
    assert told == [("account-paused", "credentials"), ("account-open", None)]


def test_a_reload_probes_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    async def play() -> None:
        turns = limits()
        turns.note_trouble(job(1), REFUSED)

        async def probe() -> None:
            pass

        probing = asyncio.create_task(turns.keep_probing(probe))
        await settle()
        assert is_paused(turns)
        turns.probe_now()
        await asyncio.sleep(0.1)
        assert not is_paused(turns)
        probing.cancel()
        await asyncio.gather(probing, return_exceptions=True)

    on_virtual_clock(play, monkeypatch)


def test_the_ceiling_stops_runs_only_until_a_person_resumes(monkeypatch: pytest.MonkeyPatch) -> None:
    async def play() -> None:
        turns = limits()
        turns.pause(Pause(reason="ceiling", what="", do="", since=0.0, by_person=True, scope="runs"))
        async with turns.turn(job(1), "upload"):
            pass

        async def run() -> None:
            async with turns.turn(job(1), "run"):
                pass

        task = asyncio.create_task(run())
        await asyncio.sleep(86400.0)
        assert not task.done() and turns.pause_now is not None
        turns.note_success(job(2))
        assert turns.pause_now is not None, "only a person ends it"
        turns.resume()
        await task

    on_virtual_clock(play, monkeypatch)


def test_retry_after_rests_the_whole_account_and_it_starts_slowly(monkeypatch: pytest.MonkeyPatch) -> None:
    async def play() -> None:
        turns, loop = limits(), asyncio.get_running_loop()
        started, now, most = loop.time(), 0, 0
        turns.note_trouble(job(0), weather(429, retry_after_seconds=30.0))
        assert turns.pause_now is None and turns.closed_seconds == 30.0

        async def work(number: int) -> None:
            nonlocal now, most
            async with turns.turn(job(number), "look"):
                assert loop.time() - started >= 30.0, "a request left during the rest"
                now += 1
                if loop.time() - started < 30.5:
                    most = max(most, now)
                await asyncio.sleep(1.0)
                now -= 1
            turns.note_success(job(number))

        await asyncio.gather(*(work(n) for n in range(20)))
        assert most == 1

    on_virtual_clock(play, monkeypatch)


def test_a_closed_account_refuses_further_requests_of_a_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    async def play() -> None:
        turns = limits()
        await turns.more()
        turns.note_trouble(job(1), REFUSED)
        with pytest.raises(ServiceTrouble) as caught:
            await turns.more()
        assert caught.value.fault == "weather"

    on_virtual_clock(play, monkeypatch)


# --------------------------------------------------------------------------------------- the state machine, no loop


def test_one_burst_of_429_closes_nothing_three_seconds_of_it_rest_the_account_longer_each_time() -> None:
    state, at, rests = AccountWeather(), 0.0, []
    for _ in range(20):
        assert not state.troubled(weather(429), at, 0.0, 0.0)
    for _ in range(6):
        while state.closed_seconds("look", at) == 0.0:
            at += 1.0
            state.troubled(weather(429), at, 0.0, 0.0)
        rests.append(state.closed_seconds("look", at))
        at += rests[-1]
    assert rests == [5, 10, 20, 40, 60, 60]
    state.succeeded()
    assert not state.troubled(weather(429), at, 0.0, 0.0) and state.closed_seconds("look", at) == 0.0


def test_single_server_errors_close_nothing() -> None:
    state = AccountWeather()
    for _ in range(50):
        assert not state.troubled(weather(500), 0.0, 0.0, 0.0)
    assert state.closed_seconds("upload", 0.0) == 0.0 and state.pause_now is None


def test_a_silent_network_pauses_after_three_troubles_and_any_answer_counts_as_life() -> None:
    state = AccountWeather()
    for trouble in (weather(), weather(), weather(500), weather(), weather()):
        assert not state.troubled(trouble, 0.0, 9.0, 0.0)
    assert state.troubled(ServiceTrouble("doubt", "no answer in time", kind="network"), 0.0, 9.0, 0.0)
    pause = state.pause_now
    assert pause is not None and (pause.reason, pause.since, pause.by_person) == ("network", 9.0, False)
    assert (state.closed_seconds("look", 0.0), state.probe_seconds(0.0)) == (math.inf, 5.0)
    delays, at = [], 5.0
    for _ in range(5):
        state.probed(weather(), at, 0.0, 0.0)
        delays.append(state.probe_seconds(at))
        at += delays[-1]
    assert delays == [10, 20, 40, 60, 60]
    assert state.probed(None, at, 0.0, 0.0) and state.pause_now is None
    assert state.probe_seconds(at) == math.inf


def test_a_network_that_came_back_with_other_credentials_is_said_so() -> None:
    state = AccountWeather()
    for _ in range(3):
        state.troubled(weather(), 0.0, 1.0, 0.0)
    assert not state.probed(REFUSED, 5.0, 2.0, 0.0)
    assert state.pause_now is not None and state.pause_now.reason == "credentials"
    assert state.probe_seconds(5.0) == 60.0
    assert not state.probed(weather(), 65.0, 2.0, 0.0)
    assert state.pause_now.reason == "credentials" and state.probe_seconds(65.0) > 0.0


def test_a_pause_remembered_by_the_ledger_is_probed_at_once_but_not_one_by_a_person() -> None:
    state = AccountWeather()
    state.pause(Pause(reason="credentials", what="", do="", since=1.0), 50.0)
    assert state.probe_seconds(50.0) == 0.0
    state.pause(Pause(reason="person", what="", do="", since=1.0, by_person=True), 50.0)
    assert state.probe_seconds(50.0) == math.inf and state.closed_seconds("look", 50.0) == math.inf
    state.resume()
    assert state.closed_seconds("run", 50.0) == 0.0 and state.pause_now is None


def test_server_errors_on_one_job_while_others_pass_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    async def play() -> None:
        turns = limits()

        async def fail(number: int, kind: Kind = "run") -> bool:
            async with turns.turn(job(number), kind):
                return turns.note_trouble(job(number), weather(500)).others_pass

        async def get_through(number: int, kind: Kind = "run") -> None:
            async with turns.turn(job(number), kind):
                turns.note_success(job(number))

        assert not await fail(1), "nobody was ever seen to pass"
        assert not await fail(1)
        await get_through(2, "look")
        assert not await fail(1), "looks that pass prove nothing about Runs"
        await get_through(2)
        assert await fail(1)
        assert not await fail(1), "the same success must not count twice: an outage has begun"
        assert not await fail(3)

    on_virtual_clock(play, monkeypatch)
