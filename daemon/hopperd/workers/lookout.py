"""Sees what no event of a job tells: accounts paused, folders gone, an old backlog, hooks in trouble, a day that ended.

What people were told last stands in the ledger, written with the notice: a restart tells nothing twice.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

import structlog

from hopperd.pipeline.job import OPEN_STAGES
from hopperd.pipeline.letters import Letter, Mailing, NoticeKind, notices
from hopperd.pipeline.receipt import iso
from hopperd.ports import ALONE, Clock, Lease, Ledger, LedgerTrouble, Letters, Pause

log = structlog.get_logger("hopperd.lookout")

ROUND_SECONDS: Final = 5.0
BACKLOG_EVERY_SECONDS: Final = 60.0
HOUR_SECONDS: Final = 3600.0


class LetterLedger(Ledger, Letters, Protocol):
    """The ledger, and the letters in it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Views:
    """What app.py joins: each account's pause, each folder's trouble, each hook's trouble, at this moment."""

    accounts: Mapping[str, Callable[[], Pause | None]]
    folders: Mapping[str, Callable[[], str | None]]
    hooks: Mapping[str, Callable[[], str | None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """What the settings ask for. `digest_at` is (hour, minute) of the machine's own time; None for no digest."""

    backlog_seconds: float
    verification_seconds: float
    digest_at: tuple[int, int] | None


class Lookout:
    def __init__(
        self,
        ledger: LetterLedger,
        clock: Clock,
        views: Views,
        wishes: Wishes,
        mailing: Mailing,
        lease: Lease = ALONE,
    ) -> None:
        self._ledger = ledger
        self._clock = clock
        self._views = views
        self._wishes = wishes
        self._mailing = mailing
        self._lease = lease
        self._told: dict[str, str] | None = None
        self._backlog_at = 0.0

    async def run(self) -> None:
        while True:
            try:
                await self.round()
            except LedgerTrouble as trouble:
                log.warning("lookout-postponed", what=str(trouble))
            await self._clock.sleep(ROUND_SECONDS)

    async def round(self) -> None:
        if not self._lease.is_eldest:
            self._told = None  # another tells, and what it told is to be known here if it dies
            return
        if self._told is None:
            self._told = await self._ledger.told()
        for name, pause_now in self._views.accounts.items():
            await self._account(name, pause_now())
        await self._troubles("folder", self._views.folders, "The folder works again.")
        await self._troubles("hook", self._views.hooks, "The hook takes deliveries again.")
        if self._clock.monotonic() >= self._backlog_at:
            self._backlog_at = self._clock.monotonic() + BACKLOG_EVERY_SECONDS
            await self._backlog()
            await self._remind_of_verification()
            await self._digest()

    async def _account(self, name: str, pause: Pause | None) -> None:
        if pause is not None and pause.reason == "person":
            return  # who paused it knows
        what = pause.what if pause is not None else "The account works again"
        do = pause.do if pause is not None else ""
        await self._state("account", name, pause.reason if pause is not None else None, what, do)

    async def _troubles(self, kind: NoticeKind, views: Mapping[str, Callable[[], str | None]], fine: str) -> None:
        for name, trouble_now in views.items():
            trouble = trouble_now()
            # The words of a trouble change with every try; that there is one is the news.
            await self._state(kind, name, "trouble" if trouble else None, trouble or fine, "")

    async def _state(self, kind: NoticeKind, name: str, state: str | None, what: str, do: str) -> None:
        key = f"{kind}/{name}"
        if self._known(key) == state:
            return
        event = f"{kind}-in-trouble" if state is not None else f"{kind}-fine"
        await self._tell(
            kind, name, {kind: name, "event": event, "what": f"{kind} {name}: {what}", "do": do}, {key: state}
        )

    async def _backlog(self) -> None:
        limit, now = self._wishes.backlog_seconds, self._clock.now()
        cells = [cell for cell in await self._ledger.backlog(now, (limit,)) if cell.age_bucket == 1]
        moving = sum(cell.jobs - cell.held - cell.waiting_for_person for cell in cells)
        if moving <= 0:
            await self._ledger_told({"backlog": None})
        elif self._known("backlog") is None:
            what = f"{moving} invoices are on their way for longer than {_span(limit)}"
            notice = {"what": what, "do": "hopperd status shows where they stand and why", "jobs": moving}
            await self._tell("backlog", "all", notice, {"backlog": iso(now)})

    async def _remind_of_verification(self) -> None:
        """The first notice comes with the job itself; this one counts all that still wait, each so many hours."""
        every, now = self._wishes.verification_seconds, self._clock.now()
        last = float(self._known("verification") or 0.0)
        if min(last, now) + every > now:
            return
        cells = await self._ledger.backlog(now, (every,))
        waiting = sum(cell.waiting_for_person for cell in cells if cell.age_bucket == 1)
        if not waiting:
            return
        oldest = min(cell.oldest_opened_at for cell in cells if cell.waiting_for_person)
        what = f"{waiting} invoices wait for verification for longer than {_span(every)}"
        what += f", the oldest for {_span(now - oldest)}"
        notice = {"what": what, "do": "hopperd status shows their addresses", "jobs": waiting}
        await self._tell("verification", "all", notice, {"verification": str(now)})

    async def _digest(self) -> None:
        if self._wishes.digest_at is None:
            return
        until = _last_time(self._clock.now(), *self._wishes.digest_at)
        told = self._known("digest")
        if told is not None and float(told) >= until:
            return
        if told is None:
            await self._ledger_told({"digest": str(until)})  # the first day is told when it is over
            return
        since = _last_time(until - 1.0, *self._wishes.digest_at)
        await self._tell("digest", iso(until), await self._figures(since, until), {"digest": str(until)})

    async def _figures(self, since: float, until: float) -> dict[str, Any]:
        came = await self._ledger.came_in(since, until)
        total = sum(came.values())
        doubts = await self._ledger.doubts()
        still = sum(cell.jobs for cell in await self._ledger.backlog(until, ()) if cell.stage in OPEN_STAGES)
        parts = " + ".join(f"{count} {name}" for name, count in came.items())
        what = f"{iso(since)[:16]} to {iso(until)[:16]} UTC: {total} in = {parts}. Open now: {still}"
        if doubts.open or doubts.perhaps_delivered_twice:
            what += f". Open and perhaps paid for twice: {doubts.open}; perhaps delivered twice: "
            what += str(doubts.perhaps_delivered_twice)
        return {"what": what, "since": iso(since), "until": iso(until), "in": total, **came, "open_now": still}

    # ---------------------------------------------------------------------------------------------------- telling

    def _known(self, key: str) -> str | None:
        return self._told.get(key) if self._told is not None else None

    async def _tell(
        self, kind: NoticeKind, name: str, notice: Mapping[str, Any], told: Mapping[str, str | None]
    ) -> None:
        now = self._clock.now()
        letters = notices(f"{name}.{iso(now)}", kind, {k: v for k, v in notice.items() if v != ""}, now, self._mailing)
        await self._ledger_told(told, letters)

    async def _ledger_told(self, told: Mapping[str, str | None], letters: Sequence[Letter] = ()) -> None:
        if not letters and all(self._known(key) == value for key, value in told.items()):
            return
        await self._ledger.post(letters, told)
        assert self._told is not None  # noqa: S101 (read at the first round)
        for key, value in told.items():
            if value is None:
                self._told.pop(key, None)
            else:
                self._told[key] = value


def _last_time(now: float, hour: int, minute: int) -> float:
    """The latest moment, not after `now`, when the machine's clocks showed this time of day."""
    day = datetime.datetime.fromtimestamp(now).astimezone()
    at = day.replace(hour=hour, minute=minute, second=0, microsecond=0, tzinfo=None).timestamp()
    if at <= now:
        return at
    before = day.replace(tzinfo=None) - datetime.timedelta(days=1)
    return before.replace(hour=hour, minute=minute, second=0, microsecond=0).timestamp()


def _span(seconds: float) -> str:
    for unit, size in (("days", 86400.0), ("hours", HOUR_SECONDS), ("minutes", 60.0)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} seconds"
