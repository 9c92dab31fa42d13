"""Promise: e-mail and chat go out through Apprise, and what they refuse is said without their passwords."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar

import pytest

from hopperd.errors import ConfigurationError
from hopperd.ports import NotTaken

pytest.importorskip("apprise")

from hopperd.outbound.chat import Chat

MESSAGE = json.dumps(
    {"subject": "hopperd: 2 invoices failed", "text": "2 invoices failed:\n- us/ü.pdf: empty."}
).encode()
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of Apprise's own parts


class Service(BaseHTTPRequestHandler):
    """A chat service as Apprise's json:// knows it."""

    got: ClassVar[list[dict[str, Any]]] = []
    status = 200

    def do_POST(self) -> None:
        Service.got.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self.send_response(Service.status)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def port() -> Iterator[int]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Service)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    Service.got, Service.status = [], 200
    yield server.server_address[1]
    server.shutdown()
    server.server_close()


def sent(address: str) -> None:
    async def send() -> None:
        chat = Chat([address])
        try:
            await chat.take("a", MESSAGE)
        finally:
            await chat.close()

    asyncio.run(send())


def test_a_message_arrives_whole(port: int) -> None:
    sent(f"json://user:the-password@127.0.0.1:{port}/")
    (got,) = Service.got
    assert got["title"] == "hopperd: 2 invoices failed"
    assert "us/ü.pdf" in got["message"]


def test_a_service_that_refuses_is_trouble_and_its_password_is_not_told(port: int) -> None:
    Service.status = 500
    with pytest.raises(NotTaken, match="e-mail or chat did not take it") as no:
        sent(f"json://user:the-password@127.0.0.1:{port}/")
    assert "the-password" not in no.value.what


def test_an_address_that_nobody_knows_is_named_by_its_line_alone() -> None:
    with pytest.raises(ConfigurationError, match="line 2") as no:
        Chat(["json://localhost", "no-such-service://the-password@x"])
    assert "the-password" not in str(no.value)
