"""Promise: what status and lists say of the settings is what the daemon works by, also after a reload."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from hopperd.ledger.store import Store
from hopperd.pipeline.events import Claimed
from hopperd.pipeline.job import Stage
from hopperd.ports import JobQuery
from hopperd.settings import Folder, HistoryLimits, Settings, StuckAfter
from hopperd.web.readings import Readings
from tests.support.jobs import NOW, job


@pytest.mark.asyncio
async def test_a_reload_is_heard_of(tmp_path: Path) -> None:
    def configured(**changes: Any) -> Settings:
        folder = Folder(name="us", path=tmp_path / "us", account="main", region="US", **changes)
        return Settings(state=tmp_path, folders=(folder,), history=HistoryLimits(days=changes.get("done_days", 0)))

    settings = configured(done_days=5)
    store = Store.open_state(str(tmp_path / "ledger"), inline=True)
    clock: Any = SimpleNamespace(now=lambda: NOW, monotonic=lambda: NOW)
    readings = Readings(store, lambda: settings, clock, None)
    waiting = job(Stage.UPLOADED)  # for fifty seconds
    await store.open(waiting, Claimed(), twins=False)

    async def told() -> tuple[int, int, int, bool]:
        status = await readings.status()
        (line,) = (await readings.jobs(JobQuery()))["jobs"]
        days = status["folders"][0]["originals"]["done_days"]
        return days, status["history"]["days"], len(status["stuck"]), "stuck" in line

    assert await told() == (5, 5, 0, False)
    settings = configured(done_days=9, stuck_after=StuckAfter(uploaded=10))
    assert await told() == (9, 9, 1, True)
    await store.close()
