"""How a fault looks on the wire: refused before anything happened, or an answer spoilt after it did.

A cut connection is a real reset (RST), not a polite end. Nothing waits here for ever: a stall ends with the client.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from typing import Final

from aiohttp import web
from aiohttp.payload import Payload

from hopperd.sandbox.contents import Content
from hopperd.sandbox.faults import Fault
from hopperd.sandbox.refusal import error_answer
from hopperd.sandbox.twin import SERVED

STALL_SECONDS_MAX: Final = 3_600.0
LOOK_SECONDS: Final = 0.1
SLOW_PIECES: Final = 20
DRAIN_BYTES_MAX: Final = 8 * 1024 * 1024
_LINGER_OFF: Final = struct.pack("ii", 1, 0)
_HTML: Final = (
    "<!DOCTYPE html><html><head><title>Sign in</title></head><body>Please sign in to this network.</body></html>"
)


async def before(fault: Fault, request: web.Request) -> web.StreamResponse:
    """The answer of a fault without effect."""
    if fault.kind == "reset-before":
        return reset(request)
    if fault.kind == "stall":
        return await _stall(request)
    await _drain(request)
    return status_answer(fault, request)


def answered_status(fault: Fault | None, answer: web.StreamResponse) -> int:
    """The HTTP status that goes out (or would have) once the fault has had its way."""
    if fault is not None and fault.kind == "status-after":
        return fault.status
    return 200 if fault is not None and fault.kind == "html" else answer.status


async def after(fault: Fault, request: web.Request, answer: web.Response) -> web.StreamResponse:
    """A good answer, spoilt."""
    if isinstance(answer.body, Payload):
        await answer.body.close()
    match fault.kind:
        case "status-after":
            return status_answer(fault, request)
        case "reset-after":
            return reset(request)
        case "html":
            return web.Response(text=_HTML, content_type="text/html")
        case "slow":
            return await _slow(fault, request, answer)
        case "short-body":
            return await _short(request, answer)
        case _:
            return _wrong_hash(request, answer)


def status_answer(fault: Fault, request: web.Request) -> web.Response:
    """An error of the service, with Retry-After where the plan asks for one; a redirect leads to the same place."""
    if fault.status in (204, 205, 304):
        return web.Response(status=fault.status)
    answer = error_answer(fault.status, "This is a fault of the plan.")
    if fault.retry_after_seconds is not None:
        answer.headers["Retry-After"] = f"{fault.retry_after_seconds:g}"
    if 300 <= fault.status < 400:
        answer.headers["Location"] = request.path_qs
    return answer


def reset(request: web.Request) -> web.Response:
    """Cuts the connection; the answer returned goes nowhere."""
    transport = request.transport
    if transport is not None:
        connection = transport.get_extra_info("socket")
        if connection is not None:
            with contextlib.suppress(OSError):
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_OFF)
        transport.abort()
    return web.Response(status=204)


async def _stall(request: web.Request) -> web.Response:
    await _drain(request)
    end = asyncio.get_running_loop().time() + STALL_SECONDS_MAX
    while not _has_left(request) and asyncio.get_running_loop().time() < end:  # noqa: ASYNC110 - aiohttp tells nobody
        await asyncio.sleep(LOOK_SECONDS)
    return reset(request)


def _has_left(request: web.Request) -> bool:
    return request.transport is None or request.transport.is_closing()


async def _drain(request: web.Request) -> None:
    """Takes the body in without keeping it, so that the client is not stopped halfway and its leaving is seen."""
    size = 0
    with contextlib.suppress(Exception):
        async for chunk in request.content.iter_any():
            size += len(chunk)
            if size > DRAIN_BYTES_MAX:
                return


async def _slow(fault: Fault, request: web.Request, answer: web.Response) -> web.StreamResponse:
    body = _body(request, answer)
    if not body:
        await asyncio.sleep(fault.seconds)
        return web.Response(status=answer.status)
    stream = await _begin(request, answer, len(body))
    piece = max(1, -(-len(body) // SLOW_PIECES))
    for start in range(0, len(body), piece):
        await asyncio.sleep(fault.seconds / SLOW_PIECES)
        await stream.write(body[start : start + piece])
    await stream.write_eof()
    return stream


async def _short(request: web.Request, answer: web.Response) -> web.StreamResponse:
    """Half of what Content-Length says, then the end. An answer without a body has nothing to cut but the line."""
    body = _body(request, answer)
    if not body:
        return reset(request)
    stream = await _begin(request, answer, len(body))
    stream.force_close()
    await stream.write(body[: len(body) // 2])
    if request.transport is not None:
        request.transport.close()
    return stream


async def _begin(request: web.Request, answer: web.Response, size: int) -> web.StreamResponse:
    content_type = answer.headers.get("Content-Type", answer.content_type)
    stream = web.StreamResponse(status=answer.status, headers={"Content-Type": content_type})
    stream.content_length = size
    await stream.prepare(request)
    return stream


def _wrong_hash(request: web.Request, answer: web.Response) -> web.Response:
    """A FileInfo whose hash is not that of the bytes, or bytes that are not those of the file."""
    body = _body(request, answer)
    if SERVED in request:
        spoilt = bytes([body[0] ^ 0xFF]) + body[1:] if body else b"?"
        return web.Response(body=spoilt, content_type=answer.content_type)
    marker = b'"hash": "'
    pieces = body.split(marker)
    turned = [pieces[0]] + [bytes([_other_digit(each[0])]) + each[1:] for each in pieces[1:]]
    return web.Response(body=marker.join(turned), status=answer.status, content_type=answer.content_type)


def _other_digit(digit: int) -> int:
    return ord("1") if digit == ord("0") else ord("0")


def _body(request: web.Request, answer: web.Response) -> bytes:
    served: Content | None = request.get(SERVED)
    if served is not None:
        try:
            return served.read()
        except FileNotFoundError:  # it was deleted while this answer was on its way
            return b""
    return answer.body if isinstance(answer.body, bytes) else b""
