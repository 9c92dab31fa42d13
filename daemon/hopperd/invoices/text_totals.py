"""Net, tax and total out of the text of an invoice.

Every amount beside a label is a candidate; the combination whose net and tax make the total wins. An amount that only
arithmetic could supply is taken only if it is printed somewhere, too.
"""

import re
from dataclasses import dataclass, replace
from decimal import Decimal
from itertools import islice, product
from typing import Final

from hopperd.invoices import labels
from hopperd.invoices.amounts import Amount, amounts_in
from hopperd.invoices.dates import plain
from hopperd.invoices.found import LABELS_IN_A_CELL_MAX
from hopperd.invoices.layout import Cell, Layout, Row
from hopperd.invoices.text_second_look import (
    before_commission,
    paid_in_full,
    tax_at_a_printed_rate,
    tax_inside,
    with_tip,
    without_doubt,
)
from hopperd.invoices.text_sums import CENT, RATE_MAX, Candidate, sums_in

_CANDIDATES_MAX: Final = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Totals:
    """What an invoice adds up to; None where it does not say."""

    net: Decimal | None = None
    tax: Decimal | None = None
    total: Decimal | None = None
    first_row: int | None = None


def read_totals(layout: Layout) -> Totals:
    """The totals of an invoice, each None unless it is printed."""
    comma = layout.decimal_comma
    nets, taxes, totals = (_candidates(layout, kind, comma) for kind in (labels.NET, labels.TAX, labels.TOTAL))
    for net, tax, total in sums_in(layout, {found.value for found in taxes if found.value}):
        nets.append(net)
        taxes.append(tax)
        totals.append(total)
    taxes = _without_double(taxes)
    printed = {amount.value for row in layout.rows for amount in row.amounts}
    chosen = _choose(nets, taxes, totals, printed, bool(labels.CREDIT.search(layout.plain)))
    if layout.is_scan and (chosen.net is None or chosen.tax is None):
        chosen = _with_signs_misread(nets, taxes, totals) or _looked_at_again(layout, chosen)
    if not chosen.total and (paid := paid_in_full(layout)):
        chosen = Totals(total=paid)
    if chosen.total and (gross := before_commission(layout, chosen.total)):
        chosen = Totals(total=gross)
    if chosen.total and (paid := with_tip(layout, chosen.total)):
        chosen = replace(chosen, total=paid)
    if chosen.total and chosen.net is None and (held := tax_inside(layout, chosen.total, {one.value for one in taxes})):
        chosen = replace(chosen, net=chosen.total - held, tax=held)
    if chosen.net and chosen.total and chosen.tax is None and tax_at_a_printed_rate(layout, chosen.net, chosen.total):
        chosen = replace(chosen, tax=chosen.total - chosen.net)
    rows = [found.row for found in (*nets, *totals) if found.value in (chosen.net, chosen.total)]
    return Totals(net=chosen.net, tax=chosen.tax, total=chosen.total, first_row=min(rows, default=None))


def _looked_at_again(layout: Layout, chosen: Totals) -> Totals:
    return replace(chosen, total=without_doubt(layout, chosen.total)) if chosen.total else chosen


def _candidates(layout: Layout, of: tuple[re.Pattern[str], ...], comma: bool) -> list[Candidate]:
    found = []
    for rank, pattern in enumerate(of):
        for row in layout.rows:
            if not pattern.search(row.plain):
                continue
            for cell in row.cells:
                for match in islice(pattern.finditer(cell.plain), LABELS_IN_A_CELL_MAX):
                    if of is labels.TOTAL and _is_another_total(layout, cell, match):
                        continue
                    candidate = _beside(layout, cell, match, comma, of is labels.TAX)
                    if candidate:
                        amount, nearness, where = candidate
                        lower = where / max(len(layout.rows), 1)
                        strength = 6 - 2.0 * rank + nearness + lower
                        found.append(Candidate(value=amount, strength=strength, row=where))
    return found


def _is_another_total(layout: Layout, cell: Cell, match: re.Match[str]) -> bool:
    """`Total   net   27.99` with wide gaps: the next cell tells what total it is."""
    if match.end() < len(cell.text.rstrip(" :")):
        return False
    after = layout.rows[cell.row].cells[cell.column + 1 :]
    return bool(after) and bool(labels.NOT_A_TOTAL.match(after[0].plain))


def _beside(
    layout: Layout, cell: Cell, match: re.Match[str], comma: bool, is_tax: bool
) -> tuple[Decimal, float, int] | None:
    before, rest = plain(cell.text[max(0, match.start() - 14) : match.end()]), cell.text[match.end() :]
    if is_tax and labels.is_tax_number_label(before + plain(rest[:14])):
        return None
    texts = [rest, *(right.text for right in layout.right_of(cell, 6))]
    line = _until_next_label("  ".join(texts))
    money = [amount for amount in amounts_in(line, comma) if amount.is_money or _is_whole_cell(amount, texts)]
    if money:
        return money[-1].value, 1.0, cell.row
    if not line.strip(" :.*$€£") or not any(character.isdigit() for character in line):
        return _under(layout, cell, comma)
    return None


def _is_whole_cell(amount: Amount, texts: list[str]) -> bool:
    """An amount without cents or currency counts if it is all there is after the label."""
    rest = "".join(texts).strip(" :.*")
    return rest.replace(",", "").replace(".", "").isdigit() and not amount.is_money and len(rest) < 10


def _until_next_label(text: str) -> str:
    """Cut before the next label of an amount, so that `Excl. VAT 10.00  Subtotal 12.10` gives the first one."""
    small = plain(text)
    starts = [
        match.start()
        for pattern in (*labels.TOTAL, *labels.NET)
        for match in pattern.finditer(small)
        if any(character.isdigit() for character in small[: match.start()])
    ]
    return text[: min(starts)] if starts else text


