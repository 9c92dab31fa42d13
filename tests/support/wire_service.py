"""A service of a few lines that speaks bytes, for tests of the client: it answers, refuses, stalls, resets and lies."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import re
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from hopperd.capture.client import Client
from hopperd.pipeline.job import RemoteFile, Result
from hopperd.ports import Fetchable, ServiceTrouble, Source
from hopperd.settings import Account

TOKEN = "s3cret-tökén-of-the-account"
FILE = RemoteFile(id="5eeb762149c6470fdc65a84c", token="4B5A1A00E7A82C2AF31E20CADE7284DDA43DED30")
TASK = {"id": "5eeb7bf728613d1e04a70782", "number": "1126563", "status": "Submitted", "documents": []}


def account(url: str, **changes: Any) -> Account:
    given: dict[str, Any] = {
        "name": "main",
        "base_url": url,
        "application_id": "äpp",
        "application_token": TOKEN,
        "connect_seconds": 1,
        "answer_seconds": 1,
        "stall_seconds": 1,
    }
    return Account.model_validate(given | changes)


@dataclass
class Request:
    method: str
    path: str
    headers: dict[str, str]
    body: bytes


def reply(status: int, content: Any = b"", *lines: str, length: int | None = None) -> bytes:
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    head = [f"HTTP/1.1 {status} X", f"Content-Length: {len(body) if length is None else length}", *lines]
    return "\r\n".join([*head, "", ""]).encode() + body


@dataclass
class Wire:
    """A server that speaks bytes. `on` decides by request: bytes to send, or None for a reset, "stall" for silence."""

    on: Callable[[Request], bytes | str | Awaitable[bytes | str | None] | None]
    requests: list[Request] = field(default_factory=list)
    connections: int = 0
    url: str = ""
    after_one: bool = False  # every connection is reset when its second request comes
    accepts_only: bool = False  # takes connections and never reads

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            if self.accepts_only:
                await asyncio.sleep(3600)
            served = 0
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
                method, path, _ = head[0].split(" ")
                headers = {k.lower(): v for k, _, v in (line.partition(": ") for line in head[1:] if line)}
                body = await reader.readexactly(int(headers.get("content-length", "0")))
                request = Request(method, path, headers, body)
                self.requests.append(request)
                served += 1
                answer = None if self.after_one and served > 1 else self.on(request)
                if isinstance(answer, Awaitable):
                    answer = await answer
                if answer == "stall":
                    await asyncio.sleep(3600)
                if not isinstance(answer, bytes):
                    linger = struct.pack("ii", 1, 0)
                    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                    return
                writer.write(answer)
                await writer.drain()
                length = re.search(rb"Content-Length: (\d+)", answer)
                if length is None or int(length[1]) != len(answer.split(b"\r\n\r\n", 1)[1]):
                    return
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def serving(serve: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Any]) -> AsyncIterator[str]:
    """The address of a server on loopback; nothing of it is left behind."""
    tasks: list[asyncio.Task[None]] = []
    writers: list[asyncio.StreamWriter] = []

    def begin(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        tasks.append(asyncio.create_task(serve(reader, writer)))

    server = await asyncio.start_server(begin, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for writer in writers:
            writer.transport.abort()
            with suppress(OSError):
                await writer.wait_closed()


@asynccontextmanager
async def speaking(on: Any, **how: Any) -> AsyncIterator[Wire]:
    wire = Wire(on if callable(on) else lambda _: on, **how)
    async with serving(wire.serve) as wire.url:
        yield wire


def source(path: Path, content: bytes, name: bytes = b"invoice.pdf") -> Source:
    path.write_bytes(content)
    return Source(
        path=os.fsencode(path), name=name, size_bytes=len(content), sha512=hashlib.sha512(content).hexdigest()
    )


def file_info(content: bytes, **changes: Any) -> dict[str, Any]:
    digest = hashlib.sha512(content).hexdigest().upper()
    return {"id": FILE.id, "token": FILE.token, "hash": digest, "size": len(content)} | changes


def part_of(body: bytes) -> tuple[str, bytes]:
    """Head and content of the only part of a multipart body."""
    boundary = body[: body.index(b"\r\n")]
    head, content = body.split(b"\r\n\r\n", 1)
    assert content.endswith(b"\r\n" + boundary + b"--\r\n")
    return head.decode(), content[: -len(boundary) - 6]


async def trouble_of(work: Awaitable[object]) -> ServiceTrouble:
    with pytest.raises(ServiceTrouble) as caught:
        await work
    assert TOKEN not in str(caught.value) and FILE.token not in str(caught.value)
    return caught.value


def fetchable(path: Path, name: str = "invoice.json") -> Fetchable:
    return Fetchable(result=Result(original=0, key="target", name=name, remote=FILE), path=os.fsencode(path))


def calls(client: Client, tmp_path: Path) -> dict[str, Callable[[], Awaitable[object]]]:
    return {
        "upload": lambda: client.upload(source(tmp_path / "f", b"x")),
        "run": lambda: client.run([FILE], {}),
        "look": lambda: client.look("5eeb7bf728613d1e04a70782"),
        "tidy": lambda: client.tidy("5eeb7bf728613d1e04a70782", []),
        "probe": lambda: client.probe(),
        "fetch": lambda: client.fetch(fetchable(tmp_path / "out")),
    }
