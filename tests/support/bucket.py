"""An S3-compatible server as a real process, a plain HTTP hand to put and take objects with, and a hot folder in it.

The hand knows nothing of our own store client: it sends requests as any program might, with a signature that this
server does not look at. `Stripping` is a server in front of it that forgets conditions, as some stores do.
"""

from __future__ import annotations

import http.client
import importlib.util
import os
import re
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, ClassVar
from urllib.parse import quote, urlencode, urlsplit
from xml.etree import ElementTree

import pytest

from hopperd.buckets.disk import Bucket
from hopperd.buckets.place import Place
from hopperd.buckets.store import Store, open_store
from tests.support.line import Line
from tests.support.oracle import Verdict, judge

MISSING = [name for name in ("moto", "flask", "obstore") if importlib.util.find_spec(name) is None]
needs_store = pytest.mark.skipif(bool(MISSING), reason=f"needs {', '.join(MISSING)} for an S3-compatible server")
BUCKET = "invoices"
PREFIX = "branch/us"
KEYS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}
_ANY = "AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=00"
# One request at a time: its own state is not made for threads (a listing answers 500 when an object goes meanwhile).
_SERVER = """
import io, sys, threading
from werkzeug.serving import make_server
from moto.server import DomainDispatcherApplication, create_backend_app
store, alone = DomainDispatcherApplication(create_backend_app), threading.Lock()
def one_at_a_time(environ, start_response):
    environ["wsgi.input"] = io.BytesIO(environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0)))
    with alone:
        return list(store(environ, start_response))
server = make_server("127.0.0.1", int(sys.argv[1]), one_at_a_time, threaded=True)
print(server.server_port, flush=True)
server.serve_forever()
"""


class StoreProcess:
    """The server on a free port, with one empty bucket. What it holds goes with it."""

    def __init__(self, log: Path) -> None:
        with log.open("ab") as errors:
            self.process = subprocess.Popen(
                [sys.executable, "-c", _SERVER, "0"], stdout=subprocess.PIPE, stderr=errors, env={**os.environ, **KEYS}
            )
        assert self.process.stdout is not None
        self.url = f"http://127.0.0.1:{int(self.process.stdout.readline())}"
        self.hand = Hand(self.url)
        self.hand.request("PUT", f"/{BUCKET}")

    def __enter__(self) -> StoreProcess:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.process.kill()
        self.process.communicate()

    def store(self, url: str | None = None) -> Store:
        return open_store(BUCKET, url or self.url, KEYS)


class Hand:
    """Plain requests to one bucket."""

    def __init__(self, url: str, bucket: str = BUCKET) -> None:
        self.url = url
        self._address = urlsplit(url)
        self._bucket = bucket

    def request(
        self, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None
    ) -> tuple[int, dict[str, str], bytes]:
        line = http.client.HTTPConnection(self._address.hostname or "", self._address.port, timeout=30)
        try:
            line.request(method, path, body, {"Authorization": _ANY, **(headers or {})})
            answer = line.getresponse()
            return answer.status, {name.lower(): text for name, text in answer.getheaders()}, answer.read()
        finally:
            line.close()

    def _at(self, key: str) -> str:
        return f"/{self._bucket}/{quote(key)}"

    def put(self, key: str, content: bytes) -> None:
        status, _, answer = self.request("PUT", self._at(key), content)
        assert status == 200, (key, status, answer)

    def get(self, key: str) -> bytes | None:
        status, _, content = self.request("GET", self._at(key))
        return content if status == 200 else None

    def told(self, key: str) -> dict[str, str]:
        return self.request("HEAD", self._at(key))[1]

    def remove(self, key: str) -> None:
        self.request("DELETE", self._at(key))

    def keys(self, prefix: str = "") -> list[str]:
        found: list[str] = []
        token: str | None = None
        while True:
            query = {"list-type": "2", "prefix": prefix} | ({"continuation-token": token} if token else {})
            status, _, answer = self.request("GET", f"/{self._bucket}?{urlencode(query)}")
            assert status == 200, (prefix, status, answer)
            tree = ElementTree.fromstring(re.sub(rb' xmlns="[^"]+"', b"", answer, count=1))
            found += [one.findtext("Key") or "" for one in tree.iter("Contents")]
            token = tree.findtext("NextContinuationToken")
            if not token:
                return found

    def empty(self) -> None:
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(self.remove, self.keys()))


