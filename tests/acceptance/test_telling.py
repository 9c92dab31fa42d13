"""Promise: each delivery reaches the integrator's program, whoever dies or refuses; people hear what is wrong."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.support.line import Line, invoice

SECRET = "the-secret-of-the-tests"


class Receiver(ThreadingHTTPServer):
    """Somebody else's program: keeps what it was sent, and refuses while told to."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.refuses = False
        self.refused = 0
        self.got: list[tuple[str, dict[str, str], dict[str, Any]]] = []
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/{path}"

    def told(self, path: str) -> list[dict[str, Any]]:
        return [document for where, _, document in self.got if where == f"/{path}"]


class _Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        receiver: Any = self.server
        body = self.rfile.read(int(self.headers["Content-Length"]))
        headers = {name.lower(): value for name, value in self.headers.items()}
        if receiver.refuses:
            receiver.refused += 1
        else:
            content = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
            signature = base64.b64encode(hmac.new(SECRET.encode(), content, hashlib.sha256).digest()).decode()
            assert headers["webhook-signature"] == f"v1,{signature}"
            receiver.got.append((self.path, headers, json.loads(body)))
        self.send_response(503 if receiver.refuses else 204)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver()
    yield made
    made.shutdown()
    made.server_close()


def test_deliveries_and_notices_get_through_over_refusals_and_a_death(tmp_path: Path, receiver: Receiver) -> None:
    secret = tmp_path / "secret"
    secret.write_text(SECRET)
    secret.chmod(0o600)
    hook = f'marker_files = true\nafter_delivery_url = "{receiver.url("erp")}"\nafter_delivery_secret_file = "{secret}"'
    notices = f'[notices]\nwebhook = "{receiver.url("people")}"\nwebhook_secret_file = "{secret}"\n'
    notices += "gather_seconds = 1\nat_most_every_seconds = 2"
    with Line(tmp_path, folder=hook, top=notices) as line:
        line.start_sandbox()
        receiver.refuses = True
        line.started()
        for number in range(5):
            line.put_in(f"sub/{number}.pdf", invoice(number))
        line.put_in("empty.txt", b"this is no invoice")
        line.wait_ended(6)
        line.wait_for(lambda: receiver.refused >= 2, "two refusals")
        hooks = line.wait_for(lambda: _letters(line, "hook/us", troubled=True), "the trouble in status")
        assert "answered 503" in hooks["trouble"]
        assert hooks["waiting"] == 5
        assert "Deliveries of folder us do not get through; 5 wait" in line.command("status").stdout
        line.kill()
        receiver.refuses = False
        line.started()
        line.wait_for(lambda: len(receiver.told("erp")) >= 5, "every delivery", 30)
        line.wait_for(lambda: _letters(line, "hook/us", troubled=False), "an empty outbox")
        told = {document["job"]: document for document in receiver.told("erp")}
        assert {document["outcome"] for document in told.values()} == {"delivered"}
        assert {export["name"] for one in told.values() for export in one["exports"]} == {
            f"sub/{number}.xlsx" for number in range(5)
        }
        exports = {name for name in line.files("out") if not name.startswith(".hopperd")}
        assert {name.removesuffix(".done") for name in exports if name.endswith(".done")} == {
            name for name in exports if not name.endswith(".done")
        }
        line.wait_for(lambda: any("failed" in m["counts"] for m in receiver.told("people")), "the notice")
        (message,) = [m for m in receiver.told("people") if "failed" in m["counts"]]
        assert message["counts"]["failed"] == 1
        assert "empty.txt" in message["text"]
        assert SECRET not in (line.logs / "hopperd.log").read_text()
        assert line.stop() == 0


def _letters(line: Line, channel: str, *, troubled: bool) -> Any:
    (found,) = [one for one in line.asked("/v1/status")["letters"] if one["channel"] == channel]
    return found if bool(found["trouble"]) == troubled and (troubled or not found["waiting"]) else None


def test_a_command_is_told_of_each_delivery_and_sees_no_token(tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    kept.mkdir()
    program = tmp_path / "take.py"
    program.write_text(
        "import json, os, sys\n"
        "told = json.load(sys.stdin)\n"
        f"path = os.path.join({str(kept)!r}, told['job'])\n"
        "if not os.path.exists(path + '.seen'):\n"
        "    open(path + '.seen', 'w').close()\n"
        "    sys.exit('not today')\n"
        "with open(path + '.part', 'w') as file:\n"
        "    json.dump({'told': told, 'env': dict(os.environ)}, file)\n"
        "os.rename(path + '.part', path)\n"
    )
    command = json.dumps([sys.executable, str(program)])
    with Line(tmp_path, folder=f"after_delivery_command = {command}") as line:
        line.start_sandbox()
        line.started()
        for number in range(2):
            line.put_in(f"{number}.pdf", invoice(number))

        def all_told() -> bool:
            return len([path for path in kept.iterdir() if not path.suffix]) == 2

        line.wait_for(all_told, "both deliveries", 40)
        for path in kept.iterdir():
            if path.suffix == ".seen":
                continue
            found = json.loads(path.read_text())
            assert found["told"]["outcome"] == "delivered"
            assert found["env"]["HOPPERD_OUT"] == str(tmp_path / "out")
            assert not [name for name in found["env"] if "TOKEN" in name or "CREDENTIALS" in name]
        assert line.stop() == 0
