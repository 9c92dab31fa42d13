"""The control API over HTTP: the same handlers on the Unix socket of the state folder and on the web listener.

Every answer is JSON; a refusal is `{"error": sentence}` with status 400 or 409. Nothing here decides
anything: readings and orders do. A mistake of ours is logged, and answered with status 500.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import structlog
from aiohttp import web

from hopperd.errors import HopperdError, LedgerError
from hopperd.ports import FolderTrouble, LedgerTrouble
from hopperd.web.asked import (
    NotUnderstood,
    body_of,
    export_from,
    name_from,
    order_from,
    path_from,
    query_from,
    repair_from,
    target_from,
)
from hopperd.web.control_socket import SOCKET_NAME
from hopperd.web.openapi import document
from hopperd.web.orders import Orders
from hopperd.web.overview import Overview
from hopperd.web.readings import Readings
from hopperd.web.refusal import Refusal
from hopperd.web.rights import HEADERS
from hopperd.web.stream import HEARTBEAT, Stream, TooManyReaders

log = structlog.get_logger("hopperd.control")

LARGEST_BODY_BYTES = 4 * 1024 * 1024
SLOWEST_READER_SECONDS = 30.0
EVENT_HEADERS = {**HEADERS, "X-Accel-Buffering": "no"}  # headers are sent before the guard could add them

Backup = Callable[[Path], Awaitable[None]]
Fsck = Callable[[bool], Awaitable[dict[str, Any]]]


def make_control_app(api: Api, guard: Any = None, largest_body_bytes: int = LARGEST_BODY_BYTES) -> web.Application:
    """`guard` stands before everything else: who may ask at all."""
    before = [guard] if guard is not None else []
    app = web.Application(middlewares=[*before, _errors], client_max_size=largest_body_bytes)
    app.add_routes(
        [
            web.get("/v1/status", api.status),
            web.get("/v1/jobs", api.jobs),
            web.get("/v1/job", api.job),
            web.get("/v1/overview", api.overview),
            web.get("/v1/events", api.events),
            web.get("/v1/export", api.export),
            web.get("/v1/openapi.json", api.openapi),
            web.post("/v1/orders", api.order),
            web.post("/v1/pause", api.pause),
            web.post("/v1/resume", api.resume),
            web.post("/v1/backup", api.backup),
            web.post("/v1/fsck", api.fsck),
        ]
    )
    return app


@web.middleware
async def _errors(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    try:
        return await handler(request)
    except Refusal as refusal:
        return web.json_response({"error": str(refusal)}, status=409)
    except NotUnderstood as mistake:
        return web.json_response({"error": f"The request is not understood: {mistake}"}, status=400)
    except TimeoutError:
        return web.json_response({"error": "The request did not end in time."}, status=408)
    except OSError as trouble:
        return web.json_response({"error": said(trouble)}, status=409)
    except LedgerTrouble as trouble:
        return web.json_response({"error": f"{trouble}. {trouble.do}"}, status=503)
    except (HopperdError, FolderTrouble) as trouble:
        return web.json_response({"error": str(trouble)}, status=503)
    except web.HTTPException:
        raise
    except Exception:
        log.exception("control-failed", path=request.path)
        return web.json_response({"error": "hopperd made a mistake; the log says which."}, status=500)


class Api:
    """The handlers, whoever's request they answer."""

    def __init__(
        self, readings: Readings, orders: Orders, backup: Backup, fsck: Fsck, overview: Overview, stream: Stream
    ) -> None:
        self._readings = readings
        self._orders = orders
        self._backup = backup
        self._fsck = fsck
        self._overview = overview
        self._stream = stream

    async def status(self, request: web.Request) -> web.Response:
        return web.json_response(await self._readings.status())

    async def jobs(self, request: web.Request) -> web.Response:
        return web.json_response(await self._readings.jobs(query_from(request.query.get)))

    async def job(self, request: web.Request) -> web.Response:
        return web.json_response(await self._readings.story(name_from(request.query.get)))

    async def overview(self, request: web.Request) -> web.Response:
        return web.json_response(await self._overview.document())

    async def events(self, request: web.Request) -> web.StreamResponse:
        """Server-sent events until the reader has enough: jobs' events, the page's state, or one job's events."""
        query = request.query
        job, state = query.get("job"), query.get("state") == "1"
        try:
            with self._stream.reading(events=not state or query.get("events") == "1", state=state, job=job) as reader:
                answer = web.StreamResponse(headers={"Content-Type": "text/event-stream", **EVENT_HEADERS})
                await answer.prepare(request)
                await answer.write(HEARTBEAT)
                with contextlib.suppress(ConnectionError):
                    async for piece in reader.pieces(self._stream.batch_seconds):
                        async with asyncio.timeout(SLOWEST_READER_SECONDS):
                            await answer.write(piece)
        except TooManyReaders as no:
            return web.json_response({"error": str(no)}, status=503)
        except TimeoutError:
            if request.transport is not None:
                request.transport.abort()  # it does not read; what it misses it can ask for
        return answer

    async def export(self, request: web.Request) -> web.StreamResponse:
        """One export as it was delivered, and nothing else that may lie at its path by now."""
        job, number = export_from(request.query.get)
        return web.Response(
            body=await self._readings.exported(job, number),
            content_type="application/octet-stream",
            headers={"Content-Disposition": "attachment"},
        )

    async def openapi(self, request: web.Request) -> web.Response:
        return web.json_response(document())

    async def order(self, request: web.Request) -> web.Response:
        return web.json_response(await self._orders.order(order_from(await body_of(request))))

    async def pause(self, request: web.Request) -> web.Response:
        kind, name, why = target_from(await body_of(request))
        return web.json_response(await self._orders.pause(kind, name, why))

    async def resume(self, request: web.Request) -> web.Response:
        kind, name, _ = target_from(await body_of(request))
        return web.json_response(await self._orders.resume(kind, name))

    async def backup(self, request: web.Request) -> web.Response:
        path = path_from(await body_of(request))
        await self._backup(path)
        return web.json_response({"backup": str(path), "moves_on": True})

    async def fsck(self, request: web.Request) -> web.Response:
        return web.json_response(await self._fsck(repair_from(await body_of(request))))


