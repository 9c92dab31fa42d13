"""The service as systemd runs it: its units judged offline in every run and, as root, a real boot with systemd.

The boot happens once; tests/deploy/boot_probe.py makes things happen inside it, and the tests here judge what it saw.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.deploy.root_fs import REPOSITORY, needs, once, with_hopperd
from tests.support.line import hopperd
from tests.support.oracle import judge

UNITS = REPOSITORY / "deploy" / "systemd"
BOOT_SECONDS = 280

pytestmark = [pytest.mark.timeout(1200), pytest.mark.xdist_group("root-fs")]

PROBE = """[Unit]
After=multi-user.target dbus.service
[Service]
Type=oneshot
ExecStart=/usr/bin/timeout 250 /usr/bin/python3 /probe/boot_probe.py
ExecStopPost=/usr/bin/systemctl --no-block poweroff
StandardOutput=file:/probe/output.txt
StandardError=inherit
[Install]
WantedBy=multi-user.target
"""


# ------------------------------------------------------------------------------------------------ cheap, in every run


def test_what_shares_a_root_file_system_shares_a_worker(request: pytest.FixtureRequest) -> None:
    if not getattr(request.config.option, "loadgroup", False):
        pytest.skip("only told where several workers share the tests by group: -n 2 --dist loadgroup")
    assert request.node.nodeid.endswith("@root-fs"), "pytest-xdist no longer sees its groups: each worker boots its own"


@pytest.mark.parametrize("unit", ["hopperd.service", "hopperd@.service"])
def test_a_unit_is_rated_1_5_or_better(unit: str) -> None:
    told = _analyze("security", "--offline=true", "--no-pager", "--threshold=15", str(UNITS / unit))
    assert told.returncode == 0, told.stdout[-400:] + told.stderr


@pytest.mark.parametrize("unit", ["hopperd.service", "hopperd@.service"])
def test_systemd_understands_every_line_of_a_unit(unit: str, tmp_path: Path) -> None:
    text = (UNITS / unit).read_text().replace("/opt/hopperd/bin/hopperd", "/bin/true")
    name = unit.replace("@", "@one")
    (tmp_path / name).write_text(text)
    told = _analyze("verify", "--man=no", str(tmp_path / name))
    about = [line for line in told.stderr.splitlines() if name in line]
    assert told.returncode == 0 and not about, told.stderr


def test_each_line_of_the_unit_that_is_relaxed_has_its_reason_above_it() -> None:
    lines = (UNITS / "hopperd.service").read_text().splitlines()
    relaxed = ["SupplementaryGroups=", "UMask=", "ReadWritePaths=", "CapabilityBoundingSet=CAP_", "PrivateUsers=no"]
    for start in [*relaxed, "PrivateNetwork=no", "KillMode=", "OOMPolicy=", "TimeoutStartSec=", "RestartPreventExit"]:
        (at,) = [number for number, line in enumerate(lines) if line.startswith(start)]
        assert lines[at - 1].startswith("#"), f"{lines[at]} stands there without a reason"


def test_the_instance_unit_differs_from_the_unit_only_in_its_names() -> None:
    def settled(name: str) -> list[str]:
        lines = (UNITS / name).read_text().replace("hopperd.toml", "%i.toml").replace("%i.toml", "CONFIG").splitlines()
        kept = [line for line in lines if line and not line.startswith("#") and not line.startswith("Description=")]
        return [line.replace("hopperd-%i", "hopperd").replace("main:", "X:").replace("%i:", "X:") for line in kept]

    def loose(lines: list[str]) -> list[str]:
        return [re.sub(r"tokens/\S+", "tokens/X", line) for line in lines]

    assert loose(settled("hopperd.service")) == loose(settled("hopperd@.service"))


def _analyze(*arguments: str) -> subprocess.CompletedProcess[str]:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("needs systemd-analyze, which this machine lacks")
    return subprocess.run(["systemd-analyze", *arguments], capture_output=True, text=True, check=False)


# --------------------------------------------------------------------------------------------------- install-service

ANSWERS = [
    "--folder",
    "/srv/invoices/us",
    "--folder",
    "/srv/invoices/eu",
    "--service",
    "eu",
    "--application-id",
    "id-1",
]


def test_install_service_writes_unit_users_folders_and_a_configuration_that_loads(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("a-secret-token\n")
    root = tmp_path / "root"
    root.mkdir()
    done = hopperd("install-service", "--root", str(root), *ANSWERS, "--token-file", str(tmp_path / "token"))
    assert done.returncode == 0, done.stderr
    assert "a-secret-token" not in done.stdout
    unit = (root / "etc/systemd/system/hopperd.service").read_text()
    assert "ReadWritePaths=-/srv/invoices/us\nReadWritePaths=-/srv/invoices/eu\n" in unit
    assert "LoadCredential=main:/etc/hopperd/tokens/main\n" in unit
    token = root / "etc/hopperd/tokens/main"
    assert token.stat().st_mode & 0o777 == 0o600
    assert token.parent.stat().st_mode & 0o777 == 0o700
    config = root / "etc/hopperd/hopperd.toml"
    text = config.read_text()
    config.write_text(text.replace("/srv/", f"{tmp_path}/srv/").replace("/var/lib/hopperd", f"{tmp_path}/state"))
    (tmp_path / "srv/invoices").mkdir(parents=True)
    environment = {**os.environ, "CREDENTIALS_DIRECTORY": str(token.parent)}
    checked = hopperd("check", "--config", str(config), env=environment)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert "d /srv/invoices/us 2770 hopperd invoices" in (root / "etc/tmpfiles.d/hopperd.conf").read_text()


def test_install_service_never_touches_a_configuration_or_token_that_is_there(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("first")
    arguments = ["install-service", "--root", str(tmp_path), *ANSWERS, "--token-file", str(tmp_path / "token")]
    assert hopperd(*arguments).returncode == 0
    config = tmp_path / "etc/hopperd/hopperd.toml"
    config.write_text("# mine\n")
    (tmp_path / "token").write_text("second")
    again = hopperd(*arguments)
    assert again.returncode == 0
    assert config.read_text() == "# mine\n"
    assert (tmp_path / "etc/hopperd/tokens/main").read_text() == "first\n"
    assert "kept       /etc/hopperd/hopperd.toml" in again.stdout


def test_install_service_dry_run_shows_everything_and_writes_nothing(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("a-secret-token")
    root = tmp_path / "root"
    root.mkdir()
    flags = ["--dry-run", "--root", str(root), "--token-file", str(tmp_path / "token")]
    done = hopperd("install-service", *flags, *ANSWERS)
    assert done.returncode == 0, done.stderr
    assert "[Service]" in done.stdout
    assert "[[folders]]" in done.stdout
    assert "a-secret-token" not in done.stdout
    assert not list(root.iterdir())


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        (["--folder", "here", "--service", "eu", "--application-id", "x"], "absolute"),
        (["--folder", "/srv/a b", "--service", "eu", "--application-id", "x"], "without blanks"),
        (["--folder", "/srv/a", "--service", "mars", "--application-id", "x"], "us, au, eu"),
        (["--folder", "/srv/a", "--service", "http://127.0.0.1:1", "--application-id", "x"], "--region"),
        (["--folder", "/srv/a", "--folder", "/mnt/a", "--service", "eu", "--application-id", "x"], "called a"),
        (["--folder", "/srv/a", "--service", "eu"], "--application-id is missing"),
    ],
)
def test_install_service_says_what_is_wrong_with_an_answer(flags: list[str], sentence: str, tmp_path: Path) -> None:
    done = hopperd("install-service", "--root", str(tmp_path), *flags, stdin=subprocess.DEVNULL)
    assert done.returncode == 2
    assert sentence in done.stderr
    assert not list(tmp_path.iterdir())


# ------------------------------------------------------------------------------------------------------ a real boot


@pytest.fixture(scope="module")
def booted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The root file system after one boot with everything the probe did; found.json lies in probe/."""
    needs("systemd-nspawn")

    def make(root: Path) -> None:
        with_hopperd(tmp_path_factory, root)
        _boot(root)

    return once(tmp_path_factory, "booted", make)


