"""Places among the tasks in flight: who has no task at the service gives his place back, also across a restart."""

from __future__ import annotations

import pytest

from tests.support.taps import Taps
from tests.support.world import World

ONE_AT_A_TIME = {"tasks_in_flight": 1}
FIRST, OTHER = b"%PDF-1.4 the first\n%%EOF", b"%PDF-1.4 the other\n%%EOF"


def call_number(what: str) -> int:
    """Which of the calls of a life with one file it is: seeds make every life alike."""
    with World(folder={"on_doubt": "hold"}, account=ONE_AT_A_TIME) as world:
        world.put_in("first.pdf", FIRST)
        taps = Taps()
        assert world.live(taps)
        return taps.names.index(what) + 1


def receipts(world: World, place: str) -> int:
    return sum(1 for _ in (world.root / place).rglob("*.receipt.json"))


@pytest.mark.parametrize("how", ["the answer is lost", "the process dies"])
def test_a_doubt_that_waits_for_a_person_takes_no_place_after_a_restart(how: str) -> None:
    fault = frozenset({call_number("after service run")})
    with World(folder={"on_doubt": "hold"}, account=ONE_AT_A_TIME) as world:
        world.put_in("first.pdf", FIRST)
        world.live(Taps(fail_at=fault) if how == "the answer is lost" else Taps(kill_at=fault), seconds=60.0)
        world.put_in("other.pdf", OTHER)
        assert world.live(seconds=600.0), "the other file waits for a person who looks at the first"
        assert receipts(world, "done") == 1
        assert world.release_all() == 1
        assert world.live()
        assert not world.judge().broken


def test_a_task_that_is_gone_takes_no_place() -> None:
    dies = frozenset({call_number("before service look")})
    with World(account=ONE_AT_A_TIME) as world:
        world.put_in("first.pdf", FIRST)
        world.live(Taps(kill_at=dies))
        world.service.forget_tasks()
        world.put_in("other.pdf", OTHER)
        assert world.live(seconds=7200.0), "the other file waits for a task that the service does not know any more"
        assert receipts(world, "failed") == 1
        assert receipts(world, "done") == 1
        assert not world.judge().broken
