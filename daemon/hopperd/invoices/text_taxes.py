"""The rows of a tax breakdown out of the text of an invoice, and only those whose arithmetic is right."""

import re
from decimal import ROUND_HALF_UP, Decimal
from typing import Final

from hopperd.invoices.document import Tax
from hopperd.invoices.layout import Layout
from hopperd.invoices.text_totals import Totals

_RATE: Final = re.compile(r"(?<![\d.,])(\d{1,2}(?:[.,]\d{1,3})?)\s?%")
_CENT: Final = Decimal("0.01")


def read_taxes(layout: Layout, totals: Totals) -> tuple[Tax, ...]:
    """One entry for each rate whose base and amount are printed and fit each other."""
    found: dict[Decimal, Tax] = {}
    for row in layout.rows:
        for match in _RATE.finditer(row.text):
            rate = Decimal(match[1].replace(",", "."))
            money = [amount.value for amount in row.amounts if amount.is_money]
            tax = _fitting(rate, money, totals)
            if tax and rate not in found:
                found[rate] = tax
    taxes = tuple(found.values())
    together = sum((tax.amount or Decimal(0) for tax in taxes), Decimal(0))
    if totals.tax is not None and abs(together - totals.tax) > _CENT * max(len(taxes), 2):
        return ()
    return taxes


def _fitting(rate: Decimal, money: list[Decimal], totals: Totals) -> Tax | None:
    """The pair of base and amount in a row that fits the rate; a lone amount may fit the net total."""
    bases = [*money, *([totals.net] if totals.net is not None else [])]
    for base in bases:
        for amount in money:
            expected = (base * rate / 100).quantize(_CENT, ROUND_HALF_UP)
            if base and abs(expected - amount) <= _CENT and abs(base) > abs(amount):
                return Tax(rate=rate, base=base, amount=amount)
    return None
