"""Whether the daemon lives (/healthz) and can work (/readyz). A probe that hangs is an answer, too: it is not ready.

Lives: event loop, ledger pump and sweep were seen lately, by whoever did the work. Can work: each hot folder was
proven by a real write in each of its places, the ledger by a real commit, each account is accepted. Proofs are kept
for a while, so that whoever asks often costs nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from hopperd.ports import LedgerTrouble, Pause

PROOF_SECONDS: Final = 20.0
PATIENCE_SECONDS: Final = 5.0

NOT_ANSWERED: Final = f"it did not answer within {PATIENCE_SECONDS:.0f} seconds"


@dataclass(frozen=True, slots=True, kw_only=True)
class Probes:
    """What app.py joins: each folder's problems now, a commit, what pauses each account, silent facts of the pulse."""

    folders: Mapping[str, Callable[[], Awaitable[tuple[str, ...]]]]
    ledger: Callable[[], Awaitable[None]]
    accounts: Mapping[str, Callable[[], Pause | None]]
    silent: Callable[[], list[str]]
    ages: Callable[[], Mapping[str, float]]


class Health:
    def __init__(self, probes: Probes, monotonic: Callable[[], float]) -> None:
        self._probes = probes
        self._monotonic = monotonic
        self._proven: dict[str, tuple[float, list[str]]] = {}
        self._asking: dict[str, asyncio.Task[list[str]]] = {}

    def lives(self) -> dict[str, Any]:
        silent = self._probes.silent()
        ages = {fact: round(seconds, 1) for fact, seconds in self._probes.ages().items()}
        return {"healthy": not silent, "silent": silent, "seen_seconds_ago": ages}

    async def ready(self) -> dict[str, Any]:
        """Every account of what is not ready, in sentences."""
        names = [f"folder {name}" for name in self._probes.folders]
        found = await asyncio.gather(
            self._proof("ledger", self._ledger),
            *(
                self._proof(label, self._folder(probe))
                for label, probe in zip(names, self._probes.folders.values(), strict=True)
            ),
        )
        problems = dict(zip(["ledger", *names], found, strict=True))
        for name, pause_now in self._probes.accounts.items():
            pause = pause_now()
            blocked = pause is not None and not pause.by_person
            problems[f"account {name}"] = [f"{pause.what} {pause.do}".strip()] if pause is not None and blocked else []
        not_ready = {label: what for label, what in problems.items() if what}
        return {"ready": not not_ready, "not_ready": not_ready, "proven": sorted(set(problems) - set(not_ready))}

    async def _ledger(self) -> list[str]:
        try:
            await self._probes.ledger()
        except LedgerTrouble as trouble:
            return [trouble.what]
        return []

    def _folder(self, probe: Callable[[], Awaitable[tuple[str, ...]]]) -> Callable[[], Awaitable[list[str]]]:
        async def ask() -> list[str]:
            try:
                return list(await probe())
            except OSError as error:
                return [str(error)]

        return ask

    async def _proof(self, label: str, ask: Callable[[], Awaitable[list[str]]]) -> list[str]:
        """At most one probe of a kind at a time: one that hangs is not joined by others."""
        proven = self._proven.get(label)
        if proven is not None and self._monotonic() - proven[0] < PROOF_SECONDS:
            return proven[1]
        task = self._asking.get(label)
        if task is None:
            task = self._asking[label] = asyncio.ensure_future(ask())
            task.add_done_callback(lambda done: self._note(label, done))
        done, _ = await asyncio.wait({task}, timeout=PATIENCE_SECONDS)
        return task.result() if done else [NOT_ANSWERED]

    def _note(self, label: str, task: asyncio.Future[list[str]]) -> None:
        self._asking.pop(label, None)
        if not task.cancelled() and task.exception() is None:
            self._proven[label] = (self._monotonic(), task.result())

    def close(self) -> None:
        for task in list(self._asking.values()):
            task.cancel()