def _boot(root: Path) -> None:
    probe = root / "probe"
    probe.mkdir()
    shutil.copy(Path(__file__).with_name("boot_probe.py"), probe)
    units = root / "etc/systemd/system"
    (units / "probe.service").write_text(PROBE)
    (units / "multi-user.target.wants").mkdir(exist_ok=True)
    (units / "multi-user.target.wants/probe.service").symlink_to("../probe.service")
    # Nothing of this is hopperd's business, and some of it waits for devices.
    for name in ("systemd-networkd-wait-online.service", "systemd-resolved.service", "apt-daily.timer", "getty.target"):
        (units / name).symlink_to("/dev/null")
    command = ["systemd-nspawn", "-q", "-D", str(root), "--private-network", "--register=no", "--keep-unit", "-b"]
    streams: dict[str, Any] = {"stdin": subprocess.DEVNULL, "stderr": subprocess.STDOUT}
    with (root / "boot.txt").open("wb") as output, contextlib.suppress(subprocess.TimeoutExpired):
        subprocess.run(command, **streams, stdout=output, timeout=BOOT_SECONDS, check=False)  # judged as far as it got
    if not (probe / "booted").exists():
        pytest.skip(f"systemd does not boot as PID 1 here: {(root / 'boot.txt').read_text(errors='replace')[-300:]}")


@pytest.fixture(scope="module")
def found(booted: Path) -> dict[str, Any]:
    findings: dict[str, Any] = json.loads((booted / "probe/found.json").read_text())
    assert not findings.get("errors"), "\n".join(findings["errors"]) + _journal(booted)
    return findings


def _journal(booted: Path) -> str:
    journal = booted / "probe/journal.txt"
    return journal.read_text(errors="replace")[-4000:] if journal.exists() else ""


