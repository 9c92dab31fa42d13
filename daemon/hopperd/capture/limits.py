"""What one account may do, and when: the port `Turns`.

Joins what lets requests out (admission.py) to what closes the account (weather.py), to what tells one job's trouble
from everybody's (others.py), and to the nodes that share it (share.py).
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import Final

import structlog

from hopperd.capture.admission import CUT_OFF, Admission, Limits
from hopperd.capture.fleet_places import FleetInFlight
from hopperd.capture.fleet_rate import FleetRate
from hopperd.capture.others import Others
from hopperd.capture.places import Flight, InFlight
from hopperd.capture.rate import Rate, Tokens
from hopperd.capture.share import Share
from hopperd.capture.weather import AccountWeather, said
from hopperd.pipeline.events import Weather
from hopperd.pipeline.job import JobId
from hopperd.ports import Budget, Clock, Kind, Pause, ServiceTrouble, Turns

log = structlog.get_logger(__name__)

TROUBLE_SHOWN_SECONDS: Final = 900.0


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
        self._weather = AccountWeather()
        self._others = Others()
        self._pause_told: Pause | None = None
        self._changed = asyncio.Event()
        self._limits = limits
        self._share: Share | None = None
        in_flight: Flight = InFlight(limits.tasks_in_flight)
        if budget is not None:
            in_flight = places = FleetInFlight(limits.tasks_in_flight)
            self._share = Share(account, budget, places, clock)

        def rate(behind: Callable[[], int]) -> Tokens:
            if budget is None:
                return Rate(limits.requests_per_second)
            return FleetRate(account, limits.requests_per_second, budget=budget, behind=behind)

        self._admission = Admission(limits, self, in_flight, rate, clock=clock, on_wait=on_wait)
        self._trouble: tuple[str, float] | None = None  # since the last request that got through

    # ----------------------------------------------------------------------------------------------------- turns

    def turn(self, job_id: JobId, kind: Kind, folder: str = "") -> AbstractAsyncContextManager[None]:
        """A place for this kind of work, then the token for one request, taken last. Waits while the account is closed.

        A "run" keeps its place among the tasks in flight when the turn ends, however it ends: `leave` gives it back.
        """
        self._others.begins(job_id, kind)
        return self._admission.turn(job_id, kind, folder)

    async def more(self) -> None:
        """The token for a further request of the turn in hand. ServiceTrouble if the account has closed meanwhile."""
        await self._admission.token()
        self._require_open()

    async def more_tidying(self) -> None:
        """The same for what nobody waits for, one at a time."""
        await self._admission.tidying_token()
        self._require_open()

    async def renew(self, job_id: JobId) -> None:
        """Before the request of a Run, where something was waited for meanwhile: its token may be too old."""
        await self._admission.renew(job_id)

    def _require_open(self) -> None:
        if self.closed_seconds > 0.0:
            pause = self._weather.pause_now
            raise ServiceTrouble("weather", f"the account is paused: {pause.what}" if pause else "the account rests")

    def enter(self, job_id: JobId) -> None:
        """The job has a task in flight, as a matter of fact: at start, or when a person has finished with it."""
        self._admission.in_flight.enter(job_id)

    def leave(self, job_id: JobId) -> None:
        """The job has no task in flight any more: it ended, was never accepted, or waits for a person."""
        self._admission.in_flight.leave(job_id)

    # --------------------------------------------------------------------------------------------------- weather

    def note_success(self, job_id: JobId) -> None:
        """The request of the job's last turn got through."""
        self._others.passed(job_id)
        self._trouble = None
        self._admission.window.grow(self._clock.monotonic())
        if self._weather.succeeded():
            self._tell()

    def note_trouble(self, job_id: JobId, trouble: ServiceTrouble) -> Weather:
        """The request of the job's last turn met trouble. Returns what that means for the job."""
        jitter = self._random()
        now = self._clock.monotonic()
        if self._weather.troubled(trouble, now, self._clock.now(), jitter):
            self._admission.window.restart()
        elif trouble.status in (429, 503):
            self._admission.window.shrink(now)
        self._tell()
        if trouble.fault in ("weather", "doubt", "account"):
            what = said("credentials" if trouble.fault == "account" else trouble.kind, trouble.what)
            self._trouble = (what, now)
        may_be_its_own = trouble.fault == "gone" or (trouble.fault == "weather" and trouble.kind == "server")
        return Weather(
            kind="credentials" if trouble.fault == "account" else trouble.kind,
            what=trouble.what,
            retry_after_seconds=trouble.retry_after_seconds,
            others_pass=self._others.pass_while_fails(job_id, perhaps_by_itself=may_be_its_own),
            jitter=jitter,
        )

    # ---------------------------------------------------------------------------------------------------- pauses

    @property
    def pause_now(self) -> Pause | None:
        return self._weather.pause_now

    @property
    def trouble_now(self) -> str | None:
        """What the last request met, in words, where none got through since and it was not long ago."""
        if self._admission.rate.trouble is not None:
            return self._admission.rate.trouble
        if self._trouble is None or self._clock.monotonic() - self._trouble[1] > TROUBLE_SHOWN_SECONDS:
            return None
        return self._trouble[0]

    @property
    def closed_seconds(self) -> float:
        """How long no request may leave: 0 open, inf paused, anything else a cool-down."""
        return self.closed_seconds_for("look")

    def pause(self, pause: Pause) -> None:
        """By a person, by the account's ceiling (scope "runs"), or as the ledger remembers it from before."""
        self._weather.pause(pause, self._clock.monotonic())
        self._admission.window.restart()
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
                await self.wait_for_change(seconds)
            await self._admission.rate.token()
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
        self._admission.set(limits)
        self._divide()

    def _divide(self) -> None:
        nodes, rank = (self._share.nodes, self._share.rank) if self._share is not None else (1, 0)
        self._admission.divide(nodes, rank)

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
            asking, pause = self._admission.asking, self._weather.automatic
            if await self._share.exchange(self._admission.is_busy, asking, pause, self._admission.window.known):
                self._admission.window.hear(self._share.found, self._clock.monotonic())
                self._divide()
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
        return self._admission.describe()

    # ------------------------------------------------------------------------------------- the gate of the admission

    def closed_seconds_for(self, kind: Kind) -> float:
        return self._weather.closed_seconds(kind, self._clock.monotonic())

    async def wait_for_change(self, seconds: float) -> None:
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
