"""What a person has typed at the verification page, checked and made into invoices again.

Strict on purpose: names as in exports, amounts and dates in their plain form, everything bounded. What is empty is left
out of the export.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from hopperd.invoices.document import Document as Invoice

ROWS_MAX: Final = 500
"""Line items or taxes beyond this are not shown; they stay as they were read."""
TEXT_MAX: Final = 10_000
_AMOUNT: Final = re.compile(r"-?[0-9]{1,30}(\.[0-9]{1,20})?")
_DATE: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_NOT_TEXT: Final = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")


class NotCorrect(Exception):
    """A field that cannot be meant: where it stands (`Vendor.Name`, `LineItems.0.Quantity`) and what would do."""

    def __init__(self, where: str, sentence: str) -> None:
        super().__init__(sentence)
        self.where = where
        self.sentence = sentence


def shown(invoice: Invoice) -> dict[str, Any]:
    """The fields of an invoice as the page shows them; `Kept` names the tables that are too long to be shown."""
    from hopperd.invoices.document import document_as_json

    fields: dict[str, Any] = document_as_json(invoice)["Fields"]
    kept = [name for name in ("LineItems", "Taxes") if len(fields.get(name, ())) > ROWS_MAX]
    return {name: value for name, value in fields.items() if name not in kept} | {"Kept": kept}


def corrected(invoice: Invoice, fields: Any) -> Invoice:
    """The invoice with these fields, in the shape of `shown`. Raises NotCorrect."""
    from hopperd.invoices.document import document_as_json, document_from_json

    before = document_as_json(invoice)
    kept = shown(invoice)["Kept"]
    checked = _checked(fields) | {name: before["Fields"][name] for name in kept}
    try:
        after = document_from_json(before | {"Fields": checked})
    except (KeyError, ValueError, TypeError, AttributeError) as error:
        raise NotCorrect("", "The fields are not those of an invoice.") from error
    return replace(after, confidence=1.0)


def _checked(fields: Any) -> dict[str, Any]:
    from hopperd.invoices.document import HEADER_NAMES, LINE_ITEM_NAMES, PARTY_NAMES, TAX_NAMES

    if not isinstance(fields, dict):
        raise NotCorrect("", "The fields must be an object.")
    parts = {"Vendor": PARTY_NAMES, "BusinessUnit": PARTY_NAMES, "LineItems": LINE_ITEM_NAMES, "Taxes": TAX_NAMES}
    header = {name: value for name, value in fields.items() if name not in (*parts, "Kept")}
    found: dict[str, Any] = _values("", header, HEADER_NAMES)
    for name, names in parts.items():
        if name in ("LineItems", "Taxes"):
            found[name] = _rows(name, fields.get(name, []), names)
        else:
            found[name] = _values(f"{name}.", fields.get(name, {}), names)
    return {name: value for name, value in found.items() if value}


def _rows(where: str, rows: Any, names: Iterable[tuple[str, str]]) -> list[dict[str, str]]:
    if not isinstance(rows, list) or len(rows) > ROWS_MAX:
        raise NotCorrect(where, f"There can be at most {ROWS_MAX} rows.")
    checked = [_values(f"{where}.{number}.", row, names) for number, row in enumerate(rows)]
    return [row for row in checked if row]


def _values(where: str, values: Any, names: Iterable[tuple[str, str]]) -> dict[str, str]:
    if not isinstance(values, dict):
        raise NotCorrect(where.rstrip("."), "This must be an object.")
    attributes = dict(names)
    found = {}
    for name, value in values.items():
        if name not in attributes:
            raise NotCorrect(where + str(name)[:100], "There is no such field.")
        if text := _text(where + name, value, attributes[name]):
            found[name] = text
    return found


def _text(where: str, value: Any, attribute: str) -> str:
    from hopperd.invoices.document import DATES, DECIMALS

    if not isinstance(value, str) or len(value) > TEXT_MAX:
        raise NotCorrect(where, f"This must be a text of at most {TEXT_MAX} characters.")
    text = _NOT_TEXT.sub("", value).strip()
    if text and attribute in DECIMALS and not _AMOUNT.fullmatch(text):
        raise NotCorrect(where, "This must be a number like 1234.50, without thousands separators.")
    if text and attribute in DATES and not _is_date(text):
        raise NotCorrect(where, "This must be a date like 2026-01-31.")
    return text


def _is_date(text: str) -> bool:
    from datetime import date

    try:
        return bool(_DATE.fullmatch(text)) and date.fromisoformat(text).year >= 1000
    except ValueError:
        return False
