"""Cross Industry Invoice read into fields: Factur-X and ZUGFeRD 2 and 1, XRechnung and Peppol in the CII syntax.

Goes by local names along the paths of the standard. Takes what stands there and computes nothing.
"""

from decimal import Decimal

from hopperd.invoices.document import Fields, LineItem, Party, Tax
from hopperd.invoices.einvoice_values import amount, day, iban, together
from hopperd.invoices.safe_xml import Element

ROOTS = frozenset({"CrossIndustryInvoice", "CrossIndustryDocument"})


def read_cii(root: Element) -> Fields:
    """The fields of one invoice; `root` is an element named in `ROOTS`."""
    head = _either(root, "ExchangedDocument", "HeaderExchangedDocument")
    trade = _either(root, "SupplyChainTradeTransaction", "SpecifiedSupplyChainTradeTransaction")
    agreement = _either(trade, "ApplicableHeaderTradeAgreement", "ApplicableSupplyChainTradeAgreement")
    settlement = _either(trade, "ApplicableHeaderTradeSettlement", "ApplicableSupplyChainTradeSettlement")
    sums = _either(
        settlement, "SpecifiedTradeSettlementHeaderMonetarySummation", "SpecifiedTradeSettlementMonetarySummation"
    )
    order = _either(agreement, "BuyerOrderReferencedDocument")
    currency = settlement.value("InvoiceCurrencyCode")
    return Fields(
        invoice_number=head.value("ID"),
        invoice_date=day(head.value("IssueDateTime", "DateTimeString")),
        due_date=day(settlement.value("SpecifiedTradePaymentTerms", "DueDateDateTime", "DateTimeString")),
        order_number=order.value("IssuerAssignedID") or order.value("ID"),
        currency=currency,
        net_total=amount(sums.value("TaxBasisTotalAmount")),
        tax_total=_in_currency(sums.every("TaxTotalAmount"), currency),
        total=amount(sums.value("GrandTotalAmount")),
        vendor=_party(agreement.first("SellerTradeParty"), _account(settlement)),
        business_unit=_party(agreement.first("BuyerTradeParty")),
        line_items=tuple(_line(line) for line in trade.every("IncludedSupplyChainTradeLineItem") if _is_priced(line)),
        taxes=tuple(_tax(tax) for tax in settlement.every("ApplicableTradeTax")),
    )


def _either(parent: Element, *names: str) -> Element:
    return next((found for name in names if (found := parent.first(name))), Element("", {}))


def _in_currency(amounts: list[Element], currency: str | None) -> Decimal | None:
    """The tax in the invoice's own currency: a second one may stand beside it in the country's accounting currency."""
    ours = [found for found in amounts if found.attributes.get("currencyID", currency) == currency]
    return amount((ours or amounts)[0].text.strip()) if amounts else None


def _account(settlement: Element) -> str | None:
    return iban(
        settlement.value("SpecifiedTradeSettlementPaymentMeans", "PayeePartyCreditorFinancialAccount", "IBANID")
    )


def _party(party: Element | None, account: str | None = None) -> Party:
    if party is None:
        return Party(iban=account)
    address = party.first("PostalTradeAddress") or Element("", {})
    taxes = {found.attributes.get("schemeID", ""): found for found in party.every("SpecifiedTaxRegistration", "ID")}
    tax = taxes.get("VA") or taxes.get("FC") or next(iter(taxes.values()), None)
    return Party(
        name=party.value("Name") or party.value("SpecifiedLegalOrganization", "TradingBusinessName"),
        street=together(address.value("LineOne"), address.value("LineTwo"), address.value("LineThree")),
        city=address.value("CityName"),
        zip=address.value("PostcodeCode"),
        state=address.value("CountrySubDivisionName"),
        country=address.value("CountryID"),
        vat_id=tax.value() if tax else None,
        iban=account,
    )


def _is_priced(line: Element) -> bool:
    """Lines that only carry a note, as ZUGFeRD 1 has them, are no line items."""
    return line.first("SpecifiedTradeProduct") is not None or _settled(line).first("ApplicableTradeTax") is not None


def _settled(line: Element) -> Element:
    return _either(line, "SpecifiedLineTradeSettlement", "SpecifiedSupplyChainTradeSettlement")


def _line(line: Element) -> LineItem:
    agreed = _either(line, "SpecifiedLineTradeAgreement", "SpecifiedSupplyChainTradeAgreement")
    delivered = _either(line, "SpecifiedLineTradeDelivery", "SpecifiedSupplyChainTradeDelivery")
    settled = _settled(line)
    tax = _either(settled, "ApplicableTradeTax")
    product = _either(line, "SpecifiedTradeProduct")
    sums = _either(
        settled, "SpecifiedTradeSettlementLineMonetarySummation", "SpecifiedTradeSettlementMonetarySummation"
    )
    quantity = delivered.first("BilledQuantity")
    return LineItem(
        position=line.value("AssociatedDocumentLineDocument", "LineID"),
        article_number=product.value("SellerAssignedID") or product.value("GlobalID"),
        description=product.value("Name") or product.value("Description"),
        quantity=amount(quantity.value()) if quantity else None,
        unit_of_measure=quantity.attributes.get("unitCode") if quantity else None,
        unit_price=amount(
            agreed.value("NetPriceProductTradePrice", "ChargeAmount")
            or agreed.value("GrossPriceProductTradePrice", "ChargeAmount")
        ),
        total_price=amount(sums.value("LineTotalAmount")),
        vat_percentage=_rate(tax),
    )


def _rate(tax: Element) -> Decimal | None:
    return amount(tax.value("RateApplicablePercent") or tax.value("ApplicablePercent"))


def _tax(tax: Element) -> Tax:
    return Tax(rate=_rate(tax), base=amount(tax.value("BasisAmount")), amount=amount(tax.value("CalculatedAmount")))
