"""The look into a file: what is certain is refused with its reason, what is only doubtful passes."""

import io
import os
import struct
import zlib
from pathlib import Path

import pypdf
import pytest
from PIL import Image

from hopperd.invoices import sample_pages
from hopperd.invoices.inspect import Limits, Verdict, inspect_file
from hopperd.invoices.sample_invoices import GB, US, make_fields
from hopperd.invoices.small_pdf import small_pdf

ALL = frozenset({"pdf", "tiff", "jpeg", "png", "xml"})
LIMITS = Limits(max_size_bytes=20_000_000, max_pages=50)


def look(folder: Path, data: bytes, *, accept: frozenset[str] = ALL, limits: Limits = LIMITS) -> Verdict:
    path = os.fsencode(folder) + b"/odd \xff name.pdf"
    with open(path, "wb") as file:
        file.write(data)
    return inspect_file(path, accept, limits)


def reason(verdict: Verdict) -> str | None:
    if verdict.refusal:
        assert verdict.refusal.what.endswith("."), "a refusal is a sentence"
        assert verdict.refusal.do.endswith("."), "what to do is a sentence"
    return verdict.refusal.reason if verdict.refusal else None


def image_bytes(form: str, **options: object) -> bytes:
    out = io.BytesIO()
    Image.new("L", (80, 60), 200).save(out, form, **options)
    return out.getvalue()


def pdf_with(pages: int, **encryption: str) -> bytes:
    writer = pypdf.PdfWriter()
    for _ in range(pages):
        writer.add_blank_page(200, 200)
    if encryption:
        writer.encrypt(algorithm="RC4-128", **encryption)
    out = io.BytesIO()
    writer.write(out)
    return out.getvalue()


def flate_pdf(packed: bytes, filters: bytes = b"/FlateDecode") -> bytes:
    plain = small_pdf("X")
    start = plain.index(b"5 0 obj")
    return plain[:start] + (
        b"5 0 obj\n<</Length %d/Filter%b>>stream\n%b\nendstream\nendobj\ntrailer<</Root 1 0 R>>\n%%%%EOF\n"
        % (len(packed), filters, packed)
    )


@pytest.mark.parametrize(
    ("data", "kind", "pages"),
    [
        pytest.param(small_pdf("1"), "pdf", 1, id="pdf"),
        pytest.param(b"\x00junk\n" * 100 + small_pdf("1"), "pdf", 1, id="pdf-after-junk"),
        pytest.param(small_pdf("1") + b"\r\n<html>tracking</html>" * 40, "pdf", 1, id="pdf-with-bytes-after-eof"),
        pytest.param(image_bytes("JPEG"), "jpeg", 1, id="jpeg"),
        pytest.param(image_bytes("JPEG", progressive=True), "jpeg", 1, id="jpeg-progressive"),
        pytest.param(image_bytes("PNG"), "png", 1, id="png"),
        pytest.param(image_bytes("TIFF"), "tiff", 1, id="tiff"),
        pytest.param(image_bytes("TIFF", big_tiff=True), "tiff", 1, id="big-tiff"),
        pytest.param(sample_pages.two_page_tiff(make_fields(0, GB), GB), "tiff", 2, id="tiff-of-two-pages"),
        pytest.param(b"<Invoice/>", "xml", None, id="xml-bare"),
        pytest.param(b"\xef\xbb\xbf<?xml version='1.0'?><Invoice/>", "xml", None, id="xml-bom"),
        pytest.param(
            "<?xml version='1.0' encoding='UTF-16'?><Invoice>ü</Invoice>".encode("utf-16"), "xml", None, id="xml-utf-16"
        ),
        pytest.param("\ufeff<?xml version='1.0'?><Invoice/>".encode("utf-16-be"), "xml", None, id="xml-utf-16-be"),
        pytest.param(
            "<?xml version='1.0' encoding='ISO-8859-15'?><Invoice>€</Invoice>".encode("iso-8859-15"),
            "xml",
            None,
            id="xml-latin",
        ),
    ],
)
def test_whole_files_of_every_kind_pass_whatever_their_name(
    tmp_path: Path, data: bytes, kind: str, pages: int | None
) -> None:
    verdict = look(tmp_path, data)
    assert reason(verdict) is None
    assert (verdict.kind, verdict.pages) == (kind, pages)


def test_a_damaged_pdf_that_still_opens_is_not_refused(tmp_path: Path) -> None:
    data = small_pdf("1")
    assert reason(look(tmp_path, data[: data.index(b"startxref")])) is None, "a lost end is only doubtful"
    assert reason(look(tmp_path, data.replace(b"startxref\n", b"startxref\n9"))) is None


