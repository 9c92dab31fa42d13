"""Events as they happen, to many readers at once: server-sent events, for the page and for `hopperd tail`.

Whoever reads too slowly loses events and is told how many; nobody makes the daemon wait. What a job did is encoded and
kept once for all readers; they are written to in batches, all at the same moment, the rarer the more of them there are.
"""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import contextmanager
from itertools import islice
from typing import Any, Final

from hopperd.pipeline.events import Claimed, Event
from hopperd.pipeline.job import Job
from hopperd.pipeline.naming import shown
from hopperd.pipeline.receipt import iso

MOST_READERS: Final = 1_000
EVENTS_KEPT: Final = 4_096
HEARTBEAT_SECONDS: Final = 15.0
SHORTEST_BATCH_SECONDS: Final = 0.1
READERS_PER_BATCH_SECOND: Final = 200
HEARTBEAT: Final = b": still here\n\n"


class TooManyReaders(Exception):
    """As many streams are open as there may be; ask again later."""


class Reader:
    """One stream: what is still to be written to it. `job` narrows the events to one job's.

    Events are kept once for all readers; a reader only knows how far it has got.
    """

    def __init__(self, stream: Stream, *, events: bool, state: bool, job: str | None) -> None:
        self.wants_state = state
        self._stream = stream
        self._wants_events = events or job is not None
        self._job = job
        self._read = stream.told
        self._shown = -1

    async def pieces(self, batch_seconds: Callable[[], float]) -> AsyncIterator[bytes]:
        """What to write, for ever: batches of messages, and a heartbeat where there are none."""
        while True:
            if not self._has_news():
                try:
                    async with asyncio.timeout(HEARTBEAT_SECONDS):
                        await self._stream.news()
                except TimeoutError:
                    yield HEARTBEAT
                    continue
            await asyncio.sleep(batch_seconds())
            if piece := self._taken():
                yield piece

    def _has_news(self) -> bool:
        stream = self._stream
        return (self._wants_events and self._read < stream.told) or self._has_state()

    def _has_state(self) -> bool:
        return self.wants_state and self._stream.state is not None and self._shown != self._stream.shown

    def _taken(self) -> bytes:
        stream, piece = self._stream, b""
        if self._wants_events:
            piece = stream.since(self._read) if self._job is None else stream.of_job(self._read, self._job)
        self._read = stream.told
        if self._has_state() and stream.state is not None:
            self._shown = stream.shown
            piece += stream.state
        return piece


class Stream:
    """All readers. What is told when nobody reads is not even encoded."""

    def __init__(self) -> None:
        self._readers: set[Reader] = set()
        self._events: deque[tuple[str | None, bytes]] = deque(maxlen=EVENTS_KEPT)
        self._joined: tuple[int, int, bytes] = (0, 0, b"")  # from, to, and what that is: readers ask for the same
        self._news = asyncio.Event()
        self.told = 0  # events so far
        self.state: bytes | None = None
        self.shown = 0  # states so far
        self.state_wanted = asyncio.Event()

    def __len__(self) -> int:
        return len(self._readers)

    @property
    def wants_state(self) -> bool:
        return any(reader.wants_state for reader in self._readers)

    def batch_seconds(self) -> float:
        return max(SHORTEST_BATCH_SECONDS, len(self._readers) / READERS_PER_BATCH_SECOND)

    async def news(self) -> None:
        """Until there is something new, for whichever reader."""
        await self._news.wait()

    def _wake(self) -> None:
        self._news.set()
        self._news = asyncio.Event()

    @contextmanager
    def reading(self, *, events: bool, state: bool, job: str | None) -> Any:
        """Raises TooManyReaders."""
        if len(self._readers) >= MOST_READERS:
            raise TooManyReaders(f"{MOST_READERS} streams are open, which is the most; close one, or ask again later.")
        reader = Reader(self, events=events, state=state, job=job)
        self._readers.add(reader)
        if state:
            self.state_wanted.set()
        try:
            yield reader
        finally:
            self._readers.discard(reader)
            if not self._readers:
                self._events.clear()

    def since(self, read: int) -> bytes:
        """Every event after the first `read`, as far as they are kept; encoded once for all who ask for the same."""
        if self._joined[:2] != (read, self.told):
            first = self.told - len(self._events)
            kept = [each for _, each in islice(self._events, max(0, read - first), None)]
            self._joined = (read, self.told, _missed(first - read) + b"".join(kept))
        return self._joined[2]

    def of_job(self, read: int, job: str) -> bytes:
        first = self.told - len(self._events)
        kept = [each for one, each in islice(self._events, max(0, read - first), None) if one == job]
        return _missed(first - read) + b"".join(kept)

    def show(self, state: dict[str, Any]) -> None:
        """The page's state, to everybody who wants it; not again where it is the same but for its clock."""
        self.state = message("state", state)
        self.shown += 1
        self._wake()

    def forget_state(self) -> None:
        """Nobody wants it any more: the next one to come must not see an old one."""
        self.state = None

    def recorded(self, before: Job | None, after: Job, event: Event | Claimed, at: float) -> None:
        if self._readers and is_news(before, after):
            self.tell(happening(after, event, at), after.id)

    def tell(self, what: dict[str, Any], job: str | None = None) -> None:
        if self._readers:
            self._events.append((job, message("event", what)))
            self.told += 1
            self._wake()


def _missed(count: int) -> bytes:
    return message("missed", {"missed": count}) if count > 0 else b""


def is_news(before: Job | None, after: Job) -> bool:
    """Whether somebody would want to hear of it: a look at a task that has nothing new is none."""
    if before is None:
        return True
    told = (before.stage, before.hold, before.doubts, before.verification_url, before.waiting, before.failure)
    return told != (after.stage, after.hold, after.doubts, after.verification_url, after.waiting, after.failure)


def happening(job: Job, event: Event | Claimed, at: float) -> dict[str, Any]:
    """One event of one job; documented in docs/reference/json.md. Fields are added, never renamed."""
    told: dict[str, Any] = {
        "at": iso(at),
        "event": event.name,
        "job": job.id,
        "folder": job.folder,
        "file": shown(job.group if job.group is not None else job.originals[0].name),
        "stage": job.stage.value,
    }
    if job.outcome:
        told["outcome"] = job.outcome
    if job.task_number or job.task_id:
        told["task"] = job.task_number or job.task_id
    if job.waiting and job.is_open:
        told["waiting"] = job.waiting
    if job.verification_url and job.is_open:
        told["verification"] = job.verification_url
    if job.hold is not None:
        told["hold"] = {"reason": job.hold.reason, "what": job.hold.what, "do": job.hold.do}
    if job.failure is not None:
        told["failure"] = {"reason": job.failure.reason, "fault": job.failure.fault, "what": job.failure.what}
    if job.doubts:
        told["doubts"] = job.doubts
    if job.outcome == "delivered":
        told["exports"] = [shown(export.name) for export in job.exports]
    return told


def message(kind: str, body: dict[str, Any]) -> bytes:
    """One server-sent event; JSON has no line breaks of its own."""
    return f"event: {kind}\ndata: {json.dumps(body, separators=(',', ':'))}\n\n".encode()
