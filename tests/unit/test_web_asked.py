"""Promise: a request is read as it was meant or not at all, and a mistake of ours is never called the asker's."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from structlog.testing import capture_logs

from hopperd.ports import LedgerTrouble
from hopperd.web.asked import NotUnderstood, order_from, query_from
from hopperd.web.control import Api, make_control_app

pytestmark = pytest.mark.asyncio

Client = TestClient[web.Request, web.Application]


class Clerk:
    """Answers everything with what it was asked, or with what it was told to raise."""

    def __init__(self) -> None:
        self.raises: Exception | None = None
        self.asked: list[Any] = []

    async def __call__(self, *what: Any) -> Any:
        self.asked.append(what)
        if self.raises is not None:
            raise self.raises
        return {}

    status = jobs = story = order = pause = resume = document = exported = __call__


@pytest.fixture
def clerk() -> Clerk:
    return Clerk()


@pytest_asyncio.fixture
async def client(clerk: Clerk) -> AsyncIterator[Client]:
    anything: Any = clerk
    api = Api(anything, anything, anything, anything, anything, anything)
    async with TestClient(TestServer(make_control_app(api))) as made:
        yield made


NOT_UNDERSTOOD = [
    ("orders", {"order": "forget", "jobs": "12"}, "jobs is a list of texts"),
    ("orders", {"order": "forget", "jobs": [4711]}, "jobs is a list of texts"),
    ("orders", {"order": "forget", "jobs": [""]}, "none of them empty"),
    ("orders", {"order": "forget", "jobs": None}, "jobs is a list of texts"),
    ("orders", {"order": "retry", "failed": "false"}, "failed is true or false"),
    ("orders", {"order": "retry", "failed": 1}, "failed is true or false"),
    ("orders", {"order": "retry", "folder": 1}, "folder is a text"),
    ("orders", {"order": "forget", "job": "a.pdf", "folder": "us"}, "an order has no 'job'"),
    ("orders", {"order": "release", "folder": "us", "task": "t1"}, "release that job, and no other"),
    ("orders", {"order": "hold", "jobs": ["a.pdf"], "task": "t1"}, "release that job, and no other"),
    ("orders", {"order": ["retry"]}, "order is one of retry, hold, release, forget"),
    ("orders", {"order": "hold", "jobs": ["\ud800"]}, "jobs has letters in it that no text has"),
    ("pause", {"kind": "printer", "name": "us"}, "kind is one of account, folder"),
    ("pause", {"kind": "folder"}, "name is a text"),
    ("resume", {"kind": "folder", "name": 1}, "name is a text"),
    ("fsck", {"repair": "false"}, "repair is true or false"),
    ("backup", {}, "path is a text"),
    ("backup", {"path": "/tmp/\0"}, "path has letters in it that no text has"),
]


@pytest.mark.parametrize(("path", "body", "why"), NOT_UNDERSTOOD)
async def test_a_body_of_the_wrong_kind_is_refused_with_a_sentence_and_does_nothing(
    client: Client, clerk: Clerk, path: str, body: dict[str, Any], why: str
) -> None:
    answer = await client.post(f"/v1/{path}", json=body)
    said = (await answer.json())["error"]
    assert answer.status == 400, said
    assert said.startswith("The request is not understood: ")
    assert why in said
    assert not clerk.asked


NO_OBJECTS = {"cut": b"{", "list": b"[]", "null": b"null", "no UTF-8": b"\xff", "nested without end": b"[" * 100_000}


@pytest.mark.parametrize("body", NO_OBJECTS.values(), ids=NO_OBJECTS)
async def test_what_is_no_json_object_is_refused_with_a_sentence(client: Client, clerk: Clerk, body: bytes) -> None:
    answer = await client.post("/v1/orders", data=body, headers={"Content-Type": "application/json"})
    assert answer.status == 400
    assert not clerk.asked


QUERIES = ["jobs?limit=ten", "jobs?stage=gone", "jobs?opened_before=soon", "jobs?text=%00", "job", "job?name="]
EXPORTS = ["export?job=1", "export?job=1&number=-1", "export?job=1&number=one", "export?job=1&number=²"]


@pytest.mark.parametrize("query", [*QUERIES, *EXPORTS])
async def test_a_query_that_makes_no_sense_is_refused_with_a_sentence(client: Client, clerk: Clerk, query: str) -> None:
    answer = await client.get(f"/v1/{query}")
    assert answer.status == 400
    assert (await answer.json())["error"].startswith("The request is not understood: ")
    assert not clerk.asked


@pytest.mark.parametrize("mistake", [KeyError("ours"), ValueError("ours"), TypeError("ours"), AttributeError("ours")])
@pytest.mark.parametrize("path", ["status", "jobs", "job?name=a.pdf", "overview", "export?job=1&number=0"])
async def test_a_mistake_of_ours_is_logged_and_not_called_the_askers(
    client: Client, clerk: Clerk, path: str, mistake: Exception
) -> None:
    clerk.raises = mistake
    with capture_logs() as said:
        answer = await client.get(f"/v1/{path}")
    assert answer.status == 500
    assert "the log says which" in (await answer.json())["error"]
    assert [line["event"] for line in said] == ["control-failed"]


async def test_trouble_of_the_ledger_is_told_with_what_to_do(client: Client, clerk: Clerk) -> None:
    clerk.raises = LedgerTrouble("the ledger's database is gone", do="Look after the database server.")
    answer = await client.get("/v1/status")
    assert answer.status == 503
    assert await answer.json() == {"error": "the ledger's database is gone. Look after the database server."}


async def test_an_order_is_read_as_it_was_meant() -> None:
    body = {"order": "release", "jobs": ["a.pdf"], "failed": False, "folder": None, "task": "t1", "why": "found it"}
    order = order_from(json.loads(json.dumps(body)))
    assert (order.name, order.jobs, order.failed, order.folder) == ("release", ("a.pdf",), False, None)
    assert (order.task, order.why) == ("t1", "found it")
    with pytest.raises(NotUnderstood):
        query_from({"limit": "many"}.get)
