"""Allowances and charges on a whole e-invoice: inside net, tax base and total, never inside the lines, and no doubt."""

from dataclasses import replace
from decimal import Decimal

import pytest

from hopperd.invoices.document import Document, Tax
from hopperd.invoices.reader import read_document
from hopperd.invoices.sample_cii import cii_xml
from hopperd.invoices.sample_invoices import DE, make_fields
from hopperd.sandbox.reader import read_document as read_by_the_twin

UBL = """<Invoice><ID>N-1</ID><IssueDate>2026-03-01</IssueDate><DocumentCurrencyCode>EUR</DocumentCurrencyCode>
<AllowanceCharge><ChargeIndicator>{charge}</ChargeIndicator><Amount currencyID="EUR">10.00</Amount></AllowanceCharge>
<TaxTotal><TaxAmount currencyID="EUR">{tax}</TaxAmount><TaxSubtotal><TaxableAmount>{net}</TaxableAmount>
<TaxAmount>{tax}</TaxAmount><TaxCategory><Percent>20</Percent></TaxCategory></TaxSubtotal></TaxTotal>
<LegalMonetaryTotal><LineExtensionAmount>100.00</LineExtensionAmount><TaxExclusiveAmount>{net}</TaxExclusiveAmount>
<TaxInclusiveAmount>{total}</TaxInclusiveAmount><AllowanceTotalAmount>10.00</AllowanceTotalAmount>
<PrepaidAmount>50.00</PrepaidAmount><PayableAmount>1.00</PayableAmount></LegalMonetaryTotal>
<InvoiceLine><ID>1</ID><InvoicedQuantity unitCode="C62">2</InvoicedQuantity>
<LineExtensionAmount>60.00</LineExtensionAmount>
<AllowanceCharge><ChargeIndicator>false</ChargeIndicator><Amount>20.00</Amount></AllowanceCharge>
<Item><Name>Rope</Name></Item><Price><PriceAmount>40.00</PriceAmount></Price></InvoiceLine>
<InvoiceLine><ID>2</ID><LineExtensionAmount>40.00</LineExtensionAmount><Item><Name>Hooks</Name></Item></InvoiceLine>
</Invoice>"""
FATTURA = """<FatturaElettronica><FatturaElettronicaHeader/><FatturaElettronicaBody><DatiGenerali>
<DatiGeneraliDocumento><Divisa>EUR</Divisa><Data>2026-01-05</Data><Numero>5</Numero>
<ScontoMaggiorazione><Tipo>SC</Tipo><Importo>10.00</Importo></ScontoMaggiorazione>
<ImportoTotaleDocumento>108.00</ImportoTotaleDocumento></DatiGeneraliDocumento></DatiGenerali><DatiBeniServizi>
<DettaglioLinee><NumeroLinea>1</NumeroLinea><Descrizione>Corda</Descrizione><PrezzoTotale>100.00</PrezzoTotale>
</DettaglioLinee><DatiRiepilogo><AliquotaIVA>20.00</AliquotaIVA><ImponibileImporto>90.00</ImponibileImporto>
<Imposta>18.00</Imposta></DatiRiepilogo></DatiBeniServizi></FatturaElettronicaBody></FatturaElettronica>"""
CII_ALLOWANCE = """<ram:SpecifiedTradeAllowanceCharge><ram:ChargeIndicator><udt:Indicator>false</udt:Indicator>
</ram:ChargeIndicator><ram:ActualAmount>{amount}</ram:ActualAmount></ram:SpecifiedTradeAllowanceCharge>"""


def check(document: Document, data: bytes, net: str, tax: str, total: str) -> None:
    fields = document.fields
    assert tuple(str(one) for one in (fields.net_total, fields.tax_total, fields.total)) == (net, tax, total)
    assert [(row.base, row.amount) for row in fields.taxes] == [(Decimal(net), Decimal(tax))]
    assert sum(item.total_price or 0 for item in fields.line_items) != fields.net_total
    assert document.confidence == 1.0
    assert read_by_the_twin(data, "x.xml", ()).do_sums_agree, "no person is asked because of an allowance"


@pytest.mark.parametrize(
    ("charge", "net", "tax", "total"), [("false", "90.00", "18.00", "108.00"), ("true", "110.00", "22.00", "132.00")]
)
def test_ubl(charge: str, net: str, tax: str, total: str) -> None:
    data = UBL.format(charge=charge, net=net, tax=tax, total=total).encode()
    document = read_document(data, "x.xml")
    check(document, data, net, tax, total)
    first = document.fields.line_items[0]
    assert (first.unit_price, first.total_price) == (Decimal("40.00"), Decimal("60.00")), "a line's own is in its total"


def test_cii() -> None:
    lines = make_fields(2, DE)
    assert lines.net_total is not None
    net = lines.net_total - Decimal("10.00")
    tax = (net / 5).quantize(Decimal("0.01"))
    taxes = (Tax(rate=Decimal(20), base=net, amount=tax),)
    truth = replace(lines, net_total=net, tax_total=tax, total=net + tax, taxes=taxes)
    plain = cii_xml(truth)
    place = plain.index("<ram:SpecifiedTradeSettlementHeaderMonetarySummation>")
    data = (plain[:place] + CII_ALLOWANCE.format(amount="10.00") + plain[place:]).encode()
    check(read_document(data, "x.xml"), data, str(net), str(tax), str(net + tax))


def test_fattura_pa() -> None:
    check(read_document(FATTURA.encode(), "x.xml"), FATTURA.encode(), "90.00", "18.00", "108.00")


def test_totals_that_contradict_each_other_are_doubted_all_the_same() -> None:
    data = UBL.format(charge="false", net="90.00", tax="18.00", total="118.00").encode()
    assert read_document(data, "x.xml").confidence < 1
    assert not read_by_the_twin(data, "x.xml", ()).do_sums_agree
