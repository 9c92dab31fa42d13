"""Every outside call of a run in turn: an error before and after it took effect, a crash before and after, once and for
ever. The same oracle as for real processes judges the folders and what the service really did.

The ordinary run takes a sample of all pairs of faults (`--pairs N` a larger one, `--seed N` another), the long form all
of them. With the intent row left out (a mutant) the oracle must find something: that shows that it looks.
"""

from __future__ import annotations

import errno
import os
import random
import re
from collections.abc import Iterator

import pytest

from hopperd.folders import renaming
from tests.support.taps import SECOND_ANSWER, Taps
from tests.support.world import World

CONTENTS = (b"%PDF-1.4 first\n%%EOF", b"%PDF-1.4 second\n%%EOF")
LIVES = 6


def files(world: World) -> None:
    for number, content in enumerate(CONTENTS):
        world.put_in(f"sub/{number}.pdf", content)


def undisturbed(*, no_intent: bool = False) -> Taps:
    with World(no_intent=no_intent) as world:
        files(world)
        taps = Taps()
        assert world.live(taps)
        verdict = world.judge()
        assert not verdict.broken, verdict.broken
        return taps


def calls_of_a_run(*, no_intent: bool = False) -> list[str]:
    return undisturbed(no_intent=no_intent).names


def broken_promises(first: Taps, *then: Taps, no_intent: bool = False) -> Iterator[str]:
    """Put the files in, live through the faults, then as many ordinary lives as it takes; what was broken."""
    with World(no_intent=no_intent) as world:
        files(world)
        for taps in (first, *then):
            world.live(taps, seconds=60.0)
        for _ in range(LIVES):
            if world.live():
                break
        else:
            yield "promise 7: it never came to an end"
            return
        yield from world.judge().broken


CALLS = 280  # a little more than a run of two files makes; a test says when that is no longer so


def test_the_run_makes_as_many_calls_as_are_gone_through() -> None:
    assert 100 < len(calls_of_a_run()) <= CALLS


@pytest.mark.parametrize("part", range(4))
def test_a_crash_at_any_call_breaks_no_promise(part: int) -> None:
    """Calls come as "before" and "after" their effect, so this is a crash before and a crash after each."""
    for call in range(1 + part, CALLS + 1, 4):
        for sentence in broken_promises(Taps(kill_at=frozenset({call}))):
            pytest.fail(f"a crash at call {call}: {sentence}")


@pytest.mark.parametrize("part", range(4))
def test_an_error_at_any_call_breaks_no_promise(part: int) -> None:
    for call in range(1 + part, CALLS + 1, 4):
        for sentence in broken_promises(Taps(fail_at=frozenset({call}))):
            pytest.fail(f"an error at call {call}: {sentence}")


def _unsupported(*_: object) -> None:
    raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))


