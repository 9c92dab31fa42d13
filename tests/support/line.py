"""The whole line as a person has it: real folders, the real daemon process, the real sandbox process."""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from tests.support import forked
from tests.support.oracle import Verdict, files_below, judge

TOKEN = "torture-token"
APPLICATION = "5dae591e91375010bcd78362"


def environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("HOPPERD_")}


# Set by tests that want every Line on a ledger of this kind: makes the database, and returns its URL.
LEDGER: Callable[[], str] | None = None

# Set by tests whose matter is not the start of a process: it is forked then, not started anew.
FORK = False


def hopperd(*arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run one command to its end."""
    if FORK and options.keys() <= {"timeout"}:
        return forked.run(arguments, environment(), options.get("timeout", 120))
    settings: dict[str, Any] = {"capture_output": True, "text": True, "env": environment(), "timeout": 120}
    return subprocess.run([sys.executable, "-m", "hopperd", *arguments], **{**settings, **options})


def patience() -> float:
    """By how much a machine that has more to do than it has processors is slower; 1 where it has not."""
    return max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))


class Line:
    """A hot folder `root` with its daemon and its sandbox. Nothing of it runs until it is started."""

    def __init__(
        self,
        root: Path,
        *,
        folder: str = "",
        account: str = "",
        top: str = "",
        sandbox: Iterable[str] = (),
        processing_seconds: str = "0-0.2",
        faults: str | None = None,
        reads: bool = False,
    ) -> None:
        """`reads`: the sandbox reads the invoices, which costs a process that can; else its exports know no field."""
        self.root = root
        self.state = root / "state"
        self.log = root / "sandbox.jsonl"
        self.logs = root  # where the processes' own logs go
        self.config = root / "hopperd.toml"
        self.path = str(root)  # of the hot folder
        self.put: Counter[str] = Counter()
        self._folder, self._account = folder, account
        self._top = top if LEDGER is None else f'{top}\nledger = "{LEDGER()}"'
        reader = [] if reads else ["--reader", "none"]
        self.sandbox_options = [*reader, *sandbox, "--processing-seconds", processing_seconds]
        if faults is not None:
            (root / "faults.toml").write_text(faults)
            self.sandbox_options += ["--faults", str(root / "faults.toml")]
        self.daemon: subprocess.Popen[bytes] | forked.Forked | None = None
        self.sandbox: subprocess.Popen[bytes] | forked.Forked | None = None
        self.kills = 0
        self.aside = root / "aside"  # on the file system of in/
        self.launcher: list[str] = []  # a program that starts the daemon: strace, setpriv

    def __enter__(self) -> Line:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for process in (self.daemon, self.sandbox):
            if process is not None and process.poll() is None:
                process.kill()
                process.wait()
            if process is not None and process.stdout is not None:
                process.stdout.close()

    # -------------------------------------------------------------------------------------------------- processes

    def start_sandbox(self, port: int = 0) -> str:
        command = ["sandbox", "--port", str(port), "--log", str(self.log)]
        command += ["--application", f"{APPLICATION}:{TOKEN}", *self.sandbox_options]
        self.sandbox = _start([], command, stdout=None, stderr=self.logs / "sandbox.err")
        assert self.sandbox.stdout is not None
        line = self.sandbox.stdout.readline().decode().strip()
        assert "listening on http://127.0.0.1:" in line, (line, (self.logs / "sandbox.err").read_text())
        self.url = line.rpartition(" ")[2]
        self.configure()
        return self.url

    def stop_sandbox(self) -> None:
        assert self.sandbox is not None
        self.sandbox.terminate()
        self.sandbox.wait(timeout=20)
        if self.sandbox.stdout is not None:
            self.sandbox.stdout.close()

    def configure(self, *, folder: str | None = None, account: str | None = None) -> None:
        self._folder = self._folder if folder is None else folder
        self._account = self._account if account is None else account
        token = self.root / "token"
        token.write_text(TOKEN)
        token.chmod(0o600)
        self.config.write_text(
            f"""
state = "{self.state}"
{self._top}
[web]
listen = ""
[accounts.main]
base_url = "{self.url}"
application_id = "{APPLICATION}"
application_token_file = "{token}"
{_defaults(self._account, requests_per_second=500, uploads_at_once=8)}
[[folders]]
name = "us"
path = "{self.path}"
account = "main"
region = "US"
{_defaults(self._folder, quiet_seconds=0.2, sweep_seconds=2)}
"""
        )

    def start(self, *arguments: str, fork: bool | None = None) -> subprocess.Popen[bytes] | forked.Forked:
        """`fork` says for this one process what FORK says for all."""
        log = self.logs / "hopperd.log"
        command = ["run", "--config", str(self.config), *arguments]
        self.daemon = _start(self.launcher, command, stdout=log, stderr=log, fork=fork)
        return self.daemon

    def started(self, *arguments: str) -> None:
        """Start, and wait until it answers: a socket may also be what a killed one has left."""
        self.start(*arguments)
        self.wait_for(lambda: self.asked("/v1/status"), "the start")

    def kill(self) -> None:
        assert self.daemon is not None
        self.daemon.send_signal(signal.SIGKILL)
        self.daemon.wait()
        self.kills += 1

    def stop(self, seconds: float = 40) -> int:
        assert self.daemon is not None
        self.daemon.terminate()
        return self.daemon.wait(timeout=seconds)

    def once(self, *arguments: str, seconds: float = 120) -> int:
        return self.start("--once", *arguments).wait(timeout=seconds)

    def command(self, name: str, *arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
        return hopperd(name, "--config", str(self.config), *arguments, **options)

    def json(self, name: str, *arguments: str) -> dict[str, Any]:
        answer = self.command(name, "--json", *arguments)
        assert answer.returncode in (0, 1), (answer.stdout, answer.stderr)
        found: dict[str, Any] = json.loads(answer.stdout)
        return found

    def asked(self, path: str) -> dict[str, Any]:
        """What the running daemon answers on its control socket: a hundred times cheaper than a command."""
        found: dict[str, Any] = json.loads(self.fetched(path))
        return found

    def fetched(self, path: str) -> bytes:
        """The same as it comes."""
        here = os.open(self.state, os.O_RDONLY)
        connection = http.client.HTTPConnection("localhost", timeout=30)
        connection.sock = socket.socket(socket.AF_UNIX)
        try:
            connection.sock.settimeout(30)
            connection.sock.connect(f"/proc/self/fd/{here}/control.sock")  # its own path may be too long for a socket
            connection.request("GET", path)
            return connection.getresponse().read()
        finally:
            os.close(here)
            connection.close()

    def folder(self) -> dict[str, Any]:
        """The folder's line of the status."""
        found: dict[str, Any] = self.asked("/v1/status")["folders"][0]
        return found

    def account(self) -> dict[str, Any]:
        """The account's line of the status."""
        found: dict[str, Any] = self.asked("/v1/status")["accounts"][0]
        return found

    # ------------------------------------------------------------------------------------------------------ files

    def put_in(self, name: str | bytes, content: bytes) -> bytes:
        """One file, renamed in whole."""
        inbox = os.fsencode(self.root / "in")
        raw = os.fsencode(name)
        target = inbox + b"/" + raw
        os.makedirs(os.path.dirname(target), exist_ok=True)
        aside = os.fsencode(self.aside)
        with open(aside, "wb") as file:
            file.write(content)
        os.rename(aside, target)
        self.put[sha256(content)] += 1
        return target

    def files(self, place: str) -> dict[str, bytes]:
        """Files below one of the five folders, by their path below it."""
        top = os.fsencode(self.root / place)
        return {os.fsdecode(os.path.relpath(path, top)): path for path in files_below(self.root / place)}

    def receipts(self, place: str = "done") -> dict[str, dict[str, Any]]:
        found = {}
        for name, path in self.files(place).items():
            if name.endswith(".receipt.json"):
                with open(path, "rb") as file:
                    found[name.removesuffix(".receipt.json")] = json.load(file)
        return found

    def ended(self) -> int:
        return sum(1 for place in ("done", "failed") for name in self.files(place) if name.endswith(".receipt.json"))

    def wait_for(self, happened: Callable[[], Any], what: str, seconds: float = 60) -> Any:
        """Until it is so; says what did not happen, with the end of the log, where it never is."""
        deadline = time.monotonic() + seconds
        while True:
            asked = time.monotonic()
            with contextlib.suppress(FileNotFoundError, ConnectionError):
                if found := happened():
                    return found
            took = time.monotonic() - asked
            if time.monotonic() > deadline:
                raise AssertionError(f"{what} did not happen within {seconds} s\n{self.tail()}")
            assert self.daemon is None or self.daemon.poll() in (None, -9), f"the daemon ended\n{self.tail()}"
            time.sleep(max(0.05, 5 * took))  # whoever looks at many files must not take the time of those they wait for

    def wait_ended(self, count: int, seconds: float = 60) -> None:
        """Until so many receipts are there and, where a daemon can be asked, its ledger knows them: it does after."""
        self.wait_for(lambda: self.ended() >= count, f"the end of {count} jobs", seconds)
        if self.daemon is not None and self.daemon.poll() is None and (self.state / "control.sock").exists():
            self.wait_for(lambda: not self._filed_and_unrecorded(), "the record of what is filed away")

    def _filed_and_unrecorded(self) -> set[str]:
        with_receipt = {receipt["job"] for place in ("done", "failed") for receipt in self.receipts(place).values()}
        being_filed = self.asked("/v1/jobs?stage=delivered,abandoned&limit=1000")["jobs"]
        return with_receipt & {job["job"] for job in being_filed}

    def wait_in_stage(self, stage: str, count: int) -> None:
        """Until the ledger has so many jobs in this stage: the service knows of a Run before it does."""
        self.wait_for(lambda: len(self.asked(f"/v1/jobs?stage={stage}")["jobs"]) == count, f"{count} jobs {stage}")

    def tail(self, lines: int = 25) -> str:
        log = self.logs / "hopperd.log"
        return "\n".join(log.read_text(errors="replace").splitlines()[-lines:]) if log.exists() else "(no log)"

    def events(self, name: str | None = None) -> list[dict[str, Any]]:
        found = []
        for text in (self.logs / "hopperd.log").read_text(errors="replace").splitlines():
            with contextlib.suppress(ValueError):
                line = json.loads(text)
                if isinstance(line, dict) and name in (None, line.get("event")):
                    found.append(line)
        return found

    def deeds(self, event: str | None = None) -> list[dict[str, Any]]:
        if not self.log.exists():
            return []
        lines = [json.loads(line) for line in self.log.read_text().splitlines()]
        return [line for line in lines if event in (None, line["event"])]

    def judge(self, *, finished: bool = True) -> Verdict:
        self.log.touch()
        return judge(self.root, self.log, self.put, finished=finished)

    def keeps_every_promise(self, *, finished: bool = True) -> Verdict:
        verdict = self.judge(finished=finished)
        assert not verdict.broken, "\n".join([*verdict.broken[:20], str(verdict.figures()), self.tail(40)])
        return verdict


def _start(
    launcher: list[str], arguments: list[str], *, stdout: Path | None, stderr: Path, fork: bool | None = None
) -> subprocess.Popen[bytes] | forked.Forked:
    """hopperd with its output added to files; without `stdout` it comes through a pipe."""
    if (FORK if fork is None else fork) and not launcher:
        return forked.Forked(arguments, environment=environment(), stdout=stdout, stderr=stderr)
    with contextlib.ExitStack() as files:
        errors = files.enter_context(stderr.open("ab"))
        output = subprocess.PIPE if stdout is None else files.enter_context(stdout.open("ab"))
        command = [*launcher, sys.executable, "-m", "hopperd", *arguments]
        return subprocess.Popen(command, stdout=output, stderr=errors, env=environment())


def _defaults(text: str, **defaults: Any) -> str:
    """`text` with defaults for keys it does not set."""
    missing = [f"{key} = {value}" for key, value in defaults.items() if f"{key} =" not in text]
    return "\n".join([text, *missing])


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def invoice(number: int | str) -> bytes:
    """A small text PDF of its own."""
    from hopperd.invoices.samples import small_pdf

    return small_pdf(f"INV-{number}")


def copy_tree(source: Path, target: Path) -> Mapping[str, bytes]:
    """Copies of the plain files in `source`, by name."""
    target.mkdir(parents=True, exist_ok=True)
    copied = {}
    for path in sorted(source.iterdir()):
        if path.is_file():
            shutil.copy(path, target / path.name)
            copied[path.name] = path.read_bytes()
    return copied
