"""What the page shows, made once for all who look: status, what needs a person, flow. Nothing is made for nobody.

Asked of the ledger once per tick, however many look; a tick that found nothing new is not sent.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final, Protocol

import structlog

from hopperd.pipeline.events import Claimed, Event
from hopperd.pipeline.job import Job, Stage
from hopperd.pipeline.receipt import iso
from hopperd.ports import Clock, LedgerTrouble
from hopperd.web.failures import newest_failed
from hopperd.web.flow import DAY_SECONDS, Flow
from hopperd.web.readings import Readings
from hopperd.web.stream import Stream

log = structlog.get_logger("hopperd.web")

TICK_SECONDS: Final = 1.0
REFILL_ROWS: Final = 1_000
REFILL_MOST_ROWS: Final = 500_000
CLOCKWORK: Final = ("at", "age_seconds", "in_stage_seconds", "oldest_seconds", "swept", "by_age")


class Ended(Protocol):
    """Finished jobs in the order they ended: when, id, when opened, whether it ended badly."""

    async def __call__(self, since: float, after_id: str, limit: int) -> list[tuple[float, str, float, bool]]: ...


class Overview:
    def __init__(self, readings: Readings, clock: Clock, stream: Stream, rights: dict[str, bool], ended: Ended) -> None:
        self._readings = readings
        self._clock = clock
        self._stream = stream
        self._rights = rights
        self._ended = ended
        self._flow = Flow()
        self._started_at = clock.now()
        self._flow_since: float | None = None
        self._troubles: dict[str, str | None] = {}
        self._shown: object = None
        self._is_mistaken = False

    def recorded(self, before: Job | None, after: Job, event: Event | Claimed, at: float) -> None:
        if before is None or before.is_open == after.is_open or after.is_open:
            return
        self._flow.note(at, None if after.stage is Stage.FAILED else max(0.0, at - after.opened_at))

    async def document(self) -> dict[str, Any]:
        """The whole page, but for one job's story."""
        now = self._clock.now()
        status = await self._readings.status()
        failed, more_failed = await newest_failed(self._readings.jobs)
        return status | {
            "failed": failed,
            "more_failed": more_failed,
            "flow": self._flow.series(now) | {"since": iso(self._flow_since) if self._flow_since is not None else None},
            "rights": self._rights,
        }

    # ------------------------------------------------------------------------------------------------- the clockwork

    async def run(self) -> None:
        """For ever: fill the charts, then show the state to whoever looks."""
        await self._refill()
        while True:
            if not self._stream.wants_state:
                self._shown = None
                self._stream.forget_state()
                self._stream.state_wanted.clear()
                if not len(self._stream):
                    await self._stream.state_wanted.wait()
                    continue
            began = self._clock.monotonic()
            await self._tick()
            took = self._clock.monotonic() - began
            await asyncio.sleep(max(TICK_SECONDS, 10 * took))

    async def _tick(self) -> None:
        """A mistake of ours must not freeze the page: it is logged, once for as long as it lasts, and shown."""
        try:
            state = await self.document()
            self._tell_changes(state)
            self._show(state)
        except LedgerTrouble as trouble:
            self._show({"trouble": f"{trouble}. {trouble.do}", "rights": self._rights})
        except Exception:
            if not self._is_mistaken:
                log.exception("overview-failed")
            self._is_mistaken = True
            self._show({"trouble": "hopperd made a mistake; the log says which.", "rights": self._rights})
        else:
            self._is_mistaken = False

    def _show(self, state: dict[str, Any]) -> None:
        still = _without_clockwork(state)
        if self._stream.wants_state and still != self._shown:
            self._stream.show(state)
            self._shown = still

    def _tell_changes(self, state: dict[str, Any]) -> None:
        """Pauses and troubles are no events of jobs; they are told as they are seen."""
        found = {f"account {line['account']}": _why(line) for line in state.get("accounts", ())}
        found |= {f"folder {line['folder']}": line.get("trouble") or _why(line) for line in state.get("folders", ())}
        for name, why in found.items():
            before = self._troubles.get(name, why if name not in self._troubles else None)
            if why != before:
                kind, _, which = name.partition(" ")
                told = {"at": iso(self._clock.now()), "event": f"{kind}-{'in-trouble' if why else 'fine'}", kind: which}
                self._stream.tell(told | ({"what": why} if why else {}))
            self._troubles[name] = why

    async def _refill(self) -> None:
        """The last day out of the ledger, newest knowledge last; bounded, in small steps with rests between."""
        since, after, rows = self._started_at - DAY_SECONDS, "", 0
        try:
            while rows < REFILL_MOST_ROWS:
                some = await self._ended(since, after, REFILL_ROWS)
                for at, _, opened_at, badly in some:
                    if at < self._started_at:
                        self._flow.note(at, None if badly else max(0.0, at - opened_at))
                rows += len(some)
                if len(some) < REFILL_ROWS or some[-1][0] >= self._started_at:
                    break
                since, after = some[-1][0], some[-1][1]
                await asyncio.sleep(0.02)
        except LedgerTrouble as trouble:
            log.info("charts-incomplete", what=str(trouble))
            self._flow_since = self._started_at
        except Exception:
            log.exception("overview-failed")
            self._flow_since = self._started_at


def _why(line: dict[str, Any]) -> str | None:
    return line["paused"]["what"] if line.get("paused") else None


def _without_clockwork(part: Any) -> Any:
    if isinstance(part, dict):
        return {key: _without_clockwork(value) for key, value in part.items() if key not in CLOCKWORK}
    if isinstance(part, list):
        return [_without_clockwork(one) for one in part]
    return part
