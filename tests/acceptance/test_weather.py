"""Trouble of the service and the account delays and never fails a file; the status says so within seconds.

The daemon's own clock runs: what takes minutes of weather is gone through in the simulation.
"""

from __future__ import annotations

import base64
import http.client
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.support.line import APPLICATION, TOKEN, Line, invoice, patience

pytestmark = pytest.mark.timeout(300)

SAID_WITHIN_SECONDS = 10
STEPS = ("upload", "run", "look", "download")


def fault(on: str, **what: Any) -> str:
    lines = [
        f"{key} = {value!r}" if not isinstance(value, str) else f'{key} = "{value}"' for key, value in what.items()
    ]
    return "\n".join(["[[fault]]", f'on = "{on}"', *lines, ""])


def status_fault(on: str, status: int, **what: Any) -> str:
    return fault(on, kind="status", status=status, **what)


def paused(line: Line) -> dict[str, Any] | None:
    found: dict[str, Any] | None = line.account()["paused"]
    return found


def wait_until_paused(line: Line, reason: str) -> dict[str, Any]:
    def so() -> dict[str, Any] | None:
        pause = paused(line)
        return pause if pause is not None and pause["reason"] == reason else None

    found: dict[str, Any] = line.wait_for(so, f"a pause for {reason}", SAID_WITHIN_SECONDS * patience())
    return found


@pytest.mark.parametrize("retry_after", [None, 1])
def test_refusals_and_errors_delay_every_step_and_fail_nothing(tmp_path: Path, retry_after: int | None) -> None:
    more = {"retry_after_seconds": retry_after} if retry_after else {}
    refused = [status_fault(on, status, first=1, **more) for status in (429, 503) for on in STEPS]
    errors = [status_fault(on, 500, first=1) for on in STEPS if on != "run"]  # after a Run it would be a doubt
    with Line(tmp_path, faults="\n".join([*refused, *errors])) as line:
        line.start_sandbox()
        for number in range(4):
            line.put_in(f"{number}.pdf", invoice(number))
        assert line.once() == 0, line.tail()
        verdict = line.keeps_every_promise()
        assert (verdict.delivered, verdict.doubts, verdict.runs) == (4, 0, 4)


def test_no_network_pauses_the_account_says_so_and_goes_on_by_itself(tmp_path: Path) -> None:
    with Line(tmp_path, processing_seconds="1") as line:
        line.start_sandbox()
        port = int(line.url.rpartition(":")[2])
        line.started()
        line.put_in("before.pdf", invoice("before"))
        line.wait_ended(1)
        line.stop_sandbox()
        for number in range(4):
            line.put_in(f"{number}.pdf", invoice(number))
        pause = wait_until_paused(line, "network")
        assert "goes on by itself" in pause["do"]
        assert not line.files("failed")
        line.start_sandbox(port)
        line.wait_ended(5)
        assert paused(line) is None
        assert line.stop() == 0
        assert line.keeps_every_promise().doubts == 0


def test_a_host_that_no_name_server_knows_is_weather(tmp_path: Path) -> None:
    with Line(tmp_path) as line:
        line.start_sandbox()
        line.url = "http://no-such-host.invalid:8765"
        line.configure()
        line.started()
        for number in range(4):
            line.put_in(f"{number}.pdf", invoice(number))
        assert "no-such-host.invalid" in wait_until_paused(line, "network")["what"]
        assert line.stop() == 0
        assert line.keeps_every_promise(finished=False).failed == 0


def test_refused_credentials_cost_one_request_pause_the_account_and_end_with_a_reload(tmp_path: Path) -> None:
    with Line(tmp_path, account="uploads_at_once = 1") as line:
        line.start_sandbox()
        (tmp_path / "token").write_text("not the token")
        line.started()
        for number in range(6):
            line.put_in(f"{number}.pdf", invoice(number))
        pause = wait_until_paused(line, "credentials")
        assert "reload" in pause["do"]
        said = [event for event in line.events("postponed") if "401" in str(event.get("waiting"))]
        assert len(said) <= 1, "one refusal costs one request"
        (tmp_path / "token").write_text(TOKEN)
        assert line.daemon is not None
        line.daemon.send_signal(1)  # SIGHUP
        line.wait_ended(6)
        assert paused(line) is None
        assert line.stop() == 0
        assert line.keeps_every_promise().delivered == 6


