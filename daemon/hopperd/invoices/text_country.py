"""Whose habits an invoice follows, and its currency: told by words, tax numbers, accounts and signs in its text.

A country is worth naming only with two hints or a strong one; a currency only if it is printed or its country leaves
no other.
"""

import re
from typing import Final

from hopperd.invoices.layout import Layout
from hopperd.invoices.tax_ids import TaxId

# country, how much one hit says, what may be seen; a pattern is looked for only where one of its words stands
_HINTS: Final = tuple(
    (country, weight, tuple(words.split(",")) if words else (), re.compile(pattern))
    for country, weight, words, pattern in (
        ("AU", 3, "ABN,.com.au", r"\bABN\b|\.com\.au\b"),
        ("AU", 1, "Australia,NSW,VIC,QLD,TAS", r"\bAustralia\b|\b(?:NSW|VIC|QLD|TAS) \d{4}\b"),
        ("US", 2, "", r"[A-Z](?<!\w[A-Z])[A-Z],? \d{5}(?:-\d{4})?\b"),
        (
            "US",
            1,
            "USA,United States,US Dollar,ales Tax,ales tax,SALES TAX",
            r"\bUSA\b|United States|US Dollar|[Ss]ales [Tt]ax|SALES TAX",
        ),
        ("CA", 2, "", r"[A-Z](?<!\w[A-Z])\d[A-Z] ?\d[A-Z]\d\b"),
        (
            "CA",
            2,
            "HST,/GST,/PST,/QST,QST,RT,CAD",
            r"\bHST\b|\bGST/HST\b|\b[TQ][PV][SQ]/[GPQ]ST\b|\bQST\b|\bRT ?\d{4}\b|\bCAD\b",
        ),
        ("CA", 1, "Canada,.ca", r"\bCanada\b|\.ca\b"),
        ("GB", 2, "£,GBP,.co.uk,United Kingdom,UK", r"£|\bGBP\b|\.co\.uk\b|United Kingdom|\bUK\b"),
        ("GB", 1, "", r"[A-Z](?<!\w[A-Z])[A-Z]?\d[A-Z\d]? \d[A-Z]{2}\b|VAT(?<!\wVAT)\b"),
        (
            "DE",
            2,
            "MwSt,USt,Umsatzsteuer,Mehrwertsteuer,Rechnung,Handelsregister,Geschäftsführer",
            r"\bMwSt|\bUSt|Umsatzsteuer|Mehrwertsteuer|Rechnung|Handelsregister|Geschäftsführer",
        ),
        ("FR", 2, "TVA,SIRET,RCS,acture", r"\bTVA\b|\bSIRET\b|\bRCS\b|[Ff]acture\b"),
        ("NL", 2, "BTW,KvK,actuur", r"\bBTW\b|\bKvK\b|[Ff]actuur"),
        (
            "ES",
            2,
            "IF,I.F,actura,imponible,IMPONIBLE",
            r"\b[CN]\.?I\.?F\b|[Ff]actura\b|\b[Bb]ase [Ii]mponible\b|\bBASE IMPONIBLE\b",
        ),
        ("IT", 2, "IVA,attura,mponibile", r"\bP\.? ?IVA\b|[Ff]attura\b|[Ii]mponibile"),
    )
)
_EURO_COUNTRIES: Final = frozenset({"AT", "BE", "DE", "EE", "ES", "FI", "FR", "IE", "IT", "LU", "NL", "PT"})
_CURRENCY_OF: Final = {"US": "USD", "AU": "AUD", "CA": "CAD", "GB": "GBP", "IN": "INR", "CH": "CHF"}
_CODE: Final = re.compile(r"(?<![A-Za-z])(EUR|USD|GBP|AUD|CAD|CHF|NZD|INR|SEK|NOK|DKK|PLN|CZK|JPY)(?![A-Za-z])")
_RUPEES: Final = re.compile(r"\bRs\.?\s?-?\d|\bRupees\b|\bINR\b")
_KRONOR: Final = re.compile(r"\d\s?kr\b|\bkr\.?\s?\d")
_KRONOR_OF: Final = {"SE": "SEK", "DK": "DKK", "NO": "NOK"}
_ZLOTY: Final = re.compile(r"\d\s?zł")
_SIGNS: Final = (
    (re.compile(r"AU?\$"), "AUD"),
    (re.compile(r"CA?\$"), "CAD"),
    (re.compile(r"US\$|U\.S\. Dollar|US Dollar"), "USD"),
)


def country_of(layout: Layout, tax_ids: list[TaxId], accounts: list[str]) -> str | None:
    """The country whose words, tax numbers and accounts are seen most; None if hardly anything shows one."""
    scores: dict[str, float] = {}
    for tax_id in tax_ids:
        scores[tax_id.country] = scores.get(tax_id.country, 0) + 4
    for account in accounts:
        scores[account[:2]] = scores.get(account[:2], 0) + 2
    for country, weight, words, pattern in _HINTS:
        if not words or any(word in layout.text for word in words):
            hits = len(pattern.findall(layout.text))
            scores[country] = scores.get(country, 0) + weight * min(hits, 2)
    best = max(scores, key=lambda country: scores[country], default=None)
    return best if best and scores[best] >= 2 else None


def read_currency(layout: Layout, country: str | None) -> str | None:
    """The currency: a code that is printed, a sign that means only one, or a plain $ in a country that uses it."""
    codes = [match[1] for match in _CODE.finditer(layout.text)]
    if codes:
        return max(dict.fromkeys(codes), key=codes.count)
    for pattern, code in _SIGNS:
        if pattern.search(layout.text):
            return code
    for sign, code in (("€", "EUR"), ("£", "GBP"), ("₹", "INR")):
        if sign in layout.text:
            return code
    if _RUPEES.search(layout.text):
        return "INR"
    if "$" in layout.text:
        return _CURRENCY_OF[country] if country in {"US", "AU", "CA"} else "USD"
    if _KRONOR.search(layout.text):
        return _KRONOR_OF.get(country or "")
    if _ZLOTY.search(layout.text):
        return "PLN"
    return "EUR" if country in _EURO_COUNTRIES else _CURRENCY_OF.get(country or "")
