"""The look into a PDF: does it open without a password, how many pages, is anything in it a bomb.

Opens with pypdfium2, imported only when the first PDF comes. Never renders a page and never decodes an image. Inflates
other compressed streams only as far as needed to see that they stay within bounds.
"""

import re
import zlib
from collections.abc import Iterator
from typing import Final

from hopperd.invoices.verdict import (
    Limits,
    Refused,
    bomb,
    damaged,
    encrypted,
    no_pages,
    refuse,
    too_many_pages,
    truncated,
)

# Deflate cannot expand more than this; a stream too short to reach the bound needs no trial.
_DEFLATE_RATIO_MAX: Final = 1032
_TRIAL_BUDGET_BYTES: Final = 768 * 1024 * 1024
_TRIAL_STEP_BYTES: Final = 1024 * 1024
_DICTIONARY_BYTES: Final = 2048
_TAIL_BYTES: Final = 4096
_ERROR_FILE: Final = 2
_ERROR_PASSWORD: Final = 4
_ERROR_SECURITY: Final = 5
_WIDTH: Final = re.compile(rb"/Width\s+(\d{1,10})")
_HEIGHT: Final = re.compile(rb"/Height\s+(\d{1,10})")
_STREAM: Final = re.compile(rb">>\s*stream\r?\n")
_FLATE: Final = re.compile(rb"/Fl(?:ateDecode)?\b")
_IMAGE: Final = re.compile(rb"/Subtype\s*/Image\b")


def look_at_pdf(data: bytes, limits: Limits) -> int:
    """Open a PDF and count its pages. Raises `Refused`."""
    _look_for_bombs(data, limits)
    return _count_pages(data, limits)


def _count_pages(data: bytes, limits: Limits) -> int:
    import pypdfium2

    document = None
    try:
        document = pypdfium2.PdfDocument(data)
        pages = len(document)
        if pages > limits.max_pages:
            raise too_many_pages(pages, limits.max_pages)
        if pages == 0:
            raise no_pages("pdf")
        document.get_page_size(0)
    except pypdfium2.PdfiumError:
        raise (_why_not_opened(data) if document is None else _pages_not_found()) from None
    finally:
        if document is not None:
            document.close()
    return pages


def _why_not_opened(data: bytes) -> Refused:
    """Sort PDFium's error codes: 4 is a missing password, 5 a protection it does not know, 3 is damage.

    PDFium leaves the last error standing when it meets a document without pages, so an error of an earlier file would
    be taken for this one's. A path that cannot exist sets it to 2 ("file not found") first; 2 afterwards means that
    the document was understood and has no page.
    """
    import pypdfium2

    pypdfium2.raw.FPDF_LoadDocument(b"/dev/null/none", None)
    try:
        pypdfium2.PdfDocument(data).close()
    except pypdfium2.PdfiumError as error:
        code = error.err_code
    else:
        code = None
    if code in (_ERROR_PASSWORD, _ERROR_SECURITY):
        return encrypted()
    if code == _ERROR_FILE:
        return _pages_not_found()
    return damaged("pdf") if b"%%EOF" in data[-_TAIL_BYTES:] else truncated("pdf")


def _pages_not_found() -> Refused:
    return refuse(
        "no-pages",
        "The file is a PDF document, but not one page can be found in it.",
        "Ask the sender for it again.",
        0,
    )


def _look_for_bombs(data: bytes, limits: Limits) -> None:
    """Search the bytes: the dictionary of a stream stands in plain, even in an encrypted or compressed PDF."""
    for width in _WIDTH.finditer(data):
        own = _own_dictionary(data, width.start())
        if any(int(width[1]) * int(height) > limits.max_pixels for height in _HEIGHT.findall(own)):
            raise bomb("The PDF holds an image that claims far more pixels than any scan of an invoice.")
    budget = _TRIAL_BUDGET_BYTES
    for stream in _STREAM.finditer(data):
        budget -= _try_stream(data, stream, limits)
        if budget <= 0:
            return


def _own_dictionary(data: bytes, position: int) -> bytes:
    """What surrounds a position, cut down to its own object as far as object borders show."""
    start = data.rfind(b" obj", max(0, position - _DICTIONARY_BYTES), position)
    end = data.find(b"stream", position, position + _DICTIONARY_BYTES)
    return data[max(start, position - _DICTIONARY_BYTES, 0) : end if end > 0 else position + _DICTIONARY_BYTES]


def _try_stream(data: bytes, stream: re.Match[bytes], limits: Limits) -> int:
    """Inflate one stream in small steps, counting only; returns the bytes spent. Raises `Refused` beyond the limit."""
    dictionary = data[max(0, stream.start() - _DICTIONARY_BYTES) : stream.start()]
    dictionary = dictionary[max(dictionary.rfind(b" obj"), 0) :]
    filters = len(_FLATE.findall(dictionary))
    if not filters or _IMAGE.search(dictionary):
        return 0
    end = data.find(b"endstream", stream.end())
    length = (end if end >= 0 else len(data)) - stream.end()
    if length * _DEFLATE_RATIO_MAX**filters <= limits.max_inflated_bytes:
        return 0
    return _inflated_size(memoryview(data)[stream.end() : stream.end() + length], filters, limits)


def _inflated_size(piece: "memoryview | bytes", filters: int, limits: Limits) -> int:
    engines = [zlib.decompressobj() for _ in range(filters)]
    total = 0
    try:
        for start in range(0, len(piece), _TRIAL_STEP_BYTES // 8):
            for out in _through(engines, bytes(piece[start : start + _TRIAL_STEP_BYTES // 8])):
                total += out
                if total > limits.max_inflated_bytes:
                    raise bomb("The PDF unpacks to far more data than any invoice holds.")
    except zlib.error:
        return total  # not ours to judge: PDFium tells whether it can be read
    return total


def _through(engines: "list[zlib._Decompress]", data: bytes) -> Iterator[int]:
    """Pass bytes through a chain of inflaters in bounded steps; yields the sizes that come out at the end."""
    first, rest = engines[0], engines[1:]
    while data:
        out = first.decompress(data, _TRIAL_STEP_BYTES)
        data = first.unconsumed_tail
        if rest:
            yield from _through(rest, out)
        else:
            yield len(out)
        if not out and not data:
            return
