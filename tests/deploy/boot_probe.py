"""Runs inside the booted system, as a service of its own: makes things happen to hopperd.service, writes what it saw.

Standard library only. Judges nothing: tests/deploy/test_systemd.py does. Each scenario's findings stand under its name
in /probe/found.json, also when a later one fails.
"""

from __future__ import annotations

import hashlib
import json
import os
import pwd
import re
import signal
import stat
import subprocess
import time
import traceback
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

HOPPERD = "/opt/hopperd/bin/hopperd"
ROOT = Path("/srv/invoices/us")
SANDBOX = "http://127.0.0.1:8765"
TOKEN = "a-token-for-the-probe"
FAULTS = '[[fault]]\non = "run"\nkind = "slow"\nseconds = 1.5\n'

found: dict[str, Any] = {}
put_in: Counter[str] = Counter()


def sh(command: str, seconds: float = 60) -> str:
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, timeout=seconds, check=False)
    return done.stdout + done.stderr


def show(*names: str, unit: str = "hopperd") -> dict[str, str]:
    lines = sh(f"systemctl show {unit} {' '.join(f'-p {name}' for name in names)}").splitlines()
    return dict(line.split("=", 1) for line in lines if "=" in line)


def main_pid() -> int:
    return int(show("MainPID")["MainPID"])


def wait_for(happened: Callable[[], Any], what: str, seconds: float = 60) -> float:
    """Seconds it took."""
    began = time.monotonic()
    while not happened():
        if time.monotonic() - began > seconds:
            raise TimeoutError(f"{what} did not happen within {seconds} s")
        time.sleep(0.1)
    return round(time.monotonic() - began, 2)


def put(*names: str) -> None:
    """As a member of the group would: its own umask, no rights of root."""
    for name in names:
        make = "import sys, hopperd.invoices.samples as s; sys.stdout.buffer.write(s.small_pdf(sys.argv[1]))"
        content = subprocess.run(["/opt/hopperd/bin/python", "-c", make, name], capture_output=True, check=True).stdout
        put_in[hashlib.sha256(content).hexdigest()] += 1
        aside = Path("/tmp", name)
        aside.write_bytes(content)
        aside.chmod(0o644)
        sh(f"su clerk -s /bin/sh -c 'umask 022; cp /tmp/{name} {ROOT}/in/{name}'")
        aside.unlink()


def receipts() -> list[Path]:
    return [path for place in ("done", "failed") for path in (ROOT / place).rglob("*.receipt.json")]


def all_ended() -> bool:
    return len(receipts()) >= sum(put_in.values())


def journal(*options: str, unit: str = "hopperd") -> list[dict[str, Any]]:
    lines = sh(f"journalctl --no-pager -o json -u {unit} {' '.join(options)}").splitlines()
    return [json.loads(line) for line in lines if line.startswith("{")]


def events() -> list[str]:
    names = []
    for line in journal():
        text = line.get("MESSAGE")
        if isinstance(text, str) and text.startswith("{"):
            names.append(json.loads(text).get("event", ""))
    return names


# --------------------------------------------------------------------------------------------------------- scenarios


def install() -> dict[str, Any]:
    """hopperd install-service, for real."""
    Path("/token").write_text(TOKEN)
    Path("/faults.toml").write_text(FAULTS)
    said = sh(
        f"{HOPPERD} install-service --folder {ROOT} --service {SANDBOX} --region US "
        "--application-id probe --token-file /token </dev/null"
    )
    os.unlink("/token")
    again = sh(
        f"{HOPPERD} install-service --folder {ROOT} --service {SANDBOX} --region US --application-id other </dev/null"
    )
    with Path("/etc/hopperd/hopperd.toml").open("a") as file:
        file.write("quiet_seconds = 0.3\nsweep_seconds = 5\n")
    Path("/etc/systemd/system/hopperd.service.d").mkdir(exist_ok=True)
    Path("/etc/systemd/system/hopperd.service.d/test.conf").write_text("[Service]\nWatchdogSec=8\nRestartSec=1\n")
    sh("useradd -M -G invoices clerk; systemctl daemon-reload")
    sh(
        f"systemd-run -q --unit=sandbox {HOPPERD} sandbox --port 8765 --application probe:{TOKEN} "
        "--log /probe/sandbox.jsonl --faults /faults.toml --processing-seconds 0.1-0.5"
    )
    wait_for(lambda: "listening" in sh("journalctl -u sandbox -o cat"), "the sandbox's start")
    files = ["/etc/hopperd", "/etc/hopperd/tokens", "/etc/hopperd/tokens/main", "/etc/hopperd/hopperd.toml", str(ROOT)]
    next_steps = said.partition("Next:")[2]
    check = re.search(r"systemd-run(.|\n)*?hopperd\.toml", next_steps)
    checked = sh(check[0]) if check else "no command to check was told"
    return {"said": said, "again": again, "rights": {path: rights(path) for path in files}, "checked": checked}


