"""The twin's fault plan and its log of deeds, seen from outside: each kind of fault, before or after the effect."""

from __future__ import annotations

import hashlib
import http.client
import signal
import time
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from tests.support.sandbox_process import APPLICATION, SandboxProcess, Service, tiny_pdf

LINE_KEYS = {"time", "event", "file_id", "task_id", "sha256", "application", "status"}


class Planned:
    """Starts a sandbox with one fault and a log in a folder of the test's own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __call__(self, *faults: str, options: tuple[str, ...] = ("--reader", "none"), **rest: Any) -> SandboxProcess:
        plan = self.folder / "faults.toml"
        plan.write_text("seed = 7\n" + "".join(f"[[fault]]\n{each}\n" for each in faults))
        return SandboxProcess("--faults", str(plan), *options, log=str(self.folder / "deeds.jsonl"), **rest)


@pytest.fixture
def planned(tmp_path: Path) -> Planned:
    return Planned(tmp_path)


def test_each_deed_is_one_line_with_the_agreed_keys(planned: Planned) -> None:
    data = tiny_pdf()
    with planned() as sandbox:
        service = sandbox.service()
        first, second = service.upload(("a.pdf", data), ("b.pdf", data)).json
        task = service.run(first, second, export_format="Json").json
        done = service.look_until(task["id"], "Done")
        target = done["documents"][0]["files"]["target"]
        body = service.file("GET", target).body
        service.file("GET", first)
        service.request("DELETE", f"/v2/task/{task['id']}")
        service.file("DELETE", first)
        service.file("DELETE", first)
        service.file("GET", second, "/info")
        deeds = sandbox.deeds()
    events = [each["event"] for each in deeds if each["event"] != "look"]
    assert events == ["upload", "upload", "run", "download", "download", "delete_task", "delete_file"]
    assert "look" in [each["event"] for each in deeds]
    for each in deeds:
        assert LINE_KEYS - set(each) <= {"file_id"} and each["application"] == APPLICATION[0]
        assert datetime.fromisoformat(each["time"]).tzinfo is not None
        assert "fault" not in each
    uploads = [each for each in deeds if each["event"] == "upload"]
    assert [each["file_id"] for each in uploads] == [first["id"], second["id"]]
    assert {each["sha256"] for each in uploads} == {hashlib.sha256(data).hexdigest()}
    (run,) = (each for each in deeds if each["event"] == "run")
    assert (run["file_ids"], run["billed"], run["task_id"]) == ([first["id"], second["id"]], True, task["id"])
    assert "file_id" not in run
    result, source = (each for each in deeds if each["event"] == "download")
    assert (result["file_id"], result["task_id"]) == (target["id"], task["id"])
    assert result["sha256"] == hashlib.sha256(body).hexdigest()
    assert (source["file_id"], source["task_id"]) == (first["id"], None)


@pytest.mark.parametrize("status", [429, 503, 500, 401, 307, 404])
def test_a_status_fault_has_no_effect_and_leaves_no_line(planned: Planned, status: int) -> None:
    fault = f'on = "upload"\nkind = "status"\nstatus = {status}\nretry_after_seconds = 7\nfirst = 2'
    with planned(fault) as sandbox:
        service = sandbox.service()
        answers = [service.upload(("a.pdf", tiny_pdf())) for _ in range(3)]
        assert [each.status for each in answers] == [status, status, 200]
        assert answers[0].headers["retry-after"] == "7"
        assert len(sandbox.deeds()) == 1


def test_a_status_after_fault_did_what_was_asked(planned: Planned) -> None:
    with planned('on = "run"\nkind = "status-after"\nstatus = 500\nfirst = 1') as sandbox:
        service = sandbox.service()
        answer = service.run(service.uploaded())
        (run,) = sandbox.deeds("run")
        assert (answer.status, run["status"], run["fault"], run["billed"]) == (500, 500, "status-after", True)
        assert service.look_until(run["task_id"], "Done")
        assert set(answer.json) == {"id", "requestId", "statusCode", "errorCode", "message"}


@pytest.mark.parametrize(("kind", "lines"), [("reset-before", 0), ("reset-after", 1)])
@pytest.mark.parametrize("size", [100, 3_000_000])
def test_a_reset_cuts_the_connection(planned: Planned, kind: str, lines: int, size: int) -> None:
    with planned(f'on = "upload"\nkind = "{kind}"') as sandbox:
        with pytest.raises((ConnectionError, http.client.RemoteDisconnected)):
            sandbox.service().upload(("a.pdf", b"x" * size))
        assert [each["fault"] for each in sandbox.deeds()] == [kind] * lines


def test_a_stall_never_answers_and_ends_with_the_client_or_the_server(planned: Planned) -> None:
    with planned('on = "upload"\nkind = "stall"') as sandbox:
        service = sandbox.service()
        service.timeout = 0.5
        with pytest.raises(TimeoutError):
            service.upload(("a.pdf", tiny_pdf()))
        assert service.request("GET", "/sandbox/ledger").status == 200
        assert sandbox.deeds() == []


def test_a_slow_answer_comes_whole(planned: Planned) -> None:
    data = tiny_pdf() * 50
    with planned('on = "download"\nkind = "slow"\nseconds = 1') as sandbox:
        service = sandbox.service()
        info = service.uploaded("a.pdf", data)
        start = time.monotonic()
        assert service.file("GET", info).body == data
        assert time.monotonic() - start > 0.9
        (line,) = sandbox.deeds("download")
        assert (line["fault"], line["sha256"]) == ("slow", hashlib.sha256(data).hexdigest())


def test_a_wrong_hash_is_told_or_wrong_bytes_served_and_the_log_knows_the_true_ones(planned: Planned) -> None:
    data = tiny_pdf()
    with planned('on = "any"\nkind = "wrong-hash"') as sandbox:
        service = sandbox.service()
        info = service.uploaded("a.pdf", data)
        body = service.file("GET", info).body
        assert info["hash"].lower() != hashlib.sha512(data).hexdigest() and len(info["hash"]) == 128
        assert (len(body), body == data) == (len(data), False)
        assert {each["sha256"] for each in sandbox.deeds()} == {hashlib.sha256(data).hexdigest()}
        assert service.run(info).status == 200


@pytest.mark.parametrize("on", ["upload", "run", "look", "download"])
def test_a_short_body_ends_before_its_content_length(planned: Planned, on: str) -> None:
    with planned(f'on = "{on}"\nkind = "short-body"') as sandbox:
        with pytest.raises(http.client.IncompleteRead):
            everything(sandbox.service())
        assert sandbox.deeds()[-1]["fault"] == "short-body"


@pytest.mark.parametrize("on", ["upload", "run", "look", "download"])
def test_an_html_page_comes_instead_of_the_answer(planned: Planned, on: str) -> None:
    with planned(f'on = "{on}"\nkind = "html"') as sandbox:
        try:
            answer = everything(sandbox.service())
        except ValueError:
            answer = None
        assert answer is None or answer.headers["content-type"].startswith("text/html")
        assert (sandbox.deeds()[-1]["fault"], sandbox.deeds()[-1]["status"]) == ("html", 200)


def everything(service: Service) -> Any:
    info = service.uploaded()
    service.look_until(service.run(info, export_format="Json").json["id"], "Done")
    return service.file("GET", info)


@pytest.mark.parametrize("on", ["delete", "any"])
@pytest.mark.parametrize(
    ("kind", "statuses"),
    [
        ("status", {429}),
        ("status-after", {429}),
        ("reset-before", set()),
        ("reset-after", set()),
        ("slow", {200, 204}),
        ("short-body", {200}),
        ("wrong-hash", {200, 204}),
        ("html", {200}),
    ],
)
def test_no_fault_makes_a_deletion_answer_what_the_plan_did_not_ask_for(
    planned: Planned, on: str, kind: str, statuses: set[int]
) -> None:
    if (on, kind) == ("delete", "wrong-hash"):
        pytest.skip("a plan may not ask for it: a deletion has no hash")
    fault = f'on = "{on}"\nkind = "{kind}"\nstatus = 429\nseconds = 0.05'
    with planned(fault) as sandbox:
        service = sandbox.service()
        paths = [f"/v2/task/{'0' * 24}", f"/v2/file/{'0' * 24}/{'0' * 40}"]
        if on == "delete":
            info = service.uploaded()
            paths = [f"/v2/task/{service.run(info).json['id']}", f"/v2/file/{info['id']}/{info['token']}"]
        for path in paths:
            try:
                status = service.request("DELETE", path).status
            except (ConnectionError, http.client.HTTPException):
                continue
            assert status in statuses | ({404} if on == "any" else set())
        assert "Traceback" not in sandbox.stderr()


@pytest.mark.parametrize(
    ("outcome", "status"),
    [
        ("failed", "Failed"),
        ("canceled", "Canceled"),
        ("wait", "WaitForAction"),
        ("unknown-status", "Reassembling"),
        ("no-documents", "Done"),
    ],
)
def test_what_becomes_of_a_task_can_be_planned(planned: Planned, outcome: str, status: str) -> None:
    with planned(f'on = "task"\noutcome = "{outcome}"\nfirst = 1') as sandbox:
        service = sandbox.service()
        info = service.uploaded()
        task = service.look_until(service.run(info, export_format="Json").json["id"], status)
        assert service.look(task["id"])["status"] == status
        assert sandbox.deeds("run")[0]["billed"] is (outcome != "canceled")
        assert (task["documents"] == []) is (outcome == "no-documents")
        released = service.request("POST", f"/sandbox/verify/{task['id']}").status
        assert released == (200 if outcome in ("wait", "unknown-status") else 409)
        if released == 200:
            assert "target" in service.look(task["id"])["documents"][0]["files"]
        service.look_until(service.run(info).json["id"], "Done")


def test_every_nth_request_and_a_time_window(planned: Planned) -> None:
    every = 'on = "upload"\nkind = "status"\nstatus = 429\nevery = 3'
    never = 'on = "upload"\nkind = "stall"\nfrom_seconds = 3600\nuntil_seconds = 7200'
    with planned(never, every) as sandbox:
        service = sandbox.service()
        assert [service.upload(("a", b"x")).status for _ in range(6)] == [200, 200, 429, 200, 200, 429]


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGINT])
def test_it_says_one_line_and_ends_cleanly(planned: Planned, end: int) -> None:
    with planned('on = "upload"\nkind = "stall"') as sandbox:
        assert sandbox.line == f"sandbox listening on {sandbox.url}"
        sandbox.process.send_signal(end)
        assert sandbox.stop() == 0


@pytest.mark.parametrize(
    ("options", "word"),
    [
        (("--application", "no-colon"), "ID:TOKEN"),
        (("--application", ":x"), "ID:TOKEN"),
        (("--processing-seconds", "5-2"), "MIN"),
        (("--upload-answer", "xml"), "array, object"),
        (("--faults", "/does/not/exist"), "cannot be read"),
        (("--log", "/does/not/exist/log"), "cannot start"),
        (("--quota", "-1"), "--quota"),
    ],
)
def test_what_cannot_be_meant_is_one_sentence_and_exit_code_2(
    options: tuple[str, ...], word: str, capfd: pytest.CaptureFixture[str]
) -> None:
    import subprocess
    import sys

    command = [sys.executable, "-m", "hopperd.cli.sandbox", "--port", "0", *options]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert word in ended.stderr and "Traceback" not in ended.stderr
