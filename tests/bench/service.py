"""A service of little cost and chosen manners, as a process of its own: what the twin has no switch for.

Every call takes `--latency` seconds, a task is done `--processing` seconds after its Run, more than `--cap` requests at
once are refused with 429, and each request's arrival is kept. `GET /bench/arrivals` tells them, `POST /bench/cap?of=N`
moves the cap. It holds no bytes: a result is one line of text.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import hashlib
import json
import math
import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from aiohttp import web

_BOUNDARY = re.compile(r"boundary=([^;]+)")
RESULT = b'{"total": "100.00"}\n'
RESULT_SHA512 = hashlib.sha512(RESULT).hexdigest()
ID, TOKEN = "f" * 24, "A" * 40


class Service:
    def __init__(self, latency: float, processing: float, cap: int) -> None:
        self._latency, self._processing, self._cap = latency, processing, cap
        self._tasks: dict[str, tuple[float, str, str]] = {}  # id → done at, file id, file name
        self._names: dict[str, str] = {}
        self._results: dict[str, str] = {}  # file id → name of the original
        self._sizes: dict[str, int] = {}
        self.whole: dict[str, float] = {}  # file name → when its upload began; only of files that came to their end
        self._busy = self._count = 0
        self.arrivals: list[tuple[float, str, int, str]] = []  # monotonic seconds, what, status, file name or task id

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        if request.path.startswith("/bench/"):
            return self._steered(request)
        at = time.monotonic()
        if request.path.startswith("/dav"):
            return await self._stored(request, at)
        if self._busy >= self._cap:
            self.arrivals.append((at, "refused", 429, ""))
            await request.read()
            return web.Response(status=429, text="too many requests at once")
        self._busy += 1
        try:
            if self._latency:
                body, _ = await asyncio.gather(request.read(), asyncio.sleep(self._latency))
            else:
                body = await request.read()
            what, told, response = self._done(request.method, request.path.split("/")[2:], body)
        finally:
            self._busy -= 1
        self.arrivals.append((at, what, response.status, told))
        return response

    def _done(self, method: str, path: list[str], body: bytes) -> tuple[str, str, web.Response]:
        match method, path:
            case "POST", ["file"]:
                return self._uploaded(body)
            case "POST", ["task", *_]:
                return self._ran(json.loads(body))
            case "GET", ["task", task_id]:
                return "look", task_id, _json(self._task(task_id))
            case "GET", ["file", file_id, _, "info"]:
                info = {"id": file_id, "token": TOKEN, "size": len(RESULT), "hash": RESULT_SHA512}
                return "info", file_id, _json(info) if file_id in self._results else web.Response(status=404)
            case "GET", ["file", file_id, _]:
                return "download", self._results.get(file_id, ""), web.Response(body=RESULT)
            case "DELETE", [kind, *_]:
                if kind == "task":
                    self._tasks.pop(path[1], None)
                else:
                    self._results.pop(path[1], None)
                return f"delete-{kind}", "", web.Response(status=204)
        return "unknown", "", web.Response(status=404)

    def _uploaded(self, body: bytes) -> tuple[str, str, web.Response]:
        head, _, rest = body.partition(b"\r\n\r\n")
        content = rest[: rest.rindex(b"\r\n--")]
        found = re.search(rb'filename="([^"]*)"', head)
        name = found[1].decode("utf-8", "replace") if found else "?"
        self._note_whole(time.monotonic(), name, content)
        self._count += 1
        file_id = f"{self._count:024x}"
        self._names[file_id] = name
        info = {"id": file_id, "token": TOKEN, "size": len(content), "hash": hashlib.sha512(content).hexdigest()}
        return "upload", name, _json(info)

    def _ran(self, order: dict[str, Any]) -> tuple[str, str, web.Response]:
        self._count += 1
        task_id = f"{self._count:024x}"
        file_id = order["files"][0]["id"]
        self._tasks[task_id] = (time.monotonic() + self._processing, file_id, self._names.pop(file_id, "?"))
        return "run", task_id, _json(self._task(task_id))

    def _task(self, task_id: str) -> dict[str, Any]:
        done_at, file_id, name = self._tasks.get(task_id, (math.inf, ID, "?"))
        is_done = time.monotonic() >= done_at
        files = {"source": {"id": file_id, "token": TOKEN, "name": name}}
        if is_done:
            result_id = f"e{task_id[1:]}"
            self._results[result_id] = name
            files["target"] = {"id": result_id, "token": TOKEN, "name": f"{name}.json"}
        task = {"id": task_id, "number": str(int(task_id, 16)), "status": "Done" if is_done else "InProgress"}
        return task | {"documents": [{"files": files, "is_moved": False}]}

    async def _stored(self, request: web.BaseRequest, at: float) -> web.Response:
        """Just enough of WebDAV for a tool that pushes files."""
        body = await request.read()
        name = request.path.rpartition("/")[2]
        self.arrivals.append((at, request.method.lower(), 200, name))
        match request.method:
            case "PUT":
                self._note_whole(at, name, body)
                self._sizes[request.path] = len(body)
                return web.Response(status=201)
            case "PROPFIND" if request.path in self._sizes or request.path.rstrip("/") == "/dav":
                return web.Response(status=207, content_type="text/xml", body=self._listed(request.path))
            case "MKCOL" | "DELETE" | "MOVE":
                return web.Response(status=201)
        return web.Response(status=404)

    def _listed(self, path: str) -> bytes:
        kind = "<d:collection/>" if path.rstrip("/") == "/dav" else ""
        size = self._sizes.get(path, 0)
        props = f"<d:resourcetype>{kind}</d:resourcetype><d:getcontentlength>{size}</d:getcontentlength>"
        told = f"<d:propstat><d:prop>{props}</d:prop><d:status>HTTP/1.1 200 OK</d:status></d:propstat>"
        head = '<?xml version="1.0"?><d:multistatus xmlns:d="DAV:">'
        return f"{head}<d:response><d:href>{path}</d:href>{told}</d:response></d:multistatus>".encode()

    def _note_whole(self, at: float, name: str, content: bytes) -> None:
        """A file that came whole, by its end; the part of one that is still written has none."""
        if content.rstrip().endswith(b"%%EOF"):
            self.whole[name] = at

    def _steered(self, request: web.BaseRequest) -> web.Response:
        if request.path == "/bench/cap":
            self._cap = int(request.query["of"])
        elif request.path == "/bench/forget":
            self.arrivals.clear()
        return _json({"/bench/arrivals": self.arrivals, "/bench/whole": self.whole}.get(request.path))


def _json(value: Any) -> web.Response:
    return web.Response(body=json.dumps(value).encode(), content_type="application/json")


async def serve(arguments: argparse.Namespace) -> None:
    service = Service(arguments.latency, arguments.processing, arguments.cap)
    runner = web.ServerRunner(web.Server(service.answer, access_log=None))  # type: ignore[arg-type]
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, backlog=1024)
    await site.start()
    assert site._server is not None
    print(f"listening on http://127.0.0.1:{site._server.sockets[0].getsockname()[1]}", flush=True)
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    await stop.wait()
    await runner.cleanup()


class Running:
    """The service as a process, from outside."""

    def __init__(self, process: subprocess.Popen[bytes], url: str) -> None:
        self.process, self.url = process, url

    def arrivals(self) -> list[tuple[float, str, int, str]]:
        return [(at, what, status, told) for at, what, status, told in self._ask("arrivals")]

    def whole(self) -> dict[str, float]:
        """Files that came whole, and when."""
        found: dict[str, float] = self._ask("whole")
        return found

    def cap(self, of: int) -> None:
        self._ask(f"cap?of={of}")

    def forget(self) -> None:
        self._ask("forget")

    def _ask(self, path: str) -> Any:
        with urllib.request.urlopen(f"{self.url}/bench/{path}", timeout=60) as answer:
            return json.load(answer)


@contextlib.contextmanager
def running(*, latency: float = 0.0, processing: float = 0.0, cap: int = 1_000_000) -> Iterator[Running]:
    command = [sys.executable, str(Path(__file__).resolve())]
    command += ["--latency", str(latency), "--processing", str(processing), "--cap", str(cap)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        line = process.stdout.readline().decode()
        yield Running(process, line.strip().rpartition(" ")[2])
    finally:
        process.kill()
        process.communicate()


if __name__ == "__main__":
    sys.path[:] = [entry for entry in sys.path if os.path.realpath(entry or ".") != str(Path(__file__).parent)]
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--latency", type=float, default=0.0)
    parser.add_argument("--processing", type=float, default=0.0)
    parser.add_argument("--cap", type=int, default=1_000_000)
    asyncio.run(serve(parser.parse_args()))