@pytest.mark.parametrize("kind", ["local", "share", "share-that-remembers"])
def test_an_answer_of_a_file_server_that_was_lost_is_no_trouble_at_all(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is asked once more then, and of what it has done already it says that it cannot be done. A share has neither
    files without a name nor a rename that replaces nothing, and its client may believe what it knew before."""
    if kind != "local":
        monkeypatch.setattr(renaming, "_rename_in_one_step", _unsupported)
        monkeypatch.setattr(renaming, "_nameless", _unsupported)
    if kind == "share-that-remembers":
        monkeypatch.setattr(renaming, "_is_now", lambda *_: False)
    calls = [call for call, what in enumerate(calls_of_a_run(), 1) if what in SECOND_ANSWER]
    assert len(calls) > 30
    for call in calls:
        with World() as world:
            files(world)
            taps = Taps(replies_lost=frozenset({call}))
            came_to_rest = world.live(taps)
            where = f"{taps.names[call - 1]} ({call})"
            assert came_to_rest, where
            broken = world.judge().broken
            assert not broken, f"{where}: {broken}"
            assert len(world.service.runs) == len(CONTENTS), where
            assert not any(job.notes or job.hold for job in world.jobs()), where


@pytest.mark.parametrize("part", range(4))
def test_an_error_at_every_call_from_one_on_breaks_no_promise(part: int) -> None:
    """For ever, until the process is ended; the next one finds better weather. The long form takes every call."""
    for call in range(1 + part, CALLS + 1, 12):
        for sentence in broken_promises(Taps(fail_from=call)):
            pytest.fail(f"errors from call {call} on: {sentence}")


def test_a_crash_during_the_recovery_from_a_crash_breaks_no_promise() -> None:
    for call in range(1, CALLS + 1, 20):
        for again in range(5, 100, 41):
            for sentence in broken_promises(Taps(kill_at=frozenset({call})), Taps(kill_at=frozenset({again}))):
                pytest.fail(f"a crash at call {call}, and at call {again} of the recovery: {sentence}")


def test_without_the_intent_row_the_oracle_finds_broken_promises() -> None:
    runs = [call for call, what in enumerate(calls_of_a_run(no_intent=True), 1) if what == "after service run"]
    for call in runs:
        broken = list(broken_promises(Taps(kill_at=frozenset({call})), no_intent=True))
        if any("promise 3" in sentence for sentence in broken):
            return
    pytest.fail("the mutant without the intent row was not noticed: the oracle does not look")


@pytest.mark.long
@pytest.mark.timeout(0)
@pytest.mark.parametrize("call", range(1, CALLS + 1))
def test_an_error_at_every_call_from_each_one_on(call: int) -> None:
    for sentence in broken_promises(Taps(fail_from=call)):
        pytest.fail(f"errors from call {call} on: {sentence}")


KINDS = ("kill-kill", "kill-fail", "fail-kill", "fail-fail")


@pytest.mark.timeout(0)
@pytest.mark.parametrize("part", range(4))
def test_no_pair_of_faults_in_a_sample_breaks_a_promise(part: int, request: pytest.FixtureRequest) -> None:
    rng = random.Random(4 * (request.config.getoption("--seed") or 0) + part)
    pairs = 0
    while pairs < request.config.getoption("--pairs") // 4:
        kind, first = rng.choice(KINDS), rng.randint(1, CALLS)
        pairs += goes_well(kind, first, rng.randint(1 if kind.startswith("kill") else first + 1, CALLS + 1))


@pytest.mark.long
@pytest.mark.timeout(0)
@pytest.mark.parametrize("part", range(50))
@pytest.mark.parametrize("kind", KINDS)
def test_all_pairs(kind: str, part: int) -> None:
    """Of deaths, those that differ: see `deaths`."""
    calm = undisturbed()
    firsts = deaths(calm) if kind.startswith("kill") else range(1, calm.count + 1)
    tried = 0
    for first in firsts[part::50]:
        lives = pair(kind, first, NEVER)
        with World() as world:
            files(world)
            for taps in lives:
                world.live(taps, seconds=60.0)
        last = lives[-1]
        for second in deaths(last) if kind.endswith("kill") else range(1, last.count + 1):
            if kind.startswith("kill") or second > first:
                assert goes_well(kind, first, second), f"{kind}: no call {second} after one at {first}"
                tried += 1
    print(f"{kind}, part {part}: {tried} pairs")


NEVER = 0


def deaths(taps: Taps) -> list[int]:
    """The calls at which a death differs from one at the call before.

    It does not where nothing was done outside since the effect of that: no call was under way, no time passed, and it
    is no call that makes lasting what was written before it. What was only in the memory of the process goes with it.
    """
    found, under_way = [], 0
    for call, what in enumerate(taps.names, 1):
        is_same_moment = call > 1 and taps.times[call - 1] == taps.times[call - 2]
        is_between = what.startswith("before") and call > 1 and taps.names[call - 2].startswith("after")
        if not (is_between and is_same_moment and under_way == 0) or what == "before fsync disk":
            found.append(call)
        if "service" in what:  # disk and ledger are done with before anything else gets its turn
            under_way += 1 if what.startswith("before") else -1
    return found


def test_deaths_that_are_taken_for_one_leave_the_same_behind() -> None:
    def left(call: int) -> tuple[object, ...]:
        with World() as world:
            files(world)
            world.live(Taps(kill_at=frozenset({call})), seconds=60.0)
            jobs = sorted((job.stage, job.version, job.outcome or "") for job in world.jobs())
            paths = sorted(
                re.sub(r"[0-9a-z]{16,}", "ID", str(path.relative_to(world.root))) for path in world.root.rglob("*")
            )
            return jobs, paths, world.service.runs, sorted(world.service.served), world.loop.time()

    calm = undisturbed()
    same = sorted(set(range(1, calm.count + 1)) - set(deaths(calm)))
    assert len(same) > calm.count // 4
    for call in same[::5]:
        assert left(call) == left(call - 1), calm.names[call - 2 : call]


def goes_well(kind: str, first: int, second: int) -> bool:
    """Fails with the promise that a pair has broken; False where it was no pair: there was no such call."""
    lives = pair(kind, first, second)
    for sentence in broken_promises(*lives):
        pytest.fail(f"{kind} at calls {first} and {second}: {sentence}")
    return lives[0].count >= first and lives[-1].count >= second


def pair(kind: str, first: int, second: int) -> list[Taps]:
    """Two faults: in two lives where the first ends its own, else both in one."""
    one, two = frozenset({first}), frozenset({second})
    match kind:
        case "kill-kill":
            return [Taps(kill_at=one), Taps(kill_at=two)]
        case "kill-fail":
            return [Taps(kill_at=one), Taps(fail_at=two)]
        case "fail-kill":
            return [Taps(fail_at=one, kill_at=two)]
        case _:
            return [Taps(fail_at=one | two)]
