"""Is the account open for requests? The state machine of pauses, cool-downs and probes.

Pure: time and jitter are passed in. Three things can close an account, each by itself:

- a person, or the ceiling of the contract (`Canceled`), which stops only Runs: until a person resumes;
- an automatic pause: refused credentials at once, a silent network after three troubles in a row: until a free probe
  gets through. No request leaves meanwhile, so one refusal costs one request;
- a cool-down: the service said when to come back, or refused for three seconds on end without saying: until that time.

A single 429 without Retry-After closes nothing: it is about too many requests at once, and the window of places answers
it (window.py). A single 5xx closes nothing: its job waits.
"""

from __future__ import annotations

import math
from typing import Final, Literal

from hopperd.pipeline.retry import delay_seconds
from hopperd.ports import Kind, Pause, ServiceTrouble

TROUBLES_UNTIL_PAUSED: Final = 3
REFUSALS_UNTIL_COOL: Final = 3
REFUSALS_APART_SECONDS: Final = 1.0
PROBE_SECONDS: Final = {"network": (5.0, 60.0), "credentials": (60.0, 300.0)}

_DO: Final = {
    "network": "Nothing: hopperd goes on by itself as soon as the service can be reached. If it lasts, look at the "
    "network, the name server and the proxy between here and the service.",
    "credentials": "Check the account's application id and token in the service's portal, correct them, and reload "
    "(SIGHUP) or resume the account. hopperd also tries by itself every few minutes.",
}

_SAID: Final = {
    "network": "the capture service cannot be reached; invoices wait, none is lost",
    "credentials": "the capture service does not accept our application id or token; invoices wait, none is lost",
    "rate": "the capture service asks us to go slower",
    "server": "the capture service answers with an error; invoices wait, none is lost",
    "disk": "a disk of this machine has no room or answers with an error",
}


def said(kind: str, what: str) -> str:
    """Trouble in words for whoever waits for an invoice; the details follow for whoever mends it."""
    return f"{_SAID[kind]} ({what.rstrip('.')})" if kind in _SAID else what


class AccountWeather:
    """What is known of one account's weather. `now` is monotonic, `wall` since the epoch, `jitter` in [0, 1]."""

    def __init__(self) -> None:
        self._person: Pause | None = None
        self._runs: Pause | None = None
        self._automatic: Pause | None = None
        self._probes = 0
        self._probe_at = math.inf
        self._cool_until = -math.inf
        self._cools = 0
        self._refusals = 0
        self._refused_at = -math.inf
        self._network_troubles = 0

    # ------------------------------------------------------------------------------------------------- questions

    @property
    def pause_now(self) -> Pause | None:
        """The pause a person should see and the ledger keep; cool-downs are too short-lived for either."""
        return self._person or self._automatic or self._runs

    @property
    def automatic(self) -> Pause | None:
        """What this node found out by itself, and will find to be over by itself."""
        return self._automatic

    def closed_seconds(self, kind: Kind, now: float) -> float:
        """How long requests of this kind must wait: 0 open, inf until something else happens."""
        if self._person or self._automatic or (kind == "run" and self._runs):
            return math.inf
        return max(0.0, self._cool_until - now)

    def probe_seconds(self, now: float) -> float:
        """How long until the next free probe is due; inf where none is called for."""
        if self._automatic is None or self._person is not None:
            return math.inf
        return max(0.0, self._probe_at - now)

    # ---------------------------------------------------------------------------------------------------- events

    def answered(self) -> None:
        """The service answered, even if with a refusal: the network is fine."""
        self._network_troubles = 0

    def succeeded(self) -> bool:
        """A request got through. True if that ended a pause: one of the network does, one for credentials does not,
        for the answer may be to a request from before."""
        self.answered()
        self._refusals = self._cools = 0
        if self._automatic is not None and self._automatic.reason == "network":
            self._open()
            return True
        return False

    def troubled(self, trouble: ServiceTrouble, now: float, wall: float, jitter: float) -> bool:
        """A request met trouble. True if requests must now wait and start slowly afterwards."""
        if trouble.status is not None:
            self.answered()
        if trouble.fault == "account":
            return self._close("credentials", trouble.what, now, wall, jitter)
        if trouble.kind == "network" and trouble.status in (None, 407) and trouble.fault in ("weather", "doubt"):
            self._network_troubles += 1
            if self._network_troubles < TROUBLES_UNTIL_PAUSED:
                return False
            return self._close("network", trouble.what, now, wall, jitter)
        if trouble.fault == "weather" and trouble.status in (429, 503):
            return self._refused(trouble.retry_after_seconds, now, jitter)
        return False

    def probed(self, trouble: ServiceTrouble | None, now: float, wall: float, jitter: float) -> bool:
        """A free probe ended. True if it opened the account."""
        if self._automatic is None:
            return False
        if trouble is None:
            self._open()
            return True
        if trouble.fault == "account" and self._automatic.reason == "network":  # reached, and now refused: say that
            self._close("credentials", trouble.what, now, wall, jitter)
            return False
        self._probes += 1
        self._set_probe(now, jitter, trouble.retry_after_seconds)
        return False

    def probe_now(self, now: float) -> None:
        """Something may have been mended (a reload, a person's wish): do not wait for the next probe's time."""
        if self._automatic is not None:
            self._probes = 0
            self._probe_at = now

    def pause(self, pause: Pause, now: float) -> None:
        """By a person, by the ceiling, or as the ledger remembers it."""
        if pause.scope == "runs":
            self._runs = pause
        elif pause.by_person or pause.reason not in PROBE_SECONDS:
            self._person = pause
        else:
            self._automatic = pause
            self._probes = 0
            self._probe_at = now

    def resume(self) -> None:
        """By a person: everything is open again, at once."""
        self._person = self._runs = None
        self._cool_until = -math.inf
        self._cools = self._refusals = 0
        self._open()

    # ------------------------------------------------------------------------------------------------------------

    def _refused(self, retry_after: float | None, now: float, jitter: float) -> bool:
        if now - self._refused_at >= REFUSALS_APART_SECONDS:  # the refusals of one burst are one sign, not many
            self._refused_at = now
            self._refusals += 1
        if retry_after is None and self._refusals < REFUSALS_UNTIL_COOL:
            return False
        if retry_after is None and self._cool_until > now:  # answers to requests sent before the cool-down
            return True
        seconds = retry_after if retry_after is not None else delay_seconds(self._cools, jitter)
        if self._cool_until <= now and retry_after is None:
            self._cools += 1
        # Later by up to a tenth, never earlier: several daemons must not come back in the same instant.
        self._cool_until = max(self._cool_until, now + seconds * (1.0 + 0.1 * jitter))
        return True

    def _close(
        self, reason: Literal["network", "credentials"], what: str, now: float, wall: float, jitter: float
    ) -> bool:
        if self._automatic is None or (reason == "credentials" and self._automatic.reason != reason):
            since = wall if self._automatic is None else self._automatic.since
            self._automatic = Pause(reason=reason, what=said(reason, what), do=_DO[reason], since=since)
            self._probes = 0
            self._set_probe(now, jitter, None)
        return True

    def _set_probe(self, now: float, jitter: float, retry_after: float | None) -> None:
        first, longest = PROBE_SECONDS[self._automatic.reason if self._automatic else "network"]
        self._probe_at = now + delay_seconds(
            self._probes, jitter, first=first, longest=longest, retry_after=retry_after
        )

    def _open(self) -> None:
        self._automatic = None
        self._probe_at = math.inf
        self._probes = self._network_troubles = 0
