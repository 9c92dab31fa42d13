"""Reads one file into documents: the data an e-invoice carries, else what its text says, else what its pictures show.

What cannot be opened raises `Unreadable`; what can be opened always gives a document, with unknown fields left out.
Never writes anything, never fetches anything, and never trusts the file's name.
"""

import io
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, TypeAlias

from hopperd.invoices import safe_xml
from hopperd.invoices.content import HEAD_BYTES, KINDS, XML, sniff
from hopperd.invoices.document import Document, Fields, ReadFrom
from hopperd.invoices.einvoice import read_einvoice
from hopperd.invoices.inspect import look_into
from hopperd.invoices.sums import completed, confidence
from hopperd.invoices.verdict import Limits, Refused

if TYPE_CHECKING:
    from pypdfium2 import PdfDocument

    from hopperd.invoices.pdf_text import Word

DEFAULT_LIMITS: Final = Limits(max_size_bytes=100_000_000, max_pages=1000, max_xml_bytes=20_000_000)
_TEXT_PAGES_MAX: Final = 20
_ATTACHMENTS_MAX: Final = 50
_WORDS_OF_A_TEXT_PAGE: Final = 5
_GOOD_TEXT: Final = 0.9
_LATIN: Final = re.compile(r"[A-Za-z]")
_NOT_LATIN: Final = re.compile(r"[\u0370-\u1dff\u2e80-\u9fff\uac00-\ud7af]")
_MIXED_WORDS_MAX: Final = 0.01
_Read: TypeAlias = tuple[tuple[Document, ...], tuple[str, ...]]


class Unreadable(Exception):
    """The file cannot be read as an invoice at all: `reason` is a slug as in a refusal, `what` a sentence."""

    def __init__(self, reason: str, what: str) -> None:
        super().__init__(reason, what)  # both, so that it survives the way back from a worker process
        self.reason = reason
        self.what = what

    def __str__(self) -> str:
        return self.what


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """The documents in one file and how many pages were billed for them (1 for a file without pages).

    `notes` are sentences for a person: that no engine for pictures is installed, or that pages were left out.
    """

    documents: tuple[Document, ...]
    pages: int
    notes: tuple[str, ...] = ()


def read_document(data: bytes, name: str, limits: Limits = DEFAULT_LIMITS) -> Document:
    """The (first) document in a file. Raises `Unreadable`."""
    return read(data, name, limits).documents[0]


def read(data: bytes, name: str, limits: Limits = DEFAULT_LIMITS) -> Reading:
    """All documents in a file: at least one, more only where an e-invoice holds several. Raises `Unreadable`."""
    try:
        pages = look_into(io.BytesIO(data), len(data), KINDS, limits) or 1
        kind = sniff(data[:HEAD_BYTES])
        if kind == XML:
            return Reading(documents=_from_einvoice(read_einvoice(data) or [Fields()], name), pages=pages)
        if kind == "pdf":
            documents, notes = _read_pdf(data, name, limits)
        else:
            documents, notes = _read_pictures(data, name)
    except Refused as refused:
        raise Unreadable(refused.refusal.reason, refused.refusal.what) from None
    except MemoryError:
        raise Unreadable("bomb", "The file needs more memory to open than any invoice.") from None
    return Reading(documents=documents, pages=pages, notes=notes)


def _from_einvoice(invoices: list[Fields], name: str) -> tuple[Document, ...]:
    return tuple(_document(fields, name, "einvoice") for fields in invoices)


def _document(fields: Fields, name: str, read_from: ReadFrom) -> Document:
    known = fields != Fields()
    score = confidence(fields, read_from) if known else 0.0
    return Document(file_name=name, read_from=read_from, confidence=score, fields=fields)


def _read_pictures(data: bytes, name: str) -> _Read:
    from hopperd.invoices.pictures import pictures_in
    from hopperd.invoices.scan import read_scan

    scan = read_scan(pictures_in(data))
    return (_document(_fields(scan.pages, is_scan=True), name, "scan"),), scan.notes


