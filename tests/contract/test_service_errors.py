"""The service's errors: the documented model, and never a 500 or a hang, whatever is sent."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest

from tests.support.sandbox_process import SandboxProcess, Service, multipart, tiny_pdf

RUN = "/v2/task/capture/invoices"


@pytest.fixture(scope="module")
def sandbox() -> Iterator[SandboxProcess]:
    with SandboxProcess("--quota", "40", "--max-body-mib", "1") as process:
        yield process


@pytest.fixture
def service(sandbox: SandboxProcess) -> Service:
    return sandbox.service()


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b"{}",
        b"{",
        b'{"files": []}',
        b'{"files": {}}',
        b'{"files": ["x"]}',
        b'{"files": [{"id": 1, "token": 2}]}',
        b'{"files": [{"id": "x"}]}',
        b'{"files": "x", "properties": null}',
        b'{"files": [{}], "properties": {"region": 1}}',
        b'{"properties": {"region": "Mars"}}',
        b'{"properties": {"export_format": "Pdf"}}',
        b'{"properties": {"verification_type": "Maybe"}}',
        b"\xff\xfe\x00",
        b'{"a": NaN}',
        b"[" * 100_000,
        b"9" * 10_000,
        b"{'a': '\\u12'}",
        b"'",
        b"{'a'",
    ],
)
def test_a_run_that_cannot_be_meant_is_400_in_the_documented_model(service: Service, body: bytes) -> None:
    answer = service.request("POST", RUN, body)
    assert answer.status == 400
    assert set(answer.json) == {"id", "error", "error_description"}


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("application/pdf", tiny_pdf()),
        ("", b""),
        ("multipart/form-data", b"x"),
        ("multipart/form-data; boundary=x", b""),
        ("multipart/form-data; boundary=x", b"no boundary at all"),
        ("multipart/form-data; boundary=x", b"--x\r\n"),
        ("multipart/form-data; boundary=x", b"--x--\r\n"),
        ("multipart/form-data; boundary=x", b"--x\r\nContent-Disposition: form-data; name=a\r\n\r\nunfinished"),
        ("multipart/form-data; boundary=x", b"--x\r\n\xff\xfe: \x00\r\n\r\nx\r\n--x--\r\n"),
        ("multipart/form-data; boundary=x", b"--x\r\nContent-Transfer-Encoding: odd\r\n\r\nx\r\n--x--\r\n"),
        (
            "multipart/form-data; boundary=x",
            b"--x\r\nContent-Type: multipart/mixed; boundary=y\r\n\r\n--y--\r\n--x--\r\n",
        ),
        ("multipart/form-data; boundary=" + "x" * 200, b"--" + b"x" * 200 + b"--\r\n"),
    ],
)
def test_an_upload_that_is_no_multipart_is_400(service: Service, content_type: str, body: bytes) -> None:
    answer = service.request("POST", "/v2/file", body, {"Content-Type": content_type})
    assert answer.status in (200, 400)
    if answer.status == 400:
        assert set(answer.json) == {"id", "error", "error_description"}


def test_a_body_beyond_the_bound_is_413_and_leaves_nothing(service: Service) -> None:
    answer = service.upload(("small.bin", b"x"), ("big.bin", b"x" * (1024 * 1024 + 1)))
    assert answer.status == 413
    assert service.request("POST", RUN, b" " * (5 * 1024 * 1024)).status == 413


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/", 404),
        ("GET", "/v2", 404),
        ("GET", "/v2/file", 405),
        ("PUT", "/v2/file", 405),
        ("PATCH", "/v2/task/" + "0" * 24, 405),
        ("GET", "/v2/task/" + "0" * 24, 404),
        ("GET", "/v2/task/%2e%2e%2f", 404),
        ("DELETE", "/v2/task/x", 404),
        ("GET", "/v2/training/layout/x/y", 404),
        ("POST", "/sandbox/verify/x", 404),
    ],
)
def test_what_is_not_there_is_told_in_the_documented_model(
    service: Service, method: str, path: str, status: int
) -> None:
    answer = service.request(method, path)
    assert answer.status == status
    assert set(answer.json) == {"id", "error", "error_description"}


def test_a_run_of_a_file_that_is_not_there_is_404(service: Service) -> None:
    info = service.uploaded()
    assert service.run(info, {"id": "0" * 24, "token": "0" * 40}).status == 404


@pytest.mark.parametrize(
    "raw",
    [
        b"\x00\x01\x02\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET /v2/task/x HTTP/1.1\r\nHost: x\r\nX: " + b"y" * 100_000 + b"\r\n\r\n",
        b"POST /v2/file HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\n",
        b"POST /v2/file HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"POST /v2/training HTTP/1.1\r\nHost: x\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\nnope",
    ],
)
def test_what_is_hardly_http_is_refused_and_harms_nobody(service: Service, raw: bytes) -> None:
    parts = urlsplit(service.url)
    with socket.create_connection((parts.hostname or "", parts.port), timeout=10) as line:
        line.sendall(raw)
        line.shutdown(socket.SHUT_WR)
        received = line.recv(200)
    assert received == b"" or received.split(b" ")[1].startswith(b"4")
    assert service.request("GET", "/sandbox/ledger").status == 200


def test_a_client_that_leaves_in_the_middle_of_an_upload_harms_nobody(service: Service) -> None:
    body, content_type = multipart(("a.pdf", b"x" * 100_000))
    head = f"POST /v2/file HTTP/1.1\r\nHost: x\r\nAuthorization: {service.authorization()}\r\n"
    head += f"Content-Type: {content_type}\r\nContent-Length: {len(body)}\r\n\r\n"
    parts = urlsplit(service.url)
    with socket.create_connection((parts.hostname or "", parts.port), timeout=10) as line:
        line.sendall(head.encode() + body[:50_000])
    assert service.uploaded()["size"] == len(tiny_pdf())


def test_beyond_the_ceiling_a_task_ends_canceled_unbilled_and_later_ones_too(service: Service) -> None:
    info = service.uploaded()
    first = service.run(*[info] * 30).json
    assert service.look_until(first["id"], "Done")["is_billed"]
    for _ in range(2):
        beyond = service.run(*[info] * 30)
        assert (beyond.status, beyond.json["status"]) == (200, "Submitted")
        task = service.look_until(beyond.json["id"], "Canceled")
        assert not task["is_billed"] and "delivered" not in task
