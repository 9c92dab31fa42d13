"""E-invoices are read exactly, in every syntax; hostile ones are refused or ignored, never believed."""

import io
from datetime import date
from decimal import Decimal

import fpdf
import pytest

from hopperd.invoices.einvoice import read_einvoice
from hopperd.invoices.inspect import look_into
from hopperd.invoices.reader import Unreadable, read, read_document
from hopperd.invoices.sample_cii import cii_xml
from hopperd.invoices.sample_invoices import FR, make_fields
from hopperd.invoices.sample_pages import factur_x
from hopperd.invoices.small_pdf import small_pdf
from hopperd.invoices.verdict import Limits, Refused

UBL = """<?xml version="1.0" encoding="UTF-8"?>
<{root} xmlns="urn:x" xmlns:cac="urn:cac" xmlns:cbc="urn:cbc">
<cbc:ID>N-1</cbc:ID><cbc:IssueDate>2026-03-01</cbc:IssueDate><cbc:DueDate>2026-03-31</cbc:DueDate>
<cbc:DocumentCurrencyCode>EUR</cbc:DocumentCurrencyCode><cac:OrderReference><cbc:ID>PO-9</cbc:ID>
</cac:OrderReference>
<cac:AccountingSupplierParty><cac:Party><cac:PostalAddress><cbc:StreetName>Kaai 1</cbc:StreetName>
<cbc:CityName>Gent</cbc:CityName>
<cbc:PostalZone>9000</cbc:PostalZone><cac:Country><cbc:IdentificationCode>BE</cbc:IdentificationCode>
</cac:Country></cac:PostalAddress>
<cac:PartyTaxScheme><cbc:CompanyID>BE0999999922</cbc:CompanyID><cac:TaxScheme><cbc:ID>VAT</cbc:ID></cac:TaxScheme>
</cac:PartyTaxScheme>
<cac:PartyLegalEntity><cbc:RegistrationName>Zeebrand NV</cbc:RegistrationName></cac:PartyLegalEntity></cac:Party>
</cac:AccountingSupplierParty>
<cac:PaymentMeans><cac:PayeeFinancialAccount><cbc:ID>BE68 5390 0754 7034</cbc:ID></cac:PayeeFinancialAccount>
</cac:PaymentMeans>
<cac:TaxTotal><cbc:TaxAmount currencyID="SEK">230</cbc:TaxAmount></cac:TaxTotal>
<cac:TaxTotal><cbc:TaxAmount currencyID="EUR">21.00</cbc:TaxAmount><cac:TaxSubtotal>
<cbc:TaxableAmount>100.00</cbc:TaxableAmount>
<cbc:TaxAmount>21.00</cbc:TaxAmount><cac:TaxCategory><cbc:Percent>21</cbc:Percent></cac:TaxCategory>
</cac:TaxSubtotal></cac:TaxTotal>
<cac:LegalMonetaryTotal><cbc:TaxExclusiveAmount>100.00</cbc:TaxExclusiveAmount>
<cbc:TaxInclusiveAmount>121.00</cbc:TaxInclusiveAmount>
<cbc:PayableAmount>21.00</cbc:PayableAmount></cac:LegalMonetaryTotal>
<cac:{line}><cbc:ID>1</cbc:ID><cbc:{quantity} unitCode="C62">4</cbc:{quantity}>
<cbc:LineExtensionAmount>100.00</cbc:LineExtensionAmount>
<cac:Item><cbc:Name>Touw</cbc:Name><cac:ClassifiedTaxCategory><cbc:Percent>21</cbc:Percent>
</cac:ClassifiedTaxCategory></cac:Item>
<cac:Price><cbc:PriceAmount>25.00</cbc:PriceAmount></cac:Price></cac:{line}></{root}>"""
FATTURA = """<?xml version="1.0"?><p:FatturaElettronica xmlns:p="urn:p"><FatturaElettronicaHeader>
<CedentePrestatore>
<DatiAnagrafici><IdFiscaleIVA><IdPaese>IT</IdPaese><IdCodice>00000000000</IdCodice></IdFiscaleIVA><Anagrafica>
<Denominazione>Valchiara SRL</Denominazione></Anagrafica></DatiAnagrafici></CedentePrestatore>
</FatturaElettronicaHeader>
{bodies}</p:FatturaElettronica>"""
BODY = """<FatturaElettronicaBody><DatiGenerali><DatiGeneraliDocumento><Divisa>EUR</Divisa>
<Data>2026-01-0{n}</Data>
<Numero>{n}</Numero></DatiGeneraliDocumento></DatiGenerali><DatiBeniServizi><DatiRiepilogo>
<AliquotaIVA>22.00</AliquotaIVA>
<ImponibileImporto>5.00</ImponibileImporto><Imposta>1.10</Imposta></DatiRiepilogo></DatiBeniServizi>
</FatturaElettronicaBody>"""


def test_factur_x_is_read_from_its_xml_to_the_last_field() -> None:
    truth = make_fields(4, FR)
    document = read_document(factur_x(truth, FR), "x.pdf")
    assert (document.read_from, document.confidence) == ("einvoice", 1.0)
    fields = document.fields
    for name in (
        "invoice_number",
        "invoice_date",
        "due_date",
        "order_number",
        "currency",
        "net_total",
        "tax_total",
        "total",
    ):
        assert getattr(fields, name) == getattr(truth, name), name
    assert (fields.vendor, fields.taxes) == (truth.vendor, truth.taxes)
    assert [(item.description, item.total_price) for item in fields.line_items] == [
        (item.description, item.total_price) for item in truth.line_items
    ]


