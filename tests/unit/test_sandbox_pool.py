"""The twin's reader children: what cannot be read fails alone, and no child outlives its pool."""

from __future__ import annotations

import asyncio
import dataclasses
import os
import signal
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from hopperd.sandbox.config import Application, SandboxConfig
from hopperd.sandbox.contents import Content, Contents
from hopperd.sandbox.reader import Unreadable
from hopperd.sandbox.reader_pool import ReaderPool
from tests.support.sandbox_process import tiny_pdf

CONFIG = SandboxConfig(applications=(Application(id="a", token="b"),))
JSON = ("json",)


def content(data: bytes) -> Content:
    incoming = Contents(memory_bytes=10**8, disk_bytes=1).receive()
    incoming.write(data)
    return incoming.finish()


def with_pool(test: Callable[[ReaderPool], Coroutine[Any, Any, None]], config: SandboxConfig = CONFIG) -> None:
    async def body() -> None:
        pool = ReaderPool(config)
        try:
            await test(pool)
        finally:
            children = [each.pid for each in pool._all]
            await pool.close()
        for pid in children:
            with pytest.raises(ProcessLookupError):
                os.kill(pid, 0)

    asyncio.run(body())


def test_a_document_is_read_in_every_format_asked_for_and_remembered() -> None:
    async def walk(pool: ReaderPool) -> None:
        first = await pool.read(content(tiny_pdf("N-1")), "a.pdf", ("json", "xls"))
        assert [extension for extension, _ in first.exports] == ["json", "xlsx"]
        assert first.pages == 1 and b"a.pdf" in first.exports[0][1]
        assert await pool.read(content(tiny_pdf("N-1")), "a.pdf", ("json", "xls")) is first
        other = await pool.read(content(tiny_pdf("N-1")), "b.pdf", ("json", "xls"))
        assert b"b.pdf" in other.exports[0][1]

    with_pool(walk)


def test_a_child_has_no_secret_in_its_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOPPERD_ACCOUNTS__MAIN__APPLICATION_TOKEN", "a secret")

    async def walk(pool: ReaderPool) -> None:
        await pool.read(content(tiny_pdf("N-1")), "a.pdf", JSON)
        (child,) = pool._all
        assert b"a secret" not in Path(f"/proc/{child.pid}/environ").read_bytes()

    with_pool(walk)


def test_a_child_that_is_killed_costs_the_document_in_hand_only() -> None:
    async def walk(pool: ReaderPool) -> None:
        await pool.read(content(tiny_pdf("N-1")), "a.pdf", JSON)
        (child,) = pool._all
        os.kill(child.pid, signal.SIGSTOP)
        reading = asyncio.create_task(pool.read(content(tiny_pdf("N-2")), "a.pdf", JSON))
        await asyncio.sleep(0.05)
        os.kill(child.pid, signal.SIGKILL)
        with pytest.raises(Unreadable, match="did not come back"):
            await reading
        assert (await pool.read(content(tiny_pdf("N-2")), "a.pdf", JSON)).pages == 1

    with_pool(walk)


def test_a_child_that_hangs_is_ended_after_its_time() -> None:
    async def walk(pool: ReaderPool) -> None:
        await pool.read(content(tiny_pdf("N-1")), "a.pdf", JSON)
        (child,) = pool._all
        os.kill(child.pid, signal.SIGSTOP)
        with pytest.raises(Unreadable):
            await pool.read(content(tiny_pdf("N-2")), "a.pdf", JSON)
        assert pool._all == set()

    with_pool(walk, dataclasses.replace(CONFIG, reading_seconds=2.0))


def test_more_documents_than_readers_wait_their_turn() -> None:
    async def walk(pool: ReaderPool) -> None:
        readings = [pool.read(content(tiny_pdf(f"N-{each}")), "a.pdf", JSON) for each in range(20)]
        assert len(await asyncio.gather(*readings)) == 20
        assert len(pool._all) <= 2

    with_pool(walk, dataclasses.replace(CONFIG, readers=2))
