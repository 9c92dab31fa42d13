"""One twin with all its parts, and what every handler needs of it: who asks, what is remembered, what is noted."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any, Final

from aiohttp import web

from hopperd.sandbox.auth import Applications
from hopperd.sandbox.catalog import Catalogs
from hopperd.sandbox.config import SandboxConfig
from hopperd.sandbox.contents import Content, Contents
from hopperd.sandbox.faults import FaultCourse
from hopperd.sandbox.lenient import NotJson, loads
from hopperd.sandbox.log import Deed, DeedLog
from hopperd.sandbox.processing import Processing
from hopperd.sandbox.reader_pool import ReaderPool
from hopperd.sandbox.refusal import Refusal
from hopperd.sandbox.state import open_state
from hopperd.sandbox.vault import Vault, new_id
from hopperd.sandbox.windows import Windows
from hopperd.sandbox.wire import Wire

IDLE_SECONDS_MAX: Final = 30.0
JSON_BODY_MAX: Final = 4 * 1024 * 1024

Clock = Callable[[], float]


def steady_clock() -> Clock:
    """Seconds since the epoch that never step back: the wall clock at the start, the monotonic one from there."""
    offset = time.time() - time.monotonic()
    return lambda: offset + time.monotonic()


class Twin:
    """Built inside a running event loop; closed at its end."""

    def __init__(self, config: SandboxConfig, now: Clock) -> None:
        self.config = config
        self.now = now
        self._start = now()
        self.applications = Applications(config.applications)
        self.state = open_state(config.data)
        self.contents = Contents(config.memory_bytes, config.disk_bytes, self.state.files_directory)
        self.vault = Vault(
            self.contents,
            now,
            keep_seconds=config.keep_hours * 3600,
            max_files=config.max_files,
            state=self.state,
        )
        self.catalogs = Catalogs(self.state)
        self.faults = FaultCourse(config.faults)
        self.pool = ReaderPool(config)
        self.processing = Processing(config, self.vault, self.pool, self.faults, now, self.catalogs, self.state)
        self.windows = Windows(now, config.window_seconds)
        self.wire = Wire(config=config, account=self._account())
        self.deeds = DeedLog(config.log, now)
        self.processing.resume()

    def elapsed_seconds(self) -> float:
        """Since the start; what a fault plan's from_seconds and until_seconds mean."""
        return self.now() - self._start

    def _account(self) -> str:
        account: str = dict(self.state.all("account")).get("id") or new_id(self.now())
        self.state.put("account", "id", account)
        return account

    async def close(self) -> None:
        """Ends the readers, removes temporary files, closes the state and the log."""
        await self.processing.close()
        await self.pool.close()
        self.contents.close()
        self.state.close()
        self.deeds.close()


TWIN: Final = web.AppKey("twin", Twin)
DEEDS: Final = web.RequestKey("deeds", list[Deed])
SERVED: Final = web.RequestKey("served", Content)


def twin_of(request: web.Request) -> Twin:
    return request.app[TWIN]


def admit(request: web.Request) -> str:
    """The id of the application that asks. Raises Refusal 401."""
    application = twin_of(request).applications.admit(request.headers.get("Authorization"))
    if application is None:
        raise Refusal(401, "The application id or the application token is not right.")
    return application


def note(request: web.Request, deed: Deed) -> None:
    """Remembers what this request did; it is logged before its answer leaves."""
    request[DEEDS] = [*noted(request), deed]


def noted(request: web.Request) -> list[Deed]:
    deeds: list[Deed] = request.get(DEEDS, [])
    return deeds


def serve_content(request: web.Request, content: Content, mime: str) -> web.Response:
    """An answer with a file's bytes; those on disk are streamed."""
    request[SERVED] = content
    if content.data is not None:
        return web.Response(body=content.data, content_type=mime)
    try:
        return web.Response(body=content.open(), content_type=mime, headers={"Content-Length": str(content.size)})
    except FileNotFoundError:
        raise Refusal(404, "The file is not there any more.") from None


async def read_body(request: web.Request, size_max: int) -> bytes:
    """The whole body. Raises Refusal 413 beyond `size_max` bytes, TimeoutError when nothing more comes."""
    parts: list[bytes] = []
    size = 0
    async with asyncio.timeout(IDLE_SECONDS_MAX) as limit:
        async for chunk in request.content.iter_any():
            keep_waiting(limit)
            size += len(chunk)
            if size > size_max:
                raise Refusal(413, f"The body has more than {size_max} bytes.")
            parts.append(chunk)
    return b"".join(parts)


def keep_waiting(limit: asyncio.Timeout) -> None:
    """A body may take as long as it likes, if only something comes now and then."""
    limit.reschedule(asyncio.get_running_loop().time() + IDLE_SECONDS_MAX)


async def read_json(request: web.Request) -> Any:
    """The body as JSON, whatever its Content-Type says, as leniently as the service. Raises Refusal 400 or 413."""
    body = await read_body(request, JSON_BODY_MAX)
    try:
        return loads(body)
    except NotJson as error:
        raise Refusal(400, f"The body is not JSON: {error}.") from error
