"""The child process that looks into files: one answer per line, nothing else, and it ends with its input."""

import base64
import json
import os
import subprocess
import sys
from pathlib import Path

from hopperd.invoices.small_pdf import small_pdf

LIMITS = {"max_size_bytes": 1_000_000, "max_pages": 10}


def request(path: Path, **more: object) -> str:
    encoded = base64.b64encode(os.fsencode(path)).decode()
    return json.dumps({"path": encoded, "accept": ["pdf", "xml"], "limits": LIMITS, **more}) + "\n"


def run(lines: str, *flags: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "hopperd.invoices.inspect_worker", *flags],
        input=lines,
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_it_answers_in_order_and_ends_with_its_input(tmp_path: Path) -> None:
    (tmp_path / "a.pdf").write_bytes(small_pdf("1"))
    (tmp_path / "b.pdf").write_bytes(b"<a>")
    result = run(request(tmp_path / "a.pdf", id="j1") + request(tmp_path / "b.pdf") + request(tmp_path / "c.pdf"))
    assert (result.returncode, result.stderr) == (0, "")
    first, second, third = map(json.loads, result.stdout.splitlines())
    assert first == {"id": "j1", "kind": "pdf", "pages": 1, "refusal": None}
    assert second["kind"] == "xml"
    assert second["refusal"]["reason"] == "damaged"
    assert third["refusal"]["reason"] == "unreadable"


def test_it_works_under_the_limits_it_is_given(tmp_path: Path) -> None:
    (tmp_path / "a.pdf").write_bytes(small_pdf("1"))
    flags = ("--memory-bytes", str(1 << 30), "--cpu-seconds", "5", "--die-with-parent")
    result = run(request(tmp_path / "a.pdf") * 3, *flags)
    assert result.returncode == 0
    assert [json.loads(line)["pages"] for line in result.stdout.splitlines()] == [1, 1, 1]


def test_no_input_means_a_quiet_end() -> None:
    result = run("")
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")
