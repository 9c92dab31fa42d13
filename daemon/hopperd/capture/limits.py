"""What one account may do, and when: places, the rate of requests, pauses.

A turn takes the place for its kind of work first, then a place in the window of requests at once, then the request
token, last: what waits for a token holds nothing that others could use meanwhile, but for its place in line. Looks and
everything else stand in two lines served in turn, so that neither starves the other; in each, and for each kind of
place, folders are served in turn (places.py). Every wait can be cancelled.
"""

from __future__ import annotations

import asyncio
import math
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Final

import structlog

from hopperd.capture.fleet_places import FleetInFlight
from hopperd.capture.fleet_rate import FleetRate
from hopperd.capture.places import Flight, InFlight, Places, portion
from hopperd.capture.rate import Rate, Tokens
from hopperd.capture.share import Share
from hopperd.capture.weather import AccountWeather, said
from hopperd.capture.window import Window
from hopperd.errors import Stale
from hopperd.pipeline.events import Weather
from hopperd.pipeline.job import JobId
from hopperd.ports import Budget, Clock, Kind, Pause, ServiceTrouble, Turns

log = structlog.get_logger(__name__)

MOST_REMEMBERED_JOBS: Final = 10_000
TROUBLE_SHOWN_SECONDS: Final = 900.0
CUT_OFF: Final = "other nodes reach the service, this one does not: the job is left to them"


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The limits of one account, as its settings name them."""

    requests_per_second: float = 10.0
    uploads_at_once: int = 4
    fetches_at_once: int = 4
    tasks_in_flight: int = 200

    @property
    def requests_at_once(self) -> int:
        """A ceiling for the window: looks and Runs have no places of their own, so some are kept for them."""
        return self.uploads_at_once + self.fetches_at_once + max(8, min(64, math.ceil(self.requests_per_second)))


class AccountLimits:
    """The places, rate and pauses of one account. Implements the port `Turns`.

    `clock.monotonic` must advance with the event loop's own time. `random` draws jitter in [0, 1]. `on_wait` is called
    with the seconds that each request waited for its token. `budget`: what is shared with other nodes; then
    `keep_sharing` must run.
    """

    def __init__(
        self,
        account: str,
        limits: Limits,
        *,
        clock: Clock,
        random: Callable[[], float],
        on_wait: Callable[[float], None] | None = None,
        budget: Budget | None = None,
    ) -> None:
        self._account = account
        self._clock = clock
        self._random = random
        self._on_wait = on_wait
        self._weather = AccountWeather()
        self._pause_told: Pause | None = None
        self._changed = asyncio.Event()
        self._limits = limits
        self._in_line = 0
        self._asking: dict[JobId, float] = {}  # a Run is to be asked for: when its token was had
        self._in_flight: Flight = InFlight(limits.tasks_in_flight)
        self._rate: Tokens = Rate(limits.requests_per_second)
        self._share: Share | None = None
        if budget is not None:
            self._rate = FleetRate(account, limits.requests_per_second, budget=budget, behind=self._behind)
            self._in_flight = places = FleetInFlight(limits.tasks_in_flight)
            self._share = Share(account, budget, places, clock)
        self._uploads = Places(limits.uploads_at_once)
        self._fetches = Places(limits.fetches_at_once)
        self._window = Window(limits.requests_at_once)
        self._looks_line, self._works_line, self._tidy_line = Places(1), Places(1), Places(1)
        self._more_tidying_line = asyncio.Lock()
        self._passes: Counter[Kind] = Counter()
        self._last_passed: dict[Kind, bool] = {}
        self._failures: dict[JobId, tuple[Kind, int]] = {}
        self._last_turn: dict[JobId, Kind] = {}
        self._trouble: tuple[str, float] | None = None  # since the last request that got through

    # ----------------------------------------------------------------------------------------------------- turns

    def turn(self, job_id: JobId, kind: Kind, folder: str = "") -> AbstractAsyncContextManager[None]:
        """A place for this kind of work, then the token for one request, taken last. Waits while the account is closed.

        A "run" keeps its place among the tasks in flight when the turn ends, however it ends: `leave` gives it back.
        """
        self._last_turn.pop(job_id, None)
        self._last_turn[job_id] = kind
        if len(self._last_turn) > MOST_REMEMBERED_JOBS:
            del self._last_turn[next(iter(self._last_turn))]
        return self._run_turn(job_id, folder) if kind == "run" else self._turn(kind, folder)

    async def more(self) -> None:
        """The token for a further request of the turn in hand. ServiceTrouble if the account has closed meanwhile."""
        await self._token()
        self._require_open()

    async def more_tidying(self) -> None:
        """The same for what nobody waits for: one of them at a time stands in line for a token.

        Not in the line of those who wait for a place in the window: whoever asks for more holds one, and would wait for
        ever behind who waits for it.
        """
        async with self._more_tidying_line:
            await self._token()
        self._require_open()

    async def renew(self, job_id: JobId) -> None:
        """Before the request of a turn, where something was waited for meanwhile: another token in place of one that
        is too old to be used. The service would see two requests in the place of one."""
        taken_at = self._asking.get(job_id)
        if taken_at is not None and self._clock.monotonic() - taken_at > self._rate.fresh_seconds:
            await self._token()

    def _require_open(self) -> None:
        if self._weather.closed_seconds("look", self._clock.monotonic()) > 0.0:
            pause = self._weather.pause_now
            raise ServiceTrouble("weather", f"the account is paused: {pause.what}" if pause else "the account rests")

    def _require_reach(self) -> None:
        if self.is_cut_off:
            raise Stale(CUT_OFF)

    def enter(self, job_id: JobId) -> None:
        """The job has a task in flight, as a matter of fact: at start, or when a person has finished with it."""
        self._in_flight.enter(job_id)

    def leave(self, job_id: JobId) -> None:
        """The job has no task in flight any more: it ended, was never accepted, or waits for a person."""
        self._in_flight.leave(job_id)

    @asynccontextmanager
    async def _turn(self, kind: Kind, folder: str) -> AsyncIterator[None]:
        self._require_reach()
        places = self._uploads if kind == "upload" else self._fetches if kind == "fetch" else None
        if places is not None:
            await places.take(folder)
        try:
            await self._admit(kind, folder)
            try:
                yield
            finally:
                self._window.give()
        finally:
            if places is not None:
                places.give()

    @asynccontextmanager
    async def _run_turn(self, job_id: JobId, folder: str) -> AsyncIterator[None]:
        self._require_reach()
        is_new = await self._in_flight.take(job_id, folder)
        self._asking[job_id] = math.inf
        is_admitted = False
        try:
            await self._admit("run", folder)
            is_admitted = True
            self._asking[job_id] = self._clock.monotonic()
            yield
        finally:
            self._asking.pop(job_id, None)
            if is_admitted:
                self._window.give()
            elif is_new:
                self._in_flight.leave(job_id)

    async def _admit(self, kind: Kind, folder: str) -> None:
        """A place in the window and a token, while the account is open."""
        line = {"look": self._looks_line, "tidy": self._tidy_line}.get(kind, self._works_line)
        while True:
            while (seconds := self._weather.closed_seconds(kind, self._clock.monotonic())) > 0.0:
                self._require_reach()
                await self._wait_for_change(seconds)
            async with self._standing_in(line, folder):
                if self._weather.closed_seconds(kind, self._clock.monotonic()) > 0.0:
                    continue
                await self._window.take()
                try:
                    await self._token()
                except BaseException:
                    self._window.give()
                    raise
                if self._weather.closed_seconds(kind, self._clock.monotonic()) <= 0.0:
                    return
                self._window.give()

    @asynccontextmanager
    async def _standing_in(self, line: Places, folder: str) -> AsyncIterator[None]:
        self._in_line += 1
        try:
            await line.take(folder)
        finally:
            self._in_line -= 1
        try:
            yield
        finally:
            line.give()

    def _behind(self) -> int:
        """How many could ask for a token at once, beyond those that do: they stand in line and have a place to go."""
        return min(self._in_line, max(0, self._window.limit - self._window.taken))

    async def _token(self) -> None:
        began = self._clock.monotonic()
        await self._rate.token()
        if self._on_wait is not None:
            self._on_wait(self._clock.monotonic() - began)

    # --------------------------------------------------------------------------------------------------- weather

    def note_success(self, job_id: JobId) -> None:
        """The request of the job's last turn got through."""
        kind = self._last_turn.pop(job_id, "look")
        self._failures.pop(job_id, None)
        self._trouble = None
        self._passes[kind] += 1
        self._last_passed[kind] = True
        self._window.grow(self._clock.monotonic())
        if self._weather.succeeded():
            self._tell()

    def note_trouble(self, job_id: JobId, trouble: ServiceTrouble) -> Weather:
        """The request of the job's last turn met trouble. Returns what that means for the job."""
        kind = self._last_turn.pop(job_id, "look")
        jitter = self._random()
        now = self._clock.monotonic()
        if self._weather.troubled(trouble, now, self._clock.now(), jitter):
            self._window.restart()
        elif trouble.status in (429, 503):
            self._window.shrink(now)
        self._tell()
        if trouble.fault in ("weather", "doubt", "account"):
            what = said("credentials" if trouble.fault == "account" else trouble.kind, trouble.what)
            self._trouble = (what, now)
        is_perhaps_this_one = trouble.fault == "gone" or (trouble.fault == "weather" and trouble.kind == "server")
        return Weather(
            kind="credentials" if trouble.fault == "account" else trouble.kind,
            what=trouble.what,
            retry_after_seconds=trouble.retry_after_seconds,
            others_pass=is_perhaps_this_one and self._others_pass(job_id, kind),
            jitter=jitter,
        )

    def _others_pass(self, job_id: JobId, kind: Kind) -> bool:
        """Whether a request of this kind of another job got through since this job's last failure at it; at the first
        failure, whether the last one before did. Kinds are told apart: looks that pass prove nothing about Runs."""
        before = self._failures.pop(job_id, None)
        if before is not None and before[0] == kind:
            passed = self._passes[kind] > before[1]
        else:
            passed = self._last_passed.get(kind, False)
        self._failures[job_id] = (kind, self._passes[kind])
        self._last_passed[kind] = False
        if len(self._failures) > MOST_REMEMBERED_JOBS:
            del self._failures[next(iter(self._failures))]
        return passed

    # ---------------------------------------------------------------------------------------------------- pauses

    @property
    def pause_now(self) -> Pause | None:
        return self._weather.pause_now

    @property
    def trouble_now(self) -> str | None:
        """What the last request met, in words, where none got through since and it was not long ago."""
        if self._rate.trouble is not None:
            return self._rate.trouble
        if self._trouble is None or self._clock.monotonic() - self._trouble[1] > TROUBLE_SHOWN_SECONDS:
            return None
        return self._trouble[0]

    @property
    def closed_seconds(self) -> float:
        """How long no request may leave: 0 open, inf paused, anything else a cool-down."""
        return self._weather.closed_seconds("look", self._clock.monotonic())

    def pause(self, pause: Pause) -> None:
        """By a person, by the account's ceiling (scope "runs"), or as the ledger remembers it from before."""
        self._weather.pause(pause, self._clock.monotonic())
        self._window.restart()
        self._tell()

    def resume(self) -> None:
        """By a person: whatever closed the account, it is open."""
        self._weather.resume()
        self._tell()

    def probe_now(self) -> None:
        """After a reload: credentials or addresses may be new ones."""
        self._weather.probe_now(self._clock.monotonic())
        self._tell()

    async def keep_probing(self, probe: Callable[[], Awaitable[None]]) -> None:
        """For ever: whenever an automatic pause calls for it, send a free probe. One that succeeds ends the pause."""
        while True:
            while (seconds := self._weather.probe_seconds(self._clock.monotonic())) > 0.0:
                await self._wait_for_change(seconds)
            await self._rate.token()
            trouble: ServiceTrouble | None = None
            try:
                await probe()
            except ServiceTrouble as error:
                trouble = error
            else:
                self._trouble = None
            self._weather.probed(trouble, self._clock.monotonic(), self._clock.now(), self._random())
            self._tell()

    def set(self, limits: Limits) -> None:
        """New limits, at once; what is under way beyond them ends in peace."""
        self._limits = limits
        self._rate.set(limits.requests_per_second)
        self._in_flight.limit = limits.tasks_in_flight
        self._set_shares()

    def _set_shares(self) -> None:
        """What is done at once is divided among the nodes that have work; every one may do one thing."""
        nodes, rank = (self._share.nodes, self._share.rank) if self._share is not None else (1, 0)
        self._uploads.limit = portion(self._limits.uploads_at_once, nodes, rank)
        self._fetches.limit = portion(self._limits.fetches_at_once, nodes, rank)
        self._window.set_ceiling(self._limits.requests_at_once)
        self._window.divide(nodes, rank)

    # --------------------------------------------------------------------------------------------------- the fleet

    @property
    def most_in_flight(self) -> int | None:
        return self._limits.tasks_in_flight if self._share is not None else None

    def no_room(self, job_id: JobId) -> None:
        if self._share is not None:
            self._share.no_room(job_id)

    async def keep_sharing(self) -> None:
        """For ever, where there is a fleet: tell the others what this node needs, and heed what they tell."""
        while self._share is not None:
            is_busy = self._window.taken + self._in_line > 0
            asking, pause = frozenset(self._asking), self._weather.automatic
            if await self._share.exchange(is_busy, asking, pause, self._window.known):
                self._window.hear(self._share.found, self._clock.monotonic())
                self._set_shares()
                self._heed(self._share)
                if self.is_cut_off:  # who waits for a turn leaves it to others; what has begun ends in peace
                    self._share.turn_away(CUT_OFF)
                    self._wake_all()
            await self._share.rest()

    @property
    def is_cut_off(self) -> bool:
        return self._share is not None and self._weather.automatic is not None and self._share.is_cut_off

    def _heed(self, share: Share) -> None:
        for pause in share.news:
            if self._weather.automatic is None:
                self.pause(pause)
        if share.is_better_elsewhere:
            self.probe_now()

    def describe(self) -> dict[str, float]:
        """Figures for status and metrics."""
        return {
            "uploads": self._uploads.taken,
            "fetches": self._fetches.taken,
            "tasks_in_flight": len(self._in_flight),
            "requests": self._window.taken,
            "requests_at_once": self._window.limit,
        }

    async def _wait_for_change(self, seconds: float) -> None:
        changed = self._changed
        try:
            async with asyncio.timeout(None if math.isinf(seconds) else seconds):
                await changed.wait()
        except TimeoutError:
            pass

    def _wake_all(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    def _tell(self) -> None:
        """Wake everybody who waits for the account to open, or for a probe to fall due."""
        self._wake_all()
        pause = self._weather.pause_now
        if pause is self._pause_told:
            return
        self._pause_told = pause
        if pause is None:
            log.info("account-open", account=self._account)
        else:
            log.warning("account-paused", account=self._account, reason=pause.reason, what=pause.what)


def _is_turns(limits: AccountLimits) -> Turns:
    """For the type checker: the class keeps the port's promises."""
    return limits
