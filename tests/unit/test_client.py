"""The client against real sockets on loopback: servers that answer, refuse, stall, reset, lie. Nothing is mocked."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import os
import socket
from pathlib import Path
from typing import Any

import pytest
import structlog
from aiohttp import web
from aiohttp.test_utils import TestServer

from hopperd.capture.client import Client
from hopperd.capture.session import PAID_KEEPALIVE_SECONDS
from hopperd.pipeline.job import TaskStatus
from hopperd.ports import ServiceTrouble
from tests.support.wire_service import (
    FILE,
    TASK,
    TOKEN,
    account,
    calls,
    fetchable,
    file_info,
    part_of,
    reply,
    source,
    speaking,
    trouble_of,
)

pytestmark = pytest.mark.asyncio


# ------------------------------------------------------------------------------------------------- what goes well


async def test_a_whole_invoice_passes_through(tmp_path: Path) -> None:
    content, export = os.urandom(3_000_000), os.urandom(2_500_000)
    deleted: list[str] = []
    routes = web.RouteTableDef()

    @routes.post("/v2/file")
    async def upload(request: web.Request) -> web.Response:
        assert request.headers["Authorization"] == "Basic " + base64.b64encode(f"äpp:{TOKEN}".encode()).decode()
        part = await (await request.multipart()).next()
        assert part is not None and part.filename == "invoice.pdf"  # type: ignore[union-attr]
        got = bytes(await part.read())  # type: ignore[union-attr]
        return web.json_response([file_info(got, expiring="2030-01-01T00:00:00Z")])

    @routes.post("/v2/task/capture/invoices")
    async def run(request: web.Request) -> web.Response:
        body = await request.json()
        assert body == {"files": [{"id": FILE.id, "token": FILE.token}], "properties": {"region": "US"}}
        return web.json_response(TASK, status=201)

    @routes.get("/v2/task/{id}")
    async def look(_: web.Request) -> web.Response:
        result = {"id": FILE.id, "token": FILE.token, "name": "x.json"}
        return web.json_response(TASK | {"status": "Done", "documents": [{"files": {"targetJson": result}}]})

    @routes.get("/v2/file/{id}/{token}/info")
    async def info(request: web.Request) -> web.Response:
        if request.match_info["id"] == "0" * 24:
            raise web.HTTPNotFound
        return web.json_response(file_info(export))

    @routes.get("/v2/file/{id}/{token}")
    async def fetch(_: web.Request) -> web.Response:
        return web.Response(body=export)

    @routes.delete("/v2/{what:.*}")
    async def delete(request: web.Request) -> web.Response:
        deleted.append(request.path)
        raise web.HTTPNoContent if "task" in request.path else web.HTTPNotFound

    app = web.Application(client_max_size=10**8)
    app.add_routes(routes)
    counted = 0

    async def more() -> None:
        nonlocal counted
        counted += 1

    async with TestServer(app) as server, Client(account(str(server.make_url("")).rstrip("/")), more=more) as client:
        remote = await client.upload(source(tmp_path / "in", content))
        assert (remote.id, remote.token, remote.expiring) == (FILE.id, FILE.token, 1893456000.0)
        task = await client.run([remote], {"region": "US"})
        assert task.status is TaskStatus.RUNNING
        done = await client.look(task.id)
        ((_, name, result),) = done.documents[0].results
        assert (done.status, name, result) == (TaskStatus.DONE, "x.json", FILE)
        target = tmp_path / "staged"
        target.write_bytes(b"a leftover of a try before")
        assert await client.fetch(fetchable(target)) == (len(export), hashlib.sha256(export).hexdigest())
        assert target.read_bytes() == export and target.stat().st_mode & 0o777 == 0o600
        assert counted == 1, "the second request of a fetch takes a token of its own"
        await client.tidy(task.id, [remote])
        assert [path.split("/")[2] for path in deleted] == ["task", "file"] and counted == 2
        await client.probe()


@pytest.mark.parametrize("size", [0, 1, 65_536, 200_000, 1024 * 1024, 1024 * 1024 + 1, 5_000_000])
async def test_every_size_arrives_byte_for_byte(tmp_path: Path, size: int) -> None:
    content = os.urandom(size)
    async with speaking(reply(200, file_info(content))) as wire, Client(account(wire.url)) as client:
        await client.upload(source(tmp_path / "f", content))
    (request,) = wire.requests
    head, got = part_of(request.body)
    assert got == content and 'name="file"; filename="invoice.pdf"' in head


async def test_an_odd_name_does_not_break_the_upload(tmp_path: Path) -> None:
    async with speaking(reply(200, [file_info(b"x")])) as wire, Client(account(wire.url)) as client:
        await client.upload(source(tmp_path / "f", b"x", name=b'sub/a"b\r\nContent-Type: evil;\xff.pdf'))
    head, got = part_of(wire.requests[0].body)
    assert got == b"x" and head.count("\r\n") == 2 and head.count('"') == 4 and ".pdf" in head


# -------------------------------------------------------------------------------------- never twice, never elsewhere


@pytest.mark.parametrize("call", ["upload", "run", "look", "tidy", "probe"])
async def test_a_lost_connection_never_makes_the_client_send_a_second_request(tmp_path: Path, call: str) -> None:
    """The connection is a kept one, where aiohttp by itself would send GET and DELETE again."""
    async with speaking(reply(200, TASK), after_one=True) as wire, Client(account(wire.url)) as client:
        await (client.run([FILE], {}) if call == "run" else client.look(str(TASK["id"])))
        trouble = await trouble_of(calls(client, tmp_path)[call]())
        assert (trouble.kind, trouble.status) == ("network", None)
        assert wire.connections == 1
        assert len(wire.requests) == 2, f"{call} was sent again"


async def test_a_run_never_meets_a_connection_that_is_being_closed() -> None:
    """A server gives up connections that stood idle: whatever else was lost on one is harmless, a Run would be paid."""
    async with speaking(reply(200, TASK), after_one=True) as wire, Client(account(wire.url)) as client:
        await client.look(str(TASK["id"]))
        await client.run([FILE], {})
        await asyncio.sleep(PAID_KEEPALIVE_SECONDS + 0.1)
        await client.run([FILE], {})
        assert wire.connections == 3


@pytest.mark.parametrize("call", ["upload", "run", "look", "tidy", "probe", "fetch"])
@pytest.mark.parametrize("status", [301, 307, 308])
async def test_redirects_are_weather_and_not_followed(tmp_path: Path, call: str, status: int) -> None:
    async with speaking(reply(status, b"", "Location: /elsewhere")) as wire, Client(account(wire.url)) as client:
        trouble = await trouble_of(calls(client, tmp_path)[call]())
    assert (trouble.fault, trouble.status, len(wire.requests)) == ("weather", status, 1)


# --------------------------------------------------------------------------------------------- a Run and its doubts


@pytest.mark.parametrize(
    ("answer", "fault"),
    [
        (reply(200, TASK), None),
        (reply(201, TASK), None),
        (reply(200, {"status": "Submitted"}), "doubt"),
        (reply(200, b"<html>maintenance</html>"), "doubt"),
        (reply(204), "doubt"),
        (reply(200, TASK, length=10_000), "doubt"),
        (reply(400, {"error": "e", "error_description": "d"}), "file"),
        (reply(400, b"cut short", length=10_000), "file"),
        (reply(401), "account"),
        (reply(403), "account"),
        (reply(404), "gone"),
        (reply(405), "weather"),
        (reply(408), "doubt"),
        (reply(409), "unready"),
        (reply(413), "file"),
        (reply(429), "weather"),
        (reply(500), "doubt"),
        (reply(502), "doubt"),
        (reply(503), "weather"),
        (None, "doubt"),
        ("stall", "doubt"),
        (b"this is not HTTP at all\r\n\r\n", "doubt"),
    ],
)
async def test_a_run_is_a_certain_yes_a_certain_no_or_a_doubt(answer: Any, fault: str | None) -> None:
    async with speaking(answer) as wire, Client(account(wire.url, answer_seconds=0.3)) as client:
        if fault is None:
            assert (await client.run([FILE], {})).id == TASK["id"]
        else:
            assert (await trouble_of(client.run([FILE], {}))).fault == fault
    assert len(wire.requests) == 1


async def test_a_run_that_never_connected_is_a_certain_no() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"
        async with Client(account(url)) as client:
            trouble = await trouble_of(client.run([FILE], {}))
    assert (trouble.fault, trouble.kind) == ("weather", "network")


async def test_a_name_that_does_not_resolve_is_a_certain_no() -> None:
    async with Client(account("http://nobody.invalid")) as client:
        trouble = await trouble_of(client.run([FILE], {}))
    assert (trouble.fault, trouble.kind) == ("weather", "network")


async def test_tls_that_fails_is_a_certain_no() -> None:
    async with speaking(reply(200, TASK)) as wire, Client(account(wire.url.replace("http:", "https:"))) as client:
        trouble = await trouble_of(client.run([FILE], {}))
    assert (trouble.fault, trouble.kind, wire.requests) == ("weather", "network", [])


async def test_authorities_that_went_away_are_weather_and_a_certain_no(tmp_path: Path) -> None:
    async with Client(account("https://127.0.0.1:1", ca_file=tmp_path / "gone.pem")) as client:
        for call in (client.run([FILE], {}), client.look(TASK["id"])):
            trouble = await trouble_of(call)
            assert (trouble.fault, trouble.kind) == ("weather", "network")
            assert "gone.pem cannot be used: No such file" in trouble.what


async def test_a_connection_that_is_never_accepted_is_a_certain_no() -> None:
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        address = full.getsockname()
        others = [socket.socket() for _ in range(4)]
        for other in others:  # the queue is full: further connections get no answer
            other.setblocking(False)
            other.connect_ex(address)
        try:
            async with Client(account(f"http://127.0.0.1:{address[1]}", connect_seconds=0.3)) as client:
                trouble = await trouble_of(client.run([FILE], {}))
        finally:
            for other in others:
                other.close()
    assert (trouble.fault, trouble.kind) == ("weather", "network")


# ------------------------------------------------------------------------------------------------------ all calls


@pytest.mark.parametrize(("status", "fault"), [(404, None), (400, None), (403, "account"), (503, "weather")])
async def test_a_probe_tells_whether_the_service_takes_our_credentials(status: int, fault: str | None) -> None:
    async with speaking(reply(status)) as wire, Client(account(wire.url)) as client:
        if fault is None:
            await client.probe()
        else:
            assert (await trouble_of(client.probe())).fault == fault
    assert wire.requests[0].path == f"/v2/file/{'0' * 24}/{'0' * 40}/info"


async def test_a_log_in_page_of_the_network_is_no_service() -> None:
    async with speaking(reply(200, b"<html>Please log in</html>")) as wire, Client(account(wire.url)) as client:
        assert (await trouble_of(client.probe())).fault == "weather"


async def test_retry_after_comes_through_in_seconds() -> None:
    async with speaking(reply(429, b"", "Retry-After: 17")) as wire, Client(account(wire.url)) as client:
        trouble = await trouble_of(client.look("x"))
    assert (trouble.kind, trouble.retry_after_seconds) == ("rate", 17.0)


async def test_an_endless_answer_is_cut(tmp_path: Path) -> None:
    async with speaking(reply(200, b"[" * (9 * 1024 * 1024))) as wire, Client(account(wire.url)) as client:
        assert (await trouble_of(client.look("x"))).fault == "weather"
        assert (await trouble_of(client.run([FILE], {}))).fault == "doubt"


async def test_no_secret_in_any_text_or_log(tmp_path: Path) -> None:
    credentials = base64.b64encode(f"äpp:{TOKEN}".encode()).decode()
    said = json.dumps({"message": f"{TOKEN} {credentials} {FILE.token}"}).encode()
    answers: list[Any] = [reply(400, said), reply(500, said), reply(200, said), None, b"\0\1\2" + said]
    with structlog.testing.capture_logs() as logged:
        for answer in answers:
            async with speaking(answer) as wire, Client(account(wire.url)) as client:
                for name, call in calls(client, tmp_path).items():
                    try:
                        await call()
                    except ServiceTrouble as trouble:
                        for secret in (TOKEN, credentials, FILE.token):
                            assert secret not in repr((trouble, trouble.what)), name
    assert {entry["event"] for entry in logged} == {"request"}
    for secret in (TOKEN, credentials, FILE.token):
        assert secret not in repr(logged)
    assert {entry["outcome"] for entry in logged} >= {"answered", "file", "weather", "doubt"}


async def test_a_netrc_entry_does_not_disturb_the_credentials(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".netrc").write_text("default login other password other\n")
    monkeypatch.setenv("NETRC", os.fspath(tmp_path / ".netrc"))
    monkeypatch.setenv("HOME", os.fspath(tmp_path))
    async with speaking(reply(404)) as wire, Client(account(wire.url, trust_env=True)) as client:
        await client.probe()
    assert wire.requests[0].headers["authorization"].endswith(base64.b64encode(f"äpp:{TOKEN}".encode()).decode())


async def test_requests_go_through_the_proxy_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    async with speaking(reply(404)) as proxy:
        monkeypatch.setenv("http_proxy", proxy.url.replace("http://", "http://user:pass@"))
        monkeypatch.setenv("no_proxy", "")
        async with Client(account("http://service.invalid", trust_env=True)) as client:
            await client.probe()
        async with Client(account("http://service.invalid", trust_env=False)) as client:
            assert (await trouble_of(client.probe())).kind == "network"
    (request,) = proxy.requests
    assert request.headers["authorization"] != request.headers["proxy-authorization"]
    assert request.path.startswith("http://service.invalid/v2/file/")
    assert request.headers["proxy-authorization"] == "Basic " + base64.b64encode(b"user:pass").decode()
