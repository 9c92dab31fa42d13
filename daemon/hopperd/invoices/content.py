"""What kind of content some bytes are, told by the bytes and never by a name.

Pure functions on the first and last few kilobytes. They never open a file, never raise on odd bytes, and never claim
more than the bytes show: a kind told here may still turn out to be damaged.
"""

import re
from typing import Final

HEAD_BYTES: Final = 4096
PDF_HEADER_WITHIN_BYTES: Final = 1024

PDF: Final = "pdf"
TIFF: Final = "tiff"
JPEG: Final = "jpeg"
PNG: Final = "png"
XML: Final = "xml"
KINDS: Final = frozenset({PDF, TIFF, JPEG, PNG, XML})

_IMAGE_MAGIC: Final = (
    (b"II*\x00", TIFF),
    (b"MM\x00*", TIFF),
    (b"II+\x00", TIFF),
    (b"MM\x00+", TIFF),
    (b"\xff\xd8\xff", JPEG),
    (b"\x89PNG\r\n\x1a\n", PNG),
)
# These win over a `%PDF-` that comes later: an archive may store a PDF uncompressed within the first kilobyte.
_FOREIGN_MAGIC: Final = (
    (b"PK\x03\x04", "a ZIP archive"),
    (b"PK\x05\x06", "an empty ZIP archive"),
    (b"\x7fELF", "a program for Linux"),
    (b"Rar!\x1a\x07", "a RAR archive"),
    (b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"BZh", "a bzip2 archive"),
    (b"\xfd7zXZ\x00", "an xz archive"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an old Office document or mail message"),
    (b"SQLite format 3\x00", "a database"),
    (b"\xca\xfe\xba\xbe", "a program"),
    (b"\xcf\xfa\xed\xfe", "a program for macOS"),
)
_WEAK_FOREIGN_MAGIC: Final = (
    (b"MZ", "a program for Windows"),
    (b"#!", "a script"),
    (b"%!PS", "a PostScript file"),
    (b"{\\rtf", "an RTF document"),
    (b"GIF87a", "a GIF image"),
    (b"GIF89a", "a GIF image"),
    (b"BM", "a BMP image"),
    (b"8BPS", "a Photoshop image"),
    (b"\x00\x00\x00\x0cjP  ", "a JPEG 2000 image"),
    (b"\x1aE\xdf\xa3", "a video"),
    (b"ID3", "a sound recording"),
    (b"OggS", "a sound recording"),
    (b"-----BEGIN ", "a key, a certificate or an encrypted message"),
)
_HTML_START: Final = re.compile(
    rb"\s*(?:<!--.*?-->\s*)*<(?:!doctype\s+html|html|head|body|script|br|p|div)\b", re.IGNORECASE | re.DOTALL
)
_XML_START: Final = re.compile(
    rb"\s*<(?:\?xml\b|!--|!doctype\b|[a-z_][\w.-]*(?::[a-z_][\w.-]*)?(?:[\s/>]|$))", re.IGNORECASE
)
_MAIL_START: Final = re.compile(rb"(?:[A-Za-z-]+: [^\n]*\n(?:[ \t][^\n]*\n)*){2,}", re.DOTALL)
_OFFICE_MARKS: Final = (
    (b"mimetypeapplication/vnd.oasis.opendocument", "an OpenDocument file"),
    (b"word/", "a Word document"),
    (b"xl/", "an Excel workbook"),
    (b"ppt/", "a PowerPoint presentation"),
    (b"[Content_Types].xml", "an Office document"),
)


def sniff(head: bytes) -> str | None:
    """Tell one of `KINDS` from the first bytes of a file (`HEAD_BYTES` are enough), or None if it is something else."""
    for magic, kind in _IMAGE_MAGIC:
        if head.startswith(magic):
            return kind
    if any(head.startswith(magic) for magic, _ in _FOREIGN_MAGIC):
        return None
    plain = _as_ascii(head)
    if plain.lstrip().startswith(b"<?xml"):
        return XML
    if b"%PDF-" in head[: PDF_HEADER_WITHIN_BYTES + 4]:
        return PDF
    if _HTML_START.match(plain):
        return None
    return XML if _XML_START.match(plain) else None


def describe(head: bytes) -> str:
    """Say in a few words what bytes that are none of `KINDS` seem to be, for a sentence to a clerk."""
    for magic, name in _FOREIGN_MAGIC:
        if head.startswith(magic):
            return _describe_zip(head) if magic == b"PK\x03\x04" else name
    for magic, name in _WEAK_FOREIGN_MAGIC:
        if head.startswith(magic):
            return name
    if not head.strip(b"\x00"):
        return "nothing but zero bytes, as a broken copy leaves them"
    if head[4:8] == b"ftyp":
        return "a HEIC or AVIF photo" if head[8:12] in (b"heic", b"heix", b"mif1", b"avif") else "a video"
    if head.startswith(b"RIFF"):
        return "a WebP image" if head[8:12] == b"WEBP" else "a sound recording or video"
    if head[:1] == b"\x30" and head[1:2] in (b"\x80", b"\x82", b"\x83", b"\x84"):
        return "a signed or encrypted envelope (such as .p7m)"
    return _describe_text(head)


def is_start_of_a_known_kind(head: bytes) -> bool:
    """True if these few bytes are how a file of a known kind begins, cut off before its mark is complete."""
    marks = [magic for magic, _ in _IMAGE_MAGIC] + [b"%PDF-", b"<?xml"]
    return any(mark != head and mark.startswith(head) for mark in marks) and len(head) > 1


def tail_looks_unfinished(kind: str | None, head: bytes, tail: bytes, size: int) -> bool:
    """True if a file of this kind and size (bytes) seems to be still growing, judged by its first and last bytes.

    A hint that may only ever lengthen a wait: plenty of good files look unfinished, and a finished look proves nothing.
    """
    if kind == PDF:
        return b"%%EOF" not in tail
    if kind == JPEG:
        return b"\xff\xd9" not in tail
    if kind == PNG:
        return b"IEND" not in tail
    if kind == TIFF:
        offset = _first_directory(head)
        return offset is None or offset + 2 > size
    if kind == XML:
        return not tail.replace(b"\x00", b"").rstrip().endswith(b">")
    return False


def _first_directory(head: bytes) -> int | None:
    order = "little" if head[:2] == b"II" else "big"
    big = head[2:4] in (b"+\x00", b"\x00+")
    field = head[8:16] if big else head[4:8]
    return int.from_bytes(field, "little" if order == "little" else "big") if len(field) in (4, 8) else None


def _as_ascii(head: bytes) -> bytes:
    """Bring UTF-16 and BOMs down to what a search for ASCII marks can see; never a faithful decoding."""
    if head.startswith(b"\xef\xbb\xbf"):
        return head[3:]
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        return head[2:].replace(b"\x00", b"")
    if head[:4] in (b"<\x00?\x00", b"\x00<\x00?"):
        return head.replace(b"\x00", b"")
    return head


def _describe_zip(head: bytes) -> str:
    return next((name for mark, name in _OFFICE_MARKS if mark in head), "a ZIP archive")


def _describe_text(head: bytes) -> str:
    plain = _as_ascii(head)
    if _HTML_START.match(plain):
        return "a web page (HTML)"
    if _XML_START.match(plain):
        return "an XML file"
    if _MAIL_START.match(plain.replace(b"\r\n", b"\n")):
        return "a mail message"
    control = sum(byte < 32 and byte not in b"\t\n\r\f\x1b" for byte in plain)
    if control == 0:
        return "plain text"
    return "not of a kind we know"
