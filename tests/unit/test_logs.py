"""Promise: never a secret in the log, whatever carries it there, nor in what a job is held for."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import structlog

from hopperd import logs
from hopperd.ledger.store import Store
from hopperd.pipeline.job import Policy, Stage
from hopperd.workers.runner import Runner
from tests.support.jobs import NOW
from tests.support.stores import new_job, opened

SECRET = "the-token-itself"


@dataclass(frozen=True, slots=True)
class Carrier:
    address: str


@pytest.fixture
def redaction(monkeypatch: pytest.MonkeyPatch) -> Iterator[logs.Redaction]:
    """The one of the process, as it was before."""
    before = logs.redaction._secrets
    logs.redaction.know([SECRET])
    yield logs.redaction
    logs.redaction._secrets = before


def written(monkeypatch: pytest.MonkeyPatch, form: Any, **words: Any) -> str:
    """What stands in the log after a mistake in whose words, and beside them, the secret was."""
    log = io.StringIO()
    monkeypatch.setattr(sys, "stderr", log)
    kept = structlog.get_config()
    logs.configure("info", form)
    try:
        token = SECRET  # a renderer that shows variables would show it
        raise RuntimeError(f"https://user:{token}@host answered 500")
    except RuntimeError:
        structlog.get_logger("a").exception("internal-error", **words)
    finally:
        structlog.configure(**kept)
    return log.getvalue()


@pytest.mark.parametrize("form", ["json", "console"])
@pytest.mark.parametrize(
    "carried",
    [
        f"x{SECRET}x",
        [SECRET],
        (1, {SECRET}),
        {"deep": [{"deeper": f"a {SECRET}"}], SECRET: 1},
        RuntimeError(SECRET),
        Path(f"/x/{SECRET}"),
        Carrier(SECRET),
        SECRET.encode(),
    ],
    ids=lambda carried: type(carried).__name__,
)
def test_no_secret_reaches_the_log_in_a_traceback_or_in_any_value(
    monkeypatch: pytest.MonkeyPatch, redaction: logs.Redaction, form: str, carried: object
) -> None:
    said = written(monkeypatch, form, what=carried)
    assert "RuntimeError" in said
    assert "https://user:[secret]@host" in said
    assert SECRET not in said


def test_other_values_are_written_as_they_are(redaction: logs.Redaction) -> None:
    event = {"n": 1, "no": None, "yes": True, "list": [1, "a"], "path": Path("/x"), "deep": {"a": (2.5,)}}
    assert redaction(None, "info", dict(event)) == {**event, "deep": {"a": [2.5]}}


@pytest.mark.asyncio
async def test_a_job_held_for_a_mistake_does_not_tell_the_secret_of_it(
    tmp_path: Path, redaction: logs.Redaction
) -> None:
    store = Store.open_state(tmp_path / "state", inline=True)
    job = await opened(store, new_job())
    turns = SimpleNamespace(leave=lambda job_id: None)
    parts: Any = SimpleNamespace(
        ledger=store,
        clock=SimpleNamespace(now=lambda: NOW),
        folders={"us": SimpleNamespace(policy=Policy())},
        accounts={"main": SimpleNamespace(turns=turns)},
    )
    await Runner(parts)._hold_after_mistake(job.id, RuntimeError(f"no such thing: {SECRET}"))
    held = await store.get(job.id)
    await store.close()
    assert held is not None
    assert held.hold is not None
    assert (held.stage, held.hold.what.count("[secret]")) == (Stage.CLAIMED, 1)
    assert SECRET not in held.hold.what
