"""The invoices that hopperd makes up itself, as data: what its samples say, and so what reading them must give back.

All companies are invented. An index gives the same invoice for ever: no clock, no randomness. Nothing is drawn here.
"""

from dataclasses import dataclass
from datetime import date, timedelta
from decimal import ROUND_HALF_UP, Decimal
from typing import Final

from hopperd.invoices.document import Fields, LineItem, Party, Tax

_MONTHS: Final = (
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
)
_CENT: Final = Decimal("0.01")
_FIRST_DAY: Final = date(2026, 1, 5)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wording:
    """How invoices of one country are written: labels, tax name and rate, number and date forms."""

    country: str
    currency: str
    tax: str
    rate: Decimal
    labels: dict[str, str]
    date_form: str
    amount_form: str
    prefix: str
    vendor: Party
    vendor_tax_label: str
    buyer: Party
    goods: tuple[tuple[str, str, str], ...]


_ENGLISH: Final = {
    "title": "INVOICE",
    "number": "Invoice Number",
    "date": "Invoice Date",
    "due": "Due Date",
    "order": "PO Number",
    "buyer": "Bill To",
    "description": "Description",
    "quantity": "Qty",
    "price": "Unit Price",
    "amount": "Amount",
    "net": "Subtotal",
    "total": "Total",
}
_GERMAN: Final = {
    "title": "RECHNUNG",
    "number": "Rechnungsnummer",
    "date": "Rechnungsdatum",
    "due": "Fällig am",
    "order": "Bestellnummer",
    "buyer": "Rechnungsempfänger",
    "description": "Bezeichnung",
    "quantity": "Menge",
    "price": "Einzelpreis",
    "amount": "Betrag",
    "net": "Nettobetrag",
    "total": "Gesamtbetrag",
}
_FRENCH: Final = {
    "title": "FACTURE",
    "number": "Numéro de facture",
    "date": "Date de facture",
    "due": "Date d'échéance",
    "order": "Bon de commande",
    "buyer": "Facturé à",
    "description": "Désignation",
    "quantity": "Quantité",
    "price": "Prix unitaire",
    "amount": "Montant",
    "net": "Total HT",
    "total": "Total TTC",
}

