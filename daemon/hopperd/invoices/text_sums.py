"""Net, tax and total told by arithmetic alone: rows and columns whose amounts make each other, whatever their labels.

A tax is at most `RATE_MAX` of its net; a line of goods and the next one must not look like net and tax.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from typing import Final

from hopperd.invoices import labels
from hopperd.invoices.layout import Layout, Row

CENT: Final = Decimal("0.02")
RATE_MAX: Final = Decimal("0.30")
_ONE_CENT: Final = Decimal("0.01")
_ROWS_APART_MAX: Final = 5
_RATE: Final = re.compile(r"(?<![\d.,])(\d{1,2}(?:[.,]\d{1,3})?)\s?%")


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """An amount, how strong its label and place are, and the row it stands in."""

    value: Decimal
    strength: float
    row: int


Triple = tuple[Candidate, Candidate, Candidate]


def sums_in(layout: Layout, taxes: set[Decimal]) -> list[Triple]:
    """Net, tax and total wherever they add up; in columns not against `taxes`, the amounts that labels say are one."""
    columns = [found for found in _columns_that_add_up(layout) if not taxes or found[1].value in taxes]
    return [*_rows_that_add_up(layout), *_taxes_together(layout), *_bases_and_taxes(layout), *columns]


def _rows_that_add_up(layout: Layout) -> Iterator[Triple]:
    """Rows that print net, tax and total side by side, in whatever order."""
    every = [amount.value for row in layout.rows for amount in row.amounts if amount.is_money]
    largest = max(every, default=Decimal(0))
    for index, row in enumerate(layout.rows):
        money = [amount.value for amount in row.amounts if amount.is_money]
        found = _as_net_tax_total(money) if len(money) == 3 else None
        if found is None:
            continue
        small = row.plain
        if found[2] < largest and not any(pattern.search(small) for pattern in labels.TOTAL[:2]):
            continue
        bonus = 2.0 if any(pattern.search(small) for pattern in (*labels.TOTAL[:2], *labels.TAX)) else 0.5
        yield _triple(found, 4 + bonus + index / len(layout.rows), index)


def _as_net_tax_total(money: list[Decimal]) -> tuple[Decimal, Decimal, Decimal] | None:
    tax, net, total = sorted(money)
    return (net, tax, total) if net + tax == total and 0 < tax <= net * RATE_MAX else None


def _taxes_together(layout: Layout) -> Iterator[Triple]:
    """Several rates, each with its net, tax and total in a row: together, where their total is printed, too."""
    parts = {}
    for index, row in enumerate(layout.rows):
        money = [amount.value for amount in row.amounts if amount.is_money]
        found = _as_net_tax_total(money) if len(money) == 3 and _RATE.search(row.text) else None
        if found is not None:
            parts[index] = found
    if len(parts) < 2:
        return
    together = tuple(sum(amounts, Decimal(0)) for amounts in zip(*parts.values(), strict=True))
    for index, row in enumerate(layout.rows):
        if index not in parts and together[2] in {amount.value for amount in row.amounts}:
            yield _triple((together[0], together[1], together[2]), 8.0, index)
            return


def _bases_and_taxes(layout: Layout) -> Iterator[Triple]:
    """A rate with its base and its tax in a row (`19 %   40,33   7,66`), where what they make is printed elsewhere."""
    printed = {amount.value: index for index, row in enumerate(layout.rows) for amount in row.amounts}
    for row in layout.rows:
        money = [amount.value for amount in row.amounts if amount.is_money]
        rate = _RATE.search(row.text) if len(money) == 2 else None
        if rate is None:
            continue
        net, tax = max(money), min(money)
        expected = (net * Decimal(rate[1].replace(",", ".")) / 100).quantize(_ONE_CENT, ROUND_HALF_UP)
        if expected == tax > 0 and net + tax in printed:
            yield _triple((net, tax, net + tax), 3.0, printed[net + tax])


def _columns_that_add_up(layout: Layout) -> Iterator[Triple]:
    """Three amounts under each other, the last one the largest of all and the sum of the two."""
    money = [(index, row.amounts[-1].value) for index, row in enumerate(layout.rows) if _ends_in_money(row)]
    largest = max((value for _, value in money), default=Decimal(0))
    for (first, net), (second, tax), (third, total) in zip(money, money[1:], money[2:], strict=False):
        if total == largest == net + tax and 0 < tax <= net * RATE_MAX and third - first <= _ROWS_APART_MAX:
            yield (
                Candidate(value=net, strength=3.0, row=first),
                Candidate(value=tax, strength=3.0, row=second),
                Candidate(value=total, strength=3.0, row=third),
            )


def _triple(amounts: tuple[Decimal, Decimal, Decimal], strength: float, row: int) -> Triple:
    net, tax, total = (Candidate(value=value, strength=strength, row=row) for value in amounts)
    return net, tax, total


def _ends_in_money(row: Row) -> bool:
    return bool(row.amounts) and row.amounts[-1].is_money and row.amounts[-1].end >= len(row.text) - 5
