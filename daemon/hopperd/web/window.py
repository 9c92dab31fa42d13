"""The window: all that people and programs look through: readings, orders, stream, metrics, health, listeners."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any, Literal, Protocol

from aiohttp import web

from hopperd.pipeline.events import Claimed, Event
from hopperd.pipeline.job import Job
from hopperd.ports import Clock, Ledger
from hopperd.settings import Settings
from hopperd.web.control import Api, Backup, Fsck, make_control_app, serve_socket
from hopperd.web.health import Health, Probes
from hopperd.web.listener import LARGEST_WEB_BODY_BYTES, STATIC_PATHS, add_health, add_page, serve_web
from hopperd.web.live import Live
from hopperd.web.metrics import CONTENT_TYPE, Metrics
from hopperd.web.orders import Orders
from hopperd.web.overview import Ended, Overview
from hopperd.web.readings import Readings
from hopperd.web.rights import Rights, guard
from hopperd.web.stream import Stream
from hopperd.web.traces import traces_of


class Source(Ledger, Protocol):
    """The ledger, as the window needs it besides."""

    @property
    def ended_since(self) -> Ended: ...


class Window:
    """`recorded` and `answered` are told by the ledger of everything that became durable.

    `configured` tells the settings, of which a reload changes some: not where the window listens, nor what folders and
    accounts there are.
    """

    def __init__(
        self,
        ledger: Source,
        configured: Callable[[], Settings],
        clock: Clock,
        live: Live,
        rights: Rights,
        probes: Probes,
    ) -> None:
        self._settings = configured()
        self._clock = clock
        self._probes = probes
        self.metrics = Metrics()
        self._traces = traces_of()
        self.stream = Stream()
        self._rights = rights
        self._readings = Readings(ledger, configured, clock, live)
        self._orders = Orders(ledger, self._settings, clock, live)
        told = {"acting": bool(self._rights.act_token), "exports": bool(self._rights.read_token)}
        self._overview = Overview(self._readings, clock, self.stream, told, ledger.ended_since)
        self._health = Health(probes, clock.monotonic)

    # --------------------------------------------------------------------------------- what the ledger tells

    def recorded(self, before: Job | None, after: Job, event: Event | Claimed, at: float) -> None:
        self.metrics.recorded(before, after, event, at)
        self._overview.recorded(before, after, event, at)
        self.stream.recorded(before, after, event, at)
        self._traces.recorded(before, after)

    def answered(self, kind: Literal["write", "read"], seconds: float) -> None:
        self.metrics.answered(kind, seconds)

    # --------------------------------------------------------------------------------------------- listening

    @contextlib.asynccontextmanager
    async def open(self, backup: Backup, fsck: Fsck) -> AsyncIterator[None]:
        """Answer on the socket and, where there is one, on the web listener."""
        api = Api(self._readings, self._orders, backup, fsck, self._overview, self.stream)
        ticking = asyncio.create_task(self._overview.run(), name="overview")
        try:
            async with (
                serve_socket(self._app(api), self._settings.state),
                serve_web(self._web_app(api), self._settings.web.listen, self._settings.state),
            ):
                yield
        finally:
            ticking.cancel()
            self._health.close()
            await asyncio.to_thread(self._traces.close)
            await asyncio.wait({ticking})

    def _app(self, api: Api) -> web.Application:
        app = make_control_app(api)
        add_health(app, self._health, Rights(), is_socket=True)
        app.router.add_get("/metrics", self._metrics)
        return app

    def _web_app(self, api: Api) -> web.Application:
        app = make_control_app(api, guard(self._rights, STATIC_PATHS), LARGEST_WEB_BODY_BYTES)
        add_health(app, self._health, self._rights)
        app.router.add_get("/metrics", self._metrics)
        add_page(app)
        return app

    async def _metrics(self, request: web.Request) -> web.Response:
        status: Mapping[str, Any] = await self._readings.status()
        cells = await self._readings.cells()
        body = self.metrics.rendered(status, cells, self._probes.ages(), len(self.stream), self._clock.now())
        return web.Response(body=body, headers={"Content-Type": CONTENT_TYPE})
