"""A PostgreSQL server of the tests' own, on loopback, in a folder of its own: durable as in earnest, gone with them.

`server()` starts one for the whole test process at its first use, and skips the test where PostgreSQL's programs are
not to be found. Tests that kill or stop a server start one of their own with `Server()`.
"""

from __future__ import annotations

import atexit
import contextlib
import glob
import itertools
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from functools import cache
from pathlib import Path

import psycopg
import pytest

START_SECONDS = 30.0
STOP_SECONDS = 30.0
ROLE = "hopperd"
GUARDED = ("guarded", "p@ss/word:%&")  # a role that must say its password, and the password

_CONFIGURATION = """
listen_addresses = '127.0.0.1'
unix_socket_directories = ''
max_connections = 60
shared_buffers = 32MB
fsync = on
synchronous_commit = on
full_page_writes = on
max_wal_size = 256MB
autovacuum_naptime = 10s
logging_collector = off
log_lock_waits = on
deadlock_timeout = 1s
log_line_prefix = '%m [%p] %a '
password_encryption = 'scram-sha-256'
"""

_ACCESS = """
host all {guarded} 127.0.0.1/32 scram-sha-256
host all all 127.0.0.1/32 trust
"""


def programs() -> Path | None:
    """The folder with initdb and postgres: what POSTGRES_PROGRAMS names, the newest of Debian's, or the one on PATH."""
    named = os.environ.get("POSTGRES_PROGRAMS")
    if named:
        return Path(named).resolve()
    found = [Path(path).parent for path in glob.glob("/usr/lib/postgresql/*/bin/initdb")]
    if found:
        return max(found, key=lambda path: float(path.parent.name))
    initdb = shutil.which("initdb")
    return Path(initdb).resolve().parent if initdb is not None else None


class Server:
    """One cluster. Running when the constructor returns; `stop`, `kill` and `start` as often as a test likes."""

    def __init__(self, configuration: str = "", *, within: str | None = None) -> None:
        """`configuration`: lines that come after those above. `within`: a folder that anybody may enter."""
        found = programs()
        if found is None:
            pytest.skip("PostgreSQL's programs (initdb, postgres) are not installed")
        self._programs = found
        self._folder = tempfile.mkdtemp(prefix="hopperd-postgres-", dir=within)
        self._data = os.path.join(self._folder, "data")
        self._user = _plain_user()
        self._names = itertools.count(1)
        self.process: subprocess.Popen[bytes] | None = None
        if self._user is not None:
            shutil.chown(self._folder, self._user)
        atexit.register(self.remove)
        self._make(configuration)
        self.port = _free_port()
        self.start()
        with self.admin() as connection:
            connection.execute(f"CREATE ROLE {ROLE} LOGIN")
            password = GUARDED[1].replace("'", "''")
            connection.execute(f"CREATE ROLE {GUARDED[0]} LOGIN PASSWORD '{password}'")

    def _make(self, configuration: str) -> None:
        command = [str(self._programs / "initdb"), "--pgdata", self._data, "--username", "admin", "--auth", "trust"]
        command += ["--encoding", "UTF8", "--locale", "C", "--no-sync"]
        made = subprocess.run(command, user=self._user, capture_output=True, cwd="/", text=True, env=_environment())
        assert made.returncode == 0, made.stderr
        with open(os.path.join(self._data, "postgresql.conf"), "a") as file:
            file.write(_CONFIGURATION + configuration)
        Path(self._data, "pg_hba.conf").write_text(_ACCESS.format(guarded=GUARDED[0]))

    def start(self) -> None:
        """Returns when it answers."""
        command = [str(self._programs / "postgres"), "-D", self._data, "-p", str(self.port)]
        if shutil.which("setpriv") is not None:  # it shall not outlive a test process that is killed
            user = pwd.getpwnam(self._user) if self._user is not None else None
            changed = [f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"] if user else []
            command = ["setpriv", *changed, "--pdeathsig", "INT", *command]
            as_user = None
        else:
            as_user = self._user
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, user=as_user, cwd="/", env=_environment()
            )
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                self.admin().close()
                return
            except psycopg.OperationalError:
                assert self.process.poll() is None, self.tail()
                assert time.monotonic() < deadline, self.tail()
                time.sleep(0.05)

    def stop(self) -> None:
        """In order: sessions are ended, everything is written."""
        self._end(signal.SIGINT)

    def kill(self) -> None:
        """As if its machine had died: nothing more is written, and the next start recovers from the log."""
        self._end(signal.SIGQUIT)

    def _end(self, how: signal.Signals) -> None:
        if self.process is not None:
            self.process.send_signal(how)
            self.process.wait(STOP_SECONDS)
            self.process = None

    def remove(self) -> None:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.kill()
        shutil.rmtree(self._folder, ignore_errors=True)

    @property
    def log(self) -> str:
        return os.path.join(self._folder, "log")

    def tail(self) -> str:
        return "\n".join(Path(self.log).read_text(errors="replace").splitlines()[-20:])

    def admin(self, database: str = "postgres") -> psycopg.Connection[tuple[object, ...]]:
        """A connection that may do everything; each statement of it stands by itself."""
        return psycopg.connect(
            host="127.0.0.1", port=self.port, user="admin", dbname=database, autocommit=True, connect_timeout=5
        )

    def database(self) -> str:
        """The URL of a new, empty database."""
        name = f"ledger_{next(self._names)}"
        with self.admin() as connection:
            connection.execute(f"CREATE DATABASE {name} OWNER {ROLE}")
        return self.url(name)

    def url(self, database: str, role: str = ROLE) -> str:
        return f"postgresql://{role}@127.0.0.1:{self.port}/{database}"


@cache
def server() -> Server:
    """The one that the tests of this process share; they put everything into databases of their own."""
    return Server()


def _plain_user() -> str | None:
    """Whose the server is: PostgreSQL refuses to run as root."""
    if os.getuid() != 0:
        return None
    known = {entry.pw_name for entry in pwd.getpwall()}
    return next(name for name in ("postgres", "nobody") if name in known)


def _environment() -> dict[str, str]:
    return {"PATH": os.environ.get("PATH", "/usr/bin:/bin"), "LC_ALL": "C"}


def _free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        port: int = listening.getsockname()[1]
        return port
