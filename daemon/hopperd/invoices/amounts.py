"""Amounts as people print them: `$1,234.56`, `1.234,56 €`, `1 234,56`, `(149.25)`, `12.50-`, `2'025.00`.

Which sign is the decimal one is told by the amounts themselves. What could be read in two ways and is not settled by
the rest of the document is read as thousands, because prices without cents are more common than with three decimals.
"""

import re
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

_CURRENCY: Final = r"(?:[A-Z]{1,3}\$|US\$|[$€£₹¥]|Rs\.?|(?:EUR|USD|GBP|AUD|CAD|CHF|NZD|INR|JPY|SEK|NOK|DKK|PLN|CZK)\b)"
_NUMBER: Final = (
    r"\d{1,3}(?:[ '’]\d{3})+(?:[.,]\d{1,2})?|\d{1,3}(?:,\d{3})+(?:\.\d+)?"
    r"|\d{1,3}(?:\.\d{3})+(?:,\d+)?|\d+(?:[.,]\d+)?"
)
AMOUNT: Final = re.compile(
    rf"(?<![\w.,/:-])(?=\D{{0,9}}\d)(?P<open>\()?(?P<minus>[-–]\s?)?(?P<before>{_CURRENCY})?\s?(?P<minus2>[-–]\s?)?"
    rf"(?P<number>{_NUMBER})(?![\d]|[.,/:-]\d|\s?%)"
    rf"(?P<after>\s?(?:[€£$]|{_CURRENCY}))?(?P<close>\))?(?P<minus3>-(?!\w))?(?!\w)"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Amount:
    """One amount found in a text; `is_money` if cents or a currency sign show that it is one."""

    value: Decimal
    is_money: bool
    start: int
    end: int


def amounts_in(text: str, decimal_comma: bool = False) -> list[Amount]:
    """All amounts in a text from left to right; numbers that end in a percent sign are none."""
    return [found for match in AMOUNT.finditer(text) if (found := _amount(match, decimal_comma))]


def uses_decimal_comma(text: str) -> bool:
    """Whether most amounts with cents in a document write them after a comma."""
    commas = len(re.findall(r"\d,\d{2}(?![\d.,])", text))
    points = len(re.findall(r"\d\.\d{2}(?![\d.,])", text))
    return commas > points


def number_of(text: str, decimal_comma: bool = False) -> Decimal | None:
    """A bare number such as a quantity: the whole text must be one."""
    found = AMOUNT.fullmatch(text.strip())
    amount = _amount(found, decimal_comma) if found else None
    return amount.value if amount else None


def _amount(match: re.Match[str], decimal_comma: bool) -> Amount | None:
    number = match["number"]
    value, has_cents = _decimal(number, decimal_comma)
    if len(number) > 18 or (number.startswith("0") and number.isdigit() and len(number) > 1):
        return None
    negative = bool(match["minus"] or match["minus2"] or match["minus3"] or (match["open"] and match["close"]))
    return Amount(
        value=-value if negative else value,
        is_money=bool(has_cents or match["before"] or match["after"]),
        start=match.start(),
        end=match.end(),
    )


def _decimal(number: str, decimal_comma: bool) -> tuple[Decimal, bool]:
    """The value, and whether it is written with cents (two decimals)."""
    plain = re.sub(r"[ '’]", "", number)
    last = max(plain.rfind("."), plain.rfind(","))
    if last < 0:
        return Decimal(plain), False
    sign, decimals = plain[last], len(plain) - last - 1
    other = "." if sign == "," else ","
    is_decimal = decimals != 3 or other in plain[:last] or (plain.count(sign) == 1 and sign == "," and decimal_comma)
    if plain.count(sign) > 1:
        is_decimal = False
    if not is_decimal:
        return Decimal(plain.replace(sign, "").replace(other, "")), False
    whole = plain[:last].replace(other, "").replace(sign, "")
    return Decimal(f"{whole}.{plain[last + 1 :]}"), decimals == 2
