"""Hands letters over, each at least once: a folder's deliveries to its hook one by one, notices to people in batches.

What is not taken stays in the ledger and is tried again, over restarts. No invoice waits for any of it: a courier that
can do nothing only says so.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Literal, Protocol

import structlog

from hopperd.pipeline import notices
from hopperd.pipeline.retry import delay_seconds
from hopperd.ports import Clock, LedgerTrouble, Letters, NotTaken, Receiver, WaitingLetter

log = structlog.get_logger("hopperd.courier")

LONGEST_NAP_SECONDS: Final = 30.0
LEDGER_RETRY_SECONDS: Final = 5.0
GIVEN_UP_AFTER_SECONDS: Final = 30 * 86400.0
TROUBLED_AFTER: Final = 3  # failures in a row after which one letter at a time is tried
LONGEST_BRAKE_SECONDS: Final = 60.0
MOST_NOTICES: Final = 10_000

Outcome = Literal["taken", "not-taken", "given-up"]
Note = Callable[[str, Outcome], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How long a message of notices is gathered, and how far apart two messages are."""

    gather_seconds: float
    at_most_every_seconds: float


class Courier(Protocol):
    """`trouble` is why nothing gets through at present; None while all is well."""

    channel: str
    trouble: str | None

    def wake(self) -> None: ...

    async def run(self) -> None: ...

    async def stop(self, seconds: float) -> None: ...


