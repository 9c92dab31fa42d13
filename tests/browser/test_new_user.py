"""Promise: what a new user runs into stands on the page and in `status` within ten seconds, in a clerk's words."""

from __future__ import annotations

import contextlib
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support import specimens
from tests.support.chromium import CHROMIUM
from tests.support.line import invoice
from tests.support.web_line import WebLine

playwright = pytest.importorskip("playwright.sync_api")
SECONDS = 10.0

pytestmark = [
    pytest.mark.timeout(240),
    pytest.mark.skipif(not os.path.exists(CHROMIUM), reason=f"the browser test needs {CHROMIUM}"),
]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as started:
        chromium = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-dev-shm-usage"])
        yield chromium
        chromium.close()


def within_ten_seconds(line: WebLine, browser: Any, put_in: Any, *words: str) -> None:
    """From the moment something is put in: on the page that is open already, and in what `status` prints."""
    context = browser.new_context()
    page = context.new_page()
    page.goto(line.address)
    page.get_by_role("heading", name="Needs a person").wait_for()
    began = time.monotonic()
    put_in()
    needs = page.locator("#needs")
    for word in words:
        left = max(0.1, SECONDS - (time.monotonic() - began))
        playwright.expect(needs).to_contain_text(word, timeout=left * 1000)
    on_page = time.monotonic() - began
    told = line.command("status").stdout
    context.close()
    assert all(word in told for word in words), told
    print(f"on the page after {on_page:.1f} s")


def test_an_encrypted_pdf_and_a_service_that_is_gone(tmp_path: Path, browser: Any) -> None:
    (locked,) = [one for one in specimens.zoo() if one.reason == "encrypted"][:1]
    with WebLine(tmp_path, folder="quiet_seconds = 2") as line:
        line.serve()
        within_ten_seconds(
            line,
            browser,
            lambda: line.put_in("locked.pdf", locked.content),
            "locked.pdf",
            "does not open without a password",
            "Save it without the password and put it in again",
        )
        line.stop_sandbox()
        within_ten_seconds(
            line,
            browser,
            lambda: line.put_in("stranded.pdf", invoice(1)),
            "capture service cannot be reached; invoices wait, none is lost",
        )
        assert line.stop() == 0


def test_wrong_credentials(tmp_path: Path, browser: Any) -> None:
    with WebLine(tmp_path, folder="quiet_seconds = 2") as line:
        line.start_sandbox()
        line.config.write_text(line.config.read_text().replace('listen = ""', 'listen = "127.0.0.1:0"'))
        (line.root / "token").write_text("the token of somebody else")
        line.started()
        line.page_address()
        within_ten_seconds(
            line,
            browser,
            lambda: line.put_in("invoice.pdf", invoice(2)),
            "capture service does not accept our application id or token; invoices wait, none is lost",
            "Check the account's application id and token",
        )
        assert line.stop() == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small file system of the test's own needs root")
def test_a_full_disk(tmp_path: Path, browser: Any) -> None:
    disk = tmp_path / "out"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=2m", "hopperd-test", str(disk)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("a tmpfs cannot be mounted here")
    try:
        with WebLine(tmp_path, folder="quiet_seconds = 2", top="free_space_bytes = 1_000_000") as line:
            line.serve()
            with (disk / "ballast").open("wb", buffering=0) as file, contextlib.suppress(OSError):
                while True:
                    file.write(bytes(4096))
            within_ten_seconds(line, browser, lambda: line.put_in("invoice.pdf", invoice(3)), "Free space", str(disk))
            assert line.stop() == 0
    finally:
        subprocess.run(["umount", "-l", str(disk)], capture_output=True, check=False)
