"""Invoice number, order number and dates out of the text of an invoice.

Prefers nothing over something doubtful: a number needs a digit, a date needs to be one day and not another.
"""

import re
from collections.abc import Iterator
from datetime import date, timedelta
from typing import Final

from hopperd.invoices import labels
from hopperd.invoices.amounts import amounts_in
from hopperd.invoices.dates import FoundDate, date_at_start, dates_in, month_first, settle
from hopperd.invoices.found import Find, find
from hopperd.invoices.layout import Layout, Row

_TOKEN: Final = re.compile(r"[A-Za-z0-9#][\w#./\-–]*")
_JOINED: Final = re.compile(r"^\s?[A-Z0-9]{1,3}$")
_MORE_GROUPS: Final = re.compile(r"^(?:\s\d{2,}[\d-]*){1,4}\s*$")
_PHONE_OR_MAIL: Final = re.compile(r"@|www\.|https?:|^\+\d")
_MONTH_FIRST_COUNTRIES: Final = frozenset({"US"})
_SAME_INVOICE_DAYS: Final = timedelta(days=180)
_PLACE: Final = re.compile(r"^[^\W\d][^\d,:]{2,30},\s*(?:den |le |the |il |el |,)?(?=\d)")
_DATE_AFTER_NUMBER: Final = re.compile(r"^[\s,]*(?:/|du|vom|of|dated|del|van|de fecha|le|d\.d\.|-|–)\s*", re.IGNORECASE)


def identifier(text: str) -> str | None:
    """The number a text begins with: letters, digits, signs, at least one digit; neither a date nor an amount."""
    match = _TOKEN.match(text)
    if not match:
        return None
    token = match[0]
    if not any(character.isdigit() for character in token):
        follow = _TOKEN.match(text[match.end() :].lstrip(" -/"))
        if len(token) > 4 or not token.isupper() or not follow or not follow[0][0].isdigit():
            return None
        token = text[: text.index(follow[0], match.end()) + len(follow[0])]
    rest = text[len(token) :]
    if (token.isdigit() or " " in token) and _MORE_GROUPS.match(rest):
        token += rest.rstrip()
    elif _JOINED.match(rest) and rest.startswith(" ") and len(token) > 3:
        token += rest
    token = token.rstrip(".,-/–:")
    return token if _is_identifier(token, text) else None


def _is_identifier(token: str, text: str) -> bool:
    if len(token) > 40 or _PHONE_OR_MAIL.search(token) or (date_at_start(text) and dates_in(text)[0].end >= len(token)):
        return False
    money = amounts_in(text[: len(token) + 4])
    if money and money[0].is_money and money[0].start == 0:
        return False
    digits = sum(character.isdigit() for character in token)
    return digits >= 1 and len(token) >= 2 and digits * 4 >= len(token)


def invoice_number(layout: Layout) -> Find[str] | None:
    """The best candidate for the invoice number, with its place."""
    finds = find(layout, labels.INVOICE_NUMBER, identifier, skip=_is_about_something_else)
    return _best([found for found in finds if not _begins_something_else(layout, found)])


def _begins_something_else(layout: Layout, found: Find[str]) -> bool:
    """What stands under a title must be all there is: `12 High Street` is an address. So must be what stands beside a
    label that says no more than `No.`, and a title right over it."""
    rest = found.cell.text[found.cell.text.find(found.value) + len(found.value) :]
    has_more = any(map(str.isalpha, rest))
    if found.rank < len(labels.INVOICE_NUMBER) - 1:
        return found.is_weak and found.is_below and has_more
    row = found.label_cell.row
    return has_more or not any(_TITLE.search(above.plain) for above in layout.rows[max(row - 2, 0) : row])


_TITLE: Final = labels.INVOICE_NUMBER[2]


def order_number(layout: Layout, invoice: str | None) -> str | None:
    """The buyer's order number, if it is a different one than the invoice's."""
    finds = [
        found
        for found in find(layout, labels.ORDER_NUMBER, identifier, skip=_is_about_something_else)
        if found.value != invoice
    ]
    best = _best(finds)
    return best.value if best else None


_SOMETHING_ELSE: Final = re.compile(
    r"original|replace|(?<!invoice )vat(?! invoice)|tax id|customer n|account|p\.?\s?o\.?\s?box|(?:alt|sort) order"
    r"|order (?:date|flight|%|type)"
    r"|invoice (?:date|month|period|total|amount|address|summary|to\b)|(?:rechnungs|factuur)(?:datum|adres)"
)


def _is_about_something_else(context: str) -> bool:
    return bool(_SOMETHING_ELSE.search(context))


def _best(finds: list[Find[str]]) -> Find[str] | None:
    """The strongest find; seen twice counts a little more, and the first of equals wins."""
    seen: dict[str, float] = {}
    for found in finds:
        seen[found.value] = seen.get(found.value, -0.3) + 0.3
    return max(finds, key=lambda found: found.strength + min(seen[found.value], 0.6), default=None)