def test_the_accounts_ceiling_pauses_runs_until_a_person_resumes_them(tmp_path: Path) -> None:
    with Line(tmp_path, account="tasks_in_flight = 1", sandbox=["--quota", "1"]) as line:
        line.start_sandbox()
        port = int(line.url.rpartition(":")[2])
        line.put_in("0.pdf", invoice(0))
        line.started()
        line.wait_ended(1)
        for number in (1, 2):
            line.put_in(f"{number}.pdf", invoice(number))
        pause = wait_until_paused(line, "ceiling")
        assert "hopperd resume main" in pause["do"]
        runs = len(line.deeds("run"))
        assert runs == 2
        line.wait_for(lambda: len(line.deeds("upload")) == 3, "the upload that goes on all the same")
        assert [job["stage"] for job in line.asked("/v1/jobs?stage=failed")["jobs"]] == []
        # The contract is raised; the twin cannot be told, so another stands in for it: it knows none of the uploads.
        line.stop_sandbox()
        line.sandbox_options = ["--reader", "none"]
        line.start_sandbox(port)
        assert len(line.deeds("run")) == runs, "a Run before anybody resumed"
        assert line.command("resume", "main").returncode == 0
        line.wait_ended(3)
        assert line.stop() == 0
        verdict = line.keeps_every_promise()
        assert (verdict.delivered, verdict.runs, verdict.extra_runs) == (3, 3, 0), "what was canceled is not billed"


def test_an_upload_that_expired_while_it_waited_is_uploaded_again(tmp_path: Path) -> None:
    """Kept for 66 s, given up 60 s before its end, and the Run is refused for longer than the six that remain."""
    plan = status_fault("run", 503, retry_after_seconds=8, first=1)
    with Line(tmp_path, faults=plan, sandbox=["--keep-hours", str(66 / 3600)]) as line:
        line.start_sandbox()
        line.put_in("a.pdf", invoice("a"))
        line.started()
        line.wait_ended(1)
        assert len(line.deeds("upload")) >= 2
        story = line.asked("/v1/job?name=a.pdf")
        assert "upload-expired" in [row["event"] for row in story["history"]]
        assert line.stop() == 0
        verdict = line.keeps_every_promise()
        assert (verdict.delivered, verdict.runs) == (1, 1)


def test_a_task_that_the_service_does_not_know_any_more_is_said_plainly(tmp_path: Path) -> None:
    """Soon, where the service goes on to know another one's."""
    with Line(tmp_path, processing_seconds="8") as line:
        line.start_sandbox()
        line.put_in("a.pdf", invoice("a"))
        line.started()
        line.wait_for(lambda: line.deeds("run"), "the Run")
        delete_task(line, line.deeds("run")[0]["task_id"])
        for number in range(8):
            line.put_in(f"{number}.pdf", invoice(number))
        line.wait_ended(9)
        failure = line.receipts("failed")["a.pdf"]["failure"]
        assert (failure["reason"], failure["fault"]) == ("task-gone", "service")
        assert "404" in failure["what"]
        assert line.stop() == 0
        assert line.keeps_every_promise().runs == 9


def delete_task(line: Line, task_id: str) -> None:
    """As somebody does in the service's portal."""
    credentials = base64.b64encode(f"{APPLICATION}:{TOKEN}".encode()).decode()
    address = urlsplit(line.url)
    connection = http.client.HTTPConnection(str(address.hostname), address.port, timeout=10)
    connection.request("DELETE", f"/v2/task/{task_id}", headers={"Authorization": f"Basic {credentials}"})
    assert connection.getresponse().status in (200, 204)
    connection.close()
