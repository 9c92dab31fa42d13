"""Options of the test run."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

from tests.support import line

# Some images forbid compiled modules to be kept: each of a thousand daemons would then compile hopperd anew.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

# How fast a busy machine draws examples says nothing about what is tested.
settings.register_profile("busy", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("busy")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--seed", type=int, default=None, help="Replay one seed of the simulation; draw other pairs.")
    parser.addoption("--pairs", type=int, default=80, help="How many pairs of faults the n-th call takes as a sample.")
    parser.addoption("--kills", type=int, default=1000, help="How often the long form of the torture kills.")
    parser.addoption("--files", type=int, default=10_000, help="How many invoices it puts in.")
    parser.addoption("--postgresql", action="store_true", help="The ledger of every daemon is in PostgreSQL.")
    parser.addoption("--cuts", type=int, default=100, help="How often the long form of the power cut cuts.")


WAITING = ("acceptance", "bench", "browser", "deploy", "faults")  # much of their time no processor is busy


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Several at once: tests that wait stand evenly among those that compute, so that no processor idles.

    What shares a fixture of its module stays together, or each process would make the fixture again and again.
    """
    if not os.environ.get("PYTEST_XDIST_WORKER"):
        return
    places: dict[pytest.Item, float] = {}
    for waits in (True, False):
        some = [item for item in items if (item.path.parent.name in WAITING) == waits]
        places |= {item: number / len(some) for number, item in enumerate(some)}
        for item in some:
            if _shares_a_fixture(item) and item.get_closest_marker("xdist_group") is None:
                item.add_marker(pytest.mark.xdist_group(item.path.stem))
    items.sort(key=places.__getitem__)


def _shares_a_fixture(item: pytest.Item) -> bool:
    known = item._fixtureinfo.name2fixturedefs if isinstance(item, pytest.Function) else {}
    return any(
        fixture.scope == "module" and fixture.baseid == item.nodeid.partition("::")[0]
        for fixtures in known.values()
        for fixture in fixtures
    )


FORKED_IN = ("acceptance", "browser", "faults")
STARTED_ANEW = ("test_start", "test_torture")  # their matter is a start


@pytest.fixture(scope="module", autouse=True)
def _processes_are_forked(request: pytest.FixtureRequest) -> Iterator[None]:
    """Whether a Line forks its processes or starts them anew: see tests/support/forked.py."""
    line.FORK = request.path.parent.name in FORKED_IN and request.path.stem not in STARTED_ANEW
    yield
    line.FORK = False


@pytest.fixture(autouse=True)
def _ledger_is_in_postgresql(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """With `--postgresql`: any promise that a Line proves, and the other ledger."""
    if request.config.getoption("--postgresql"):
        from tests.support import postgres

        monkeypatch.setattr(line, "LEDGER", postgres.server().database)
