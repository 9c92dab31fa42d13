"""A second look at totals: bills that were paid at once, a tax that only its rate tells, and digits an engine misread.

Everything here rests on arithmetic over what is printed; without that nothing is said.
"""

import re
from collections import Counter
from decimal import ROUND_HALF_UP, Decimal
from typing import Final

from hopperd.invoices.dates import date_at_start
from hopperd.invoices.layout import Layout

_CENT: Final = Decimal("0.01")
_COMMISSION: Final = re.compile(r"\bcommission|\bprovision\b")
_TIP: Final = re.compile(r"\b(?:tip|gratuity|trinkgeld|pourboire|propina|mancia|fooi)\b")
_RATE: Final = re.compile(r"(?<![\d.,])(\d{1,2}(?:[.,]\d{1,3})?)\s?%")


def paid_in_full(layout: Layout) -> Decimal | None:
    """What was paid, where dated charges above add up to just that: a hotel's folio whose balance is nothing."""
    charges = Decimal(0)
    for row in layout.rows:
        money = [amount.value for amount in row.amounts if amount.is_money]
        if not money or not date_at_start(row.cells[0].text):
            continue
        if money[-1] < 0 and -money[-1] == charges:
            return charges
        if money[-1] > 0:
            charges += money[-1]
    return _paid_before_its_charges(layout, charges)


def _paid_before_its_charges(layout: Layout, charges: Decimal) -> Decimal | None:
    """The payment may be printed first, or without a date."""
    values = {amount.value for row in layout.rows for amount in row.amounts if amount.is_money}
    return charges if charges > 0 and -charges in values else None


def before_commission(layout: Layout, total: Decimal) -> Decimal | None:
    """What an agency keeps is no part of the total's own: the printed amount that is `total` and the commission."""
    return _with_one_of(layout, _COMMISSION, total)


def with_tip(layout: Layout, total: Decimal) -> Decimal | None:
    """The printed amount that is `total` and the tip."""
    return _with_one_of(layout, _TIP, total)


def _with_one_of(layout: Layout, of: re.Pattern[str], total: Decimal) -> Decimal | None:
    printed = {amount.value for row in layout.rows for amount in row.amounts if amount.is_money}
    rows = [row for row in layout.rows if row.amounts and of.search(row.plain)]
    found = {total + abs(row.amounts[-1].value) for row in rows if row.amounts[-1].value} & printed
    return found.pop() if len(found) == 1 else None


def tax_at_a_printed_rate(layout: Layout, net: Decimal, total: Decimal) -> bool:
    """Whether the difference of total and net is the tax at a rate that is printed, to the cent."""
    return any((net * rate / 100).quantize(_CENT, ROUND_HALF_UP) == total - net > 0 for rate in _rates(layout))


def tax_inside(layout: Layout, total: Decimal, taxes: set[Decimal]) -> Decimal | None:
    """The one printed tax that a total holds at a printed rate, to the cent: `Includes VAT at 20 %`."""
    expected = {(total * rate / (100 + rate)).quantize(_CENT, ROUND_HALF_UP) for rate in _rates(layout) if rate}
    found = {tax for tax in taxes if tax > 0 and tax in expected}
    return found.pop() if len(found) == 1 else None


def _rates(layout: Layout) -> set[Decimal]:
    return {Decimal(match[1].replace(",", ".")) for match in _RATE.finditer(layout.text)}


def without_doubt(layout: Layout, total: Decimal) -> Decimal | None:
    """The total of a scan that no sum bears out: another one digit off that is printed more often, or none at all
    where a larger amount stands above it."""
    seen = Counter(amount.value for row in layout.rows for amount in row.amounts if amount.is_money)
    likely = [value for value, count in seen.items() if count > max(seen[total], 1) and _is_one_digit_off(value, total)]
    if len(likely) == 1:
        return likely[0]
    last = max((row.cells[0].row for row in layout.rows if total in {one.value for one in row.amounts}), default=0)
    above = [amount.value for row in layout.rows[:last] for amount in row.amounts if amount.is_money]
    return None if any(value > total for value in above) else total


def _is_one_digit_off(one: Decimal, other: Decimal) -> bool:
    first, second = format(one, "f"), format(other, "f")
    return len(first) == len(second) and sum(a != b for a, b in zip(first, second, strict=True)) == 1
