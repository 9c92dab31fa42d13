"""The bare script that `throughput` compares with: the same requests for the same files, and nothing else.

No ledger, no folders, no fsync, no look into the files, no hash, no limits but so many at once: upload, Run, looks
until Done, FileInfo and bytes of each result, then task and files deleted. Prints one line of JSON: seconds and CPU
seconds.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import resource
import sys
import time
from pathlib import Path
from typing import Any

import aiohttp


async def one(session: aiohttp.ClientSession, path: Path, out: Path, properties: dict[str, str]) -> None:
    form = aiohttp.FormData()
    form.add_field("file", path.read_bytes(), filename=path.name, content_type="application/octet-stream")
    async with session.post("/v2/file", data=form) as answer:
        info = await answer.json(content_type=None)
    source = info[0] if isinstance(info, list) else info
    order = {"files": [{"id": source["id"], "token": source["token"]}], "properties": properties}
    async with session.post("/v2/task/capture/invoices", json=order) as answer:
        task: dict[str, Any] = await answer.json(content_type=None)
    looked = False
    while task["status"] not in ("Done", "Failed"):
        await asyncio.sleep(0.5 if looked else 0.0)
        looked = True
        async with session.get(f"/v2/task/{task['id']}") as answer:
            task = await answer.json(content_type=None)
    files = [f"/v2/file/{source['id']}/{source['token']}"]
    for document in task["documents"]:
        for key, result in document["files"].items():
            if not key.startswith("target"):
                continue
            place = f"/v2/file/{result['id']}/{result['token']}"
            files.append(place)
            async with session.get(f"{place}/info") as answer:
                await answer.read()
            async with session.get(place) as answer:
                (out / f"{path.stem}-{result['name']}").write_bytes(await answer.read())
    async with session.delete(f"/v2/task/{task['id']}") as answer:
        await answer.read()
    for place in files:
        async with session.delete(place) as answer:
            await answer.read()


async def every(arguments: argparse.Namespace) -> float:
    paths = sorted(arguments.inbox.iterdir())
    credentials = aiohttp.BasicAuth(arguments.application, arguments.token)
    waiting = iter(paths)
    async with aiohttp.ClientSession(
        arguments.url, auth=credentials, connector=aiohttp.TCPConnector(limit=0)
    ) as session:

        async def some() -> None:
            for path in waiting:
                await one(session, path, arguments.out, {"region": "US", "export_format": "Csv"})

        began = time.monotonic()
        async with asyncio.TaskGroup() as group:
            for _ in range(arguments.at_once):
                group.create_task(some())
        return time.monotonic() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("inbox", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--url", required=True)
    parser.add_argument("--application", required=True)
    parser.add_argument("--token", required=True)
    parser.add_argument("--at-once", type=int, default=24)
    arguments = parser.parse_args()
    before = resource.getrusage(resource.RUSAGE_SELF)
    seconds = asyncio.run(every(arguments))
    after = resource.getrusage(resource.RUSAGE_SELF)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    print(json.dumps({"seconds": seconds, "cpu_seconds": cpu}))


if __name__ == "__main__":
    sys.path[:] = [entry for entry in sys.path if os.path.realpath(entry or ".") != str(Path(__file__).parent)]
    main()
