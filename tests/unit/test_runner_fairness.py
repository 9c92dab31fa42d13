"""Folders that share an account: the flood of one is not before everybody else's single file."""

from __future__ import annotations

import random
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from hopperd.ledger.store import Store
from hopperd.pipeline.job import Job
from hopperd.ports import Wanted
from hopperd.workers.parts import Parts
from hopperd.workers.runner import LANES, Runner
from tests.support.stores import NOW, new_job, opened


def folder(priority: int = 0) -> Any:
    return SimpleNamespace(settings=SimpleNamespace(account="main", priority=priority))


async def first_picked(state: Path, folders: dict[str, Any], wanted: int, turns: int) -> list[Job]:
    """What is picked first in a few turns, of fifty jobs of "us" and one of "eu" that came last."""
    store = Store.open_state(state, inline=True)
    nothing: Any = SimpleNamespace()
    parts = Parts(ledger=store, clock=nothing, inspector=nothing, accounts={}, folders=folders, random=random.Random(1))
    runner = Runner(parts)
    priority = {name: one.settings.priority for name, one in folders.items()}
    for number in range(50):
        await opened(store, new_job(number, priority=priority["us"]))
    await opened(store, new_job(50, folder="eu", priority=priority["eu"], opened_at=NOW + 1))
    picked: list[Job] = []
    for _ in range(turns):
        asked = Wanted(account="main", stages=LANES["send"], limit=wanted)
        not_these = {job.id for job in picked}
        (jobs,), _ = await store.pick_up([asked], NOW + 2, not_these, set(folders))
        picked += await runner._with_others_first(asked, jobs, NOW + 2, not_these, set(folders))
    await store.close()
    assert len({job.id for job in picked}) == len(picked) == wanted * turns
    return picked


@pytest.mark.asyncio
@pytest.mark.parametrize("wanted", [1, 2, 5])
async def test_a_single_file_does_not_wait_for_the_flood_of_another_folder(tmp_path: Path, wanted: int) -> None:
    picked = await first_picked(tmp_path, {"us": folder(), "eu": folder()}, wanted, turns=2)
    assert "eu" in {job.folder for job in picked}


@pytest.mark.asyncio
async def test_a_folder_of_lower_priority_does_wait(tmp_path: Path) -> None:
    picked = await first_picked(tmp_path, {"us": folder(priority=1), "eu": folder()}, 3, turns=4)
    assert {job.folder for job in picked} == {"us"}
