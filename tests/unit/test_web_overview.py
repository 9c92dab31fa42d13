"""Promise: the page does not freeze in silence: what keeps it from being shown is said on it, and in the log."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from structlog.testing import capture_logs

from hopperd.ports import LedgerTrouble
from hopperd.web import overview
from hopperd.web.overview import Overview
from hopperd.web.stream import Stream

pytestmark = pytest.mark.asyncio

CLOCK: Any = SimpleNamespace(now=lambda: 1.0, monotonic=lambda: 1.0)
FINE = {"accounts": [], "folders": []}


class Readings:
    """Raises one after the other, then answers."""

    def __init__(self, *raised: Exception) -> None:
        self._raised = list(raised)

    async def status(self) -> dict[str, Any]:
        if self._raised:
            raise self._raised.pop(0)
        return dict(FINE)

    async def jobs(self, query: object) -> dict[str, Any]:
        return {"jobs": [], "next": None}


class Kept(Stream):
    """Keeps every state that the page is shown, up to the first with nothing wrong in it."""

    def __init__(self) -> None:
        super().__init__()
        self.states: list[dict[str, Any]] = []
        self.is_fine = asyncio.Event()

    def show(self, state: dict[str, Any]) -> None:
        super().show(state)
        self.states.append(state)
        if "trouble" not in state:
            self.is_fine.set()


async def shown(monkeypatch: pytest.MonkeyPatch, ended: Any, *raised: Exception) -> list[dict[str, Any]]:
    monkeypatch.setattr(overview, "TICK_SECONDS", 0.0)
    readings: Any = Readings(*raised)
    stream = Kept()
    running = asyncio.create_task(Overview(readings, CLOCK, stream, {}, ended).run())
    with stream.reading(events=False, state=True, job=None):
        await asyncio.wait({running, asyncio.create_task(stream.is_fine.wait())}, return_when=asyncio.FIRST_COMPLETED)
    assert not running.done(), "the page would stay as it was, and nobody would know"
    running.cancel()
    return stream.states


async def none_ended(since: float, after_id: str, limit: int) -> list[Any]:
    return []


async def test_a_mistake_of_ours_is_shown_logged_once_and_gone_on_from(monkeypatch: pytest.MonkeyPatch) -> None:
    with capture_logs() as said:
        states = await shown(monkeypatch, none_ended, RuntimeError("ours"), RuntimeError("ours"))
    assert [state.get("trouble") for state in states] == ["hopperd made a mistake; the log says which.", None]
    assert [(line["event"], line["log_level"]) for line in said] == [("overview-failed", "error")]


async def test_of_the_ledgers_trouble_the_page_says_what_to_do_about_it(monkeypatch: pytest.MonkeyPatch) -> None:
    gone = LedgerTrouble("the database is gone", do="Look after the database server.")
    states = await shown(monkeypatch, none_ended, gone)
    assert states[0]["trouble"] == "the database is gone. Look after the database server."


@pytest.mark.parametrize("trouble", [RuntimeError("ours"), LedgerTrouble("the disk is full")])
async def test_charts_that_cannot_be_filled_keep_nothing_else_from_being_shown(
    monkeypatch: pytest.MonkeyPatch, trouble: Exception
) -> None:
    async def ended(since: float, after_id: str, limit: int) -> list[Any]:
        raise trouble

    (state,) = await shown(monkeypatch, ended)
    assert state["flow"]["since"] == "1970-01-01T00:00:01.000Z"
