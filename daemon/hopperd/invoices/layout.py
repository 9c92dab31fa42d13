"""Words of a page put together as a person sees them: rows from top to bottom, cells from left to right.

A cell is a run of words with no gap wider than a letter's height. Nothing here knows what the words mean.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from operator import attrgetter
from statistics import median
from typing import Final

from hopperd.invoices.amounts import Amount, amounts_in, uses_decimal_comma
from hopperd.invoices.dates import plain
from hopperd.invoices.pdf_text import Word

_GAP_IN_HEIGHTS: Final = 0.85
_OVERLAP_IN_HEIGHTS: Final = 0.5
_SAME_ROW_IN_HEIGHTS: Final = 0.45
_BELOW_IN_HEIGHTS: Final = 3.2
# a page made to be slow must not make one cell of a million words
_DIGIT: Final = re.compile(r"\d")
_LEFT: Final = attrgetter("left")
_CELL_CHARACTERS_MAX: Final = 300
_WORD_CHARACTERS_MAX: Final = 100


@dataclass(slots=True, eq=False)
class Cell:
    """Some words side by side; `row` is the index of its row among all rows of the document."""

    text: str
    left: float
    top: float
    right: float
    bottom: float
    row: int = -1
    column: int = -1
    _plain: str = ""

    @property
    def plain(self) -> str:
        """The text in lower case without accents, character for character."""
        self._plain = self._plain or plain(self.text)
        return self._plain

    @property
    def height(self) -> float:
        return self.bottom - self.top


@dataclass(slots=True, eq=False)
class Row:
    """The cells at one height of one page, from left to right."""

    page: int
    cells: list[Cell]
    text: str
    plain: str
    top: float
    amounts: tuple[Amount, ...] = ()


@dataclass(slots=True)
class Layout:
    """All rows of a document in reading order, and the height of most of its text."""

    rows: list[Row]
    text_height: float = 10.0
    text: str = field(default="", repr=False)
    plain: str = field(default="", repr=False)
    decimal_comma: bool = False
    is_scan: bool = False

    def right_of(self, cell: Cell, most: int = 3) -> list[Cell]:
        """The next few cells in the same row; without any, those of a neighbouring row that stand a little off."""
        found = self.rows[cell.row].cells[cell.column + 1 : cell.column + 1 + most]
        if found:
            return found
        beside = [near for row in self.rows[max(cell.row - 1, 0) : cell.row + 2] for near in row.cells]
        off = [near for near in beside if near.left >= cell.right and _shared_height(near, cell) > 0.3 * cell.height]
        return sorted(off, key=lambda near: near.left)[:most]

    def below(self, cell: Cell, most: int = 2) -> list[Cell]:
        """The nearest cells under a cell that share some of its width, on the same page, nearest first."""
        found: list[Cell] = []
        page, floor = self.rows[cell.row].page, cell.bottom + _BELOW_IN_HEIGHTS * max(cell.height, 6)
        for row in self.rows[cell.row + 1 :]:
            if row.page != page or row.top > floor or len(found) >= most:
                break
            found += [under for under in row.cells if under.left < cell.right and under.right > cell.left][:1]
        return found


def lay_out(pages: Iterable[list[Word]], is_scan: bool = False) -> Layout:
    """Put the words of all pages into rows and cells; `is_scan` where an engine read them off a picture."""
    rows: list[Row] = []
    heights: list[float] = []
    for number, words in enumerate(pages):
        upright = [word for word in words if word.bottom > word.top and word.right >= word.left]
        heights += [word.bottom - word.top for word in upright]
        rows += [_row(number, group) for group in _rows(upright)]
    for index, row in enumerate(rows):
        for column, cell in enumerate(row.cells):
            cell.row, cell.column = index, column
    text = "\n".join(row.text for row in rows)
    decimal_comma = uses_decimal_comma(text)
    for row in rows:
        row.amounts = tuple(amounts_in(row.text, decimal_comma)) if _DIGIT.search(row.text) else ()
    return Layout(
        rows=rows,
        text_height=median(heights) if heights else 10.0,
        text=text,
        plain="\n".join(row.plain for row in rows),
        decimal_comma=decimal_comma,
        is_scan=is_scan,
    )


def _shared_height(one: Cell, other: Cell) -> float:
    return min(one.bottom, other.bottom) - max(one.top, other.top)


def _rows(words: list[Word]) -> list[list[Word]]:
    groups: list[list[Word]] = []
    average = first_height = 0.0
    for middle, _, word in sorted([((word.top + word.bottom) / 2, place, word) for place, word in enumerate(words)]):
        height = word.bottom - word.top
        if groups and middle - average <= _SAME_ROW_IN_HEIGHTS * min(height, first_height):
            groups[-1].append(word)
            average += (middle - average) / len(groups[-1])
        else:
            groups.append([word])
            average, first_height = middle, height
    return groups


def _row(page: int, words: list[Word]) -> Row:
    cells = _cells(words)
    text = "  ".join(cell.text for cell in cells)
    top = min(cell.top for cell in cells)
    return Row(page=page, cells=cells, text=text, plain="  ".join(cell.plain for cell in cells), top=top)


def _cells(words: list[Word]) -> list[Cell]:
    cells: list[Cell] = []
    last: Cell | None = None
    before: Cell | None = None
    for text, left, top, right, bottom in sorted(words, key=_LEFT):
        if last and len(last.text) < _CELL_CHARACTERS_MAX:
            lower = min(bottom - top, last.bottom - last.top)
            slack = _OVERLAP_IN_HEIGHTS * lower
            into: Cell | None = last if left - last.right <= _GAP_IN_HEIGHTS * lower else None
            if left < last.right - slack:
                if last.text.endswith(text) and right <= last.right + lower:
                    continue  # printed twice, to look bold
                into = None
            if before and -slack <= left - before.right <= _GAP_IN_HEIGHTS * lower:
                # two lines that run into each other: each word goes on with the one at its own height
                into = before if into is None or abs(before.bottom - bottom) < abs(last.bottom - bottom) else into
            if into is not None:
                into.text += " " + text[:_WORD_CHARACTERS_MAX]
                into.right, into.top = max(into.right, right), min(into.top, top)
                into.bottom = max(into.bottom, bottom)
                continue
        before, last = last, Cell(text[:_WORD_CHARACTERS_MAX], left, top, right, bottom)
        cells.append(last)
    return cells
