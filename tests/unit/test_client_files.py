"""Uploads and results: proven whole, given up when they stand still, noticed when the file or the disk plays false."""

from __future__ import annotations

import asyncio
import hashlib
import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hopperd.capture.client import Client
from hopperd.ports import ChangedUnderUs
from tests.support.wire_service import (
    Request,
    account,
    calls,
    fetchable,
    file_info,
    part_of,
    reply,
    serving,
    source,
    speaking,
    trouble_of,
)

pytestmark = pytest.mark.asyncio

# --------------------------------------------------------------------------------------------------------- uploads


@pytest.mark.parametrize("changes", [{"hash": "0" * 128}, {"size": 3}, {"hash": None}, {"size": None}])
async def test_an_upload_that_did_not_arrive_as_sent_is_weather(tmp_path: Path, changes: dict[str, Any]) -> None:
    async with speaking(reply(200, file_info(b"invoice", **changes))) as wire, Client(account(wire.url)) as client:
        trouble = await trouble_of(client.upload(source(tmp_path / "f", b"invoice")))
    assert (trouble.fault, trouble.kind) == ("weather", "server")


async def test_a_folder_whose_share_hangs_keeps_no_upload_of_another(tmp_path: Path) -> None:
    pools = {name: ThreadPoolExecutor(1) for name in ("hung", "fine")}
    answers = threading.Event()
    pools["hung"].submit(answers.wait)
    try:
        async with (
            speaking(reply(200, file_info(b"invoice"))) as wire,
            Client(account(wire.url), pools=pools.__getitem__) as client,
        ):
            given = source(tmp_path / "f", b"invoice")
            stuck = asyncio.ensure_future(client.upload(replace(given, folder="hung")))
            async with asyncio.timeout(20):
                await client.upload(replace(given, folder="fine"))
            assert not stuck.done()
            answers.set()
            await stuck
    finally:
        answers.set()
        for pool in pools.values():
            pool.shutdown()


@pytest.mark.parametrize("size", [1000, 30_000_000])
async def test_an_upload_that_nobody_reads_is_given_up(tmp_path: Path, size: int) -> None:
    given = source(tmp_path / "f", bytes(size))
    async with speaking(None, accepts_only=True) as wire, Client(account(wire.url, stall_seconds=0.3)) as client:
        async with asyncio.timeout(10):
            trouble = await trouble_of(client.upload(given))
    assert (trouble.fault, trouble.kind) == ("weather", "network")


async def test_a_file_that_is_not_the_claimed_one_is_noticed(tmp_path: Path) -> None:
    echo = speaking(lambda r: reply(200, file_info(part_of(r.body)[1])))
    async with echo as wire, Client(account(wire.url)) as client:
        grown = source(tmp_path / "a", b"claimed")
        (tmp_path / "a").write_bytes(b"claimed and more")
        with pytest.raises(ChangedUnderUs):
            await client.upload(grown)
        other = source(tmp_path / "b", b"claimed")
        (tmp_path / "b").write_bytes(b"swapped")  # same size: only the bytes tell
        with pytest.raises(ChangedUnderUs):
            await client.upload(other)
        gone = source(tmp_path / "c", b"claimed")
        (tmp_path / "c").unlink()
        with pytest.raises(FileNotFoundError):
            await client.upload(gone)
        (tmp_path / "c").symlink_to(tmp_path / "a")
        assert (await trouble_of(client.upload(gone))).kind == "disk"


async def test_a_file_cut_while_it_is_uploaded_is_noticed_at_once(tmp_path: Path) -> None:
    path = tmp_path / "big"
    given = source(path, bytes(60_000_000))
    read_some = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(1_000_000)
        os.truncate(path, 10)
        read_some.set()
        while await reader.read(2**20):
            pass
        writer.close()

    async with serving(serve) as url, Client(account(url, stall_seconds=30, answer_seconds=30)) as client:
        async with asyncio.timeout(10):
            with pytest.raises(ChangedUnderUs):
                await client.upload(given)
        assert read_some.is_set()


async def test_an_early_refusal_is_heard_while_the_body_is_still_going_out(tmp_path: Path) -> None:
    given = source(tmp_path / "big", bytes(40_000_000))

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(reply(413, b"too large"))
        await writer.drain()
        while await reader.read(2**20):
            pass
        writer.close()

    async with serving(serve) as url, Client(account(url)) as client:
        trouble = await trouble_of(client.upload(given))
    assert (trouble.fault, trouble.status) == ("file", 413)


