"""Promise: a file that a child has died over is looked into in no other file's way, and in the end all the same."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import resource
import sys
import threading
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import pytest_asyncio
import structlog

from hopperd import inspection
from hopperd.inspection import QUIET_SECONDS, ChildPool
from hopperd.ports import FolderTrouble
from hopperd.settings import Folder, InspectionSettings
from tests.support.line import invoice, patience

pytestmark = pytest.mark.asyncio

COMMAND = [sys.executable, "-m", "hopperd.invoices.inspect_worker"]
THREADS = "of-the-folder"


@contextlib.asynccontextmanager
async def pool_of(command: Sequence[str]) -> AsyncIterator[ChildPool]:
    folder = Folder.model_validate({"name": "us", "path": "/nowhere", "account": "main", "region": "US"})
    with ThreadPoolExecutor(1, THREADS) as threads:
        made = ChildPool(command, InspectionSettings(), {"us": folder}, {"us": threads}.__getitem__)
        yield made
        await made.close()


@pytest_asyncio.fixture
async def pool() -> AsyncIterator[ChildPool]:
    async with pool_of(COMMAND) as made:
        yield made


@pytest.fixture
def path(tmp_path: Path) -> bytes:
    (tmp_path / "a.pdf").write_bytes(invoice(1))
    return os.fsencode(tmp_path / "a.pdf")


async def seconds(pool: ChildPool, path: bytes, *, is_suspect: bool) -> float:
    began = time.monotonic()
    verdict = await pool.inspect(path, "us", is_suspect=is_suspect)
    assert (verdict.kind, verdict.pages, verdict.failure) == ("pdf", 1, None)
    return time.monotonic() - began


async def keep_looking(pool: ChildPool, path: bytes, enough: asyncio.Event) -> None:
    """Until there is `enough`; a look is let end, and its child with it."""
    while not enough.is_set():
        await pool.inspect(path, "us")
        await asyncio.sleep(QUIET_SECONDS / 10)


async def test_a_suspect_waits_until_nothing_else_is_looked_into(pool: ChildPool, path: bytes) -> None:
    await seconds(pool, path, is_suspect=True)  # its child is started
    assert await seconds(pool, path, is_suspect=True) < QUIET_SECONDS * patience(), "nobody else was there"
    await pool.inspect(path, "us")
    enough = asyncio.Event()
    others = asyncio.create_task(keep_looking(pool, path, enough))
    suspect = asyncio.create_task(seconds(pool, path, is_suspect=True))
    await asyncio.sleep(2 * QUIET_SECONDS)
    assert not suspect.done()
    enough.set()
    await others
    assert await suspect > 2 * QUIET_SECONDS


async def test_a_suspect_has_its_turn_on_a_line_that_never_rests(
    pool: ChildPool, path: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inspection, "LONGEST_WAIT_FOR_QUIET_SECONDS", 2 * QUIET_SECONDS)
    await pool.inspect(path, "us")
    enough = asyncio.Event()
    others = asyncio.create_task(keep_looking(pool, path, enough))
    assert await seconds(pool, path, is_suspect=True) >= 2 * QUIET_SECONDS
    assert not others.done()
    enough.set()
    await others


async def test_an_original_that_is_gone_is_said_to_be_by_the_folders_own_thread(
    pool: ChildPool, path: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A share that hangs would keep threads that everybody needs, to resolve a name or to end."""
    blame, asking = inspection._blame_the_disk, []

    def asked(path: bytes, what: str) -> None:
        asking.append(threading.current_thread().name)
        blame(path, what)

    monkeypatch.setattr(inspection, "_blame_the_disk", asked)
    os.unlink(path)
    with pytest.raises(FileNotFoundError):
        await pool.inspect(path, "us")
    assert [name.startswith(THREADS) for name in asking] == [True], asking


@contextlib.contextmanager
def no_descriptor_is_left() -> Iterator[None]:
    allowed = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (len(os.listdir("/proc/self/fd")), allowed[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, allowed)


async def test_a_machine_that_starts_no_process_is_weather_and_blames_no_file(pool: ChildPool, path: bytes) -> None:
    with no_descriptor_is_left():
        for _ in range(2):
            with pytest.raises(FolderTrouble, match="cannot be started: Too many open files"):
                await pool.inspect(path, "us")
    assert (await pool.inspect(path, "us")).failure is None, "and as soon as it can, it goes on"


async def test_no_thread_to_wait_for_a_child_is_weather_too(
    pool: ChildPool, path: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def start(*_: object, **__: object) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(asyncio, "create_subprocess_exec", start)
    with pytest.raises(FolderTrouble, match="can't start new thread"):
        await pool.inspect(path, "us")


async def test_an_interpreter_that_is_gone_is_no_missing_original_and_is_said_once(
    path: bytes,
) -> None:
    async with pool_of(["/opt/is-upgraded/bin/python"]) as pool:
        with structlog.testing.capture_logs() as said:
            for _ in range(3):
                with pytest.raises(FolderTrouble, match="/opt/is-upgraded/bin/python"):
                    await pool.inspect(path, "us")
    assert [line["event"] for line in said] == ["inspection-cannot-start"]


ANSWERS_WITH_ITS_ENVIRONMENT = """
import json, os, sys
for line in sys.stdin:
    print(json.dumps({"kind": json.dumps(dict(os.environ))}), flush=True)
"""


async def test_a_child_that_opens_a_hostile_file_has_no_secret_in_its_environment(
    path: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HOPPERD_ACCOUNTS__MAIN__APPLICATION_TOKEN", "AWS_SECRET_ACCESS_KEY", "PGPASSWORD", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "a secret")
    monkeypatch.setenv("LC_NUMERIC", "C.UTF-8")
    async with pool_of([sys.executable, "-c", ANSWERS_WITH_ITS_ENVIRONMENT]) as pool:
        seen = json.loads((await pool.inspect(path, "us")).kind or "")
    assert "a secret" not in seen.values(), seen
    assert seen["LC_NUMERIC"] == "C.UTF-8" and seen["PATH"] == os.environ["PATH"], seen
