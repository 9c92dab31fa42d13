"""How commands speak: plain lines when piped, a little more on a terminal. Names of files are printed escaped."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Sequence
from functools import cache
from itertools import accumulate
from typing import TYPE_CHECKING, Final

from hopperd.pipeline.naming import printable, shown

if TYPE_CHECKING:
    from rich.console import Console


LEAST_WIDTH: Final = 20
LAST_WIDTH: Final = 30


@cache
def console() -> Console:
    from rich.console import Console

    return Console(highlight=False, markup=False, soft_wrap=True)


def note(*lines: str) -> None:
    """Lines for a person. Control characters in a file's name or a service's text are shown, not sent: none of them
    begins a line that could be taken for one of ours."""
    for line in lines:
        sys.stdout.write(_writable(printable(line)) + "\n")


def typed(text: str) -> str:
    """A name or a reason from the command line, as names are shown: its bytes count, whatever the locale made of them.

    Where they are no UTF-8 they are percent-encoded, as in lists and in JSON.
    """
    return shown(os.fsencode(text))


def _writable(text: str) -> str:
    encoding = sys.stdout.encoding or "utf-8"
    return text.encode(encoding, "backslashreplace").decode(encoding)


def counted(number: int, what: str) -> str:
    """`1 job`, `2 jobs`."""
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def age(seconds: float) -> str:
    """Seconds as a person reads them: 42s, 7m, 3h, 5d."""
    for size, unit in ((86400, "d"), (3600, "h"), (60, "m")):
        if seconds >= 2 * size:
            return f"{int(seconds // size)}{unit}"
    return f"{int(seconds)}s" if seconds >= 10 else f"{seconds:.1f}s"


def short(text: str, width: int | None = None) -> str:
    """Cut in the middle, so that beginning and extension stay; by default to half a terminal, and to none in a pipe."""
    if width is None:
        width = max(LEAST_WIDTH, console().width // 2) if console().is_terminal else len(text)
    if len(text) <= width:
        return text
    tail = (width - 3) // 2
    return f"{text[: width - 3 - tail]}...{text[-tail:]}"


def fitted(cells: list[list[str]], width: int) -> list[list[str]]:
    """With the widest column but the last cut so that a row, with a few words of the last, fits into `width`."""
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    over = sum(min(size, LAST_WIDTH) if place == len(widths) - 1 else size + 2 for place, size in enumerate(widths))
    if over <= width or len(widths) < 2:
        return cells
    widest = max(range(len(widths) - 1), key=lambda place: widths[place])
    room = max(LEAST_WIDTH, widths[widest] - (over - width))
    return [[short(cell, room) if place == widest else cell for place, cell in enumerate(row)] for row in cells]


def plain_table(head: Sequence[str], rows: Sequence[Sequence[str]], numbers_from: int | None = None) -> None:
    """A table in aligned columns: bold heading and no wider than needed on a terminal, tab-free text when piped."""
    cells = [[_writable(printable(cell)) for cell in row] for row in rows]
    if console().is_terminal:
        cells = fitted([list(head), *cells], console().width)[1:]
    widths = [max(len(column) for column in columns) for columns in zip(head, *cells, strict=True)]
    if console().is_terminal and sum(widths[:-1]) >= console().width:
        widths = [0 for _ in widths]  # too narrow for columns: what is padded would only be blank lines

    def line(row: Sequence[str]) -> str:
        parts = [
            cell.rjust(width) if numbers_from is not None and place >= numbers_from else cell.ljust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        return "  ".join(parts).rstrip()

    heading = line(head)
    if console().is_terminal:
        console().print(heading, style="bold", crop=False)
    else:
        print(heading)
    for row in cells:
        print(line(row))


class Screen(io.StringIO):
    """Takes what is printed meanwhile, and shows as much of it as the terminal has lines for, the beginning first."""

    def isatty(self) -> bool:
        return True

    def show(self) -> None:
        lines = self.getvalue().splitlines()
        shown = how_many_fit(lines, console().width, console().height - 2)
        console().clear()
        for line in lines[:shown]:
            print(_writable(line))
        if shown < len(lines):
            print(f"... and {len(lines) - shown} more lines: hopperd status")


def how_many_fit(lines: Sequence[str], width: int, height: int) -> int:
    """How many of the first lines a terminal shows at once, where long ones go on in the next row."""
    ends = accumulate(max(1, -(-len(line) // width)) for line in lines)
    return sum(1 for end in ends if end <= height)
