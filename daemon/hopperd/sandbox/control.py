"""The twin's own doors, outside /v2 and without credentials (it listens on loopback only): verify, bills, OpenAPI."""

from __future__ import annotations

from aiohttp import web

from hopperd.sandbox.lenient import NotJson, loads
from hopperd.sandbox.openapi import document
from hopperd.sandbox.processing import Decision
from hopperd.sandbox.refusal import Refusal
from hopperd.sandbox.twin import JSON_BODY_MAX, read_body, twin_of


async def verify(request: web.Request) -> web.Response:
    """`POST /sandbox/verify/{task_id}`: what a person at the page does; `{"remove": true}` removes the documents."""
    twin = twin_of(request)
    body = await read_body(request, JSON_BODY_MAX)
    try:
        orders = loads(body) if body.strip() else {}
    except NotJson as error:
        raise Refusal(400, f"The body is not JSON: {error}.") from error
    if not isinstance(orders, dict) or not isinstance(orders.get("remove", False), bool):
        raise Refusal(400, 'The body may be {"remove": true} or nothing.')
    task = twin.vault.task(request.match_info["task_id"], None)
    if task is None:
        raise Refusal(404, "There is no such task.")
    decisions = [Decision(is_removed=orders.get("remove", False))] * len(task.documents)
    if not await twin.processing.release(task, decisions):
        raise Refusal(409, "The task does not wait for anybody.")
    return web.json_response(twin.wire.task(task, task.status, 1.0))


async def bills(request: web.Request) -> web.Response:
    """`GET /sandbox/ledger`: what was billed, for each application."""
    twin = twin_of(request)
    for task in twin.vault.tasks():
        twin.processing.look(task)
    known = twin.processing.bills.items()
    return web.json_response({"applications": [bill.as_json(each, twin.config.quota) for each, bill in known]})


async def openapi(request: web.Request) -> web.Response:
    """`GET /sandbox/openapi.json`: the whole interface, as OpenAPI."""
    return web.json_response(document())
