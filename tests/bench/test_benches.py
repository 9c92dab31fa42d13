"""Every benchmark runs and says its ratio. What they measure is measured elsewhere: a busy machine proves nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
CHEAP = ("throughput", "limit", "ledger", "start", "backlog", "fleet")
OTHERS = ("ceiling", "latency", "idle", "memory", "polls", "adaptive", "fairness", "page", "fleet_day")


def said(name: str, tmp_path: Path) -> dict[str, Any]:
    """The last line of a short run, started as a person would, from the root of the repository."""
    command = [sys.executable, f"tests/bench/{name}.py", "--short", "--dir", str(tmp_path)]
    environment = {key: value for key, value in os.environ.items() if not key.startswith("HOPPERD_")}
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=240, env=environment)
    assert ran.returncode == 0, ran.stderr[-3000:]
    found: dict[str, Any] = json.loads(ran.stdout.splitlines()[-1])
    assert found["bench"] == name and len(ran.stdout.splitlines()) > 2
    assert not list(tmp_path.iterdir()), "a benchmark leaves nothing behind"
    return found


@pytest.mark.parametrize("name", CHEAP)
def test_a_short_run_says_its_ratio(name: str, tmp_path: Path) -> None:
    assert said(name, tmp_path)["ratio"] > 0


@pytest.mark.long
@pytest.mark.parametrize("name", OTHERS)
def test_a_short_run_of_the_slower_ones_does_too(name: str, tmp_path: Path) -> None:
    assert said(name, tmp_path)["ratio"] > 0