class _Worker:
    """What both couriers have in common: they sleep until there is something to do, and never die of the ledger."""

    def __init__(self, channel: str, receiver: Receiver, letters: Letters, clock: Clock, note: Note) -> None:
        self.channel = channel
        self.trouble: str | None = None
        self._receiver = receiver
        self._letters = letters
        self._clock = clock
        self._note = note
        self._wake = asyncio.Event()
        self._stopping = False
        self._handing: set[asyncio.Task[None]] = set()
        self._failures = 0

    def wake(self) -> None:
        self._wake.set()

    async def run(self) -> None:
        while not self._stopping:
            self._wake.clear()
            try:
                nap = await self.round()
            except LedgerTrouble as trouble:
                log.warning("courier-postponed", channel=self.channel, what=str(trouble))
                nap = LEDGER_RETRY_SECONDS
            await self._sleep(min(nap, LONGEST_NAP_SECONDS))

    async def round(self) -> float:
        """Everything that can be done now; seconds until there may be more."""
        raise NotImplementedError

    async def _sleep(self, seconds: float) -> None:
        if seconds <= 0 or self._stopping:
            return
        napping = asyncio.ensure_future(self._clock.sleep(seconds))
        waking = asyncio.ensure_future(self._wake.wait())
        try:
            await asyncio.wait({napping, waking}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            napping.cancel()
            waking.cancel()

    async def stop(self, seconds: float) -> None:
        """What is being handed over may end within `seconds`; it is tried again after the next start otherwise."""
        self._stopping = True
        self._wake.set()
        if self._handing:
            _, late = await asyncio.wait(self._handing, timeout=seconds)
            for task in late:
                task.cancel()
            if late:
                await asyncio.wait(late, timeout=5)
        await self._receiver.close()

    def _succeeded(self) -> None:
        if self.trouble is not None:
            log.info("letters-taken-again", channel=self.channel)
        self.trouble, self._failures = None, 0

    def _failed(self, what: str) -> None:
        self._failures += 1
        if self.trouble is None:
            log.warning("letters-not-taken", channel=self.channel, what=what, do="It is tried again; nothing is lost.")
        self.trouble = what


class HookCourier(_Worker):
    """One letter after the other, some at once; one alone while the receiver is in trouble."""

    def __init__(
        self, channel: str, receiver: Receiver, letters: Letters, clock: Clock, note: Note, *, at_once: int
    ) -> None:
        super().__init__(channel, receiver, letters, clock, note)
        self._at_once = at_once

    async def round(self) -> float:
        troubled = self._failures >= TROUBLED_AFTER
        due = await self._letters.letters_due(self.channel, self._clock.now(), 1 if troubled else self._at_once)
        if not due:
            waiting = (await self._letters.letters_waiting()).get(self.channel)
            return LONGEST_NAP_SECONDS if waiting is None else max(0.0, waiting.next_due - self._clock.now())
        self._handing = {asyncio.create_task(self._hand_over(letter)) for letter in due}
        try:
            await asyncio.wait(self._handing)
            for task in self._handing:
                task.result()
        finally:
            self._handing = set()
        if self._failures >= TROUBLED_AFTER:
            brake = delay_seconds(self._failures - TROUBLED_AFTER, 0.0, first=1.0, longest=LONGEST_BRAKE_SECONDS)
            await self._brake(brake)
        elif troubled:
            await self._letters.hasten_letters(self.channel, self._clock.now())
        return 0.0

    async def _brake(self, seconds: float) -> None:
        """A new letter is no reason to try sooner: only a stop is."""
        until = self._clock.monotonic() + seconds
        while not self._stopping and (left := until - self._clock.monotonic()) > 0:
            self._wake.clear()
            await self._sleep(left)

    async def _hand_over(self, letter: WaitingLetter) -> None:
        try:
            await self._receiver.take(letter.id, letter.document.encode())
        except NotTaken as trouble:
            self._failed(trouble.what)
            await self._again_later(letter, trouble)
            return
        await self._letters.letters_taken([letter.id])
        self._note(self.channel, "taken")
        log.info("hook-told", channel=self.channel, letter=letter.id, tries=letter.attempts + 1)
        self._succeeded()

    async def _again_later(self, letter: WaitingLetter, trouble: NotTaken) -> None:
        now = self._clock.now()
        if now - letter.at > GIVEN_UP_AFTER_SECONDS:
            await self._letters.letters_taken([letter.id])
            self._note(self.channel, "given-up")
            log.error("hook-given-up", channel=self.channel, letter=letter.id, tries=letter.attempts + 1)
            return
        jitter = random.random()  # noqa: S311 (spreads waiters, no secret)
        delay = delay_seconds(letter.attempts, jitter, longest=3600.0, retry_after=trouble.retry_after_seconds)
        await self._letters.postpone_letters([letter.id], now + delay, trouble.what)
        self._note(self.channel, "not-taken")
        log.debug("hook-not-told", channel=self.channel, letter=letter.id, what=trouble.what, again_in_seconds=delay)


class NoticeCourier(_Worker):
    """Everything that waits in one message: so long after the first notice, and never more often than so."""

    def __init__(
        self, channel: str, receiver: Receiver, letters: Letters, clock: Clock, note: Note, *, pace: Pace
    ) -> None:
        super().__init__(channel, receiver, letters, clock, note)
        self._pace = pace
        self._sent_key = f"sent {channel}"
        self._sent_at = 0.0
        self._again_at = 0.0  # monotonic

    async def round(self) -> float:
        waiting = (await self._letters.letters_waiting()).get(self.channel)
        if waiting is None:
            return LONGEST_NAP_SECONDS
        left = max(
            await self._ready_at(waiting.oldest_at) - self._clock.now(), self._again_at - self._clock.monotonic()
        )
        if left > 0:
            await self._rest(left)
            return 0.0
        if waiting.letters > MOST_NOTICES:
            gone = await self._letters.trim_letters(self.channel, MOST_NOTICES)
            log.error("notices-let-go", channel=self.channel, notices=gone, what="too many wait; the oldest go")
        due = await self._letters.letters_due(self.channel, self._clock.now(), MOST_NOTICES)
        if not due:
            return 1.0
        handing = asyncio.create_task(self._send(due))
        self._handing = {handing}
        try:
            await handing
        finally:
            self._handing = set()
        return 0.0

    async def _rest(self, seconds: float) -> None:
        """Further notices join the message that is being gathered; they do not hasten it."""
        until = self._clock.monotonic() + min(seconds, LONGEST_NAP_SECONDS)
        while not self._stopping and (left := until - self._clock.monotonic()) > 0:
            self._wake.clear()
            await self._sleep(left)

    async def _ready_at(self, oldest_at: float) -> float:
        # Asked each time: where several nodes share the ledger, another may have sent one since.
        self._sent_at = float((await self._letters.told()).get(self._sent_key, "0"))
        now = self._clock.now()
        # A clock that stepped back must not silence us: a moment that lies ahead counts as long ago.
        gathered = oldest_at + self._pace.gather_seconds if oldest_at <= now else 0.0
        allowed = self._sent_at + self._pace.at_most_every_seconds if self._sent_at <= now else 0.0
        return max(gathered, allowed)

    async def _send(self, due: Sequence[WaitingLetter]) -> None:
        message = notices.message([json.loads(letter.document) for letter in due])
        document = json.dumps(message.data, ensure_ascii=True).encode()
        try:
            await self._receiver.take(due[0].id, document)
        except NotTaken as trouble:
            self._failed(trouble.what)
            self._note(self.channel, "not-taken")
            await self._letters.put_back_letters([letter.id for letter in due])
            delay = delay_seconds(self._failures - 1, 0.0, longest=3600.0, retry_after=trouble.retry_after_seconds)
            self._again_at = self._clock.monotonic() + delay
            return
        self._sent_at = self._clock.now()
        await self._letters.letters_taken([letter.id for letter in due])
        await self._letters.post((), {self._sent_key: str(self._sent_at)})
        self._note(self.channel, "taken")
        log.info("notices-sent", channel=self.channel, notices=len(due), subject=message.subject)
        self._succeeded()
