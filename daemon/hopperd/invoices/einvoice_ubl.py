"""UBL Invoice and CreditNote read into fields: XRechnung, Peppol BIS Billing and their kin.

Goes by local names along the paths of the standard. Takes what stands there and computes nothing; the amounts of a
credit note keep the sign they have there.
"""

from decimal import Decimal

from hopperd.invoices.document import Fields, LineItem, Party, Tax
from hopperd.invoices.einvoice_values import amount, day, iban, together
from hopperd.invoices.safe_xml import Element

ROOTS = frozenset({"Invoice", "CreditNote"})


def read_ubl(root: Element) -> Fields:
    """The fields of one invoice or credit note; `root` is an element named in `ROOTS`."""
    sums = root.first("LegalMonetaryTotal") or Element("", {})
    currency = root.value("DocumentCurrencyCode")
    tax = _tax_total(root, currency)
    return Fields(
        invoice_number=root.value("ID"),
        invoice_date=day(root.value("IssueDate")),
        due_date=day(root.value("DueDate") or root.value("PaymentMeans", "PaymentDueDate")),
        order_number=root.value("OrderReference", "ID"),
        currency=currency,
        net_total=amount(sums.value("TaxExclusiveAmount")),
        tax_total=amount(tax.value("TaxAmount")),
        total=amount(sums.value("TaxInclusiveAmount") or sums.value("PayableAmount")),
        vendor=_party(root.first("AccountingSupplierParty", "Party"), _account(root)),
        business_unit=_party(root.first("AccountingCustomerParty", "Party")),
        line_items=tuple(_line(line) for line in root.every("InvoiceLine") + root.every("CreditNoteLine")),
        taxes=tuple(_tax(row) for row in tax.every("TaxSubtotal")),
    )


def _tax_total(root: Element, currency: str | None) -> Element:
    """The tax in the invoice's own currency: a second one may stand beside it in the country's accounting currency."""
    totals = root.every("TaxTotal")
    ours = (total for total in totals if _currency_of(total) == currency)
    return next(ours, totals[0] if totals else Element("", {}))


def _currency_of(total: Element) -> str | None:
    found = total.first("TaxAmount")
    return found.attributes.get("currencyID") if found else None


def _account(root: Element) -> str | None:
    return iban(root.value("PaymentMeans", "PayeeFinancialAccount", "ID"))


def _party(party: Element | None, account: str | None = None) -> Party:
    if party is None:
        return Party(iban=account)
    address = party.first("PostalAddress") or Element("", {})
    vat = next(
        (scheme for scheme in party.every("PartyTaxScheme") if scheme.value("TaxScheme", "ID") == "VAT"),
        party.first("PartyTaxScheme"),
    )
    return Party(
        name=party.value("PartyName", "Name") or party.value("PartyLegalEntity", "RegistrationName"),
        street=together(
            address.value("StreetName"),
            address.value("BuildingNumber"),
            address.value("AdditionalStreetName"),
            address.value("AddressLine", "Line"),
        ),
        city=address.value("CityName"),
        zip=address.value("PostalZone"),
        state=address.value("CountrySubentity"),
        country=address.value("Country", "IdentificationCode"),
        vat_id=vat.value("CompanyID") if vat else None,
        iban=account,
    )


def _line(line: Element) -> LineItem:
    quantity = line.first("InvoicedQuantity") or line.first("CreditedQuantity")
    item = line.first("Item") or Element("", {})
    return LineItem(
        position=line.value("ID"),
        article_number=item.value("SellersItemIdentification", "ID") or item.value("StandardItemIdentification", "ID"),
        description=item.value("Name") or item.value("Description"),
        quantity=amount(quantity.value()) if quantity else None,
        unit_of_measure=quantity.attributes.get("unitCode") if quantity else None,
        unit_price=amount(line.value("Price", "PriceAmount")),
        total_price=amount(line.value("LineExtensionAmount")),
        vat_percentage=_percent(item.first("ClassifiedTaxCategory")),
    )


def _percent(category: Element | None) -> Decimal | None:
    return amount(category.value("Percent")) if category else None


def _tax(row: Element) -> Tax:
    return Tax(
        rate=_percent(row.first("TaxCategory")) or amount(row.value("Percent")),
        base=amount(row.value("TaxableAmount")),
        amount=amount(row.value("TaxAmount")),
    )
