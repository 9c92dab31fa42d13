"""Whether the amounts of an invoice bear each other out, and how sure that makes us.

Pure arithmetic on what was read; it never fills in or corrects an amount.
"""

from dataclasses import replace
from decimal import Decimal
from typing import Final

from hopperd.invoices.document import Fields, ReadFrom

_ROUNDING: Final = Decimal("0.02")
_ROUNDING_OF_A_LINE: Final = Decimal("0.01")


def agree(net: Decimal | None, tax: Decimal | None, total: Decimal | None) -> bool | None:
    """True or False whether net and tax make the total; None where one of them is missing."""
    if net is None or tax is None or total is None:
        return None
    return abs(net + tax - total) <= _ROUNDING


def lines_agree(fields: Fields) -> bool | None:
    """True or False whether the lines add up to the net total or the total; None where there is nothing to compare."""
    prices = [item.total_price for item in fields.line_items]
    known = [price for price in prices if price is not None]
    against = [amount for amount in (fields.net_total, fields.total) if amount is not None]
    if not known or len(known) != len(prices) or not against:
        return None
    tolerance = _ROUNDING + _ROUNDING_OF_A_LINE * len(known)
    return any(abs(sum(known, Decimal(0)) - amount) <= tolerance for amount in against)


def completed(fields: Fields, more: Fields) -> Fields:
    """One reading with what it lacks taken from another of the same pages; totals whose sums agree."""
    names = ("net_total", "tax_total", "total")
    first, second = ({name: getattr(one, name) for name in names} for one in (fields, more))
    filled = {name: second[name] if value is None else value for name, value in first.items()}
    if _agree(second) and not _agree(first):
        filled = second
    elif _agree(filled) is False:
        filled = first
    heads = ("invoice_number", "invoice_date", "due_date", "order_number", "currency")
    simple = {name: getattr(fields, name) or getattr(more, name) for name in heads}
    return replace(
        fields,
        **simple,
        **filled,
        vendor=fields.vendor if fields.vendor.name else more.vendor,
        business_unit=fields.business_unit if fields.business_unit.name else more.business_unit,
        line_items=fields.line_items or more.line_items,
        taxes=fields.taxes or more.taxes,
    )


def _agree(totals: dict[str, Decimal | None]) -> bool | None:
    return agree(totals["net_total"], totals["tax_total"], totals["total"])


def confidence(fields: Fields, read_from: ReadFrom) -> float:
    """How far the fields can be relied on, 0 to 1: what is there, and whether its sums agree."""
    sums = agree(fields.net_total, fields.tax_total, fields.total)
    if read_from == "einvoice":
        return 1.0 if sums is not False else 0.8
    needed = (fields.invoice_number, fields.invoice_date, fields.total, fields.currency)
    share = sum(value is not None for value in needed) / len(needed)
    score = 0.75 * share
    if sums is not None:
        score += 0.15 if sums else -0.25
    lines = lines_agree(fields)
    if lines is not None:
        score += 0.08 if lines else -0.05
    ceiling = 0.98 if read_from == "text" else 0.9
    return round(min(max(score, 0.0), ceiling), 2)