def invoice_dates(layout: Layout, number: Find[str] | None, country: str | None) -> tuple[date | None, date | None]:
    """Invoice date and due date."""
    issued = [found for found in _date_finds(layout, labels.INVOICE_DATE, number) if not _of_another_kind(found)]
    issued += _beside_the_number(number)
    due = list(_date_finds(layout, labels.DUE_DATE, number))
    order = _order_of(layout, country, issued, due)
    invoice_date = _settled(issued, order) or (None if issued else _only_date(layout, order))
    if invoice_date is None and not issued:
        invoice_date = _departure(layout, order) or _of_the_letter(layout, order)
        invoice_date = invoice_date or _settled(list(_date_finds(layout, labels.OTHER_ISSUE_DATE)), order)
    due_date = _settled(due, order)
    if invoice_date and due_date and due_date < invoice_date:
        due_date = None
    return invoice_date, due_date


def _date_finds(
    layout: Layout, of: tuple[re.Pattern[str], ...], number: Find[str] | None = None
) -> Iterator[Find[FoundDate]]:
    skip = _is_other_date if of is labels.INVOICE_DATE else lambda _: False
    for found in find(layout, of, date_at_start, skip=skip):
        is_head_of_a_table = found.is_below and found.is_weak and not _is_head_of_an_invoice(layout, found, number)
        if not is_head_of_a_table:
            yield found


def _is_head_of_an_invoice(layout: Layout, found: Find[FoundDate], number: Find[str] | None) -> bool:
    """A bare `Date` over a date is the invoice's where its row names the number, too, or little else."""
    row = layout.rows[found.label_cell.row]
    is_the_numbers = number is not None and number.cell.row == found.cell.row
    return len(row.cells) <= 2 or is_the_numbers or bool(labels.INVOICE_NUMBER[0].search(row.plain))


def _is_other_date(context: str) -> bool:
    return bool(labels.OTHER_DATES.search(context))


def _of_another_kind(found: Find[FoundDate]) -> bool:
    """A range such as a billing period is no invoice date."""
    return bool(re.match(r"^\s*(?:-|–|to|bis|au|al|t/m)\s*\d", found.cell.text[found.value.end :]))


def _beside_the_number(number: Find[str] | None) -> list[Find[FoundDate]]:
    """`Facture n° 123 du 2 mars 2026`, `201510234 / 29.10.2020`."""
    if number is None or number.value not in number.cell.text:
        return []
    rest = number.cell.text[number.cell.text.index(number.value) + len(number.value) :]
    lead = _DATE_AFTER_NUMBER.match(rest)
    found = date_at_start(rest[lead.end() :]) if lead else None
    return [Find(value=found, strength=11.0, label_cell=number.cell, cell=number.cell)] if found else []


def _order_of(
    layout: Layout, country: str | None, issued: list[Find[FoundDate]], due: list[Find[FoundDate]]
) -> bool | None:
    """Whether the month comes first: by another date, else by what puts the due date last, else by country."""
    shown = month_first(layout.text)
    if shown is not None:
        return shown
    if issued and due:
        fits = [order for order in (False, True) if _fits(settle(issued[0].value, order), settle(due[0].value, order))]
        if len(fits) == 1:
            return fits[0]
    if country is None or country == "CA":
        return None
    return country in _MONTH_FIRST_COUNTRIES


def _fits(issued: date | None, due: date | None) -> bool:
    return bool(issued and due and issued <= due <= issued + _SAME_INVOICE_DAYS)


def _settled(finds: list[Find[FoundDate]], order: bool | None) -> date | None:
    best = sorted(finds, key=lambda found: -found.strength)
    return next((day for found in best if (day := settle(found.value, order))), None)


def _departure(layout: Layout, order: bool | None) -> date | None:
    """A hotel's bill is written when the guest leaves; taken only where that day is printed once more."""
    day = _settled(list(find(layout, labels.DEPARTURE_DATE, date_at_start)), order)
    printed = [settle(found, order) for found in dates_in(layout.plain)]
    return day if day and printed.count(day) > 1 else None


def _of_the_letter(layout: Layout, order: bool | None) -> date | None:
    """The one date that stands alone in a row over all amounts, as over a letter: `Göttingen, den 17.09.2021`."""
    days = set()
    for row in layout.rows:
        if row.page or any(amount.is_money for amount in row.amounts):
            break
        found = date_at_start(_PLACE.sub("", row.text)) if len(row.cells) == 1 else None
        if found and found.end >= len(_PLACE.sub("", row.text).rstrip(" .")) and not _is_under_a_label(layout, row):
            days.add(settle(found, order))
    return days.pop() if len(days) == 1 else None


def _is_under_a_label(layout: Layout, row: Row) -> bool:
    above = layout.rows[max(row.cells[0].row - 1, 0) : row.cells[0].row]
    return any(_is_other_date(cell.plain) for other in above for cell in other.cells)


def _only_date(layout: Layout, order: bool | None) -> date | None:
    """Without any label: the one date there is on the whole invoice, if there is only one."""
    days = {settle(found, order) for found in dates_in(layout.plain)}
    return days.pop() if len(days) == 1 else None
