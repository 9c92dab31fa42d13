"""Promise: what is told outside is signed, bounded in time, and sees no secret."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import os
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from aiohttp import web

from hopperd.outbound.command import Command, is_there
from hopperd.outbound.webhook import Webhook, key_of
from hopperd.ports import NotTaken

pytestmark = pytest.mark.asyncio

DOCUMENT = json.dumps({"job": "j", "exports": [{"name": "ü.xlsx"}]}).encode()


class Receiver:
    """A web server that answers as it is told and keeps what it was sent."""

    def __init__(self) -> None:
        self.answers: list[tuple[int, str, dict[str, str]]] = []
        self.got: list[tuple[dict[str, str], bytes]] = []
        self.sleep_seconds = 0.0

    async def handle(self, request: web.Request) -> web.Response:
        self.got.append(({k.lower(): v for k, v in request.headers.items()}, await request.read()))
        await asyncio.sleep(self.sleep_seconds)
        status, text, headers = self.answers.pop(0) if self.answers else (204, "", {})
        return web.Response(status=status, text=text, headers=headers)


@pytest_asyncio.fixture
async def receiver() -> AsyncIterator[tuple[Receiver, str]]:
    told = Receiver()
    app = web.Application()
    app.router.add_route("*", "/{any:.*}", told.handle)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    server: Any = site._server
    yield told, f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/told"
    await runner.cleanup()


async def test_a_post_is_signed_as_standard_webhooks_says(receiver: tuple[Receiver, str]) -> None:
    told, url = receiver
    secret = "whsec_" + base64.b64encode(b"0123456789abcdef").decode()
    webhook = Webhook(url, secret, 5.0, lambda: 1_790_000_000.9)
    await webhook.take("job.7", DOCUMENT)
    await webhook.close()
    ((headers, body),) = told.got
    assert body == DOCUMENT
    assert (headers["webhook-id"], headers["webhook-timestamp"]) == ("job.7", "1790000000")
    signature = hmac.new(b"0123456789abcdef", b"job.7.1790000000." + DOCUMENT, hashlib.sha256).digest()
    assert headers["webhook-signature"] == "v1," + base64.b64encode(signature).decode()


async def test_a_secret_that_is_no_base64_is_taken_as_it_is() -> None:
    assert key_of("whsec_not base64!") == b"whsec_not base64!"
    assert key_of("a plain secret") == b"a plain secret"


@pytest.mark.parametrize("status", [301, 302, 400, 401, 404, 410, 500, 503])
async def test_only_a_2xx_takes_a_letter_and_no_redirect_is_followed(
    receiver: tuple[Receiver, str], status: int
) -> None:
    told, url = receiver
    told.answers = [(status, "no\x1b[2Jway", {"Location": url, "Retry-After": "17"})]
    webhook = Webhook(url, "s" * 16, 5.0, time.time)
    with pytest.raises(NotTaken, match=f"answered {status}: no.x1b.2Jway") as no:
        await webhook.take("a", b"{}")
    await webhook.close()
    assert no.value.retry_after_seconds == 17.0
    assert len(told.got) == 1


async def test_a_receiver_that_hangs_or_is_not_there_is_no_more_than_trouble(receiver: tuple[Receiver, str]) -> None:
    told, url = receiver
    told.sleep_seconds = 1.0
    webhook = Webhook(url, "", 0.2, time.time)
    began = time.monotonic()
    with pytest.raises(NotTaken, match="could not be reached"):
        await webhook.take("a", b"{}")
    assert time.monotonic() - began < 2
    assert "webhook-signature" not in told.got[0][0]
    await webhook.close()
    nobody = Webhook("http://127.0.0.1:9/", "", 5.0, time.time)
    with pytest.raises(NotTaken, match="could not be reached"):
        await nobody.take("a", b"{}")
    await nobody.close()


# ------------------------------------------------------------------------------------------------------- commands


def python(program: str) -> list[str]:
    return [sys.executable, "-c", program]


async def test_a_command_reads_the_receipt_and_sees_no_secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOPPERD_ACCOUNTS__MAIN__APPLICATION_TOKEN", "very secret")
    kept = tmp_path / "kept"
    program = f"""
import json, os, sys
seen = {{"told": json.load(sys.stdin), "env": dict(os.environ), "group": os.getpgrp() == os.getpid()}}
json.dump(seen, open({str(kept)!r}, "w"))
"""
    big = json.dumps({"job": "j", "pad": "x" * 300_000}).encode()
    await Command(python(program), 20.0, {"HOPPERD_FOLDER": "us"}).take("j.3", big)
    found = json.loads(kept.read_text())
    assert found["told"]["job"] == "j"
    assert found["group"]
    found["env"].pop("LC_CTYPE", None)  # Python's own doing
    assert found["env"].keys() == {"PATH", "LANG", "HOME", "HOPPERD_FOLDER", "HOPPERD_LETTER"}
    assert found["env"]["HOPPERD_LETTER"] == "j.3"


async def test_a_command_that_takes_too_long_is_killed_with_all_it_started(tmp_path: Path) -> None:
    alive = tmp_path / "alive"
    program = f"""
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
open({str(alive)!r}, "w").write(str(child.pid))
time.sleep(600)
"""
    began = time.monotonic()
    with pytest.raises(NotTaken, match=r"took longer than 1\.5 s and was killed"):
        await Command(python(program), 1.5, {}).take("a", b"{}")
    assert time.monotonic() - began < 10
    assert _is_gone(int(alive.read_text()))


def _is_gone(pid: int) -> bool:
    for _ in range(100):
        try:
            with open(f"/proc/{pid}/stat") as stat:
                if stat.read().rpartition(")")[2].split()[0] == "Z":
                    return True
        except FileNotFoundError:
            return True
        time.sleep(0.05)
    return False


async def test_a_command_that_refuses_says_why_and_one_that_is_not_there_too() -> None:
    program = "import sys; print('x' * 100000, flush=True); print('the ERP is closed', file=sys.stderr); sys.exit(3)"
    with pytest.raises(NotTaken, match=r"ended with 3: the ERP is closed$"):
        await Command(python(program), 20.0, {}).take("a", b"{}")
    with pytest.raises(NotTaken, match="cannot be started"):
        await Command(["/nowhere/to/be/found"], 20.0, {}).take("a", b"{}")


async def test_what_a_command_leaves_behind_keeps_nobody_waiting() -> None:
    """A grandchild in a session of its own holds our end of the pipe open."""
    program = "import subprocess; subprocess.Popen(['sleep', '8'], start_new_session=True)"
    began = time.monotonic()
    await Command(python(program), 20.0, {}).take("a", b"{}")
    assert time.monotonic() - began < 6


async def test_no_descriptor_leaks() -> None:
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(5):
        await Command(["/bin/true"], 5.0, {}).take("a", b"{}")
    assert len(os.listdir("/proc/self/fd")) <= before + 2  # the loop's own child watcher


async def test_a_command_that_is_not_there_is_seen_beforehand(tmp_path: Path) -> None:
    program = tmp_path / "tell"
    program.write_text("#!/bin/sh\n")
    assert not is_there(str(program)), "it may not be run"
    program.chmod(0o755)
    assert is_there(str(program))
    assert is_there("sh")
    assert not is_there("no-such-command")
    assert not is_there("/nonexistent/cmd")