def rights(path: str | Path) -> str:
    return sh(f"stat -c '%A %U:%G' {path}").strip()


def start() -> dict[str, Any]:
    began = time.monotonic()
    said = sh("systemctl enable --now hopperd 2>&1", 120)
    took = time.monotonic() - began
    answer = subprocess.run([HOPPERD, "status", "--json"], capture_output=True, text=True, check=False)
    unit = show("ActiveState", "SubState", "StatusText", "Type", "WatchdogUSec", "NotifyAccess")
    return {"said": said, "seconds": round(took, 2), "running": json.loads(answer.stdout)["running"], "unit": unit}


def deliver() -> dict[str, Any]:
    put("first.pdf")
    seconds = wait_for(all_ended, "the delivery of first.pdf")
    status = Path(f"/proc/{main_pid()}/status").read_text()
    fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    members = Path("/sys/fs/cgroup/system.slice/hopperd.service/cgroup.procs")
    if not members.exists():
        members = Path("/sys/fs/cgroup/systemd/system.slice/hopperd.service/cgroup.procs")
    pids = members.read_text().split() if members.exists() else sh(f"pgrep -P {main_pid()}").split()
    commands = [Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode() for pid in pids]
    export, original = next((ROOT / "out").glob("first.*")), next((ROOT / "done").rglob("first.pdf"))
    reach = f"nsenter -t {main_pid()} -m -- sh -c"
    return {
        "seconds": seconds,
        "user": pwd.getpwuid(int(fields["Uid"].split()[0])).pw_name,
        "groups": sorted(sh("id -Gn hopperd").split()),
        "capabilities": fields["CapEff"],
        "no_new_privileges": fields["NoNewPrivs"],
        "seccomp": fields["Seccomp"],
        "environment_holds_token": TOKEN in Path(f"/proc/{main_pid()}/environ").read_text(),
        "commands": commands,
        "state": rights("/var/lib/hopperd"),
        "export": rights(export),
        "original": rights(original),
        "usr_is_read_only": "Read-only" in sh(f"{reach} 'touch /usr/x'"),
        "etc_is_read_only": "Read-only" in sh(f"{reach} 'touch /etc/x'"),
        "home_is_hidden": sh(f"{reach} 'ls -A /root /home'"),
        "clerk_takes_the_export": sh(f"su clerk -s /bin/sh -c 'cat {export} >/dev/null && rm {export}' && echo taken"),
        "status_text": show("StatusText")["StatusText"],
    }


def reload_() -> dict[str, Any]:
    path = Path("/etc/hopperd/hopperd.toml")
    path.write_text(path.read_text().replace("sweep_seconds = 5", "sweep_seconds = 3"))
    before = main_pid()
    said = sh("systemctl reload hopperd")
    wait_for(lambda: "reloaded" in events(), "the reload")
    path.write_text(path.read_text() + "nonsense = 1\n")
    sh("systemctl reload hopperd")
    wait_for(lambda: "reload-refused" in events(), "the refused reload")
    path.write_text(path.read_text().replace("nonsense = 1\n", ""))
    return {"said": said, "same_process": before == main_pid(), "state": show("ActiveState")["ActiveState"]}


def hang() -> dict[str, Any]:
    put(*(f"hang-{number}.pdf" for number in range(4)))
    before = main_pid()
    os.kill(before, signal.SIGSTOP)
    seconds = wait_for(lambda: main_pid() not in (0, before), "the watchdog's restart", 60)
    wait_for(lambda: show("ActiveState")["ActiveState"] == "active", "the recovery")
    wait_for(all_ended, "the delivery of what was put in before the hang", 90)
    said = sh("journalctl -u hopperd -o cat | grep -i -E 'watchdog|Fatal Python error'")
    return {"seconds": seconds, "restarts": show("NRestarts")["NRestarts"], "journal": said}


def killed() -> dict[str, Any]:
    put(*(f"kill-{number}.pdf" for number in range(4)))
    before, restarts = main_pid(), int(show("NRestarts")["NRestarts"])
    os.kill(before, signal.SIGKILL)
    seconds = wait_for(lambda: main_pid() not in (0, before), "the restart")
    wait_for(all_ended, "the delivery of what was put in before the kill", 90)
    return {"seconds": seconds, "restarts": int(show("NRestarts")["NRestarts"]) - restarts}


