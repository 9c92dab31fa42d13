"""The words of scanned pages: each picture made upright and straight, read by the engine, within bounds of time.

Where a page lies on its side or upside down the engine is asked which way is up, and only then. What took too long is
left out and said in a note.
"""

import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from hopperd.invoices import ocr
from hopperd.invoices.ocr import Engine, EngineFailed, PageRead
from hopperd.invoices.pdf_text import Word
from hopperd.invoices.pictures import is_blank, looks_sideways, straightened, turned

if TYPE_CHECKING:
    from PIL.Image import Image

PAGES_MAX: Final = 10
_ALL_SECONDS: Final = 50.0
_PAGE_SECONDS: Final = 30.0
_GOOD: Final = 65.0
_FEW_LETTERS: Final = 20
_NOTHING: Final = PageRead(words=[], confidence=0.0, sure_letters=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scan:
    """The words of each page that was read, and sentences about what was not."""

    pages: list[list[Word]]
    notes: tuple[str, ...] = ()


def read_scan(pictures: Iterable["Image"]) -> Scan:
    """Read the pictures of one document, `PAGES_MAX` at most."""
    engine = ocr.find_engine()
    if engine is None:
        return Scan(pages=[], notes=(ocr.NO_ENGINE,))
    deadline = time.monotonic() + _ALL_SECONDS
    pages: list[list[Word]] = []
    failed = 0
    for number, picture in enumerate(pictures):
        if number >= PAGES_MAX or time.monotonic() >= deadline:
            return Scan(pages=pages, notes=(f"Only the first {number} pages were read.",))
        try:
            pages.append(_read_page(engine, picture, deadline).words)
        except EngineFailed:
            failed += 1
            pages.append([])
    notes = (f"The engine could not read {failed} of {len(pages)} pages.",) if failed else ()
    return Scan(pages=pages, notes=notes)


def _read_page(engine: Engine, picture: "Image", deadline: float) -> PageRead:
    first = _NOTHING
    if is_blank(picture):
        return first
    if not looks_sideways(picture):
        first = ocr.read_picture(engine, straightened(picture), _seconds(deadline))
        if not first.confidence:
            return first  # specks and lines: text upside down would have been misread, not missed
        if first.confidence >= _GOOD and first.sure_letters >= _FEW_LETTERS:
            return first
    turn = ocr.turn_of(engine, picture, _seconds(deadline)) if engine.knows_orientation else None
    best = first
    for degrees in (90, 270, 180, 0) if turn is None else (turn,):
        if not degrees and first.words:
            continue
        try:
            again = ocr.read_picture(engine, straightened(turned(picture, degrees)), _seconds(deadline))
        except EngineFailed:
            break
        best = max(best, again, key=lambda read: read.sure_letters)
        if best.confidence >= _GOOD and best.sure_letters >= _FEW_LETTERS:
            break
    return best


def _seconds(deadline: float) -> float:
    """What is left for one run, never more than a page may take."""
    return max(min(deadline - time.monotonic(), _PAGE_SECONDS), 1.0)
