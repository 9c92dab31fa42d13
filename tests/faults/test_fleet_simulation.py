"""Seeds → several nodes that are killed, frozen beyond their lease, cut off from the ledger or the service.

On a virtual clock, with the real pipeline and a real PostgreSQL, where the clock alone is the world's.

A failure names its seed; `python -m pytest tests/faults/test_fleet_simulation.py --seed N` replays it.
"""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest

from hopperd.pipeline.job import new_job_id
from tests.support.fleet_world import Fate, FleetWorld, Span
from tests.support.seeds import seeds_of
from tests.support.simulated_service import Weather
from tests.support.world import START

SEEDS = 30
PARTS = 3

pytestmark = pytest.mark.xdist_group("fleet_simulation")  # they share a server


def _spans(dice: random.Random, chance: float) -> Iterator[Span]:
    while dice.random() < chance:
        start = dice.uniform(0.0, 120.0)
        yield start, start + dice.uniform(1.0, 60.0)


def _fate(dice: random.Random, calls: int) -> Fate:
    return Fate(
        kills=[dice.randint(1, calls) for _ in range(dice.choice([0, 0, 1, 2, 3]))],
        down_seconds=dice.choice([1.0, 5.0, 60.0]),
        stays_dead=dice.random() < 0.3,
        sleeps={dice.randint(1, calls): dice.uniform(1.0, 60.0) for _ in range(dice.choice([0, 0, 1, 2]))},
        no_ledger=tuple(_spans(dice, 0.2)),
        no_service=tuple(_spans(dice, 0.2)),
        clock_ahead_seconds=dice.uniform(-5.0, 5.0),
    )


def simulate(seed: int, *, no_intent: bool = False) -> list[str]:
    """One world of one seed; what was broken in it. `no_intent`: a mutant that breaks promise 3."""
    dice = random.Random(seed)
    weather = Weather()
    if dice.random() < 0.5:
        weather = Weather(
            refused=dice.uniform(0, 0.1),
            unavailable=dice.uniform(0, 0.05),
            cut_before=dice.uniform(0, 0.05),
            cut_after=dice.uniform(0, 0.08),
            slow=dice.uniform(0, 0.05),
            failed_tasks=dice.uniform(0, 0.1),
        )
    files = dice.randint(1, 6)
    fates = [_fate(dice, 60 * files) for _ in range(dice.randint(1, 3))]
    fates.append(Fate(clock_ahead_seconds=dice.uniform(-5.0, 5.0)))  # one survives
    folder = {"on_doubt": dice.choice(["resubmit", "resubmit", "hold"]), "sweep_seconds": 20.0}
    with FleetWorld(seed, fates, weather=weather, folder=folder, no_intent=no_intent) as world:
        for number in range(files):
            same = dice.random() < 0.15
            name = f"{dice.choice(['', 'a/', 'b/c/'])}{number}.pdf"
            world.put_in(name, b"%PDF-1.4 same\n%%EOF" if same else b"%%PDF-1.4 %d %d\n%%%%EOF" % (seed, number))
        return world.live_out(world.work, folder["on_doubt"])


@pytest.mark.parametrize("part", range(PARTS))
def test_no_seed_breaks_a_promise(part: int, request: pytest.FixtureRequest) -> None:
    for one in seeds_of(request.config, range(part, SEEDS, PARTS)):
        broken = simulate(one)
        assert not broken, f"seed {one}: {broken[:5]}"


CALLS = 400  # a little more than a run of three files makes
KINDS = {
    "a-crash-and-another-life": lambda call: [Fate(kills=[call])],
    "a-crash-and-another-node": lambda call: [Fate(kills=[call], stays_dead=True), Fate()],
    "an-error": lambda call: [Fate(fails=frozenset({call}))],
}


def _three(world: FleetWorld) -> None:
    for number in range(3):
        world.put_in(f"sub/{number}.pdf", b"%%PDF-1.4 %d\n%%%%EOF" % number)


def test_the_run_makes_as_many_calls_as_are_gone_through() -> None:
    with FleetWorld(1, [Fate()]) as world:
        _three(world)
        assert world.work()
        assert CALLS - 50 < world.machines[0].life.taps.count <= CALLS


@pytest.mark.parametrize("step", [15, pytest.param(1, marks=[pytest.mark.long, pytest.mark.timeout(0)])])
@pytest.mark.parametrize("kind", KINDS)
def test_trouble_at_any_call_breaks_no_promise(kind: str, step: int) -> None:
    """As tests/faults/test_nth_call.py, on PostgreSQL; the long form takes every call."""
    for call in range(1, CALLS + 1, step):
        with FleetWorld(call, KINDS[kind](call)) as world:
            _three(world)
            assert world.work(), f"call {call}: it never came to rest"
            assert not world.judge().broken, f"call {call}"


def test_with_the_intent_left_out_it_finds_broken_promises() -> None:
    assert any(simulate(seed, no_intent=True) for seed in range(150, 200))  # one in some fifteen seeds shows it


def test_a_claim_by_a_clock_that_was_days_ahead_is_adopted_at_once() -> None:
    with FleetWorld(1, [Fate()]) as world:
        assert world.work()  # which makes the folders
        claim = world.root / "work" / new_job_id(START + 2 * 86400.0, bytes(5))
        claim.mkdir()
        world.put_in("a.pdf", b"%PDF-1.4\n%%EOF")
        (world.root / "in" / "a.pdf").rename(claim / "a.pdf")
        assert world.work()
        assert world.judge().broken == []
        assert world.loop.time() < 3600.0


def test_a_node_that_is_cut_off_from_the_service_leaves_its_jobs_to_the_others() -> None:
    hours = 7200.0
    with FleetWorld(1, [Fate(no_service=[(20.0, hours)]), Fate(clock_ahead_seconds=-2.0)]) as world:
        for number in range(40):
            world.put_in(f"{number}.pdf", b"%%PDF-1.4 %d\n%%%%EOF" % number)
        assert world.work()
        assert world.loop.time() < hours / 4, "what one had in hand waited for its network"
        assert world.judge().broken == []