def _under(layout: Layout, cell: Cell, comma: bool) -> tuple[Decimal, float, int] | None:
    """The amount under a label, where labels stand side by side over their amounts."""
    row = layout.rows[cell.row]
    if _labels_in(row) < 2:
        return None
    for under in layout.below(cell, 1):
        money = [amount for amount in amounts_in(under.text, comma) if amount.is_money]
        if len(money) == 1 and not re.search(r"[A-Za-z]{4}", under.text):
            return money[0].value, 0.5, under.row
    return None


def _labels_in(row: Row) -> int:
    """How many different kinds of totals a row names; the head of a table of goods names one at most."""
    small = row.plain
    return sum(any(pattern.search(small) for pattern in of) for of in (labels.NET, labels.TAX, labels.TOTAL))


def _without_double(candidates: list[Candidate]) -> list[Candidate]:
    """The same amount in the same row is one candidate, whichever label found it."""
    kept: dict[tuple[Decimal, int], Candidate] = {}
    for found in candidates:
        key = (found.value, found.row)
        if key not in kept or kept[key].strength < found.strength:
            kept[key] = found
    return list(kept.values())


def _choose(
    nets: list[Candidate], taxes: list[Candidate], totals: list[Candidate], printed: set[Decimal], is_credit: bool
) -> Totals:
    least = min(printed, default=Decimal(0)) if is_credit else Decimal(0)
    positive = [found for found in totals if found.value and found.value >= least]
    if not positive and not any(printed):
        positive = totals
    nets, taxes, positive = (_strongest(found) for found in (nets, _with_sum(taxes), positive))
    agreeing = [
        (net.strength + tax.strength + total.strength, net, tax, total)
        for net, tax, total in product(nets, taxes, positive)
        if abs(net.value + tax.value - total.value) <= CENT and abs(tax.value) <= abs(total.value) * RATE_MAX
    ]
    if agreeing:
        _, net, tax, total = max(agreeing, key=lambda combination: combination[0])
        return Totals(net=net.value, tax=tax.value, total=total.value)
    return _choose_alone(nets, taxes, positive, printed)


def _with_signs_misread(nets: list[Candidate], taxes: list[Candidate], totals: list[Candidate]) -> Totals | None:
    """A currency sign that the engine took for a digit (`£397.48` as 1397.48): so if the sum is right without it."""
    agreeing = [
        (net.strength + tax.strength + total.strength, net, tax, total)
        for net, tax, total in product(
            *(_strongest([*some, *_without_first_digit(some)]) for some in (nets, taxes, totals))
        )
        if net.value + tax.value == total.value and 0 < tax.value <= net.value * RATE_MAX
    ]
    if not agreeing:
        return None
    _, net, tax, total = max(agreeing, key=lambda combination: combination[0])
    return Totals(net=net.value, tax=tax.value, total=total.value)


def _without_first_digit(candidates: list[Candidate]) -> list[Candidate]:
    shorter = []
    for found in candidates:
        digits = format(found.value, "f")
        if found.value > 0 and digits.find(".") > 1:
            shorter.append(Candidate(value=Decimal(digits[1:]), strength=found.strength - 1.0, row=found.row))
    return shorter


def _choose_alone(
    nets: list[Candidate], taxes: list[Candidate], totals: list[Candidate], printed: set[Decimal]
) -> Totals:
    """No net, tax and total agree: keep the strongest total and what fits it."""
    total = max(totals, key=lambda found: found.strength, default=None)
    net = max(nets, key=lambda found: found.strength, default=None)
    if total is None:
        return Totals(net=net.value if net else None)
    if net and (kept := _with_something_kept_back(net, taxes, total, printed)):
        return kept
    for tax in sorted(taxes, key=lambda found: -found.strength):
        if total.value - tax.value in printed and 0 < tax.value <= total.value * RATE_MAX:
            return Totals(net=total.value - tax.value, tax=tax.value, total=total.value)
    if net and not taxes and net.value <= total.value <= net.value * (1 + RATE_MAX):
        rest = total.value - net.value
        return Totals(net=net.value, tax=rest if rest in printed and rest else None, total=total.value)
    if any(tax.value == 0 for tax in taxes) and not any(tax.value for tax in taxes) and net is None:
        return Totals(net=total.value, tax=Decimal(0), total=total.value)
    return Totals(total=total.value)


def _with_something_kept_back(
    net: Candidate, taxes: list[Candidate], total: Candidate, printed: set[Decimal]
) -> Totals | None:
    """What the buyer keeps back (`IRPF -15 %`) is printed as a negative amount between tax and total."""
    for tax in _strongest(taxes):
        kept = total.value - net.value - tax.value
        if kept < 0 < tax.value <= net.value * RATE_MAX and kept in printed:
            return Totals(net=net.value, tax=tax.value, total=total.value)
    return None


def _with_sum(taxes: list[Candidate]) -> list[Candidate]:
    """Several taxes at once, as GST and PST or two rates of VAT: their sum is a candidate, too."""
    rows = {found.row: found for found in taxes if found.value}
    if 2 <= len(rows) <= 4:
        total = sum((found.value for found in rows.values()), Decimal(0))
        strength = min(found.strength for found in rows.values())
        return [*taxes, Candidate(value=total, strength=strength - 0.5, row=max(rows))]
    return taxes


def _strongest(candidates: list[Candidate]) -> list[Candidate]:
    return sorted(candidates, key=lambda found: -found.strength)[:_CANDIDATES_MAX]
