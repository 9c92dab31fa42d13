"""Seeds → files, storms, cut connections, kills, errors, clock steps, on a virtual clock with the real pipeline.

A failure names its seed; `python -m pytest tests/faults/test_simulation.py --seed N` replays it.
"""

from __future__ import annotations

import random

import pytest

from tests.support.seeds import seeds_of
from tests.support.simulated_service import Weather
from tests.support.taps import Taps
from tests.support.world import World

SEEDS = 1000  # the long form takes 100,000, --seed replays one
PARTS = 20


def simulate(seed: int) -> list[str]:
    """One world of one seed; what was broken in it."""
    rng = random.Random(seed)
    stormy = rng.random() < 0.6
    weather = Weather()
    if stormy:
        weather = Weather(
            refused=rng.uniform(0, 0.2),
            unavailable=rng.uniform(0, 0.1),
            server_error_before=rng.uniform(0, 0.03),
            server_error_after=rng.uniform(0, 0.03),
            cut_before=rng.uniform(0, 0.05),
            cut_after=rng.uniform(0, 0.08),
            slow=rng.uniform(0, 0.05),
            blackouts=((rng.uniform(0, 60), rng.uniform(60, 700)),) if rng.random() < 0.3 else (),
            failed_tasks=rng.uniform(0, 0.1),
        )
    folder = {"on_doubt": rng.choice(["resubmit", "resubmit", "hold"]), "sweep_seconds": 20.0}
    account = {"tasks_in_flight": rng.choice([1, 3, 200]), "requests_per_second": rng.choice([20.0, 1000.0])}
    with World(seed, weather=weather, folder=folder, account=account) as world:
        names = [f"{rng.choice(['', 'a/', 'b/c/'])}{number}.pdf" for number in range(rng.randint(1, 5))]
        for number, name in enumerate(names):
            same = rng.random() < 0.15
            world.put_in(name, b"%PDF-1.4 same\n%%EOF" if same else b"%%PDF-1.4 %d %d\n%%%%EOF" % (seed, number))
        for _ in range(rng.randint(0, 4)):
            calls = rng.randint(1, 90 * len(names))
            kill = frozenset({calls}) if rng.random() < 0.7 else frozenset()
            fail = frozenset(rng.randint(1, 90 * len(names)) for _ in range(rng.randint(0, 2)))
            world.live(Taps(kill_at=kill, fail_at=fail), seconds=rng.uniform(5, 300))
            if rng.random() < 0.03:
                world.clock.step(rng.choice([-86400.0, -600.0, 600.0, 86400.0]))
        world.service.weather = Weather()
        broken = world.live_out(world.live, folder["on_doubt"])
        if world.is_too_busy:
            broken.append(f"the limit: {world.busiest_second} requests within a second")
        return broken


@pytest.mark.parametrize("part", range(PARTS))
def test_no_seed_breaks_a_promise(part: int, request: pytest.FixtureRequest) -> None:
    for one in seeds_of(request.config, range(part, SEEDS, PARTS)):
        broken = simulate(one)
        assert not broken, f"seed {one}: {broken[:5]}"


@pytest.mark.long
@pytest.mark.timeout(0)
@pytest.mark.parametrize("part", range(200))
def test_a_hundred_thousand_seeds(part: int) -> None:
    for seed in range(1_000_000 + part, 1_100_000, 200):
        broken = simulate(seed)
        assert not broken, f"seed {seed}: {broken[:5]}"
