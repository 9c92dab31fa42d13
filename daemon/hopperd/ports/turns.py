"""Whose turn it is: the limits of an account."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from typing import Literal, Protocol

from hopperd.pipeline.events import Weather
from hopperd.pipeline.job import (
    JobId,
)
from hopperd.ports.ledger import Pause
from hopperd.ports.service import ServiceTrouble

Kind = Literal["upload", "run", "look", "fetch", "tidy"]


class Turns(Protocol):
    """Places and rate of one account, and whether it is paused."""

    def turn(self, job_id: JobId, kind: Kind, folder: str = "") -> AbstractAsyncContextManager[None]:
        """A place for this kind of work, then the request token, taken last. Waits while the account is paused. Where
        several wait, their folders are served in turn.

        Raises Stale while `is_cut_off`, also for who waits already. A "run" keeps its place among the tasks in flight
        once its body was entered: `leave` gives it back.
        """
        ...

    async def renew(self, job_id: JobId) -> None:
        """Just before the request of a "run": another token, where the turn's own has grown too old meanwhile."""
        ...

    def enter(self, job_id: JobId) -> None:
        """The job has a task in flight, as a matter of fact. Never waits, may exceed the limit; repeatable."""
        ...

    def leave(self, job_id: JobId) -> None:
        """The job has no task in flight: it ended, was declined, or waits for a person. Repeatable."""
        ...

    @property
    def most_in_flight(self) -> int | None:
        """What the ledger is to keep to when a Run is intended; None where the places given here are all there are."""
        ...

    def no_room(self, job_id: JobId) -> None:
        """The ledger would not have it: other nodes have the places. The job has none any more."""
        ...

    def note_success(self, job_id: JobId) -> None:
        """The request of the job's last turn got through."""
        ...

    def note_trouble(self, job_id: JobId, trouble: ServiceTrouble) -> Weather:
        """What trouble of any fault means for the account; returns what it means for the job."""
        ...

    @property
    def pause_now(self) -> Pause | None:
        """The pause to be shown and kept in the ledger; cool-downs are not among them."""
        ...

    @property
    def is_cut_off(self) -> bool:
        """Other nodes reach the service and this one does not: its jobs are to be left to them."""
        ...

    def pause(self, pause: Pause) -> None:
        """By a person, by the account's ceiling (scope "runs"), or as the ledger remembers it."""
        ...

    def resume(self) -> None: ...
