"""The group-commit pump: everything queued goes into one transaction, and is answered after its commit.

One thread of our own has the connection; callers await futures. While one batch is on its way to the disk the next one
gathers, so that many writers share each sync. A caller that is cancelled takes nothing back: its write happens.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import Any, Final, Protocol, TypeVar

import structlog
from sqlalchemy import Connection

from hopperd.errors import LedgerError
from hopperd.ledger.transactor import Call, Together, Transactor

T = TypeVar("T")

log = structlog.get_logger("ledger")

BATCH_CALLS: Final = 512
CLOSED: Final = "the ledger is closed; hopperd is stopping."


class Pump(Protocol):
    async def do(self, action: Callable[[Connection], T], *, writes: bool = True) -> T:
        """Durable when it returns. Raises what `action` raises, LedgerTrouble, LedgerError."""
        ...

    async def do_together(self, together: Together, item: Any) -> Any: ...

    async def alone(self, action: Callable[[Transactor, Callable[[], None]], None]) -> None:
        """Outside any transaction. `action` calls its second argument now and then, and others get their turn."""
        ...

    async def close(self) -> None: ...


@dataclass(slots=True, kw_only=True, eq=False)
class _Waiting(Call[Any]):
    loop: asyncio.AbstractEventLoop
    future: asyncio.Future[Any]
    alone: Callable[[Transactor, Callable[[], None]], None] | None = None


class ThreadPump:
    """The pump of a running daemon. Opens the ledger on its thread before the constructor returns."""

    def __init__(self, transactor: Transactor) -> None:
        """Raises what opening raises."""
        self._transactor = transactor
        self._queue: SimpleQueue[_Waiting | None] = SimpleQueue()
        self._closing = threading.Lock()
        self._is_closed = False
        self._is_last = False
        self._later: deque[_Waiting] = deque()  # what is to be done alone, asked for while something else was
        opened = threading.Event()
        failures: list[BaseException] = []
        self._thread = threading.Thread(target=self._live, args=(opened, failures), name="ledger", daemon=True)
        self._thread.start()
        opened.wait()
        if failures:
            self._thread.join()
            raise failures[0]

    async def do(self, action: Callable[[Connection], T], *, writes: bool = True) -> T:
        loop = asyncio.get_running_loop()
        call = _Waiting(action=action, writes=writes, loop=loop, future=loop.create_future())
        value: T = await self._put(call)
        return value

    async def do_together(self, together: Together, item: Any) -> Any:
        loop = asyncio.get_running_loop()
        return await self._put(_Waiting(together=together, item=item, loop=loop, future=loop.create_future()))

    async def alone(self, action: Callable[[Transactor, Callable[[], None]], None]) -> None:
        loop = asyncio.get_running_loop()
        await self._put(_Waiting(alone=action, loop=loop, future=loop.create_future()))

    async def close(self) -> None:
        """What is queued is still written. Returns when the ledger is closed and its thread gone."""
        with self._closing:
            if not self._is_closed:
                self._is_closed = True
                self._queue.put(None)
        await asyncio.to_thread(self._thread.join)

    def _put(self, call: _Waiting) -> asyncio.Future[Any]:
        with self._closing:
            if self._is_closed:
                raise LedgerError(CLOSED)
            self._queue.put(call)
        return call.future

    # ------------------------------------------------------------------------------------------ on the thread

    def _live(self, opened: threading.Event, failures: list[BaseException]) -> None:
        try:
            self._transactor.open()
        except BaseException as error:
            failures.append(error)
            self._transactor.close()
            opened.set()
            return
        opened.set()
        try:
            while not self._is_last or self._later:
                self._turn(self._later.popleft() if self._later else self._queue.get())
        finally:
            self._transactor.close()

    def _turn(self, first: _Waiting | None) -> None:
        calls = self._gather(first)
        together = [call for call in calls if call.alone is None]
        if together:
            _guarded(together, lambda: self._transactor.run(together))
            _answer(together)
        for call in calls:
            if call.alone is not None:
                alone = call.alone
                _guarded([call], lambda alone=alone: alone(self._transactor, self._turn_between))  # type: ignore[misc]
                _answer([call])

    def _turn_between(self) -> None:
        """While something long is being done alone: a turn for the others, but no second long thing."""
        calls: list[_Waiting] = []
        for call in self._gather_queued(BATCH_CALLS):
            if call.alone is not None:
                self._later.append(call)
            else:
                calls.append(call)
        if calls:
            _guarded(calls, lambda: self._transactor.run(calls))
            _answer(calls)

    def _gather(self, first: _Waiting | None) -> list[_Waiting]:
        if first is None:
            self._is_last = True
            return []
        return [first, *self._gather_queued(BATCH_CALLS - 1)]

    def _gather_queued(self, limit: int) -> list[_Waiting]:
        calls: list[_Waiting] = []
        while len(calls) < limit:
            try:
                call = self._queue.get_nowait()
            except Empty:
                break
            if call is None:
                self._is_last = True  # nothing is put after it
                break
            calls.append(call)
        return calls


class InlinePump:
    """For simulations on a virtual clock: each call at once, in the caller's thread, in a transaction of its own."""

    def __init__(self, transactor: Transactor) -> None:
        self._transactor = transactor
        self._is_closed = False
        try:
            transactor.open()
        except BaseException:
            transactor.close()
            raise

    async def do(self, action: Callable[[Connection], T], *, writes: bool = True) -> T:
        value: T = await self._now(Call(action=action, writes=writes))
        return value

    async def do_together(self, together: Together, item: Any) -> Any:
        return await self._now(Call(together=together, item=item))

    async def alone(self, action: Callable[[Transactor, Callable[[], None]], None]) -> None:
        action(self._transactor, lambda: None)

    async def close(self) -> None:
        if not self._is_closed:
            self._is_closed = True
            self._transactor.close()

    async def _now(self, call: Call[Any]) -> Any:
        if self._is_closed:
            raise LedgerError(CLOSED)
        self._transactor.run([call])
        await asyncio.sleep(0)
        if call.error is not None:
            raise call.error
        return call.value


def _guarded(calls: Sequence[_Waiting], action: Callable[[], None]) -> None:
    """A mistake of ours must not leave a caller waiting for ever."""
    try:
        action()
    except BaseException as error:
        for call in calls:
            call.error = error


def _answer(calls: Sequence[_Waiting]) -> None:
    """One wake-up per event loop, whatever the number of callers."""
    by_loop: dict[asyncio.AbstractEventLoop, list[_Waiting]] = {}
    for call in calls:
        by_loop.setdefault(call.loop, []).append(call)
    for loop, theirs in by_loop.items():
        try:
            loop.call_soon_threadsafe(_resolve, theirs)
        except RuntimeError:  # the loop is closed: nobody waits any more
            log.info("ledger.nobody-waits", calls=len(theirs))


def _resolve(calls: Sequence[_Waiting]) -> None:
    for call in calls:
        if call.future.done():  # cancelled
            continue
        if call.error is not None:
            call.future.set_exception(call.error)
        else:
            call.future.set_result(call.value)
