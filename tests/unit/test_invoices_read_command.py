"""`hopperd read`: a file in, an export out, and a sentence where that cannot be."""

import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from hopperd.invoices.read_worker import read_in_child
from hopperd.invoices.sample_invoices import FR, GB, make_fields
from hopperd.invoices.sample_pages import factur_x, png
from hopperd.invoices.small_pdf import small_pdf


def hopperd(*arguments: str, **environment: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-m", "hopperd", "read", *arguments],
        capture_output=True,
        timeout=60,
        env={**os.environ, **environment},
        check=False,
    )


@pytest.fixture
def invoice(tmp_path: Path) -> Path:
    path = tmp_path / "invoice.pdf"
    path.write_bytes(small_pdf("A-77", total="1,250.00", currency="GBP"))
    return path


def test_it_prints_json_unless_told_otherwise(invoice: Path) -> None:
    ended = hopperd(str(invoice))
    assert (ended.returncode, ended.stderr) == (0, b"")
    (document,) = json.loads(ended.stdout)["Documents"]
    assert (document["FileName"], document["ReadFrom"]) == ("invoice.pdf", "text")
    assert document["Fields"]["Total"] == "1250.00"


@pytest.mark.parametrize(
    ("form", "start"), [("Json", b"{"), ("csv", b"Record,"), ("xml", b"<?xml"), ("xls", b"PK\x03\x04")]
)
def test_each_format_goes_to_a_pipe_or_a_file(invoice: Path, tmp_path: Path, form: str, start: bytes) -> None:
    assert hopperd(str(invoice), "--format", form).stdout.startswith(start)
    out = tmp_path / "out"
    ended = hopperd(str(invoice), "--format", form, "--out", str(out))
    assert (ended.returncode, ended.stdout) == (0, b"")
    assert out.read_bytes().startswith(start)


def test_what_cannot_be_read_ends_with_1_and_a_sentence(tmp_path: Path, invoice: Path) -> None:
    other = tmp_path / "x.txt"
    other.write_text("hello")
    for arguments in ([str(other)], [str(tmp_path / "none")], [str(tmp_path)], [str(invoice), "--out", "/none/x"]):
        ended = hopperd(*arguments)
        assert (ended.returncode, ended.stdout) == (1, b"")
        assert ended.stderr.startswith(b"hopperd: ")
        assert ended.stderr.count(b"\n") == 1


def test_wrong_usage_ends_with_2(invoice: Path) -> None:
    for arguments in ([], [str(invoice), "--format", "pdf"], [str(invoice), "--no-such-option"]):
        assert hopperd(*arguments).returncode == 2


def test_a_workbook_is_not_poured_onto_a_terminal(invoice: Path) -> None:
    ours, theirs = pty.openpty()
    ended = subprocess.run(
        [sys.executable, "-m", "hopperd", "read", str(invoice), "--format", "xls"],
        stdout=theirs,
        stderr=subprocess.PIPE,
        timeout=60,
        check=False,
    )
    os.close(theirs)
    os.close(ours)
    assert ended.returncode == 2
    assert b"--out FILE" in ended.stderr


def test_without_an_engine_a_picture_gives_an_empty_document_and_says_why(tmp_path: Path) -> None:
    picture = tmp_path / "scan.png"
    picture.write_bytes(png(make_fields(1, GB), GB))
    ended = hopperd(str(picture), PATH="/nonexistent")
    assert ended.returncode == 0
    assert b"No engine that reads pictures is installed" in ended.stderr
    (document,) = json.loads(ended.stdout)["Documents"]
    assert (document["ReadFrom"], document["Fields"]) == ("scan", {})


def test_a_child_that_takes_too_long_costs_only_its_file() -> None:
    result = read_in_child(factur_x(make_fields(1, FR), FR), "x.pdf", "json", seconds=0.01)
    assert (result.exports, result.reason) == ((), "poison")
    assert "longer than" in str(result.what)
