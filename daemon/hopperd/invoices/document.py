"""An invoice as data: what was read from one document, with amounts as decimals and dates as dates.

Only values and their plain form in JSON, in exactly the names of docs/reference/exports.md. A field that was not
found is None here and left out there; nothing is ever guessed in this file.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any, Literal, TypeAlias

ReadFrom: TypeAlias = Literal["einvoice", "text", "scan"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Party:
    """One side of an invoice: who sends it (vendor) or who pays it (business unit)."""

    name: str | None = None
    street: str | None = None
    city: str | None = None
    zip: str | None = None
    state: str | None = None
    country: str | None = None
    vat_id: str | None = None
    iban: str | None = None
    external_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LineItem:
    """One line of goods or services; `total_price` is what this line adds to the invoice."""

    position: str | None = None
    article_number: str | None = None
    description: str | None = None
    quantity: Decimal | None = None
    unit_of_measure: str | None = None
    unit_price: Decimal | None = None
    total_price: Decimal | None = None
    vat_percentage: Decimal | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Tax:
    """One row of the tax breakdown: `rate` in percent, the `base` it is taken from and its `amount`."""

    rate: Decimal | None = None
    base: Decimal | None = None
    amount: Decimal | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Fields:
    """All that an invoice can say; `currency` is a three-letter ISO code, amounts are in it."""

    invoice_number: str | None = None
    invoice_date: date | None = None
    due_date: date | None = None
    order_number: str | None = None
    currency: str | None = None
    net_total: Decimal | None = None
    tax_total: Decimal | None = None
    total: Decimal | None = None
    vendor: Party = Party()
    business_unit: Party = Party()
    line_items: tuple[LineItem, ...] = ()
    taxes: tuple[Tax, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """What was read from one file, how, and how far its sums bear it out (`confidence`, 0 to 1)."""

    file_name: str
    read_from: ReadFrom
    confidence: float
    fields: Fields


PARTY_NAMES = (
    ("Name", "name"),
    ("Street", "street"),
    ("City", "city"),
    ("ZIP", "zip"),
    ("State", "state"),
    ("Country", "country"),
    ("VATID", "vat_id"),
    ("IBAN", "iban"),
    ("ExternalId", "external_id"),
)
LINE_ITEM_NAMES = (
    ("Position", "position"),
    ("ArticleNumber", "article_number"),
    ("Description", "description"),
    ("Quantity", "quantity"),
    ("UnitOfMeasure", "unit_of_measure"),
    ("UnitPrice", "unit_price"),
    ("TotalPrice", "total_price"),
    ("VATPercentage", "vat_percentage"),
)
TAX_NAMES = (("Rate", "rate"), ("Base", "base"), ("Amount", "amount"))
HEADER_NAMES = (
    ("InvoiceNumber", "invoice_number"),
    ("InvoiceDate", "invoice_date"),
    ("DueDate", "due_date"),
    ("OrderNumber", "order_number"),
    ("Currency", "currency"),
    ("NetTotal", "net_total"),
    ("TaxTotal", "tax_total"),
    ("Total", "total"),
)
_PRICES = ("unit_price", "total_price", "net_total", "tax_total", "total", "base", "amount")
DECIMALS = frozenset({*_PRICES, "quantity", "vat_percentage", "rate"})
DATES = frozenset({"invoice_date", "due_date"})


def named_values(source: object, names: Iterable[tuple[str, str]]) -> list[tuple[str, Any]]:
    """The values that are there, by their names in exports, in the documented order."""
    pairs = ((name, getattr(source, attribute)) for name, attribute in names)
    return [(name, value) for name, value in pairs if value is not None]


def document_as_json(document: Document) -> dict[str, Any]:
    """One entry of `Documents`, as plain JSON values: amounts as decimal strings, dates ISO, absent fields left out."""
    fields: dict[str, Any] = _plain(document.fields, HEADER_NAMES)
    for name, party in (("Vendor", document.fields.vendor), ("BusinessUnit", document.fields.business_unit)):
        if values := _plain(party, PARTY_NAMES):
            fields[name] = values
    if document.fields.line_items:
        fields["LineItems"] = [_plain(item, LINE_ITEM_NAMES) for item in document.fields.line_items]
    if document.fields.taxes:
        fields["Taxes"] = [_plain(tax, TAX_NAMES) for tax in document.fields.taxes]
    return {
        "FileName": document.file_name,
        "ReadFrom": document.read_from,
        "Confidence": round(document.confidence, 2),
        "Fields": fields,
    }


def document_from_json(value: dict[str, Any]) -> Document:
    """The document back from what `document_as_json` made. Raises KeyError or ValueError where it is something else."""
    fields = value["Fields"]
    return Document(
        file_name=value["FileName"],
        read_from=value["ReadFrom"],
        confidence=value["Confidence"],
        fields=Fields(
            **_values(fields, HEADER_NAMES),
            vendor=Party(**_values(fields.get("Vendor", {}), PARTY_NAMES)),
            business_unit=Party(**_values(fields.get("BusinessUnit", {}), PARTY_NAMES)),
            line_items=tuple(LineItem(**_values(item, LINE_ITEM_NAMES)) for item in fields.get("LineItems", ())),
            taxes=tuple(Tax(**_values(tax, TAX_NAMES)) for tax in fields.get("Taxes", ())),
        ),
    )


def plain_text(value: object) -> str:
    """A value as every export but the workbook writes it: `1234.50`, `2026-01-31`, or the text itself."""
    if isinstance(value, Decimal):
        return format(value, "f")
    return value.isoformat() if isinstance(value, date) else str(value)


def _plain(source: object, names: Iterable[tuple[str, str]]) -> dict[str, Any]:
    return {name: plain_text(value) for name, value in named_values(source, names)}


def _values(plain: dict[str, Any], names: Iterable[tuple[str, str]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, attribute in names:
        if (text := plain.get(name)) is None:
            continue
        if attribute in DECIMALS:
            found[attribute] = Decimal(text)
        else:
            found[attribute] = date.fromisoformat(text) if attribute in DATES else text
    return found