class _Forgetful(BaseHTTPRequestHandler):
    """Passes every request on, without its conditions; or answers as it was told to."""

    protocol_version = "HTTP/1.1"
    target: ClassVar[str] = ""
    answer: ClassVar[int | None] = None
    strips: ClassVar[tuple[str, ...]] = ()
    denies: ClassVar[str] = ""

    def _pass(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        asked = f"{self.path} {self.headers.get('x-amz-copy-source', '')}"
        is_denied = bool(self.denies) and self.denies in asked and self.command != "DELETE"
        if self.answer is not None or is_denied:
            content = b"<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>"
            self._send(self.answer or 403, {}, content if self.command != "HEAD" else b"")
            return
        headers = {name: text for name, text in self.headers.items() if name.lower() not in self.strips}
        address = urlsplit(self.target)
        line = http.client.HTTPConnection(address.hostname or "", address.port, timeout=30)
        try:
            line.request(self.command, self.path, body, headers)
            answer = line.getresponse()
            self._send(answer.status, dict(answer.getheaders()), answer.read(), of=self.command)
        finally:
            line.close()

    def _send(self, status: int, headers: dict[str, str], content: bytes, of: str = "") -> None:
        self.send_response_only(status)
        for name, text in headers.items():
            is_length = name.lower() == "content-length"
            if name.lower() not in ("transfer-encoding", "connection") and (not is_length or of == "HEAD"):
                self.send_header(name, text)
        if of != "HEAD":
            self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_PUT = do_HEAD = do_DELETE = do_POST = _pass

    def log_message(self, format: str, *args: Any) -> None:
        """It has nothing to tell."""


class InFront:
    """A server in front of a store: forgets the named conditions; denies what has `denies` in its key; with `answer`,
    it answers everything so."""

    def __init__(self, url: str, *, strips: tuple[str, ...] = (), denies: str = "", answer: int | None = None) -> None:
        of = {"target": url, "strips": strips, "denies": denies, "answer": answer}
        self.handler = type("InFrontHandler", (_Forgetful,), of)
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self.handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def answer(self, status: int | None) -> None:
        self.handler.answer = status  # type: ignore[attr-defined]

    def __enter__(self) -> InFront:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def bucket_of(store: Store, state: Path, *, owner: str = "here", prefix: str = PREFIX) -> Bucket:
    """One hot folder `us` in the bucket, whose local things lie in `state`."""
    state.mkdir(parents=True, exist_ok=True)
    place = Place(name="us", bucket=BUCKET, prefix=prefix)
    return Bucket.of(store, place, os.fsencode(state), owner)


class InBucket:
    """A hot folder at a fresh prefix, seen with eyes of our own."""

    def __init__(self, server: StoreProcess, state: Path) -> None:
        self.prefix = f"t/{uuid.uuid4().hex}"
        self.server, self.state, self.hand = server, state, server.hand

    def bucket(self, store: Store | None = None, *, owner: str = "here") -> Bucket:
        return bucket_of(store or self.server.store(), self.state, owner=owner, prefix=self.prefix)

    def key(self, place: str, *below: str) -> str:
        return "/".join((self.prefix, place, *below))

    def put(self, name: str, content: bytes) -> None:
        self.hand.put(self.key("in", name), content)

    def files(self, place: str) -> dict[str, bytes]:
        start = self.key(place, "")
        return {key[len(start) :]: self.hand.get(key) or b"" for key in self.hand.keys(start)}

    def originals(self) -> dict[str, bytes]:
        """In work/, by job and name."""
        return {name: content for name, content in self.files("work").items() if not name.startswith(".hopperd")}

    def markers(self) -> list[str]:
        return [name for name in self.files("work") if name.startswith(".hopperd-claims")]


class BucketLine(Line):
    """The whole line over a hot folder in a bucket."""

    def __init__(self, root: Path, store: StoreProcess, *, prefix: str = PREFIX, url: str | None = None, **more: Any):
        folder = more.pop("folder", "") + f'\nendpoint = "{url or store.url}"'
        super().__init__(root, folder=folder, **more)
        self.hand, self.prefix = store.hand, prefix
        self.path = f"s3://{BUCKET}/{prefix}"

    def put_in(self, name: str | bytes, content: bytes) -> bytes:
        import hashlib

        self.hand.put(f"{self.prefix}/in/{os.fsdecode(name)}", content)
        self.put[hashlib.sha256(content).hexdigest()] += 1
        return os.fsencode(name)

    def names(self, place: str) -> list[str]:
        start = f"{self.prefix}/{place}/"
        return [key[len(start) :] for key in self.hand.keys(start) if not key[len(start) :].startswith(".hopperd-id")]

    def ended(self) -> int:
        return sum(name.endswith(".receipt.json") for place in ("done", "failed") for name in self.names(place))

    def mirror(self) -> Path:
        """Everything in the bucket, as files; what is told there of a job's claims and deliveries is left out."""
        root = self.root / f"mirror-{time.monotonic_ns()}"
        for place in ("in", "work", "out", "done", "failed"):
            (root / place).mkdir(parents=True)
            for name in self.names(place):
                if ".hopperd-delivering" not in name:
                    target = root / place / name
                    target.parent.mkdir(parents=True, exist_ok=True)
                    target.write_bytes(self.hand.get(f"{self.prefix}/{place}/{name}") or b"")
        return root

    def judge(self, *, finished: bool = True) -> Verdict:
        self.log.touch()
        return judge(self.mirror(), self.log, self.put, finished=finished)


def many(work: Any, count: int) -> Iterator[Any]:
    """The same call from so many threads at one moment; the answers."""
    gate = threading.Barrier(count)

    def call(number: int) -> Any:
        gate.wait()
        return work(number)

    with ThreadPoolExecutor(count) as pool:
        yield from pool.map(call, range(count))