def test_a_jpeg_cut_in_its_picture_still_shows_something_and_passes(tmp_path: Path) -> None:
    data = image_bytes("JPEG")
    assert reason(look(tmp_path, data[:-10])) is None


def test_nothing_in_the_file_is_empty(tmp_path: Path) -> None:
    assert reason(look(tmp_path, b"")) == "empty"


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"%PD", id="pdf-mark-itself"),
        pytest.param(small_pdf("1")[:40], id="pdf"),
        pytest.param(image_bytes("JPEG")[:30], id="jpeg"),
        pytest.param(image_bytes("PNG")[:33], id="png"),
        pytest.param(image_bytes("TIFF")[:60], id="tiff-data"),
        pytest.param(b"II*\x00\x00\x10\x00\x00" + b"\x00" * 100, id="tiff-directory"),
        pytest.param(b"II*\x00", id="tiff-four-bytes"),
    ],
)
def test_cut_beyond_opening_is_truncated(tmp_path: Path, data: bytes) -> None:
    assert reason(look(tmp_path, data)) == "truncated"


def test_a_password_to_open_is_encrypted_but_an_owner_password_alone_is_no_obstacle(tmp_path: Path) -> None:
    assert reason(look(tmp_path, pdf_with(1, user_password="u", owner_password="o"))) == "encrypted"
    open_copy = look(tmp_path, pdf_with(2, user_password="", owner_password="o"))
    assert (reason(open_copy), open_copy.pages) == (None, 2)


def test_a_pdf_without_pages_says_so(tmp_path: Path) -> None:
    look(
        tmp_path, pdf_with(1, user_password="u")
    )  # what PDFium remembers of one file must not be held against the next
    assert reason(look(tmp_path, pdf_with(0))) == "no-pages"
    plain = small_pdf("1")
    assert reason(look(tmp_path, plain.replace(b"Kids[3 0 R]", b"Kids[9 0 R]"))) == "no-pages"


