"""The half of the ledger that is about letters; and how either half asks the pump."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Literal, ParamSpec, Protocol, TypeVar

import structlog
from sqlalchemy import Connection

from hopperd.ledger import outbox
from hopperd.ledger.pump import Pump
from hopperd.pipeline.events import Claimed, Event
from hopperd.pipeline.job import Job
from hopperd.pipeline.letters import Letter
from hopperd.ports import LettersWaiting, WaitingLetter

T = TypeVar("T")
P = ParamSpec("P")

log = structlog.get_logger("ledger")


class Listener(Protocol):
    """Who is told what became durable, and how long the ledger took. Called on the event loop; must be quick."""

    def recorded(self, before: Job | None, after: Job, event: Event | Claimed, at: float) -> None: ...

    def answered(self, kind: Literal["write", "read"], seconds: float) -> None: ...


class LetterBook:
    """`node` works with the ledger, where several do. `on_letters` is called when there are new ones."""

    def __init__(self, pump: Pump, node: str | None) -> None:
        self._pump = pump
        self._node = node
        self.listener: Listener | None = None
        self.on_letters: Callable[[], None] = lambda: None
        self._mistakes = 0

    async def _timed(self, answer: Awaitable[T], kind: Literal["write", "read"] = "write") -> T:
        began = time.monotonic()
        value = await answer
        if self.listener is not None:
            self._tell(self.listener.answered, kind, time.monotonic() - began)
        return value

    def _tell(self, who: Callable[P, None], *told: P.args, **more: P.kwargs) -> None:
        """What was asked for is done: a mistake of who only hears of it must not look like one of the ledger."""
        try:
            who(*told, **more)
        except Exception:
            self._mistakes += 1
            if self._mistakes.bit_count() == 1:  # the first, second, fourth, eighth, ...
                log.exception("ledger.listener-failed", mistakes=self._mistakes, do="Please report it with the log.")

    async def _read(self, question: Callable[[Connection], T]) -> T:
        return await self._timed(self._pump.do(question, writes=False), "read")

    async def post(self, letters: Sequence[Letter], told: Mapping[str, str | None]) -> None:
        """Letters, and what people will have been told with them, in one transaction."""

        def put(connection: Connection) -> None:
            outbox.put(connection, letters)
            outbox.tell(connection, told)

        await self._pump.do(put)
        if letters:
            self._tell(self.on_letters)

    async def told(self) -> dict[str, str]:
        return await self._read(outbox.told)

    async def letters_due(self, channel: str, now: float, limit: int) -> list[WaitingLetter]:
        due = partial(outbox.due, channel=channel, now=now, limit=limit)
        return await (self._read(due) if self._node is None else self._pump.do(due))

    async def letters_waiting(self) -> dict[str, LettersWaiting]:
        return await self._read(outbox.waiting)

    async def letters_taken(self, ids: Sequence[str]) -> None:
        await self._pump.do(partial(outbox.remove, ids=list(ids)))

    async def postpone_letters(self, ids: Sequence[str], due_at: float, trouble: str) -> None:
        await self._pump.do(partial(outbox.postpone, ids=list(ids), due_at=due_at, trouble=trouble))

    async def put_back_letters(self, ids: Sequence[str]) -> None:
        if self._node is not None:
            await self._pump.do(partial(outbox.put_back, ids=list(ids)))

    async def hasten_letters(self, channel: str, now: float) -> None:
        await self._pump.do(partial(outbox.hasten, channel=channel, now=now))

    async def trim_letters(self, channel: str, keep: int) -> int:
        return await self._pump.do(partial(outbox.trim, channel=channel, keep=keep))
