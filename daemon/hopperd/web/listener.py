"""The web listener: static page, control API, events, health and metrics on one address.

An address that is taken or not there yet is said once and tried again, never fatal. The address that was got stands in
the log and in `<state>/web-address`.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from importlib import resources
from pathlib import Path
from typing import Final

import structlog
from aiohttp import web

from hopperd.web.health import Health
from hopperd.web.rights import Rights

log = structlog.get_logger("hopperd.web")

ADDRESS_FILE: Final = "web-address"
AGAIN_SECONDS: Final = 3.0
LARGEST_WEB_BODY_BYTES: Final = 256 * 1024
_SCRIPTS: Final = ("acting.js", "app.js", "charts.js", "dom.js", "job.js", "overview.js")
_TYPES: Final = {
    "index.html": "text/html",
    "style.css": "text/css",
    "icon.svg": "image/svg+xml",
    **dict.fromkeys(_SCRIPTS, "text/javascript"),
}
STATIC_PATHS: Final = frozenset({"/", "/favicon.ico", *(f"/{name}" for name in _TYPES)})


def add_page(app: web.Application) -> None:
    """The files of the page, read once."""
    folder = resources.files("hopperd.web") / "static"
    for name, kind in _TYPES.items():
        handler = _static((folder / name).read_bytes(), kind)
        app.router.add_get(f"/{name}", handler)
        if name == "index.html":
            app.router.add_get("/", handler)
        elif name == "icon.svg":
            app.router.add_get("/favicon.ico", handler)


def _static(content: bytes, kind: str) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def answer(request: web.Request) -> web.Response:
        return web.Response(body=content, content_type=kind, charset="utf-8")

    return answer


def add_health(app: web.Application, health: Health, rights: Rights, *, is_socket: bool = False) -> None:
    """Who may not read is told no more than yes or no."""

    async def healthz(request: web.Request) -> web.Response:
        found = health.lives()
        told = found if rights.may_read(request) else {"healthy": found["healthy"]}
        return web.json_response(told, status=200 if found["healthy"] else 503)

    async def readyz(request: web.Request) -> web.Response:
        found = await health.ready()
        told = found if rights.may_read(request) else {"ready": found["ready"]}
        return web.json_response(told, status=200 if found["ready"] else 503)

    async def may(request: web.Request) -> web.Response:
        told = {"read": True, "act": is_socket or rights.may_act(request), "known": is_socket or rights.knows(request)}
        return web.json_response(told)

    app.add_routes([web.get("/healthz", healthz), web.get("/readyz", readyz), web.get("/v1/rights", may)])


def split_address(listen: str) -> tuple[str, int]:
    host, _, port = listen.rpartition(":")
    return host.strip("[]"), int(port)


@contextlib.asynccontextmanager
async def serve_web(app: web.Application, listen: str, state: Path) -> AsyncIterator[None]:
    """Answer on `listen` ("" for none) until the block ends; the address may be had later than the block begins."""
    _forget_address(state)
    if not listen:
        yield
        return
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5, keepalive_timeout=30)
    await runner.setup()
    getting = asyncio.create_task(_listen(runner, listen, state), name="web listener")
    try:
        yield
    finally:
        getting.cancel()
        await asyncio.wait({getting})
        await runner.cleanup()
        _forget_address(state)


async def _listen(runner: web.AppRunner, listen: str, state: Path) -> None:
    host, port = split_address(listen)
    told = False
    while True:
        site = web.TCPSite(runner, host, port)
        try:
            await site.start()
        except OSError as error:
            with contextlib.suppress(RuntimeError):  # it was never registered
                await site.stop()
            if not told:
                log.warning(
                    "web-address-not-to-be-had",
                    listen=listen,
                    why=error.strerror or str(error),
                    do="Free the address, or set another one in [web] listen; it is tried again until it is free.",
                )
            told = True
            await asyncio.sleep(AGAIN_SECONDS)
            continue
        address = _address(runner, host)
        _remember_address(state, address)
        log.info("web-listening", address=address)
        return


def _address(runner: web.AppRunner, host: str) -> str:
    port = runner.addresses[0][1]
    return f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"


def _remember_address(state: Path, address: str) -> None:
    part = state / f"{ADDRESS_FILE}.part"
    try:
        part.write_text(address + "\n", encoding="utf-8")
        os.replace(part, state / ADDRESS_FILE)
    except OSError as error:  # a full disk is no reason not to answer
        log.warning("web-address-not-written", why=str(error))


def _forget_address(state: Path) -> None:
    with contextlib.suppress(OSError):
        (state / ADDRESS_FILE).unlink()