US: Final = Wording(
    country="US",
    currency="USD",
    tax="Sales Tax",
    rate=Decimal("8.25"),
    labels=_ENGLISH,
    date_form="%m/%d/%Y",
    amount_form="$1,234.56",
    prefix="FH-",
    vendor=Party(
        name="Fernhill Office Supply Inc.",
        street="410 Cedar Street",
        city="Austin",
        state="TX",
        zip="78701",
        country="US",
    ),
    vendor_tax_label="",
    buyer=Party(name="Bluewater Logistics LLC", street="92 Harbor Road", city="Galveston", state="TX", zip="77550"),
    goods=(("Copy paper, box", "12", "34.50"), ("Desk lamp", "4", "58.75"), ("Toner cartridge", "3", "96.00")),
)
DE: Final = Wording(
    country="DE",
    currency="EUR",
    tax="MwSt.",
    rate=Decimal(19),
    labels=_GERMAN,
    date_form="%d.%m.%Y",
    amount_form="1.234,56 EUR",
    prefix="RE-2026-",
    vendor=Party(
        name="Kesselbrand Werkzeuge GmbH",
        street="Lindenallee 7",
        zip="34117",
        city="Kassel",
        country="DE",
        vat_id="DE999999990",
        iban="DE89370400440532013000",
    ),
    vendor_tax_label="USt-IdNr.",
    buyer=Party(name="Nordhafen Spedition KG", street="Kaistraße 18", zip="24103", city="Kiel"),
    goods=(("Akkuschrauber", "2", "189,00"), ("Bohrersatz 25-teilig", "5", "42,90"), ("Schutzbrille", "20", "7,15")),
)
AU: Final = Wording(
    country="AU",
    currency="AUD",
    tax="GST",
    rate=Decimal(10),
    labels={**_ENGLISH, "title": "TAX INVOICE"},
    date_form="%d %b %Y",
    amount_form="$1,234.56",
    prefix="WC",
    vendor=Party(
        name="Wattle Creek Tools Pty Ltd",
        street="15 Banksia Drive",
        city="Geelong",
        state="VIC",
        zip="3220",
        country="AU",
        vat_id="89000000019",
    ),
    vendor_tax_label="ABN",
    buyer=Party(name="Red Gum Building Co Pty Ltd", street="3 Wharf Street", city="Ballarat", state="VIC", zip="3350"),
    goods=(("Hand saw 550 mm", "6", "41.20"), ("Work gloves, pair", "30", "8.95"), ("Spirit level", "2", "77.00")),
)
CA: Final = Wording(
    country="CA",
    currency="CAD",
    tax="HST",
    rate=Decimal(13),
    labels=_ENGLISH,
    date_form="%Y-%m-%d",
    amount_form="CAD 1,234.56",
    prefix="MR-",
    vendor=Party(
        name="Maple Ridge Packaging Ltd.",
        street="220 Mill Street",
        city="Guelph",
        state="ON",
        zip="N1H 2A1",
        country="CA",
        vat_id="123456782RT0001",
    ),
    vendor_tax_label="GST/HST No.",
    buyer=Party(name="Lakeview Foods Inc.", street="18 Front Street", city="Kingston", state="ON", zip="K7L 1A1"),
    goods=(("Carton 40 x 30 cm", "250", "1.12"), ("Stretch film roll", "12", "18.40"), ("Pallet label", "500", "0.09")),
)
FR: Final = Wording(
    country="FR",
    currency="EUR",
    tax="TVA",
    rate=Decimal(20),
    labels=_FRENCH,
    date_form="%d/%m/%Y",
    amount_form="1 234,56 EUR",
    prefix="FA-2026-",
    vendor=Party(
        name="Atelier Clairval SARL",
        street="8 rue des Tilleuls",
        zip="69003",
        city="Lyon",
        country="FR",
        vat_id="FR53999999915",
        iban="FR7630006000011234567890189",
    ),
    vendor_tax_label="N° TVA",
    buyer=Party(name="Hôtel du Vieux Pont SAS", street="2 quai Neuf", zip="25000", city="Besançon"),
    goods=(("Table en chêne", "1", "640,00"), ("Chaise", "6", "85,50"), ("Livraison", "1", "60,00")),
)
GB: Final = Wording(
    country="GB",
    currency="GBP",
    tax="VAT",
    rate=Decimal(20),
    labels=_ENGLISH,
    date_form="%d %B %Y",
    amount_form="£1,234.56",
    prefix="TF/",
    vendor=Party(
        name="Thornwick Fasteners Ltd",
        street="Unit 4, Mill Lane",
        city="Leeds",
        zip="LS9 8AG",
        country="GB",
        vat_id="GB123456782",
    ),
    vendor_tax_label="VAT No",
    buyer=Party(name="Alder and Rowe Joinery Ltd", street="77 Station Road", city="York", zip="YO24 1AA"),
    goods=(("Coach bolts M10, box", "10", "14.60"), ("Wood screws, box", "24", "6.25"), ("Washers, bag", "8", "3.40")),
)
WORDINGS: Final = (US, DE, AU, CA, FR, GB)


def make_fields(index: int, wording: Wording) -> Fields:
    """Invoice number `index` as this country writes it; every index differs in number, date and amounts."""
    items = tuple(_item(row, index, wording) for row in range(len(wording.goods)))
    net = sum((item.total_price or Decimal(0) for item in items), Decimal(0))
    tax = (net * wording.rate / 100).quantize(_CENT, ROUND_HALF_UP)
    issued = _FIRST_DAY + timedelta(days=index * 3 % 300)
    return Fields(
        invoice_number=f"{wording.prefix}{10001 + index}",
        invoice_date=issued,
        due_date=issued + timedelta(days=30),
        order_number=f"PO-{7100 + index}",
        currency=wording.currency,
        net_total=net,
        tax_total=tax,
        total=net + tax,
        vendor=wording.vendor,
        business_unit=wording.buyer,
        line_items=items,
        taxes=(Tax(rate=wording.rate, base=net, amount=tax),),
    )


def _item(row: int, index: int, wording: Wording) -> LineItem:
    description, quantity, price = wording.goods[row]
    count = Decimal(quantity) + index % 7
    each = Decimal(price.replace(",", ".")) + Decimal(index % 50) / 100
    return LineItem(
        position=str(row + 1), description=description, quantity=count, unit_price=each, total_price=count * each
    )


def write_amount(value: Decimal, form: str) -> str:
    """An amount in the form that an example shows: `$1,234.56`, `1.234,56 EUR`, `1 234,56 EUR`, `CAD 1,234.56`."""
    plain = f"{value:,.2f}"
    if "1.234,56" in form:
        return form.replace("1.234,56", plain.translate(str.maketrans(",.", ".,")))
    if "1 234,56" in form:
        return form.replace("1 234,56", plain.translate(str.maketrans(",.", " ,")))
    return form.replace("1,234.56", plain)


def written_date(value: date, form: str) -> str:
    """A date in this form, with English month names wherever this runs."""
    name = _MONTHS[value.month - 1]
    return value.strftime(form.replace("%B", name).replace("%b", name[:3]))
