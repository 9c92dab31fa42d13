"""`--data DIR`: what was answered is still known after a restart, also after SIGKILL; without it, nothing is left."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.sandbox_process import APPLICATION, SandboxProcess, tiny_pdf, tiny_ubl


@pytest.mark.parametrize("is_killed", [False, True])
def test_everything_that_was_answered_is_known_to_the_next_start(tmp_path: Path, is_killed: bool) -> None:
    data = str(tmp_path / "data")
    with SandboxProcess("--data", data, "--quota", "10") as sandbox:
        service = sandbox.service()
        kept, gone = service.uploaded("a.pdf"), service.uploaded("b.pdf", tiny_pdf("B"))
        empty = service.uploaded("empty.pdf", b"")
        done = service.look_until(service.run(kept, export_format="Json").json["id"], "Done")
        waits = service.run(kept, export_format="Json", verification_type="UserVerification").json
        waiting = service.look_until(waits["id"], "WaitForAction")
        deleted = service.run(gone, export_format="Json").json
        assert service.request("DELETE", f"/v2/task/{deleted['id']}").status == 204
        assert service.file("DELETE", gone).status == 204
        entry = json.dumps({"vendors": [{"external_id": "V", "vat": ["BE0999999922"]}]})
        assert service.request("POST", "/v2/dataset/vendors", entry).status == 204
        target = service.file("GET", done["documents"][0]["files"]["target"]).body
        bills = service.request("GET", "/sandbox/ledger").json
        running = service.run(kept, export_format="Json").json
        if is_killed:
            sandbox.process.kill()
            sandbox.process.wait()
    with SandboxProcess("--data", data, "--quota", "10") as sandbox:
        service = sandbox.service()
        assert service.file("GET", kept, "/info").json == kept
        assert service.file("GET", kept).body == tiny_pdf()
        assert service.file("GET", empty).body == b""
        assert service.file("GET", gone).status == 404
        assert service.look(done["id"]) == done
        assert service.file("GET", done["documents"][0]["files"]["target"]).body == target
        assert service.look(waiting["id"]) == waiting
        assert service.request("GET", f"/v2/task/{deleted['id']}").status == 404
        after = service.look_until(running["id"], "Done")
        assert service.file("GET", after["documents"][0]["files"]["target"]).body == target
        assert service.request("GET", f"/verification/{waiting['verification_id']}").status == 200
        assert service.request("POST", f"/sandbox/verify/{waiting['id']}").status == 200
        assert "target" in service.look(waiting["id"])["documents"][0]["files"]
        (bill,) = (each for each in service.request("GET", "/sandbox/ledger").json["applications"] if each["runs"])
        (before,) = (each for each in bills["applications"] if each["runs"])
        assert bill["documents"] == before["documents"] + 1
        fresh = service.run(service.uploaded("e.xml", tiny_ubl()), export_format="Json").json
        assert int(fresh["number"]) > int(running["number"])
        export = service.look_until(fresh["id"], "Done")["documents"][0]["files"]["target"]
        assert service.file("GET", export).json["Documents"][0]["Fields"]["Vendor"]["ExternalId"] == "V"


def test_a_kill_right_after_an_answer_loses_nothing_time_and_again(tmp_path: Path) -> None:
    data = str(tmp_path / "data")
    known = []
    for round_number in range(3):
        with SandboxProcess("--data", data, "--reader", "none") as sandbox:
            service = sandbox.service()
            for number in range(20):
                body = b"%d.%d" % (round_number, number) * 1000
                known.append((service.uploaded("a.bin", body), body))
            service.run(known[-1][0], export_format="Json")
            sandbox.process.kill()
            sandbox.process.wait()
    with SandboxProcess("--data", data, "--reader", "none") as sandbox:
        service = sandbox.service()
        assert all(service.file("GET", info).body == body for info, body in known)
        bill = next(iter(service.request("GET", "/sandbox/ledger").json["applications"]))
        assert (bill["application"], bill["documents"]) == (APPLICATION[0], 3)


def test_beyond_the_bound_the_oldest_is_forgotten_on_disk_too(tmp_path: Path) -> None:
    data = str(tmp_path / "data")
    for _ in range(2):
        with SandboxProcess("--data", data, "--max-files", "5", "--reader", "none") as sandbox:
            infos = [sandbox.service().uploaded("a.bin", b"x" * 100) for _ in range(12)]
            assert len(os.listdir(os.path.join(data, "files"))) == 5
            assert [sandbox.service().file("GET", each).status for each in infos] == [404] * 7 + [200] * 5


def test_one_folder_serves_one_sandbox_and_what_is_no_state_is_told(tmp_path: Path) -> None:
    data = tmp_path / "data"
    command = [sys.executable, "-m", "hopperd.cli.sandbox", "--port", "0", "--data", str(data)]
    with SandboxProcess("--data", str(data)):
        second = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (second.returncode, second.stdout) == (2, "")
    assert "in use by another sandbox" in second.stderr and "Traceback" not in second.stderr
    (data / "state.sqlite3").write_bytes(b"this is no database, but long enough to look like one" * 100)
    broken = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert broken.returncode == 2 and "cannot be used" in broken.stderr and "Traceback" not in broken.stderr


def test_without_a_folder_nothing_outlives_it() -> None:
    with SandboxProcess() as sandbox:
        info = sandbox.service().uploaded()
    with SandboxProcess() as sandbox:
        assert sandbox.service().file("GET", info).status == 404