def said(error: OSError) -> str:
    """An error of the disk as one sentence."""
    if isinstance(error, FileExistsError):
        return "A file of that name is there already, and nothing is overwritten: give another name."
    about = f": {error.filename}" if error.filename else ""
    return f"The disk of the daemon's machine would not ({error.strerror or error}{about})."


@contextlib.asynccontextmanager
async def serve_socket(app: web.Application, state: Path) -> AsyncIterator[None]:
    """Answer on `state/control.sock`, mode 0600. The path may be longer than a socket address allows.

    Raises LedgerError where the state folder does not let it be made.
    """
    try:
        folder, listener = _listening(state)
    except OSError as error:
        raise LedgerError(
            f"{state / SOCKET_NAME} cannot be made: {error.strerror}. The state folder must lie on a local disk that "
            f"works and that hopperd may write to; nothing was begun."
        ) from error
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
    try:
        await runner.setup()
        await web.SockSite(runner, listener).start()
        try:
            yield
        finally:
            await runner.cleanup()
            with contextlib.suppress(OSError):  # the next start takes it away
                os.unlink(SOCKET_NAME, dir_fd=folder)
    finally:
        os.close(folder)


def _listening(state: Path) -> tuple[int, socket.socket]:
    """The state folder, open, and a socket bound in it, in place of one that a dead process has left."""
    folder = os.open(state, os.O_DIRECTORY | os.O_RDONLY | os.O_CLOEXEC)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(SOCKET_NAME, dir_fd=folder)
        listener.bind(f"/proc/self/fd/{folder}/{SOCKET_NAME}")
        os.chmod(SOCKET_NAME, 0o600, dir_fd=folder)  # the state folder is 0700 anyway
        listener.setblocking(False)
    except OSError:
        listener.close()
        os.close(folder)
        raise
    return folder, listener