def test_install_service_makes_user_folders_and_rights_for_real(found: dict[str, Any]) -> None:
    assert found["install"]["rights"] == {
        "/etc/hopperd": "drwxr-x--- root:hopperd",
        "/etc/hopperd/tokens": "drwx------ root:root",
        "/etc/hopperd/tokens/main": "-rw------- root:root",
        "/etc/hopperd/hopperd.toml": "-rw-r----- root:hopperd",
        "/srv/invoices/us": "drwxrws--- hopperd:invoices",
    }
    assert "kept       /etc/hopperd/hopperd.toml" in found["install"]["again"]
    assert "is fine" in found["install"]["checked"], found["install"]["checked"]


def test_the_start_is_over_when_the_daemon_says_that_it_is_ready(found: dict[str, Any]) -> None:
    start = found["start"]
    assert start["unit"]["ActiveState"] == "active"
    assert start["unit"]["Type"] == "notify"
    assert start["running"] is True, "READY=1 was sent before the control socket answered"
    assert "files waiting" in start["unit"]["StatusText"]


def test_the_token_comes_as_a_credential_and_is_seen_nowhere_else(found: dict[str, Any]) -> None:
    assert found["deliver"]["environment_holds_token"] is False
    assert found["read_journal"]["token_is_told"] is False


def test_it_runs_as_its_own_user_with_the_rights_written_in_the_unit(found: dict[str, Any]) -> None:
    deliver = found["deliver"]
    assert deliver["user"] == "hopperd"
    assert deliver["groups"] == ["hopperd", "invoices"]
    assert int(deliver["capabilities"], 16) == 1 << 28, "CAP_LEASE and nothing else"
    assert (deliver["no_new_privileges"], deliver["seccomp"]) == ("1", "2")
    assert deliver["usr_is_read_only"]
    assert deliver["etc_is_read_only"]
    assert deliver["state"] == "drwx------ hopperd:hopperd"
    assert found["read_journal"]["mode_of_socket"] == "srw-------"
    assert found["read_journal"]["denied"] == "", "the system call filter stands in the way"


def test_the_children_that_look_into_files_work_under_it(found: dict[str, Any]) -> None:
    assert any("inspect_worker" in command for command in found["deliver"]["commands"]), found["deliver"]["commands"]


def test_a_member_of_the_group_puts_in_and_takes_out(found: dict[str, Any]) -> None:
    assert found["deliver"]["export"] == "-rw-rw---- hopperd:invoices"
    assert found["deliver"]["original"].endswith(":invoices")
    assert found["deliver"]["clerk_takes_the_export"].strip() == "taken"


def test_a_hang_is_ended_by_the_watchdog_and_everything_goes_on(found: dict[str, Any]) -> None:
    assert found["hang"]["seconds"] < 40
    assert "watchdog" in found["hang"]["journal"].lower()
    assert int(found["hang"]["restarts"]) >= 1


def test_a_killed_daemon_is_started_again(found: dict[str, Any]) -> None:
    assert found["killed"]["restarts"] == 1


def test_a_stop_lets_a_run_in_flight_end_and_makes_no_doubt(found: dict[str, Any]) -> None:
    stop = found["stop_with_a_run_in_flight"]
    assert stop["unit"] == {"Result": "success", "ExecMainStatus": "0", "ActiveState": "inactive"}
    assert stop["doubts"] == 0
    assert stop["events"][-1] == "stopped"


def test_a_reload_keeps_the_process_and_a_mistake_keeps_the_configuration(found: dict[str, Any]) -> None:
    assert found["reload"]["same_process"]
    assert found["reload"]["state"] == "active"
    assert {"reloaded", "reload-refused"} <= set(found["read_journal"]["events"])


def test_a_mistake_in_the_configuration_leaves_the_unit_failed_where_monitoring_sees_it(found: dict[str, Any]) -> None:
    assert found["refuse_a_mistake"]["unit"]["ActiveState"] == "failed"
    assert found["refuse_a_mistake"]["unit"]["ExecMainStatus"] == "2"
    assert found["refuse_a_mistake"]["after"] == "active"


def test_the_journal_has_one_json_line_per_fact_with_its_priority(found: dict[str, Any]) -> None:
    journal = found["read_journal"]
    assert journal["lines"] > 20
    assert journal["identifiers"] == ["hopperd"]
    assert "started" in journal["events"]
    assert "reload-refused" in journal["errors"]
    assert "started" not in journal["errors"], "journalctl -p err must leave out what is no error"


def test_a_second_hopperd_runs_beside_it_from_the_instance_unit(found: dict[str, Any]) -> None:
    assert found["instance"] == {"said": "", "state": "active", "folder": "drwx------ hopperd:hopperd"}


def test_no_promise_was_broken_by_all_of_that(found: dict[str, Any], booted: Path) -> None:
    put_in = found["end"]["put_in"]
    root = booted / "srv/invoices/us"
    (taken,) = [name for name in ("first.xlsx",) if not (root / "out" / name).exists()]
    receipt = json.loads(next((root / "done").rglob("first.pdf.receipt.json")).read_text())
    assert taken == receipt["exports"][0]["name"]
    verdict = judge(root, booted / "probe/sandbox.jsonl", put_in)
    broken = [line for line in verdict.broken if "first." not in line]
    assert not broken, "\n".join(broken) + _journal(booted)
    assert verdict.delivered == len(put_in)
