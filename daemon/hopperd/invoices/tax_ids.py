"""Tax numbers and bank accounts found in text: only those whose form, check digits or label leave no doubt.

VAT numbers of the EU and Great Britain, ABN, GST/HST numbers, EIN, GSTIN; IBANs by their check digits.
"""

import re
from dataclasses import dataclass
from typing import Final

_D: Final = r"[\s.\-]?\d"
_X: Final = r"[\s.\-]?[A-Z0-9]"
_VAT_FORMS: Final = {
    "ATU": 8 * _D, "BE": 10 * _D, "DE": 9 * _D, "DK": 8 * _D, "ES": _X + 7 * _D + _X, "FI": 8 * _D,
    "FR": 2 * _X + 9 * _D,
    "GB": f"{9 * _D}(?:{3 * _D})?", "IE": _D + _X + 5 * _D + "[A-Z]{1,2}", "IT": 11 * _D, "LU": 8 * _D,
    "NL": 9 * _D + r"\s?B" + 2 * _D, "PL": 10 * _D, "PT": 9 * _D, "SE": 12 * _D, "EE": 9 * _D, "CHE": 9 * _D,
}  # fmt: skip
_ANY_VAT: Final = "|".join(prefix + form for prefix, form in _VAT_FORMS.items())
_VAT: Final = re.compile(rf"(?<![A-Za-z0-9])(?:{_ANY_VAT})(?!\s?\d|[A-Za-z])")
_GSTIN: Final = re.compile(r"(?<![A-Z0-9])\d{2}[A-Z]{5}\d{4}[A-Z][A-Z0-9]Z[A-Z0-9](?![A-Z0-9])")
_GST_HST: Final = re.compile(r"(?<!\d)\d{3}\s?\d{3}\s?\d{3}\s?RT\s?\d{4}(?!\d)")
_LABELLED: Final = tuple(
    (country, re.compile(rf"\b{pattern}", re.IGNORECASE))
    for country, pattern in (
        ("AU", r"A\.?B\.?N\.?[\s:.#]*((?:\d\s?){11})(?!\d)"),
        ("GB", r"VAT\s?(?:Reg\w*\.?)?\s?(?:No|Number|Nr)?[\s:.#]*(\d{3}\s?\d{4}\s?\d{2})(?!\s?\d)"),
        ("US", r"(?:F?EIN|Fed(?:eral)?\.? (?:Tax )?ID|Tax ID)[\s:.#A-Z]{0,12}?(\d{2}-\d{7})(?!\d)"),
        ("IT", r"(?:P\.?\s?IVA|Partita IVA)[\s:.#]*(\d{11})(?!\d)"),
        ("ES", r"[CN]\.?I\.?F\.?[\s:.#]*([A-Z][\s.-]?\d{7}[\s-]?[A-Z0-9]|\d{8}[\s-]?[A-Z])(?![A-Z0-9])"),
    )
)
_DIGITS: Final = re.compile(r"\d[A-Z]{5}\d{4}|\d(?:[\s.\-]?\d){4}")
_IBAN: Final = re.compile(r"(?<![A-Z0-9])([A-Z]{2}\d{2}(?:\s?[A-Z0-9]){11,30})(?![A-Za-z0-9])")
_IBAN_LENGTHS: Final = {
    "AT": 20, "BE": 16, "CH": 21, "CZ": 24, "DE": 22, "DK": 18, "EE": 20, "ES": 24, "FI": 18, "FR": 27, "GB": 22,
    "IE": 22, "IT": 27, "LU": 20, "NL": 18, "NO": 15, "PL": 28, "PT": 25, "SE": 24,
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class TaxId:
    """A tax number without spaces, the country it belongs to, and where in the text it stands."""

    value: str
    country: str
    start: int


def may_hold_tax_ids(text: str) -> bool:
    """Whether a text has as many digits in a row as any tax number: a quick look that spares most rows the slow one."""
    return bool(_DIGITS.search(text))


def tax_ids_in(text: str) -> list[TaxId]:
    """All tax numbers in a text, in its order."""
    found = [
        TaxId(value=_bare(match[0]), country=match[0][:2] if match[0][:3] != "CHE" else "CH", start=match.start())
        for match in _VAT.finditer(text)
        if not re.search(r"IBAN\W*$", text[: match.start()])
    ]
    found += [TaxId(value=match[0], country="IN", start=match.start()) for match in _GSTIN.finditer(text)]
    found += [TaxId(value=_bare(match[0]), country="CA", start=match.start()) for match in _GST_HST.finditer(text)]
    for country, pattern in _LABELLED:
        for match in pattern.finditer(text):
            value = match[1] if country == "US" else _bare(match[1])
            if country != "AU" or is_abn(value):
                found.append(TaxId(value=value, country=country, start=match.start()))
    return sorted(found, key=lambda tax_id: tax_id.start)


def is_abn(digits: str) -> bool:
    """Whether eleven digits are an Australian Business Number, by its check sum modulo 89."""
    weights = (10, 1, 3, 5, 7, 9, 11, 13, 15, 17, 19)
    numbers = [int(digit) for digit in digits]
    if len(numbers) != len(weights):
        return False
    numbers[0] -= 1
    return sum(weight * number for weight, number in zip(weights, numbers, strict=True)) % 89 == 0


def ibans_in(text: str) -> list[str]:
    """All IBANs in a text whose length and check digits are right, without spaces."""
    found = []
    for match in _IBAN.finditer(text):
        bare = re.sub(r"\s", "", match[1])
        length = _IBAN_LENGTHS.get(bare[:2])
        if length and len(bare) >= length and is_iban(bare[:length]):
            found.append(bare[:length])
    return list(dict.fromkeys(found))


def is_iban(bare: str) -> bool:
    """Whether the check digits of an IBAN without spaces are right (modulo 97)."""
    turned = bare[4:] + bare[:4]
    return turned.isalnum() and int("".join(str(int(character, 36)) for character in turned)) % 97 == 1


def _bare(text: str) -> str:
    return re.sub(r"[\s.\-]", "", text)