def stop_with_a_run_in_flight() -> dict[str, Any]:
    put("flight.pdf")
    wait_for(lambda: Path("/probe/sandbox.jsonl").read_text().count('"run"') >= sum(put_in.values()), "its Run")
    began = time.monotonic()
    sh("systemctl stop hopperd", 120)
    took = round(time.monotonic() - began, 2)
    unit = show("Result", "ExecMainStatus", "ActiveState")
    says = events()
    sh("systemctl start hopperd", 120)
    wait_for(all_ended, "the delivery after the stop")
    doubts = {path.name: json.loads(path.read_text())["doubts"] for path in receipts()}
    return {"seconds": took, "unit": unit, "events": says[-3:], "doubts": doubts["flight.pdf.receipt.json"]}


def refuse_a_mistake() -> dict[str, Any]:
    """Exit code 2 is final: the unit is failed, where monitoring sees it."""
    path = Path("/etc/hopperd/hopperd.toml")
    before = path.read_text()
    path.write_text(before + "nonsense = 1\n")
    sh("systemctl restart hopperd", 120)
    time.sleep(3)
    unit = show("ActiveState", "Result", "ExecMainStatus")
    path.write_text(before)
    sh("systemctl reset-failed hopperd; systemctl start hopperd", 120)
    return {"unit": unit, "after": show("ActiveState")["ActiveState"]}


def read_journal() -> dict[str, Any]:
    ours = [line for line in journal() if str(line.get("MESSAGE", "")).startswith("{")]
    warnings = [line for line in journal("-p", "err") if str(line.get("MESSAGE", "")).startswith("{")]
    return {
        "lines": len(ours),
        "identifiers": sorted({line["SYSLOG_IDENTIFIER"] for line in ours}),
        "events": sorted({json.loads(line["MESSAGE"])["event"] for line in ours}),
        "errors": sorted({json.loads(line["MESSAGE"])["event"] for line in warnings}),
        "token_is_told": TOKEN in sh("journalctl --no-pager -o export -u hopperd"),
        "denied": sh("journalctl --no-pager | grep -i -E 'seccomp|SIGSYS|apparmor.*DENIED'"),
        "security": sh("systemd-analyze security hopperd.service --no-pager").strip().splitlines()[-1:],
        "mode_of_socket": stat.filemode(os.stat("/var/lib/hopperd/control.sock").st_mode),
    }


def instance() -> dict[str, Any]:
    """A second hopperd beside the first, by the template unit."""
    Path("/etc/hopperd/two.toml").write_text(
        f"""[web]
listen = ""
[accounts.two]
base_url = "{SANDBOX}"
application_id = "probe"
[[folders]]
name = "two"
path = "/srv/invoices/two"
account = "two"
region = "US"
"""
    )
    sh("install -m 600 /etc/hopperd/tokens/main /etc/hopperd/tokens/two; chgrp hopperd /etc/hopperd/two.toml")
    sh("install -d -o hopperd -g invoices -m 2770 /srv/invoices/two")
    sh("cp /opt/hopperd/lib/python3*/site-packages/hopperd/systemd/hopperd@.service /etc/systemd/system/")
    said = sh("systemctl daemon-reload; systemctl start hopperd@two", 120)
    active = show("ActiveState", unit="hopperd@two")["ActiveState"]
    return {"said": said, "state": active, "folder": rights("/var/lib/hopperd-two")}


def end() -> dict[str, Any]:
    sh("systemctl stop hopperd hopperd@two sandbox", 120)
    return {"unit": show("Result", "ActiveState"), "put_in": dict(put_in)}


def main() -> None:
    Path("/probe/booted").touch()
    for scenario in (
        install, start, deliver, reload_, hang, killed, stop_with_a_run_in_flight, refuse_a_mistake, read_journal,
        instance, end,
    ):  # fmt: skip
        began = time.monotonic()
        try:
            found[scenario.__name__.rstrip("_")] = scenario()
        except Exception:
            found.setdefault("errors", []).append(f"{scenario.__name__}: {traceback.format_exc()}")
        found.setdefault("took", {})[scenario.__name__] = round(time.monotonic() - began, 1)
        Path("/probe/found.json").write_text(json.dumps(found))
    Path("/probe/journal.txt").write_text(sh("journalctl --no-pager -u 'hopperd*' -o short-monotonic"))


if __name__ == "__main__":
    main()