def _read_pdf(data: bytes, name: str, limits: Limits) -> _Read:
    import pypdfium2

    from hopperd.invoices.pdf_text import read_page

    pdf = pypdfium2.PdfDocument(data)
    try:
        if invoices := _embedded(pdf, data, limits):
            return _from_einvoice(invoices, name), ()
        found = [read_page(pdf, index) for index in range(min(len(pdf), _TEXT_PAGES_MAX))]
        pages = [words for words, _ in found]
        text = _document(_fields(pages), name, "text")
        pictures = [index for index, (_, is_picture) in enumerate(found) if is_picture]
        if text.confidence >= _GOOD_TEXT and not any(is_misread(pages[index]) for index in pictures):
            return (text,), ()
        return _read_as_scan(pdf, pages, pictures, text)
    finally:
        pdf.close()


def is_misread(words: list["Word"]) -> bool:
    """Whether the text over a scan mixes scripts within words, as engines do where they cannot read."""
    mixed = sum(bool(_LATIN.search(word.text) and _NOT_LATIN.search(word.text)) for word in words)
    return mixed > _MIXED_WORDS_MAX * len(words)


def _read_as_scan(pdf: "PdfDocument", pages: list[list["Word"]], scanned: list[int], text: Document) -> _Read:
    """Pages that are pictures are read as such; text that somebody else's engine put over them fills what we miss."""
    from hopperd.invoices.pictures import pdf_picture
    from hopperd.invoices.scan import read_scan

    words = sum(map(len, pages))
    if words < _WORDS_OF_A_TEXT_PAGE:
        scanned = list(range(len(pages)))
    if not scanned or (0 not in scanned and text.fields.total is not None):
        return (text,), ()
    scan = read_scan(pdf_picture(pdf, index) for index in scanned)
    if not scan.pages:
        return (text if words >= _WORDS_OF_A_TEXT_PAGE else replace(text, read_from="scan"),), scan.notes
    ours = dict(zip(scanned, scan.pages, strict=False))
    read = _document(_fields([ours.get(index, page) for index, page in enumerate(pages)], True), text.file_name, "scan")
    return (_better(read, text),), scan.notes


def _better(ours: Document, theirs: Document) -> Document:
    """Of two readings of one scan ours, the totals of the one whose sums agree, and from theirs what ours lacks."""
    return _document(completed(ours.fields, theirs.fields), ours.file_name, "scan")


def _fields(pages: list[list["Word"]], is_scan: bool = False) -> Fields:
    from hopperd.invoices.text_fields import read_fields

    return read_fields(pages, is_scan)


def _embedded(pdf: "PdfDocument", data: bytes, limits: Limits) -> list[Fields]:
    """The e-invoice attached to a PDF, if any; an attachment that is broken or unsafe is as good as none."""
    for content in _attachments(pdf, data):
        if len(content) > limits.max_xml_bytes or sniff(content[:HEAD_BYTES]) != XML:
            continue
        try:
            if invoices := read_einvoice(content):
                return invoices
        except (safe_xml.BadXml, safe_xml.UnsafeXml, safe_xml.TooDeepXml):
            continue
    return []


def _attachments(pdf: "PdfDocument", data: bytes) -> Iterator[bytes]:
    """The contents of attached files: those PDFium lists, else those that only stand somewhere in the file."""
    import pypdfium2

    count = min(pdf.count_attachments(), _ATTACHMENTS_MAX)
    for index in range(count):
        try:
            yield bytes(pdf.get_attachment(index).get_data())
        except pypdfium2.PdfiumError:
            continue
    if not count and b"EmbeddedFile" in data:
        from hopperd.invoices.unlisted_attachments import unlisted_attachments

        yield from unlisted_attachments(data, _ATTACHMENTS_MAX)
