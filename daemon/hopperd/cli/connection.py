"""How a command reaches the ledger: through the running daemon's socket, or itself, under its lock, when none runs."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import os
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Protocol
from urllib.parse import urlencode

import typer

from hopperd.cli.owner import root_warning
from hopperd.errors import ConfigurationError, HopperdError, LedgerError, LedgerInUse, NotRunning
from hopperd.ledger.state import may_use
from hopperd.settings import Settings, load, state_folder
from hopperd.web.control_socket import SOCKET_NAME, connected, is_answered

ConfigFile = Annotated[
    Path | None,
    typer.Option("--config", metavar="FILE", help="Default: hopperd.toml here, then /etc/hopperd/hopperd.toml."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, stable and documented.")]

START_OR_STOP_SECONDS: Final = 10.0
ANSWER_SECONDS: Final = 300.0


class Counter(Protocol):
    """What a command asks and orders, whoever answers. The answers are the JSON of the control API."""

    async def status(self) -> dict[str, Any]: ...

    async def jobs(self, query: Mapping[str, str]) -> dict[str, Any]: ...

    async def story(self, name: str) -> dict[str, Any]: ...

    async def order(self, body: Mapping[str, Any]) -> dict[str, Any]: ...

    async def pause(self, kind: Literal["account", "folder"], name: str, why: str) -> dict[str, Any]: ...

    async def resume(self, kind: Literal["account", "folder"], name: str) -> dict[str, Any]: ...

    async def backup(self, path: Path) -> dict[str, Any]: ...

    async def fsck(self, *, repair: bool) -> dict[str, Any]: ...


class NotPossible(HopperdError):
    """It was refused; the sentence says why."""


class OverSocket:
    """Asks the running daemon, with what Python has: a client of its own would take longer to import than to answer."""

    def __init__(self, state: Path) -> None:
        self._state = state

    async def _call(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
        seconds: float | None = ANSWER_SECONDS,
    ) -> dict[str, Any]:
        target = path + (f"?{urlencode(query)}" if query else "")
        status, answer = await asyncio.to_thread(self._answer, method, target, body, seconds)
        if status >= 400:
            raise NotPossible(answer.get("error", f"the daemon answered {status}"))
        return answer

    def _answer(
        self, method: str, target: str, body: Mapping[str, Any] | None, seconds: float | None
    ) -> tuple[int, dict[str, Any]]:
        connection = http.client.HTTPConnection("hopperd")
        try:
            connection.sock = connected(self._state)
            connection.sock.settimeout(seconds)
            content = None if body is None else json.dumps(body)
            connection.request(method, target, content, {"Content-Type": "application/json"})
            response = connection.getresponse()
            return response.status, json.loads(response.read())
        except (http.client.HTTPException, OSError, ValueError) as error:
            raise NotRunning(f"hopperd ended while it answered ({error}); try again.") from None
        finally:
            connection.close()

    async def status(self) -> dict[str, Any]:
        return await self._call("GET", "/v1/status")

    async def jobs(self, query: Mapping[str, str]) -> dict[str, Any]:
        return await self._call("GET", "/v1/jobs", query=query)

    async def story(self, name: str) -> dict[str, Any]:
        return await self._call("GET", "/v1/job", query={"name": name})

    async def order(self, body: Mapping[str, Any]) -> dict[str, Any]:
        return await self._call("POST", "/v1/orders", body=body)

    async def pause(self, kind: Literal["account", "folder"], name: str, why: str) -> dict[str, Any]:
        return await self._call("POST", "/v1/pause", body={"kind": kind, "name": name, "why": why})

    async def resume(self, kind: Literal["account", "folder"], name: str) -> dict[str, Any]:
        return await self._call("POST", "/v1/resume", body={"kind": kind, "name": name})

    async def backup(self, path: Path) -> dict[str, Any]:
        return await self._call("POST", "/v1/backup", body={"path": str(path)}, seconds=None)

    async def fsck(self, *, repair: bool) -> dict[str, Any]:
        return await self._call("POST", "/v1/fsck", body={"repair": repair}, seconds=None)


class _ByOurselves:
    """Answers in this very process; no daemon runs."""

    def __init__(
        self, readings: Any, orders: Any, store: Any, fsck: Callable[[bool], Awaitable[dict[str, Any]]]
    ) -> None:
        self._readings = readings
        self._orders = orders
        self._store = store
        self._fsck = fsck

    async def _answer(self, question: Callable[[], Awaitable[dict[str, Any]]]) -> dict[str, Any]:
        from hopperd.web.asked import NotUnderstood
        from hopperd.web.refusal import Refusal

        try:
            return await question()
        except (NotUnderstood, Refusal) as no:
            raise NotPossible(str(no)) from None

    async def status(self) -> dict[str, Any]:
        return await self._answer(lambda: self._readings.status())

    async def jobs(self, query: Mapping[str, str]) -> dict[str, Any]:
        from hopperd.web.asked import query_from

        return await self._answer(lambda: self._readings.jobs(query_from(query.get)))

    async def story(self, name: str) -> dict[str, Any]:
        return await self._answer(lambda: self._readings.story(name))

    async def order(self, body: Mapping[str, Any]) -> dict[str, Any]:
        from hopperd.web.asked import order_from

        return await self._answer(lambda: self._orders.order(order_from(body)))

    async def pause(self, kind: Literal["account", "folder"], name: str, why: str) -> dict[str, Any]:
        return await self._answer(lambda: self._orders.pause(kind, name, why))

    async def resume(self, kind: Literal["account", "folder"], name: str) -> dict[str, Any]:
        return await self._answer(lambda: self._orders.resume(kind, name))

    async def backup(self, path: Path) -> dict[str, Any]:
        from hopperd.web.control import said

        try:
            await self._store.backup(os.fsencode(path))
        except OSError as error:
            raise NotPossible(said(error)) from None
        return {"backup": str(path), "moves_on": False}

    async def fsck(self, *, repair: bool) -> dict[str, Any]:
        return await self._fsck(repair)


@contextlib.asynccontextmanager
async def counter(settings: Settings) -> AsyncIterator[Counter]:
    """Whoever can answer: the running daemon, or else the ledger itself under its lock.

    Raises LedgerInUse where a daemon has the ledger and does not answer for longer than a start or a stop takes.
    """
    deadline = time.monotonic() + START_OR_STOP_SECONDS
    while True:
        if is_answered(settings.state):
            yield OverSocket(settings.state)
            return
        try:
            speak_of_trouble_only()
            may_use(os.fspath(settings.state))
            store = await asyncio.to_thread(_open_ledger, settings)
            break
        except LedgerInUse:
            if time.monotonic() > deadline:
                raise
            await asyncio.sleep(0.1)
    try:
        yield _at_the_ledger(store, settings)
    finally:
        await store.close()


@contextlib.asynccontextmanager
async def daemon_session(state: Path) -> AsyncIterator[Any]:
    """An aiohttp session whose every request goes to the daemon of this state folder. Raises OSError without one."""
    import aiohttp

    folder = os.open(state, os.O_DIRECTORY | os.O_RDONLY | os.O_CLOEXEC)
    try:
        connector = aiohttp.UnixConnector(f"/proc/self/fd/{folder}/{SOCKET_NAME}")
        async with aiohttp.ClientSession(connector=connector) as session:
            yield session
    finally:
        os.close(folder)


def _open_ledger(settings: Settings) -> Any:
    from hopperd.ledger.choice import open_ledger
    from hopperd.ports import LedgerTrouble

    try:
        return open_ledger(settings, makes=False)
    except LedgerTrouble as trouble:
        raise LedgerError(f"{trouble}.") from None


def _at_the_ledger(store: Any, settings: Settings) -> Counter:
    from hopperd.clock import WallClock
    from hopperd.mending import audit_of
    from hopperd.policies import policies_of
    from hopperd.threads import FileThreads
    from hopperd.web.orders import Orders
    from hopperd.web.readings import Readings

    clock, policies = WallClock(), policies_of(settings)

    async def fsck(repair: bool) -> dict[str, Any]:
        if repair:
            for warning in root_warning(settings):
                print(f"hopperd: note: {warning}", file=sys.stderr)
        threads = FileThreads([folder.name for folder in settings.folders])
        try:
            return await audit_of(settings, store, clock, policies, threads.of).run(repair=repair)
        finally:
            await threads.end()

    readings, orders = Readings(store, lambda: settings, clock, None), Orders(store, settings, clock, None, policies)
    return _ByOurselves(readings, orders, store, fsck)


def speak_of_trouble_only() -> None:
    """A command prints its answer, nothing else: what the ledger logs goes to standard error, from warnings on."""
    from hopperd.logs import configure

    configure("warning", "auto")


@contextlib.asynccontextmanager
async def _asked(config: Path | None) -> AsyncIterator[Counter]:
    """A running daemon needs no configuration to answer but the state folder it is found in."""
    try:
        settings = load(config, need_tokens=False)
    except ConfigurationError as mistakes:
        state = running_state(config)
        if state is None:
            raise
        print(f"hopperd: note: the running hopperd answers all the same, but {mistakes}", file=sys.stderr)
        yield OverSocket(state)
        return
    async with counter(settings) as someone:
        yield someone


def running_state(config: Path | None) -> Path | None:
    """The state folder of a daemon that runs, whatever else the configuration says by now."""
    state = state_folder(config)
    return state if state is not None and is_answered(state) else None


def ask(config: Path | None, question: Callable[[Counter], Awaitable[dict[str, Any]]]) -> dict[str, Any]:
    """One question to whoever can answer."""

    async def put() -> dict[str, Any]:
        async with _asked(config) as someone:
            return await question(someone)

    return asyncio.run(put())


async def check_folder(someone: Counter, name: str) -> None:
    """Raises ConfigurationError for a hot folder that nobody knows."""
    status = await someone.status()
    known = list(dict.fromkeys(line["folder"] for line in (*status["folders"], *status["homeless"])))
    if name not in known:
        raise ConfigurationError([f"there is no folder {name!r}; there are: {', '.join(known) or 'none'}"])
