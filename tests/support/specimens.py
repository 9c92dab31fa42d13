"""A zoo of files as they really turn up in hot folders: what is sent all the same, and what never is, and why.

Everything is made here, small, the same on every machine. Nothing in it is harmful to whoever only copies it.
"""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from dataclasses import dataclass
from functools import cache

import pypdf
from PIL import Image

from hopperd.invoices import sample_pages
from hopperd.invoices.sample_invoices import GB, make_fields
from hopperd.invoices.small_pdf import small_pdf
from tests.support.sandbox_process import tiny_ubl

MAX_SIZE_BYTES = 1_000_000
MAX_PAGES = 5
MIB = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Specimen:
    """One file. `reason` is why it must fail, None where it must be sent; `says` must stand in the receipt's words."""

    name: str
    content: bytes
    reason: str | None = None
    says: str = ""


@cache
def zoo() -> tuple[Specimen, ...]:
    """All of them. The folder must accept every kind, with MAX_SIZE_BYTES and MAX_PAGES for its limits."""
    return (*_sent(), *_broken(), *_wrong_type(), *_limits(), *_bombs(), *_xml())


def cpu_hog(number: int = 0) -> bytes:
    """A PDF of some 300 kB that takes the look into it many seconds: it claims widths without end."""
    plain = small_pdf(f"HOG-{number}")
    return plain[:15] + b"9 0 obj<</Width 1>>endobj\n%" + b"/Width 1/Height 1" * 20_000 + b"\n" + plain[15:]


# --------------------------------------------------------------------------------------------------------- sent


def _sent() -> tuple[Specimen, ...]:
    whole = small_pdf("SENT")
    jpeg = _image("JPEG", "sent")
    return (
        Specimen(name="whole.pdf", content=whole + b"\n"),
        Specimen(name="header-at-500.pdf", content=b"\x00junk" * 100 + small_pdf("500")),
        Specimen(name="bytes-after-the-end.pdf", content=small_pdf("AFTER") + b"\r\n<p>tracking</p>" * 60),
        Specimen(name="no-table.pdf", content=_cut(small_pdf("TABLE"), b"startxref")),
        Specimen(name="wrong-table.pdf", content=small_pdf("WRONG").replace(b"startxref\n", b"startxref\n9")),
        Specimen(name="owner-password.pdf", content=_pdf(1, user_password="", owner_password="o")),
        Specimen(name="called.txt", content=small_pdf("TXT")),
        Specimen(name="no extension", content=small_pdf("NONE")),
        Specimen(name="in-truth-a-jpeg.pdf", content=jpeg),
        Specimen(name="cut-in-its-picture.jpg", content=_image("JPEG", "cut")[:-40]),
        Specimen(name="progressive.jpg", content=_image("JPEG", "progressive", progressive=True)),
        Specimen(name="grey.png", content=_image("PNG", "png")),
        Specimen(name="two-pages.tif", content=sample_pages.two_page_tiff(make_fields(0, GB), GB)),
        Specimen(name="big.tif", content=_image("TIFF", "big", big_tiff=True)),
        Specimen(name="plain.xml", content=tiny_ubl("X-1")),
        Specimen(name="with-bom.xml", content=b"\xef\xbb\xbf" + tiny_ubl("X-2")),
        Specimen(name="utf-16.xml", content=_utf_16(tiny_ubl("X-3"))),
    )


# ----------------------------------------------------------------------------------------------- beyond opening


