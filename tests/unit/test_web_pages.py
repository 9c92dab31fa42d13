"""Promise: what the control API and the metrics are is written down, and what is written down is so."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, cast

from aiohttp import web

import hopperd.web
from hopperd.web.control import Api, make_control_app
from hopperd.web.flow import Flow
from hopperd.web.listener import STATIC_PATHS, add_page
from hopperd.web.metrics import Metrics
from hopperd.web.openapi import document
from tests.support import web_pages

STATIC = Path(hopperd.web.__file__).parent / "static"
LARGEST_PAGE_BYTES = 100_000


def test_the_description_of_the_control_api_is_not_stale() -> None:
    assert web_pages.CONTROL_API.read_text() == web_pages.control_api(), "run python -m tests.support.web_pages"


def test_the_list_of_metrics_is_not_stale() -> None:
    assert web_pages.METRICS.read_text() == web_pages.metrics(), "run python -m tests.support.web_pages"


def test_every_route_is_described_and_every_description_is_a_route() -> None:
    app = make_control_app(cast(Api, _Anything()))
    routes = {
        (route.method.lower(), route.resource.canonical)
        for route in app.router.routes()
        if route.resource is not None and route.method != "HEAD"
    }
    described = {(method, path) for path, methods in document()["paths"].items() for method in methods}
    assert described - {("get", "/v1/rights")} == routes


def test_every_reference_of_the_description_leads_somewhere() -> None:
    text = web_pages.control_api()
    for name in re.findall(r"#/components/schemas/(\w+)", text):
        assert name in document()["components"]["schemas"], name


def test_metrics_keep_the_conventions_and_no_globals() -> None:
    one, other = Metrics(), Metrics()
    assert one.registry is not other.registry
    for name, kind, what, _ in web_pages.listed():
        assert re.fullmatch(r"hopperd_[a-z_]+", name)
        assert name.endswith("_total") == (kind == "counter"), name
        assert what.endswith("."), name


def test_the_page_is_small_and_asks_nobody_else() -> None:
    files = sorted(STATIC.iterdir())
    assert sum(file.stat().st_size for file in files) < LARGEST_PAGE_BYTES
    app = web.Application()
    add_page(app)
    assert {f"/{file.name}" for file in files} <= STATIC_PATHS
    for file in files:
        text = file.read_text()
        outside = re.findall(r"(?:https?:)?//[a-z0-9.-]+\.[a-z]+[^\s\"']*", text)
        assert [one for one in outside if not one.startswith("http://www.w3.org/2000/svg")] == [], file.name
        assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|\bstyle=", text), (
            file.name
        )


def test_flow_counts_what_ended_and_how_long_it_took() -> None:
    flow, now = Flow(), 1_800_000_000.0
    for number in range(100):
        flow.note(now - 30 * number, 2.0 if number < 60 else 20.0)
    flow.note(now, None)
    flow.note(now - 90_000, 1.0)
    series = flow.series(now)
    hour: dict[str, Any] = series["hour"]
    assert (sum(hour["done"]), sum(hour["failed"]), len(hour["done"])) == (100, 1, 60)
    assert 2.0 <= hour["all_median_seconds"] <= 2.4
    assert 20.0 <= hour["all_p90_seconds"] <= 24.0
    assert sum(series["day"]["done"]) == 100, "what is older than a day is not counted"
    assert sum(flow.series(now + 3_600)["hour"]["done"]) == 0
    assert flow.series(now + 3_600)["hour"]["median_seconds"] == [None] * 60


class _Anything:
    def __getattr__(self, name: str) -> Any:
        async def handler(request: web.Request) -> web.Response:
            return web.Response()

        return handler
