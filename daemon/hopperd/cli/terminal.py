"""How commands speak: plain lines when piped, a little more on a terminal. Names of files are printed escaped."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING

from hopperd.pipeline.naming import printable, shown

if TYPE_CHECKING:
    from rich.console import Console


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


def age(seconds: float) -> str:
    """Seconds as a person reads them: 42s, 7m, 3h, 5d."""
    for size, unit in ((86400, "d"), (3600, "h"), (60, "m")):
        if seconds >= 2 * size:
            return f"{int(seconds // size)}{unit}"
    return f"{int(seconds)}s" if seconds >= 10 else f"{seconds:.1f}s"


def plain_table(head: Sequence[str], rows: Sequence[Sequence[str]], numbers_from: int | None = None) -> None:
    """A table in aligned columns: bold heading on a terminal, tab-free text when piped."""
    cells = [[_writable(printable(cell)) for cell in row] for row in rows]
    widths = [max(len(column) for column in columns) for columns in zip(head, *cells, strict=True)]

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