def _broken() -> tuple[Specimen, ...]:
    return (
        Specimen(name="empty.pdf", content=b"", reason="empty"),
        Specimen(name="three-bytes.pdf", content=b"%PD", reason="truncated"),
        Specimen(name="cut.pdf", content=small_pdf("CUT")[:60], reason="truncated"),
        Specimen(name="cut.jpg", content=_image("JPEG", "x")[:30], reason="truncated"),
        Specimen(name="cut.png", content=_image("PNG", "x")[:33], reason="truncated"),
        Specimen(name="cut.tif", content=_image("TIFF", "x")[:60], reason="truncated"),
        Specimen(name="cut-directory.tif", content=b"II*\x00\x00\x10\x00\x00" + bytes(100), reason="truncated"),
        Specimen(
            name="password.pdf",
            content=_pdf(1, user_password="u", owner_password="o"),
            reason="encrypted",
            says="password",
        ),
        Specimen(name="no-pages.pdf", content=_pdf(0), reason="no-pages"),
        Specimen(
            name="lost-pages.pdf", content=small_pdf("X").replace(b"Kids[3 0 R]", b"Kids[9 0 R]"), reason="no-pages"
        ),
        Specimen(name="garbage.pdf", content=b"%PDF-1.7\n" + bytes(range(256)) * 20 + b"\n%%EOF\n", reason="damaged"),
        Specimen(name="garbage.jpg", content=b"\xff\xd8\xff\xe0\x00\x04ab" + b"no markers" * 9, reason="damaged"),
    )


def _wrong_type() -> tuple[Specimen, ...]:
    word = _zip({"[Content_Types].xml": "<Types/>", "word/document.xml": "<w/>"})
    return tuple(
        Specimen(name=name, content=content, reason="wrong-type", says=says)
        for name, content, says in (
            ("archive.pdf", _zip({"invoice.pdf": "%PDF-1.4"}), "ZIP"),
            ("word.pdf", word, "Word"),
            ("excel.pdf", _zip({"[Content_Types].xml": "<Types/>", "xl/workbook.xml": "<w/>"}), "Excel"),
            ("old-office.pdf", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600), "Office"),
            ("program.pdf", b"MZ\x90\x00\x03" + bytes(600), "Windows"),
            ("linux-program.pdf", b"\x7fELF\x02\x01\x01" + bytes(600), "Linux"),
            ("script.pdf", b"#!/bin/sh\nexit 0\n", "script"),
            ("page.pdf", b"<!DOCTYPE html><html><body>Please sign in</body></html>", "web page"),
            ("text.pdf", b"Invoice 17\nTotal: 100.00 EUR\n", "plain text"),
            ("mail.pdf", b"From: a@example.com\nTo: b@example.com\nSubject: hi\n\nbody\n", "mail"),
            ("zeros.pdf", bytes(70_000), "zero bytes"),
            ("bytes.pdf", bytes(range(256)) * 3, "not of a kind"),
            ("photo.jpg", b"\x00\x00\x00\x18ftypheic" + bytes(90), "HEIC"),
            ("picture.png", _image("GIF", "gif"), "GIF"),
        )
    )


def _limits() -> tuple[Specimen, ...]:
    heavy = small_pdf("HEAVY") + b"%" + b"x" * MAX_SIZE_BYTES
    return (
        Specimen(name="too-large.pdf", content=heavy, reason="too-large", says="1.0 MB"),
        Specimen(name="many-pages.pdf", content=_pdf(MAX_PAGES + 1), reason="too-many-pages", says="6 pages"),
        Specimen(name="many-pages.tif", content=_tiff(MAX_PAGES + 1), reason="too-many-pages"),
    )


def _bombs() -> tuple[Specimen, ...]:
    packed = _endless_zeros()
    jpeg = bytearray(_image("JPEG", "bomb"))
    frame = jpeg.index(b"\xff\xc0")
    jpeg[frame + 5 : frame + 9] = struct.pack(">HH", 65_000, 65_000)
    header = b"\x00\x00\x00\rIHDR" + struct.pack(">IIBBBBB", 60_000, 60_000, 1, 0, 0, 0, 0) + bytes(4)
    entries = struct.pack("<HHHII", 2, 256, 4, 1, 100_000) + struct.pack("<HHII", 257, 4, 1, 100_000)
    plain = small_pdf("PICTURE")
    picture = b"9 0 obj<</Subtype/Image/Height 70000 /Width 70000/Length 0>>stream\nendstream endobj\n"
    bombs = {
        "stream.pdf": _flate(packed, b"/FlateDecode"),
        "stream-in-stream.pdf": _flate(zlib.compress(packed, 9), b"[/FlateDecode/FlateDecode]"),
        "picture.pdf": plain[:15] + picture + plain[15:],
        "pixels.jpg": bytes(jpeg),
        "pixels.png": b"\x89PNG\r\n\x1a\n" + header + bytes(4) + b"IDAT",
        "pixels.tif": b"II*\x00\x08\x00\x00\x00" + entries + bytes(4),
        "nested.xml": b"<a>" * 10_000,
    }
    return tuple(Specimen(name=f"bomb-{name}", content=content, reason="bomb") for name, content in bombs.items())


