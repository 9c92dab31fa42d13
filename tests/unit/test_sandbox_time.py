"""What the twin does as time passes, on a clock of the test's own: statuses in order, expiry, bounds."""

from __future__ import annotations

import asyncio
import dataclasses
from typing import Any

import pytest
from aiohttp.test_utils import TestClient, TestServer

from hopperd.sandbox.config import Application, SandboxConfig
from hopperd.sandbox.contents import Contents, NoRoom
from hopperd.sandbox.server import make_app
from hopperd.sandbox.vault import Vault
from tests.support.sandbox_process import Service, multipart, tiny_pdf

CONFIG = SandboxConfig(
    applications=(Application(id="a", token="b"),), processing_seconds=(100.0, 100.0), reader="none", keep_hours=1.0
)
HEADERS = {"Authorization": Service(url="", application_id="a", token="b").authorization()}


class Twin:
    """An in-process twin whose clock stands still until it is moved."""

    def __init__(self, client: TestClient[Any, Any], clock: list[float]) -> None:
        self.client = client
        self.clock = clock

    async def upload(self) -> dict[str, Any]:
        body, content_type = multipart(("a.pdf", tiny_pdf()))
        answer = await self.client.post("/v2/file", data=body, headers={**HEADERS, "Content-Type": content_type})
        return (await answer.json())[0]

    async def run(self, **properties: str) -> str:
        info = await self.upload()
        body = {
            "files": [{"id": info["id"], "token": info["token"]}],
            "properties": {"export_format": "Json"} | properties,
        }
        answer = await self.client.post("/v2/task/capture/invoices", json=body, headers=HEADERS)
        await asyncio.sleep(0)  # the reading begins
        return (await answer.json())["id"]

    async def look(self, task_id: str) -> dict[str, Any]:
        answer = await self.client.get(f"/v2/task/{task_id}", headers=HEADERS)
        return await answer.json()


def on_a_clock(config: SandboxConfig, test: Any) -> None:
    async def body() -> None:
        clock = [1_600_000_000.0]
        async with TestClient(TestServer(make_app(config, lambda: clock[0]))) as client:
            await test(Twin(client, clock))

    asyncio.run(body())


def test_a_task_passes_through_its_statuses_in_order_and_dates_appear_with_them() -> None:
    async def walk(twin: Twin) -> None:
        task_id = await twin.run()
        seen: dict[str, dict[str, Any]] = {}
        for _ in range(12):
            task = await twin.look(task_id)
            seen.setdefault(task["status"], task)
            twin.clock[0] += 10
        assert list(seen) == ["New", "Submitted", "InProgress", "Done"][1:]
        assert "started" not in seen["Submitted"] and seen["Submitted"]["progress"] == 0
        assert "started" in seen["InProgress"] and "billed" not in seen["InProgress"]
        assert 0 < seen["InProgress"]["progress"] < 1
        assert seen["Done"]["delivered"] == "2020-09-13T12:28:20.000Z"

    on_a_clock(CONFIG, walk)


def test_the_same_seed_takes_the_same_time() -> None:
    times: list[list[str]] = []

    async def walk(twin: Twin) -> None:
        tasks = [await twin.run() for _ in range(5)]
        twin.clock[0] += 1000
        times.append([(await twin.look(each))["delivered"] for each in tasks])

    config = dataclasses.replace(CONFIG, processing_seconds=(1.0, 900.0), seed=5)
    on_a_clock(config, walk)
    on_a_clock(config, walk)
    assert times[0] == times[1] and len(set(times[0])) == 5


def test_files_expire_and_results_with_them() -> None:
    async def walk(twin: Twin) -> None:
        info = await twin.upload()
        path = f"/v2/file/{info['id']}/{info['token']}/info"
        twin.clock[0] += 3599
        assert (await twin.client.get(path, headers=HEADERS)).status == 200
        twin.clock[0] += 1
        assert (await twin.client.get(path, headers=HEADERS)).status == 404

    on_a_clock(CONFIG, walk)


def test_beyond_the_bound_the_oldest_file_that_no_task_needs_is_forgotten() -> None:
    async def walk(twin: Twin) -> None:
        task_id = await twin.run()
        infos = [await twin.upload() for _ in range(3)]
        paths = [f"/v2/file/{each['id']}/{each['token']}/info" for each in infos]
        assert [(await twin.client.get(each, headers=HEADERS)).status for each in paths] == [404, 200, 200]
        twin.clock[0] += 1000
        assert (await twin.look(task_id))["status"] == "Done"

    on_a_clock(dataclasses.replace(CONFIG, max_files=3), walk)


@pytest.mark.parametrize(
    ("verification_type", "status"), [("NoVerification", "Done"), ("UserVerification", "WaitForAction")]
)
def test_a_person_is_asked_for_only_where_the_run_says_so(verification_type: str, status: str) -> None:
    async def walk(twin: Twin) -> None:
        task_id = await twin.run(verification_type=verification_type)
        answer = await twin.client.post(f"/sandbox/verify/{task_id}")
        assert answer.status == 409, "a task that is still in progress waits for nobody"
        twin.clock[0] += 1000
        task = await twin.look(task_id)
        assert (task["status"], "verification_id" in task) == (status, status == "WaitForAction")

    on_a_clock(CONFIG, walk)


def test_bytes_beyond_memory_go_to_disk_and_beyond_both_make_room_or_are_refused() -> None:
    contents = Contents(memory_bytes=100, disk_bytes=1000)
    vault = Vault(contents, lambda: 0.0, keep_seconds=10, max_files=100)
    kept = [vault.add_file("a", vault.keep(bytes([number]) * 60), "a") for number in range(10)]
    assert [each.content.path is None for each in kept] == [True] + [False] * 9
    assert [each.content.read() for each in kept] == [bytes([number]) * 60 for number in range(10)]
    assert (contents.in_memory, contents.on_disk) == (60, 540)
    vault.keep(b"x" * 900)
    there = [vault.file(each.id, each.token, "a") is not None for each in kept]
    assert there == [False] * 9 + [True], "the oldest made room"
    with pytest.raises(NoRoom):
        vault.keep(b"x" * 1001)
    for each in kept:
        vault.delete_file(each)
    contents.close()


def test_an_abandoned_upload_gives_its_room_back() -> None:
    contents = Contents(memory_bytes=10, disk_bytes=100)
    for size in (5, 50):
        incoming = contents.receive()
        incoming.write(b"x" * size)
        incoming.abandon()
        assert (contents.in_memory, contents.on_disk) == (0, 0)
    contents.close()
