"""The words of a PDF page and where they stand, top-left first; the same shape that OCR gives.

Reads with pypdfium2 and only what is drawn as text. Turned pages are turned back. Never renders. PDFium is not
thread-safe: one process, one document at a time.
"""

import ctypes
import re
from typing import Any, Final, NamedTuple

_CHARACTERS_MAX: Final = 30_000
_COVERS: Final = 0.6
_FIRST_OBJECTS: Final = 40
_LAST_OBJECTS: Final = 5


class Word(NamedTuple):
    """One word in its box: points from the left and from the top of the page."""

    text: str
    left: float
    top: float
    right: float
    bottom: float


def page_words(pdf: Any, index: int) -> list[Word]:
    """The words of one page of an open pypdfium2 document, in the order of its text."""
    return read_page(pdf, index)[0]


def read_page(pdf: Any, index: int) -> tuple[list[Word], bool]:
    """The words of one page, and whether it is a scan: their text then is what somebody else's engine made of it."""
    import pypdfium2

    try:
        page = pdf[index]
    except pypdfium2.PdfiumError:
        return [], False
    text_page = page.get_textpage()
    try:
        turn = _Turn(page.get_rotation(), *page.get_size())
        return _words(text_page.raw, turn, pypdfium2.raw), _is_picture(page, pypdfium2.raw)
    finally:
        text_page.close()
        page.close()


def _is_picture(page: Any, raw: Any) -> bool:
    """Whether a picture covers the page, and any text was put invisibly over it or hidden behind it."""
    width, height = page.get_size()
    count = raw.FPDFPage_CountObjects(page.raw)
    covered = is_text_seen = False
    for place in (*range(min(count, _FIRST_OBJECTS)), *range(max(_FIRST_OBJECTS, count - _LAST_OBJECTS), count)):
        item = raw.FPDFPage_GetObject(page.raw, place)
        kind = raw.FPDFPageObj_GetType(item)
        if kind == raw.FPDF_PAGEOBJ_TEXT and not is_text_seen:
            is_text_seen = raw.FPDFTextObj_GetTextRenderMode(item) != raw.FPDF_TEXTRENDERMODE_INVISIBLE
        elif kind == raw.FPDF_PAGEOBJ_IMAGE and _area(item, raw) >= _COVERS * width * height:
            covered, is_text_seen = True, False
    return covered and not is_text_seen


def _area(item: Any, raw: Any) -> float:
    left, bottom, right, top = (ctypes.c_float() for _ in range(4))
    raw.FPDFPageObj_GetBounds(item, left, bottom, right, top)
    return (right.value - left.value) * (top.value - bottom.value)


class _Turn:
    """Brings PDF coordinates (from the bottom left, before the page is turned) to what a reader sees."""

    def __init__(self, degrees: int, width: float, height: float) -> None:
        self._degrees = degrees
        self._width = width
        self._height = height

    def box(self, left: float, bottom: float, right: float, top: float) -> tuple[float, float, float, float]:
        """left, top, right, bottom as seen; `width` and `height` are those of the page as seen."""
        if self._degrees == 90:
            return bottom, left, top, right
        if self._degrees == 180:
            return self._width - right, bottom, self._width - left, top
        if self._degrees == 270:
            return self._width - top, self._height - right, self._width - bottom, self._height - left
        return left, self._height - top, right, self._height - bottom


def _words(text_page: Any, turn: _Turn, raw: Any) -> list[Word]:
    text = _characters(text_page, raw)
    box_of, box = raw.FPDFText_GetLooseCharBox, raw.FS_RECTF()
    to_box = ctypes.byref(box)
    found = []
    for match in _WORD.finditer(text):
        start, end = match.span()
        box_of(text_page, start, to_box)
        left, bottom, right, top = box.left, box.bottom, box.right, box.top
        if end - start > 1:
            box_of(text_page, end - 1, to_box)
            left, bottom = min(left, box.left), min(bottom, box.bottom)
            right, top = max(right, box.right), max(top, box.top)
        word = match[0] if match[0].isascii() and "\x02" not in match[0] else match[0].translate(_OTHERWISE)
        found.append(Word(word, *turn.box(left, bottom, right, top)))
    return found


def _characters(text_page: Any, raw: Any) -> str:
    """All characters, one for each index that PDFium knows them by."""
    count = min(raw.FPDFText_CountChars(text_page), _CHARACTERS_MAX)
    if count <= 0:
        return ""
    buffer = (ctypes.c_ushort * (count + 1))()
    written = raw.FPDFText_GetText(text_page, 0, count, buffer)
    text = bytes(buffer)[: 2 * max(written - 1, 0)].decode("utf-16-le", "replace")
    if len(text) == count:
        return text
    # characters beyond 16 bits, or left out by PDFium: one call each is slow but keeps the places right
    return "".join(chr(raw.FPDFText_GetUnicode(text_page, index) or 32) for index in range(count))


_WORD: Final = re.compile(r"[^\s\x00-\x01\x03-\x20\u00a0\u2007\u2009\u202f\u3000\ufeff\uffff]+")
_OTHERWISE: Final = str.maketrans(
    {"\x02": "-", "\ufffe": "-", "\u2010": "-", "\u2011": "-", "\u2012": "-", "\u2212": "-", "\xad": "-"}
)
