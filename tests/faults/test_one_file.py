"""A service that chokes on one file: that file waits, and costs the others nothing."""

from __future__ import annotations

import hashlib

import pytest

from tests.support.simulated_service import Weather
from tests.support.world import World

STATUSES = (500, 502, 503, 504)
CHOKES_ON = b"%PDF-1.4 the one\n%%EOF"
OTHERS = 30


def exports(world: World) -> int:
    return sum(1 for path in (world.root / "out").rglob("*.json"))


@pytest.mark.parametrize("status", STATUSES)
def test_a_server_error_that_hits_one_file_holds_that_file_only(status: int) -> None:
    weather = Weather(chokes_on={hashlib.sha256(CHOKES_ON).hexdigest(): status})
    with World(1, weather=weather, account={"uploads_at_once": 2}) as world:
        world.put_in("0.pdf", CHOKES_ON)
        for number in range(1, OTHERS + 1):
            world.put_in(f"{number}.pdf", b"%%PDF-1.4 %d\n%%%%EOF" % number)
        assert not world.live(seconds=120.0), "the one file is still waited for"
        assert exports(world) == OTHERS
        assert not world.live(seconds=1800.0)
        choked = world.service.choked
        assert 3 <= choked <= 60, "asked again, and ever more seldom"
        weather.chokes_on.clear()
        assert world.live()
        assert exports(world) == OTHERS + 1
        assert not world.judge().broken