def test_the_same_xml_on_its_own_in_utf_16_says_the_same() -> None:
    xml = cii_xml(make_fields(4, FR))
    utf16 = xml.replace("UTF-8", "UTF-16").encode("utf-16")
    assert read_document(utf16, "x.xml").fields == read_document(xml.encode(), "x.xml").fields


@pytest.mark.parametrize(
    ("root", "line", "quantity"),
    [("Invoice", "InvoiceLine", "InvoicedQuantity"), ("CreditNote", "CreditNoteLine", "CreditedQuantity")],
)
def test_ubl_invoices_and_credit_notes(root: str, line: str, quantity: str) -> None:
    (fields,) = read_einvoice(UBL.format(root=root, line=line, quantity=quantity).encode())
    assert (fields.invoice_number, fields.invoice_date, fields.due_date) == ("N-1", date(2026, 3, 1), date(2026, 3, 31))
    assert (fields.net_total, fields.tax_total, fields.total) == (
        Decimal("100.00"),
        Decimal("21.00"),
        Decimal("121.00"),
    )
    assert (fields.vendor.name, fields.vendor.vat_id) == ("Zeebrand NV", "BE0999999922")
    assert (fields.vendor.iban, fields.order_number) == ("BE68539007547034", "PO-9")
    assert fields.line_items[0].unit_price == Decimal("25.00")
    assert fields.taxes[0].rate == Decimal(21)


def test_an_invoice_in_an_envelope_is_found() -> None:
    inner = UBL.format(root="Invoice", line="InvoiceLine", quantity="InvoicedQuantity").split("\n", 1)[1]
    (fields,) = read_einvoice(f"<Envelope><Header/>{inner}</Envelope>".encode())
    assert fields.invoice_number == "N-1"


def test_a_fattura_of_two_bodies_is_two_documents() -> None:
    xml = FATTURA.format(bodies=BODY.format(n=1) + BODY.format(n=2)).encode()
    documents = read(xml, "x.xml").documents
    assert [document.fields.invoice_number for document in documents] == ["1", "2"]
    assert documents[0].fields.total == Decimal("6.10")
    assert documents[0].fields.vendor.name == "Valchiara SRL"


def test_the_inspection_and_the_reader_agree_on_what_an_e_invoice_is() -> None:
    limits = Limits(max_size_bytes=10_000, max_pages=10)
    for xml, is_invoice in (
        (b"<a><b>1</b></a>", False),
        (b"<Order><ID>1</ID></Order>", False),
        (b"<Invoice/>", True),
        (b"<a><b><CrossIndustryInvoice/></b></a>", True),
        (b"<a><b><c><d><Invoice/></d></c></b></a>", False),
    ):
        try:
            look_into(io.BytesIO(xml), len(xml), frozenset({"xml"}), limits)
        except Refused as refused:
            assert (is_invoice, refused.refusal.reason) == (False, "wrong-type"), xml
            with pytest.raises(Unreadable, match="no e-invoice we know"):
                read(xml, "x.xml")
        else:
            assert is_invoice, xml
            assert read_document(xml, "x.xml").read_from == "einvoice"
        assert bool(read_einvoice(xml)) is is_invoice, xml


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"<?xml version='1.0'?><!DOCTYPE a [<!ENTITY x 'y'>]><a>&x;</a>", "unsafe-xml"),
        (b"<?xml version='1.0'?><Invoice>", "damaged"),
        (b"", "empty"),
        (b"%PDF-1.4 nothing %%EOF", "damaged"),
        (b"PK\x03\x04 zip", "wrong-type"),
    ],
)
def test_what_cannot_be_read_says_why(data: bytes, reason: str) -> None:
    with pytest.raises(Unreadable) as caught:
        read_document(data, "x")
    assert caught.value.reason == reason
    assert str(caught.value).endswith(".")


def test_hostile_xml_inside_a_pdf_is_ignored_and_its_text_read() -> None:
    pdf = fpdf.FPDF()
    pdf.add_page()
    pdf.set_font("helvetica")
    pdf.text(20, 20, "Invoice Number: T-100")
    pdf.text(20, 30, "Total: 10.00 EUR of all things")
    bomb = b"<!DOCTYPE a [<!ENTITY b 'ha'>]><CrossIndustryInvoice>&b;</CrossIndustryInvoice>"
    pdf.embed_file(bytes=bomb, basename="factur-x.xml")
    document = read_document(bytes(pdf.output()), "x.pdf")
    assert (document.read_from, document.fields.invoice_number) == ("text", "T-100")


def test_an_e_invoice_that_no_list_of_attachments_names_is_found_all_the_same() -> None:
    truth = make_fields(4, FR)
    unlisted = factur_x(truth, FR).replace(b"/EmbeddedFiles", b"/Embedded1iles")
    document = read_document(unlisted, "x.pdf")
    assert (document.read_from, document.fields.invoice_number) == ("einvoice", truth.invoice_number)


def test_limits_hold_for_reading_too() -> None:
    with pytest.raises(Unreadable) as caught:
        read(small_pdf("1"), "x", Limits(max_size_bytes=100, max_pages=10))
    assert caught.value.reason == "too-large"
