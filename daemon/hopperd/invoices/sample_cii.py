"""Writes a made-up invoice in the Cross Industry Invoice syntax that Factur-X embeds; not for exports."""

from xml.sax.saxutils import escape

from hopperd.invoices.document import Fields, Party


def cii_xml(fields: Fields) -> str:
    """The invoice in the Cross Industry Invoice syntax, as Factur-X (EN 16931 profile) embeds it."""
    currency = escape(fields.currency or "")
    lines = "".join(
        f"<ram:IncludedSupplyChainTradeLineItem><ram:AssociatedDocumentLineDocument><ram:LineID>{item.position}</ram:LineID>"
        f"</ram:AssociatedDocumentLineDocument><ram:SpecifiedTradeProduct><ram:Name>{escape(item.description or '')}"
        "</ram:Name></ram:SpecifiedTradeProduct><ram:SpecifiedLineTradeAgreement><ram:NetPriceProductTradePrice>"
        f"<ram:ChargeAmount>{item.unit_price}</ram:ChargeAmount></ram:NetPriceProductTradePrice>"
        "</ram:SpecifiedLineTradeAgreement><ram:SpecifiedLineTradeDelivery>"
        f'<ram:BilledQuantity unitCode="C62">{item.quantity}</ram:BilledQuantity></ram:SpecifiedLineTradeDelivery>'
        "<ram:SpecifiedLineTradeSettlement><ram:ApplicableTradeTax><ram:TypeCode>VAT</ram:TypeCode>"
        f"<ram:CategoryCode>S</ram:CategoryCode><ram:RateApplicablePercent>{fields.taxes[0].rate}"
        "</ram:RateApplicablePercent></ram:ApplicableTradeTax><ram:SpecifiedTradeSettlementLineMonetarySummation>"
        f"<ram:LineTotalAmount>{item.total_price}</ram:LineTotalAmount>"
        "</ram:SpecifiedTradeSettlementLineMonetarySummation></ram:SpecifiedLineTradeSettlement>"
        "</ram:IncludedSupplyChainTradeLineItem>"
        for item in fields.line_items
    )
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        '<rsm:CrossIndustryInvoice xmlns:rsm="urn:un:unece:uncefact:data:standard:CrossIndustryInvoice:100" '
        'xmlns:ram="urn:un:unece:uncefact:data:standard:ReusableAggregateBusinessInformationEntity:100" '
        'xmlns:udt="urn:un:unece:uncefact:data:standard:UnqualifiedDataType:100">'
        "<rsm:ExchangedDocumentContext><ram:GuidelineSpecifiedDocumentContextParameter>"
        "<ram:ID>urn:cen.eu:en16931:2017</ram:ID></ram:GuidelineSpecifiedDocumentContextParameter>"
        f"</rsm:ExchangedDocumentContext><rsm:ExchangedDocument><ram:ID>{escape(fields.invoice_number or '')}</ram:ID>"
        f"<ram:TypeCode>380</ram:TypeCode><ram:IssueDateTime>{_cii_date(fields.invoice_date)}</ram:IssueDateTime>"
        f"</rsm:ExchangedDocument><rsm:SupplyChainTradeTransaction>{lines}<ram:ApplicableHeaderTradeAgreement>"
        f"<ram:SellerTradeParty>{_cii_party(fields.vendor)}</ram:SellerTradeParty>"
        f"<ram:BuyerTradeParty>{_cii_party(fields.business_unit)}</ram:BuyerTradeParty>"
        f"<ram:BuyerOrderReferencedDocument><ram:IssuerAssignedID>{escape(fields.order_number or '')}"
        "</ram:IssuerAssignedID></ram:BuyerOrderReferencedDocument></ram:ApplicableHeaderTradeAgreement>"
        "<ram:ApplicableHeaderTradeDelivery/><ram:ApplicableHeaderTradeSettlement>"
        f"<ram:InvoiceCurrencyCode>{currency}</ram:InvoiceCurrencyCode>"
        "<ram:SpecifiedTradeSettlementPaymentMeans><ram:TypeCode>58</ram:TypeCode><ram:PayeePartyCreditorFinancialAccount>"
        f"<ram:IBANID>{fields.vendor.iban or ''}</ram:IBANID></ram:PayeePartyCreditorFinancialAccount>"
        "</ram:SpecifiedTradeSettlementPaymentMeans><ram:ApplicableTradeTax>"
        f"<ram:CalculatedAmount>{fields.tax_total}</ram:CalculatedAmount><ram:TypeCode>VAT</ram:TypeCode>"
        f"<ram:BasisAmount>{fields.net_total}</ram:BasisAmount><ram:CategoryCode>S</ram:CategoryCode>"
        f"<ram:RateApplicablePercent>{fields.taxes[0].rate}</ram:RateApplicablePercent></ram:ApplicableTradeTax>"
        f"<ram:SpecifiedTradePaymentTerms><ram:DueDateDateTime>{_cii_date(fields.due_date)}</ram:DueDateDateTime>"
        "</ram:SpecifiedTradePaymentTerms><ram:SpecifiedTradeSettlementHeaderMonetarySummation>"
        f"<ram:LineTotalAmount>{fields.net_total}</ram:LineTotalAmount>"
        f"<ram:TaxBasisTotalAmount>{fields.net_total}</ram:TaxBasisTotalAmount>"
        f'<ram:TaxTotalAmount currencyID="{currency}">{fields.tax_total}</ram:TaxTotalAmount>'
        f"<ram:GrandTotalAmount>{fields.total}</ram:GrandTotalAmount>"
        f"<ram:DuePayableAmount>{fields.total}</ram:DuePayableAmount>"
        "</ram:SpecifiedTradeSettlementHeaderMonetarySummation></ram:ApplicableHeaderTradeSettlement>"
        "</rsm:SupplyChainTradeTransaction></rsm:CrossIndustryInvoice>\n"
    )


def _cii_date(value: object) -> str:
    return f'<udt:DateTimeString format="102">{str(value).replace("-", "")}</udt:DateTimeString>'


def _cii_party(party: Party) -> str:
    tax = (
        f'<ram:SpecifiedTaxRegistration><ram:ID schemeID="VA">{party.vat_id}</ram:ID></ram:SpecifiedTaxRegistration>'
        if party.vat_id
        else ""
    )
    return (
        f"<ram:Name>{escape(party.name or '')}</ram:Name><ram:PostalTradeAddress>"
        f"<ram:PostcodeCode>{party.zip}</ram:PostcodeCode><ram:LineOne>{escape(party.street or '')}</ram:LineOne>"
        f"<ram:CityName>{escape(party.city or '')}</ram:CityName><ram:CountryID>{party.country or 'FR'}</ram:CountryID>"
        f"</ram:PostalTradeAddress>{tax}"
    )
