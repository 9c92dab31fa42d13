"""The web listener of a real daemon, asked by friends and by strangers: who may read, who may act, what is told."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.line import environment, hopperd, invoice, patience
from tests.support.web_line import ACT, READ, WebLine, hold

pytestmark = pytest.mark.timeout(180)

EVERYTHING = ("/v1/status", "/v1/overview", "/v1/jobs", "/v1/events", "/metrics", "/v1/openapi.json", "/v1/rights")


@pytest.fixture(scope="module")
def open_line(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebLine]:
    """Loopback, no tokens."""
    with WebLine(tmp_path_factory.mktemp("open")) as line:
        line.serve()
        line.put_in("a.pdf", invoice(1))
        line.wait_ended(1)
        yield line


@pytest.fixture(scope="module")
def closed_line(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebLine]:
    """Both tokens."""
    with WebLine(tmp_path_factory.mktemp("closed")) as line:
        line.serve(read=True, act=True)
        line.put_in("a.pdf", invoice(1))
        line.wait_ended(1)
        yield line


def test_without_tokens_the_page_reads_and_nobody_acts(open_line: WebLine) -> None:
    assert [job["file"] for job in open_line.ask("/v1/jobs").json["jobs"]] == ["a.pdf"]
    for path, body in (("/v1/orders", hold("a.pdf")), ("/v1/pause", {"kind": "folder", "name": "us"})):
        no = open_line.ask(path, method="POST", body=body)
        assert no.status == 403
        assert "command line" in no.json["error"]
    job = open_line.ask("/v1/jobs").json["jobs"][0]["job"]
    assert open_line.ask(f"/v1/export?job={job}&number=0").status == 403, "exports only behind a token"


def test_a_name_that_only_resolves_to_this_machine_reads_nothing(open_line: WebLine) -> None:
    for host in ("attacker.example", "127.0.0.1.attacker.example:8756", "localhost.attacker.example", "[", ""):
        assert open_line.ask("/v1/jobs", Host=host).status in (400, 403), host
    for host in ("localhost:1", "127.0.0.1", "[::1]:8756", "127.9.9.9"):
        assert open_line.ask("/v1/jobs", Host=host).status == 200, host


def test_another_web_site_may_neither_read_nor_act_even_with_the_token(closed_line: WebLine) -> None:
    strange: tuple[dict[str, str], ...] = (
        {"Origin": "https://attacker.example"},
        {"Origin": "null"},
        {"Sec_Fetch_Site": "cross-site"},
        {"Sec_Fetch_Site": "same-site"},
        {"Origin": "http://127.0.0.1:1"},
    )
    for headers in strange:
        assert closed_line.ask("/v1/jobs", token=READ, **headers).status == 403, headers
        assert closed_line.ask("/v1/orders", method="POST", token=ACT, body=hold("a.pdf"), **headers).status == 403
    preflight = closed_line.ask("/v1/orders", method="OPTIONS", Origin="https://attacker.example")
    assert preflight.status in (401, 403, 405)
    assert not [name for name in preflight.headers if name.startswith("access-control")]


def test_each_token_opens_its_own_door(closed_line: WebLine) -> None:
    for path in EVERYTHING:
        for wrong in (None, "", "wrong", READ[:-1], READ + "x", "ü"):
            assert closed_line.ask(path, token=wrong).status == 401, (path, wrong)
    for path in set(EVERYTHING) - {"/v1/events"}:
        assert closed_line.ask(path, token=READ).status == 200, path
        assert closed_line.ask(path, token=ACT).status == 200, "who may act may read"
    body = {"order": "retry", "jobs": ["a.pdf"]}
    for wrong in (None, READ, "wrong"):
        assert closed_line.ask("/v1/orders", method="POST", token=wrong, body=body).status == 401
    assert closed_line.ask("/v1/orders", method="POST", token=ACT, body=body).status == 200
    assert closed_line.ask("/v1/rights", token=READ).json == {"read": True, "act": False, "known": True}
    assert closed_line.ask("/v1/rights", token=ACT).json == {"read": True, "act": True, "known": True}
    assert READ not in closed_line.tail(500)
    assert ACT not in closed_line.tail(500)


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""])
def test_an_order_is_json_or_nothing(closed_line: WebLine, kind: str) -> None:
    answer = closed_line.ask("/v1/orders", method="POST", token=ACT, body=hold("a.pdf"), Content_Type=kind)
    assert answer.status == 415


def test_what_only_the_machine_itself_may_ask_is_refused_over_the_web(closed_line: WebLine) -> None:
    target = closed_line.root / "copy"
    for path, body in (("/v1/backup", {"path": str(target)}), ("/v1/fsck", {"repair": True})):
        assert closed_line.ask(path, method="POST", token=ACT, body=body).status == 403
    assert not target.exists()


@pytest.mark.parametrize(
    "path", ["/../etc/passwd", "/static/", "/%2e%2e/%2e%2e/etc/passwd", "//etc/passwd", "/app.py", "/v1/../v1/status"]
)
def test_no_path_leads_out_of_the_page(closed_line: WebLine, path: str) -> None:
    answer = closed_line.ask(path)
    assert answer.status in (400, 401, 404)
    assert b"root:" not in answer.body


def test_every_answer_forbids_framing_caching_and_foreign_content(open_line: WebLine) -> None:
    for path in ("/", "/app.js", "/v1/status", "/healthz", "/nothing"):
        headers = open_line.ask(path).headers
        assert headers["cache-control"] == "no-store"
        assert "default-src 'none'" in headers["content-security-policy"]
        assert "frame-ancestors 'none'" in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
        assert "aiohttp" not in headers.get("server", "")


@pytest.mark.parametrize("body", [b"{", b"[]", b'"x"', b"null", b'{"order": "explode"}', b'{"order": 1, "jobs": 3}'])
def test_a_body_that_makes_no_sense_is_a_sentence(closed_line: WebLine, body: bytes) -> None:
    answer = closed_line.ask("/v1/orders", method="POST", token=ACT, body=body)
    assert answer.status == 400
    assert answer.json["error"].startswith("The request is not understood")
    too_large = closed_line.ask("/v1/orders", method="POST", token=ACT, body=b" " * 600_000)
    assert too_large.status in (400, 413)


def test_exports_come_as_delivered_or_not_at_all(closed_line: WebLine) -> None:
    (job,) = [job for job in closed_line.ask("/v1/jobs?text=a.pdf", token=READ).json["jobs"] if job["file"] == "a.pdf"]
    path = closed_line.root / "out" / job["exports"][0]
    ask = f"/v1/export?job={job['job']}&number="
    answer = closed_line.ask(f"{ask}0", token=READ)
    assert (answer.status, answer.body) == (200, path.read_bytes())
    assert answer.headers["content-disposition"] == "attachment"
    for number in ("1", "-1", "x"):
        assert closed_line.ask(ask + number, token=READ).status in (400, 409)
    kept = closed_line.root / "kept"
    shutil.move(path, kept)
    path.symlink_to("/etc/passwd")
    assert b"root:" not in closed_line.ask(f"{ask}0", token=READ).body
    path.unlink()
    assert "picked it up" in closed_line.ask(f"{ask}0", token=READ).json["error"]
    shutil.move(kept, path)


def test_health_is_open_and_tells_strangers_only_yes_or_no(closed_line: WebLine) -> None:
    assert closed_line.ask("/healthz").json == {"healthy": True}
    assert closed_line.ask("/readyz").json == {"ready": True}
    assert closed_line.ask("/readyz", token=READ).json["proven"] == ["account main", "folder us", "ledger"]


def test_metrics_count_what_went_through(open_line: WebLine) -> None:
    lines = open_line.ask("/metrics").body.decode().splitlines()
    assert 'hopperd_jobs_ended_total{folder="us",outcome="delivered"} 1.0' in lines
    assert any(
        line.startswith('hopperd_requests_total{account="main",outcome="200",purpose="run"} 1.0') for line in lines
    )
    assert "hopperd_doubtful_jobs 0.0" in lines


def test_a_folder_that_cannot_be_written_is_not_ready_and_says_why(tmp_path: Path) -> None:
    with WebLine(tmp_path) as line:
        line.serve()
        assert line.ask("/readyz").status == 200
        line.command("pause", "main")
        shutil.move(tmp_path / "out", tmp_path / "gone")

        def not_ready() -> Any:
            answer = line.ask("/readyz")
            return answer.json["not_ready"] if answer.status == 503 else None

        told = line.wait_for(not_ready, "the folder's trouble", 60)
        assert "out" in " ".join(told["folder us"])
        assert line.ask("/healthz").status == 200, "weather is no reason to be killed"


def test_an_address_in_use_is_said_and_got_later(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, WebLine(tmp_path) as line:
        port = taken.getsockname()[1]
        line.start_sandbox()
        line.config.write_text(line.config.read_text().replace('listen = ""', f'listen = "127.0.0.1:{port}"'))
        line.started()
        line.wait_for(lambda: line.events("web-address-not-to-be-had"), "the word about the address")
        line.put_in("a.pdf", invoice(1))
        line.wait_ended(1)
        assert not (line.state / "web-address").exists()
        taken.close()
        assert line.page_address() == f"http://127.0.0.1:{port}/"
        assert line.ask("/healthz").status == 200
        assert line.stop() == 0
        assert not (line.state / "web-address").exists()


def test_a_listener_beyond_loopback_without_a_read_token_does_not_start(tmp_path: Path) -> None:
    with WebLine(tmp_path) as line:
        line.start_sandbox()
        line.config.write_text(line.config.read_text().replace('listen = ""', 'listen = "0.0.0.0:0"'))
        refused = hopperd("run", "--config", str(line.config))
        assert refused.returncode == 2
        assert "read_token_file" in refused.stderr
        tokens = environment() | {"HOPPERD_WEB__READ_TOKEN": READ, "HOPPERD_WEB__ACT_TOKEN": READ}
        same = hopperd("run", "--config", str(line.config), env=tokens)
        assert same.returncode == 2
        assert "same token" in same.stderr
        assert READ not in same.stderr


def test_tail_tells_events_as_they_happen(tmp_path: Path) -> None:
    with WebLine(tmp_path) as line:
        line.start_sandbox()
        line.started()
        command = [sys.executable, "-m", "hopperd", "tail", "--json", "--config", str(line.config)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment()) as tail:
            assert tail.stdout is not None
            line.wait_for(lambda: b"readers 1.0" in _metrics(line), "the reader")
            line.put_in("a <b>.pdf", invoice(1))
            told = []
            for raw in tail.stdout:
                told.append(json.loads(raw))
                if told[-1]["event"] == "filed-away":
                    break
            assert line.stop() == 0
            assert tail.wait(timeout=20) != 0, "whoever watches is told that the daemon ended"
        events = [one["event"] for one in told]
        assert events[0] == "claimed"
        assert {"uploaded", "run-accepted", "delivered"} <= set(events)
        assert {one["file"] for one in told} == {"a <b>.pdf"}
        assert line.command("tail").returncode != 0, "and that there is none"


def _metrics(line: WebLine) -> bytes:
    command = ["curl", "-s", "--unix-socket", str(line.state / "control.sock"), "http://hopperd/metrics"]
    return subprocess.run(command, capture_output=True, timeout=20).stdout


def test_readers_that_do_not_read_hold_nothing_up(tmp_path: Path) -> None:
    with WebLine(tmp_path) as line:
        line.serve()
        port = int(line.address.rpartition(":")[2].strip("/"))
        readers = []
        for number in range(100):
            reader = socket.create_connection(("127.0.0.1", port))
            what = "/v1/events" if number % 2 else "/v1/events?state=1&events=1"
            reader.sendall(f"GET {what} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
            readers.append(reader)
        half = socket.create_connection(("127.0.0.1", port))
        half.sendall(b"POST /v1/orders HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n")
        began = time.monotonic()
        for number in range(20):
            line.put_in(f"{number}.pdf", invoice(number))
        line.wait_ended(20)
        assert time.monotonic() - began < 30 * patience()
        assert line.ask("/healthz").status == 200
        assert line.stop() == 0
        for reader in [*readers, half]:
            reader.close()
