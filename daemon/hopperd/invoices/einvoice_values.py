"""Texts of e-invoices as values: amounts, dates and names in the forms that the standards allow, and no others.

A text in any other form is no value (None); nothing is interpreted. Only the reader of PDFs has to guess.
"""

import re
from datetime import date
from decimal import Decimal, InvalidOperation
from typing import Final

_AMOUNT: Final = re.compile(r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)")
_DATE: Final = re.compile(r"(\d{4})-?(\d{2})-?(\d{2})(?:[T+Z-].*)?")
_DIGITS_MAX: Final = 30


def amount(text: str | None) -> Decimal | None:
    """A decimal in XML form (`1234.50`); at most thirty digits."""
    if not text or len(text) > _DIGITS_MAX or not _AMOUNT.fullmatch(text):
        return None
    try:
        return Decimal(text)
    except InvalidOperation:  # pragma: no cover - the pattern leaves nothing else
        return None


def day(text: str | None) -> date | None:
    """A day as `2026-01-31` (a time or zone after it is dropped) or `20260131`."""
    found = _DATE.fullmatch(text or "")
    try:
        return date(int(found[1]), int(found[2]), int(found[3])) if found else None
    except ValueError:
        return None


def together(*texts: str | None) -> str | None:
    """The texts that are there, with a comma between them; None if none is."""
    return ", ".join(text for text in texts if text) or None


def iban(text: str | None) -> str | None:
    """An account number without its spaces."""
    return re.sub(r"\s+", "", text) or None if text else None
