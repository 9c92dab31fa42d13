"""Values found beside their labels: after it in the same cell, in the cells to its right, or under it.

One search for all kinds of values; what counts as a value is the caller's function. Nearer places and stronger labels
come first. Never looks for a value to the left of or above its label.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Final, Generic, TypeVar

from hopperd.invoices.layout import Cell, Layout

Value = TypeVar("Value")
LABELS_IN_A_CELL_MAX: Final = 4
# also what a label says about a second value: `Rechnungsnr./-datum`, `Invoice No. / Date`, `Folio No./Check No.`
_AFTER_LABEL: Final = re.compile(
    r"^[\s:.#№°)*]*(?:\([^)]*\))?(?:[/&]\s?-?\s?(?:(?:date|datum|fecha|data)\b|[a-z]{0,12}\s?(?:no|nr|number|#)(?!\w)))?"
    r"[\s:.#№°\-–]*",
    re.IGNORECASE,
)
# the second line of a label over two: its value stands beside this one (`Rechnungsdatum` over `/Lieferdatum   1. Mai`)
_GOES_ON: Final = re.compile(r"^\s?[/&]\s?[^\W\d]")
_ONLY_SIGNS: Final = re.compile(r"^[\W_]*$")


@dataclass(frozen=True, slots=True, kw_only=True)
class Find(Generic[Value]):
    """A value with how strong its place is (higher is better), the cell it was found in and its label's cell; `rank` is
    that of its label, 0 the surest."""

    value: Value
    strength: float
    cell: Cell
    label_cell: Cell
    rank: int = 0
    is_below: bool = False

    @property
    def is_weak(self) -> bool:
        return self.rank > 0


def find(
    layout: Layout,
    labels: Sequence[re.Pattern[str]],
    value_in: Callable[[str], Value | None],
    *,
    look_below: bool = True,
    skip: Callable[[str], bool] = lambda _: False,
) -> Iterator[Find[Value]]:
    """All values that stand beside one of `labels`; `skip` judges the text around a label, plain and in lower case."""
    for rank, pattern in enumerate(labels):
        for row in layout.rows:
            if not pattern.search(row.plain):
                continue
            for cell in row.cells:
                text = cell.plain
                for match in islice(pattern.finditer(text), LABELS_IN_A_CELL_MAX):
                    if skip(text[max(0, match.start() - 20) : match.end() + 12]):
                        continue
                    found = _beside(layout, cell, match, value_in, look_below)
                    if found is not None:
                        value, where, nearness = found
                        lead = 0.5 if _ONLY_SIGNS.match(text[: match.start()]) else 0.0
                        yield Find(
                            value=value,
                            strength=10 - 3 * rank + nearness + lead,
                            cell=where,
                            label_cell=cell,
                            rank=rank,
                            is_below=nearness <= 1,
                        )


def _beside(
    layout: Layout, cell: Cell, match: re.Match[str], value_in: Callable[[str], Value | None], look_below: bool
) -> tuple[Value, Cell, float] | None:
    rest = _AFTER_LABEL.sub("", cell.text[match.end() :], count=1)
    if not _ONLY_SIGNS.match(rest):
        value = value_in(rest)
        return None if value is None else (value, cell, 2.0)
    for right in layout.right_of(cell):
        if _ONLY_SIGNS.match(right.text):
            continue
        value = value_in(right.text.lstrip(":#. "))
        if value is not None:
            return value, right, 1.8
        break
    for under in layout.below(cell, 1):
        for right in layout.right_of(under, 1) if _GOES_ON.match(under.text) else ():
            value = value_in(right.text.lstrip(":#. "))
            if value is not None:
                return value, right, 1.8
    if look_below:
        for under in layout.below(cell):
            value = value_in(under.text)
            if value is not None:
                return value, under, 1.0
    return None
