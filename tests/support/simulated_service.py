"""The service as a simulation: the port CaptureService in memory, on the virtual clock, with faults drawn by a seed.

It keeps its own record of what really happened (`deeds`), which the oracle judges; whether an answer arrives is another
matter. Every call passes the world's tap before and after its effect.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from hopperd.pipeline.job import RemoteFile, Task, TaskDocument, TaskStatus
from hopperd.ports import ChangedUnderUs, Fetchable, ServiceTrouble, Source


@dataclass(slots=True)
class Weather:
    """How likely each trouble is, per call. `blackouts` are spans of virtual time without any network."""

    refused: float = 0.0  # 429
    unavailable: float = 0.0  # 503
    server_error_before: float = 0.0  # 500 without effect
    server_error_after: float = 0.0  # 500 after the effect
    cut_before: float = 0.0
    cut_after: float = 0.0
    slow: float = 0.0
    blackouts: tuple[tuple[float, float], ...] = ()
    failed_tasks: float = 0.0
    canceled_tasks: float = 0.0
    chokes_on: dict[str, int] = field(default_factory=dict)  # SHA-256 of a file → what its upload is answered with


@dataclass(slots=True)
class _File:
    name: str
    sha256: str
    expiring: float


@dataclass(slots=True)
class _Task:
    id: str
    number: int
    files: tuple[RemoteFile, ...]
    done_at: float
    outcome: TaskStatus
    results: dict[str, bytes] = field(default_factory=dict)


class SimulatedService:
    """One account. `tap` is told before and after each effect and may raise what it likes there."""

    def __init__(
        self, rng: random.Random, weather: Weather, tap: Callable[[str], None], now: Callable[[], float]
    ) -> None:
        self._rng = rng
        self.weather = weather
        self._tap = tap
        self._now = now
        self._files: dict[str, _File] = {}
        self._tasks: dict[str, _Task] = {}
        self._results: dict[str, bytes] = {}
        self.runs: list[tuple[str, tuple[str, ...]]] = []  # (task id, SHA-256 of each file)
        self.served: set[str] = set()
        self.requests: list[float] = []
        self.choked = 0

    async def caller_is_awake(self) -> None:
        """Awaited before the caller's disk is touched and before it has an answer: a world may let it sleep."""

    # ------------------------------------------------------------------------------------------------- the port

    async def upload(self, source: Source) -> RemoteFile:
        await self._before("upload")
        await self.caller_is_awake()
        with open(source.path, "rb") as file:
            content = file.read()
        if hashlib.sha512(content).hexdigest() != source.sha512:
            raise ChangedUnderUs("the file's bytes are not those that were claimed")
        choke = self.weather.chokes_on.get(hashlib.sha256(content).hexdigest())
        if choke is not None:
            self.choked += 1
            raise ServiceTrouble("weather", f"{choke}: this file", kind="server", status=choke)
        remote = RemoteFile(id=self._hex(24), token=self._hex(40).upper(), expiring=self._now() + 7 * 86400)
        self._files[remote.id] = _File(
            os.fsdecode(source.name), hashlib.sha256(content).hexdigest(), remote.expiring or 0
        )
        await self._after("upload")
        return remote

    async def run(self, files: Sequence[RemoteFile], properties: Mapping[str, str]) -> Task:
        await self._before("run")
        missing = [file for file in files if file.id not in self._files]
        if missing:
            raise ServiceTrouble("gone", "404: no such file", status=404)
        number = 1000 + len(self._tasks)
        draw = self._rng.random()
        outcome = TaskStatus.DONE
        if draw < self.weather.failed_tasks:
            outcome = TaskStatus.FAILED
        elif draw < self.weather.failed_tasks + self.weather.canceled_tasks:
            outcome = TaskStatus.CANCELED
        task = _Task(self._hex(24), number, tuple(files), self._now() + self._rng.lognormvariate(1.0, 0.7), outcome)
        self._tasks[task.id] = task
        if outcome is not TaskStatus.CANCELED:
            self.runs.append((task.id, tuple(self._files[file.id].sha256 for file in files)))
        await self._after("run")
        return self._shown(task)

    async def look(self, task_id: str) -> Task:
        await self._before("look")
        task = self._tasks.get(task_id)
        if task is None:
            raise ServiceTrouble("gone", "404: no such task", status=404)
        await self._after("look")
        return self._shown(task)

    async def fetch(self, fetchable: Fetchable) -> tuple[int, str]:
        await self._before("fetch")
        content = self._results.get(fetchable.result.remote.id)
        if content is None:
            raise ServiceTrouble("gone", "404: no such file", status=404)
        await self.caller_is_awake()
        with open(fetchable.path, "wb") as file:
            file.write(content)
        sha256 = hashlib.sha256(content).hexdigest()
        self.served.add(sha256)
        await self._after("fetch")
        return len(content), sha256

    async def tidy(self, task_id: str | None, files: Sequence[RemoteFile]) -> None:
        await self._before("tidy")
        if task_id is not None:
            self._tasks.pop(task_id, None)
        for file in files:
            self._files.pop(file.id, None)
            self._results.pop(file.id, None)
        await self._after("tidy")

    async def probe(self) -> None:
        await self._before("probe")

    async def close(self) -> None:
        """Nothing is open."""

    def forget_tasks(self) -> None:
        """As after a clean-up in the portal."""
        self._tasks.clear()

    # ----------------------------------------------------------------------------------------------- the inside

    def _shown(self, task: _Task) -> Task:
        is_over = self._now() >= task.done_at
        status = task.outcome if is_over else TaskStatus.RUNNING
        documents: tuple[TaskDocument, ...] = ()
        if status is TaskStatus.DONE:
            documents = tuple(self._document(task, file) for file in task.files)
        text = {"running": "InProgress", "done": "Done", "failed": "Failed", "canceled": "Canceled"}[status.value]
        raw: dict[str, Any] = {"id": task.id, "number": str(task.number), "status": text}
        return Task(id=task.id, number=str(task.number), status=status, status_text=text, raw=raw, documents=documents)

    def _document(self, task: _Task, file: RemoteFile) -> TaskDocument:
        known = self._files.get(file.id)
        name = known.name if known is not None else file.id
        sha256 = known.sha256 if known is not None else file.id
        result_id = hashlib.sha256(f"{task.id}/{file.id}".encode()).hexdigest()[:24]
        self._results.setdefault(result_id, f"export of {sha256} by task {task.id}".encode())
        remote = RemoteFile(id=result_id, token="A" * 40)
        return TaskDocument(
            source_id=file.id, source_name=name, is_moved=False, results=(("target", f"{name}.json", remote),)
        )

    def _hex(self, digits: int) -> str:
        return f"{self._rng.getrandbits(4 * digits):0{digits}x}"

    async def _before(self, call: str) -> None:
        """Latency, then whatever fault comes without the effect."""
        await self.caller_is_awake()
        self._tap(f"before service {call}")
        self.requests.append(self._now())
        weather, rng = self.weather, self._rng
        await asyncio.sleep(rng.uniform(1.0, 30.0) if rng.random() < weather.slow else rng.uniform(0.01, 0.3))
        if any(start <= asyncio.get_running_loop().time() < end for start, end in weather.blackouts):
            raise ServiceTrouble("weather", "connection refused", kind="network")
        if rng.random() < weather.refused:
            raise ServiceTrouble(
                "weather", "429", kind="rate", status=429, retry_after_seconds=rng.choice([None, None, 3.0])
            )
        if rng.random() < weather.unavailable:
            raise ServiceTrouble("weather", "503", kind="server", status=503)
        if rng.random() < weather.server_error_before:
            raise _unknown(call, "500", status=500)
        if rng.random() < weather.cut_before:
            raise _unknown(call, "the connection was cut")

    async def _after(self, call: str) -> None:
        """Whatever fault comes after the effect."""
        self._tap(f"after service {call}")
        if self._rng.random() < self.weather.server_error_after:
            raise _unknown(call, "500", status=500)
        if self._rng.random() < self.weather.cut_after:
            raise _unknown(call, "the connection was cut")
        await asyncio.sleep(self._rng.uniform(0.0, 0.2))
        await self.caller_is_awake()


def _unknown(call: str, what: str, status: int | None = None) -> ServiceTrouble:
    """Nobody knows whether it took effect: a doubt where it was a Run, weather otherwise."""
    kind = "server" if status is not None else "network"
    return ServiceTrouble("doubt" if call == "run" else "weather", what, kind=kind, status=status)  # type: ignore[arg-type]
