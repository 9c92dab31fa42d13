"""A hold that comes while a job waits for its turn wins against the intent to ask for a Run."""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from hopperd.errors import Stale
from hopperd.ledger.store import Store
from hopperd.pipeline.events import PutOnHold, RunIntended
from hopperd.pipeline.job import Policy, Stage
from hopperd.pipeline.machine import advance
from hopperd.workers.runner import Runner
from tests.support.jobs import HOLD, NOW
from tests.support.stores import moved, new_job, opened


def test_nobody_asks_for_a_run_of_a_job_that_was_held_first(tmp_path: Path) -> None:
    async def scene() -> None:
        store = Store.open_state(tmp_path / "state", inline=True)
        claimed = await opened(store, new_job())
        uploaded = await store.record(claimed, moved(claimed, Stage.UPLOADED), RunIntended(), NOW)
        held = advance(uploaded, PutOnHold(hold=HOLD), NOW, Policy())
        await store.record(uploaded, held, PutOnHold(hold=HOLD), NOW)
        parts = SimpleNamespace(
            ledger=store, clock=SimpleNamespace(now=lambda: NOW), folders={"us": SimpleNamespace(policy=Policy())}
        )
        with pytest.raises(Stale):
            await Runner(cast("Any", parts))._record(uploaded, RunIntended())
        assert await store.get(held.id) == held
        await store.close()

    asyncio.run(scene())