@pytest.mark.parametrize(
    ("data", "word"),
    [
        (b"PK\x03\x04" + b"\x00" * 26 + b"inner.pdf%PDF-1.4", "ZIP"),
        (b"PK\x03\x04" + b"\x00" * 26 + b"[Content_Types].xml" + b"x" * 40 + b"word/document.xml", "Word"),
        (b"PK\x03\x04" + b"\x00" * 26 + b"[Content_Types].xml" + b"x" * 40 + b"xl/workbook.xml", "Excel"),
        (b"\x7fELF\x02\x01\x01", "program"),
        (b"MZ\x90\x00\x03" + b"\x00" * 60, "Windows"),
        (b"<!DOCTYPE html><html><body>Sign in</body></html>", "web page"),
        (b"\n<html>\n", "web page"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\x00" * 50, "Office"),
        (b"Total: 100.00 EUR\n", "plain text"),
        (b"From: a@example.com\nTo: b@example.com\nSubject: hi\n\nbody", "mail"),
        (b"\x00" * 5000, "zero bytes"),
        (b"\x00\x00\x00\x18ftypheic\x00\x00\x00\x00", "HEIC"),
        (b"RIFF\x00\x00\x00\x00WEBPVP8 ", "WebP"),
        (bytes(range(256)) * 3, "not of a kind"),
    ],
)
def test_other_content_named_pdf_is_wrong_type_and_told_what_it_is(tmp_path: Path, data: bytes, word: str) -> None:
    verdict = look(tmp_path, data)
    assert reason(verdict) == "wrong-type"
    assert verdict.refusal is not None
    assert word in verdict.refusal.what


def test_a_kind_the_folder_does_not_take_is_wrong_type(tmp_path: Path) -> None:
    verdict = look(tmp_path, b"<?xml version='1.0'?><a/>", accept=frozenset({"pdf"}))
    assert (verdict.kind, reason(verdict)) == ("xml", "wrong-type")


def test_limits_on_size_and_pages(tmp_path: Path) -> None:
    tight = Limits(max_size_bytes=1000, max_pages=2)
    assert reason(look(tmp_path, b"%PDF-" + b"x" * 1000, limits=tight)) == "too-large"
    many = look(tmp_path, pdf_with(3), limits=Limits(max_size_bytes=10_000, max_pages=2))
    assert (reason(many), many.pages) == ("too-many-pages", 3)
    tiff = sample_pages.two_page_tiff(make_fields(0, GB), GB)
    assert reason(look(tmp_path, tiff, limits=Limits(max_size_bytes=100_000, max_pages=1))) == "too-many-pages"


def test_images_that_claim_absurd_sizes_are_bombs(tmp_path: Path) -> None:
    header = b"\x00\x00\x00\rIHDR" + struct.pack(">IIBBBBB", 60_000, 60_000, 1, 0, 0, 0, 0) + b"\x00" * 4
    assert reason(look(tmp_path, b"\x89PNG\r\n\x1a\n" + header + b"\x00\x00\x00\x00IDAT")) == "bomb"
    jpeg = bytearray(image_bytes("JPEG"))
    frame = jpeg.index(b"\xff\xc0")
    jpeg[frame + 5 : frame + 9] = struct.pack(">HH", 65_000, 65_000)
    assert reason(look(tmp_path, bytes(jpeg))) == "bomb"
    entries = struct.pack("<HHHII", 2, 256, 4, 1, 100_000) + struct.pack("<HHII", 257, 4, 1, 100_000)
    assert reason(look(tmp_path, b"II*\x00\x08\x00\x00\x00" + entries + b"\x00" * 4)) == "bomb"
    plain = small_pdf("1")
    picture = b"9 0 obj<</Subtype/Image/Height 70000 /Width 70000/Length 0>>stream\nendstream endobj\n"
    assert reason(look(tmp_path, plain[:15] + picture + plain[15:])) == "bomb"


def test_streams_that_unpack_without_end_are_bombs(tmp_path: Path) -> None:
    packed = zlib.compress(b"\x00" * 300_000_000, 9)
    assert reason(look(tmp_path, flate_pdf(packed))) == "bomb"
    twice = zlib.compress(packed, 9)
    assert len(twice) < 20_000
    assert reason(look(tmp_path, flate_pdf(twice, b"[/FlateDecode/FlateDecode]"))) == "bomb"
    assert reason(look(tmp_path, flate_pdf(zlib.compress(b"\n" * 30_000_000)))) is None


def test_a_tiff_whose_directories_run_in_a_circle_ends(tmp_path: Path) -> None:
    entry = struct.pack("<HHII", 256, 4, 1, 10)
    verdict = look(tmp_path, b"II*\x00\x08\x00\x00\x00" + struct.pack("<H", 1) + entry + struct.pack("<I", 8))
    assert (reason(verdict), verdict.pages) == (None, 1)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"<?xml version='1.0'?><a><b></a>", "damaged"),
        (b"<?xml version='1.0'?>", "damaged"),
        (b"<?xml version='1.0'?><!DOCTYPE a SYSTEM 'http://127.0.0.1/x.dtd'><a/>", "unsafe-xml"),
        (b"<!DOCTYPE a [<!ENTITY b 'c'>]><a>&b;</a>", "unsafe-xml"),
        ("<!DOCTYPE a [<!ENTITY b 'c'>]><a>&b;</a>".encode("utf-16"), "unsafe-xml"),
        (b"<a>" * 10_000, "bomb"),
        (b"<?xml version='1.0' encoding='no-such-thing'?><a/>", "damaged"),
        (b"<?xml version='1.0'?><rss><channel/></rss>", "wrong-type"),
        (b"<a><b><c><d><Invoice/></d></c></b></a>", "wrong-type"),
        (b"<Envelope><Body><Invoice></Body></Envelope>", "damaged"),
    ],
)
def test_xml_is_checked_for_form_and_for_harm(tmp_path: Path, data: bytes, expected: str) -> None:
    assert reason(look(tmp_path, data)) == expected


def test_what_looks_like_a_pdf_but_is_garbage_is_damaged(tmp_path: Path) -> None:
    assert reason(look(tmp_path, b"%PDF-1.7\n" + bytes(range(256)) * 20 + b"\n%%EOF\n")) == "damaged"


def test_what_cannot_be_read_is_unreadable(tmp_path: Path) -> None:
    assert reason(inspect_file(os.fsencode(tmp_path / "gone.pdf"), ALL, LIMITS)) == "unreadable"
    assert reason(inspect_file(os.fsencode(tmp_path), ALL, LIMITS)) == "unreadable"
    os.mkfifo(tmp_path / "pipe")
    assert reason(inspect_file(os.fsencode(tmp_path / "pipe"), ALL, LIMITS)) == "unreadable", "a fifo must not block"


@pytest.mark.parametrize("cut", range(0, 2100, 150))
def test_no_cut_of_a_good_pdf_ever_raises(tmp_path: Path, cut: int) -> None:
    data = sample_pages.text_pdf(make_fields(1, US), US)
    assert reason(look(tmp_path, data[:cut])) in {None, "empty", "truncated"}


def test_a_verdict_survives_the_pipe() -> None:
    verdict = inspect_file(b"/nowhere/at/all", ALL, LIMITS)
    assert Verdict.from_json(verdict.as_json()) == verdict