def _xml() -> tuple[Specimen, ...]:
    laughs = b"".join(b'<!ENTITY l%d "%s">' % (n, b"&l%d;" % (n - 1) * 10) for n in range(1, 10))
    unsafe = {
        "dtd.xml": b"<?xml version='1.0'?><!DOCTYPE a SYSTEM 'http://127.0.0.1:9/x.dtd'><a/>",
        "laughs.xml": b'<!DOCTYPE a [<!ENTITY l0 "ha">' + laughs + b"]><a>&l9;</a>",
        "entity.xml": b"<!DOCTYPE a [<!ENTITY b SYSTEM 'file:///etc/hostname'>]><a>&b;</a>",
        "utf-16-dtd.xml": "<!DOCTYPE a [<!ENTITY b 'c'>]><a>&b;</a>".encode("utf-16"),
    }
    return (
        *(Specimen(name=name, content=content, reason="unsafe-xml") for name, content in unsafe.items()),
        Specimen(name="unclosed.xml", content=tiny_ubl("X-9")[:-12], reason="damaged"),
        Specimen(name="no-encoding.xml", content=b"<?xml version='1.0' encoding='none-such'?><a/>", reason="damaged"),
    )


# --------------------------------------------------------------------------------------------------- making them


def _endless_zeros() -> bytes:
    """300 MiB of zeros deflated: one flushed piece again and again, which is quicker than to compress them all."""
    engine = zlib.compressobj(9)
    head = engine.compress(b"") + engine.flush(zlib.Z_FULL_FLUSH)
    piece = engine.compress(bytes(MIB)) + engine.flush(zlib.Z_FULL_FLUSH)
    return head + piece * 300


def _cut(data: bytes, mark: bytes) -> bytes:
    return data[: data.index(mark)]


def _utf_16(data: bytes) -> bytes:
    return data.decode().replace('encoding="UTF-8"', 'encoding="UTF-16"').encode("utf-16")


def _image(form: str, text: str, **options: object) -> bytes:
    """A small picture whose bytes depend on `text`."""
    out = io.BytesIO()
    picture = Image.new("L", (80, 60), 200)
    for at, letter in enumerate(text):
        picture.putpixel((at, at), ord(letter))
    picture.save(out, form, **options)
    return out.getvalue()


def _tiff(pages: int) -> bytes:
    out = io.BytesIO()
    first, *others = (Image.new("L", (20, 20), shade) for shade in range(pages))
    first.save(out, "TIFF", save_all=True, append_images=others)
    return out.getvalue()


def _pdf(pages: int, **encryption: str) -> bytes:
    writer = pypdf.PdfWriter()
    for _ in range(pages):
        writer.add_blank_page(200, 200)
    if encryption:
        writer.encrypt(algorithm="RC4-128", **encryption)
    out = io.BytesIO()
    writer.write(out)
    return out.getvalue()


def _flate(packed: bytes, filters: bytes) -> bytes:
    plain = small_pdf("FLATE")
    return plain[: plain.index(b"5 0 obj")] + (
        b"5 0 obj\n<</Length %d/Filter%b>>stream\n%b\nendstream\nendobj\ntrailer<</Root 1 0 R>>\n%%%%EOF\n"
        % (len(packed), filters, packed)
    )


def _zip(members: dict[str, str]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, content in members.items():
            archive.writestr(zipfile.ZipInfo(name), content)
    return out.getvalue()