async def test_a_cancelled_upload_leaves_no_descriptor_and_no_connection(tmp_path: Path) -> None:
    given = source(tmp_path / "big", bytes(30_000_000))
    async with speaking(None, accepts_only=True) as wire, Client(account(wire.url, stall_seconds=30)) as client:
        for turn in range(5):
            task = asyncio.create_task(client.upload(given))
            while wire.connections <= turn:
                await asyncio.sleep(0)
            await asyncio.sleep(0.05)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        async with asyncio.timeout(5):  # a thread may still be reading when the cancellation is through
            while os.fspath(tmp_path / "big") in _open_files():
                await asyncio.sleep(0.01)


def _open_files() -> list[str]:
    found = []
    for descriptor in os.listdir("/proc/self/fd"):
        with suppress(FileNotFoundError):
            found.append(os.readlink(f"/proc/self/fd/{descriptor}"))
    return found


# --------------------------------------------------------------------------------------------------------- results

EXPORT = b'{"total": "519.79"}'
INFO = file_info(EXPORT)
UNMEASURED = b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\n\r\n" % (len(EXPORT), EXPORT)


def results(info: Any, body: Any) -> Callable[[Request], Any]:
    return lambda request: info if request.path.endswith("/info") else body


@pytest.mark.parametrize(
    ("info", "body", "kind"),
    [
        (reply(200, INFO), reply(200, EXPORT, length=1000), "server"),
        (reply(200, INFO), reply(200, EXPORT[:-1]), "server"),
        (reply(200, INFO), reply(200, b"X" * len(EXPORT)), "server"),
        (reply(404), reply(200, b"<!DOCTYPE html><html>sorry</html>"), "server"),
        (reply(404), reply(200, b""), "server"),
        (reply(404), reply(206, EXPORT), "server"),
        (reply(404), reply(500, b"boom"), "server"),
        (reply(500), reply(200, EXPORT), "server"),
        (reply(404), UNMEASURED + EXPORT[:-1], "server"),
        (reply(200, {"id": "a", "token": "B"}), UNMEASURED + EXPORT[:-1], "server"),
        (reply(404), reply(429), "rate"),
        (reply(404), None, "network"),
        (reply(404), "stall", "network"),
    ],
)
async def test_a_result_that_is_not_whole_is_fetched_again(tmp_path: Path, info: Any, body: Any, kind: str) -> None:
    target = tmp_path / "staged"
    async with speaking(results(info, body)) as wire, Client(account(wire.url, answer_seconds=0.3)) as client:
        trouble = await trouble_of(client.fetch(fetchable(target)))
    assert (trouble.fault, trouble.kind) == ("weather", kind)
    assert not target.exists(), "half a result was left in staging"


@pytest.mark.parametrize(("info", "body"), [(reply(404), CHUNKED), (reply(200, INFO), UNMEASURED + EXPORT)])
async def test_chunks_or_the_file_info_tell_where_a_result_ends(tmp_path: Path, info: bytes, body: bytes) -> None:
    async with speaking(results(info, body)) as wire, Client(account(wire.url)) as client:
        assert await client.fetch(fetchable(tmp_path / "out")) == (len(EXPORT), hashlib.sha256(EXPORT).hexdigest())


@pytest.mark.parametrize("info", [reply(404), reply(409), reply(200, b"not JSON"), reply(200, [INFO])])
async def test_a_result_needs_no_file_info(tmp_path: Path, info: bytes) -> None:
    async with speaking(results(info, reply(200, EXPORT))) as wire, Client(account(wire.url)) as client:
        assert await client.fetch(fetchable(tmp_path / "out")) == (len(EXPORT), hashlib.sha256(EXPORT).hexdigest())


async def test_a_drip_is_no_progress(tmp_path: Path) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
        try:
            while True:
                writer.write(b"x")
                await writer.drain()
                await asyncio.sleep(0.05)
        except ConnectionError:
            writer.close()

    async with serving(serve) as url, Client(account(url, stall_seconds=0.4), verify_results=False) as client:
        async with asyncio.timeout(5):
            assert (await trouble_of(client.fetch(fetchable(tmp_path / "out")))).kind == "network"


async def test_a_disk_that_would_not_is_weather_of_the_disk(tmp_path: Path) -> None:
    async with speaking(results(reply(404), reply(200, EXPORT))) as wire, Client(account(wire.url)) as client:
        trouble = await trouble_of(client.fetch(fetchable(tmp_path / "no" / "such" / "folder")))
    assert (trouble.fault, trouble.kind) == ("weather", "disk")


async def test_what_is_gone_is_gone_and_what_is_unready_is_later(tmp_path: Path) -> None:
    for status, fault in ((404, "gone"), (409, "unready"), (401, "account")):
        async with speaking(reply(status)) as wire, Client(account(wire.url)) as client:
            for call in ("look", "fetch"):
                assert (await trouble_of(calls(client, tmp_path)[call]())).fault == fault
