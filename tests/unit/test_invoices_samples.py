"""hopperd's own sample invoices: the promised kinds, the same bytes every time, many of them in no time."""

import io
import time
from pathlib import Path

import pypdf
import pytest

from hopperd.invoices.inspect import Limits, inspect_file
from hopperd.invoices.samples import make_samples, small_pdf

LIMITS = Limits(max_size_bytes=10_000_000, max_pages=10)


def test_the_default_set_has_every_promised_kind_and_passes_the_look(tmp_path: Path) -> None:
    paths = make_samples(tmp_path)
    verdicts = [inspect_file(bytes(path), frozenset({"pdf", "tiff", "png"}), LIMITS) for path in paths]
    assert all(verdict.refusal is None for verdict in verdicts)
    assert sorted(verdict.kind or "" for verdict in verdicts) == ["pdf"] * 6 + ["png", "tiff"]
    assert [verdict.pages for verdict in verdicts if verdict.kind == "tiff"] == [2]
    assert any(path.parent != tmp_path for path in paths), "one lies in a subfolder"


def test_one_is_a_real_factur_x_and_one_a_scan_without_text(tmp_path: Path) -> None:
    paths = {path.name: path for path in make_samples(tmp_path)}
    reader = pypdf.PdfReader(paths["atelier-clairval-factur-x.pdf"])
    assert list(reader.attachments) == ["factur-x.xml"]
    assert b"AFRelationship /Data" in paths["atelier-clairval-factur-x.pdf"].read_bytes()
    assert "factur-x" in str(reader.xmp_metadata.stream.get_data() if reader.xmp_metadata else "")
    assert pypdf.PdfReader(paths["thornwick-fasteners-scan.pdf"]).pages[0].extract_text().strip() == ""


def test_the_same_call_writes_the_same_bytes(tmp_path: Path) -> None:
    first, second = make_samples(tmp_path / "a"), make_samples(tmp_path / "b")
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]


def test_a_bulk_is_quick_and_every_file_differs(tmp_path: Path) -> None:
    begun = time.monotonic()
    paths = make_samples(tmp_path, 600)
    assert time.monotonic() - begun < 10
    assert len({path.read_bytes() for path in paths}) == 600


def test_it_never_writes_over_a_file(tmp_path: Path) -> None:
    make_samples(tmp_path, 1)
    with pytest.raises(FileExistsError):
        make_samples(tmp_path, 1)


def test_a_small_pdf_is_a_whole_pdf_of_a_kilobyte() -> None:
    data = small_pdf("A-(1)\\", total="12.34", currency="EUR")
    assert len(data) < 1100
    text = pypdf.PdfReader(io.BytesIO(data), strict=True).pages[0].extract_text()
    assert "A-(1)\\" in text
    assert "EUR 12.34" in text
