"""Reading text: what stands on an invoice comes out, and what is doubtful stays out."""

from datetime import date
from decimal import Decimal

import pytest

from hopperd.invoices.amounts import amounts_in, number_of, uses_decimal_comma
from hopperd.invoices.dates import date_at_start, dates_in, month_first, settle
from hopperd.invoices.document import Fields
from hopperd.invoices.reader import read_document
from hopperd.invoices.sample_invoices import WORDINGS, Wording, make_fields
from hopperd.invoices.sample_pages import text_pdf
from hopperd.invoices.small_pdf import pdf_of_texts, small_pdf
from hopperd.invoices.tax_ids import ibans_in, is_abn, tax_ids_in
from tests.support.pages import read


@pytest.mark.parametrize("wording", WORDINGS, ids=lambda wording: wording.country)
@pytest.mark.parametrize("index", [0, 17, 43])
def test_our_own_samples_read_back_as_what_they_say(wording: Wording, index: int) -> None:
    truth = make_fields(index, wording)
    document = read_document(text_pdf(truth, wording), "x.pdf")
    fields = document.fields
    assert document.confidence >= 0.95
    for name in (
        "invoice_number", "invoice_date", "due_date", "order_number", "currency", "net_total", "tax_total", "total",
        "taxes",
    ):  # fmt: skip
        assert getattr(fields, name) == getattr(truth, name), name
    for name in ("name", "street", "city", "zip", "vat_id", "iban"):
        assert getattr(fields.vendor, name) == getattr(truth.vendor, name), name
    assert fields.business_unit.name == truth.business_unit.name
    assert [(item.description, item.quantity, item.unit_price, item.total_price) for item in fields.line_items] == [
        (item.description, item.quantity, item.unit_price, item.total_price) for item in truth.line_items
    ]


def test_the_smallest_pdf_reads() -> None:
    fields = read_document(small_pdf("A-77", total="1,250.00", currency="GBP"), "x.pdf").fields
    assert (fields.invoice_number, fields.invoice_date) == ("A-77", date(2026, 1, 31))
    assert (fields.currency, fields.total) == ("GBP", Decimal("1250.00"))


def test_spanish() -> None:
    fields = read(
        "Talleres Rioseco S.L.",
        "CIF: B12345674",
        "Factura nº: 2026/0042   Fecha de factura: 5 de marzo de 2026",
        "Vencimiento: 04/04/2026",
        ("Base imponible", "", "1.200,00 €"),
        ("IVA 21%", "", "252,00 €"),
        ("Total a pagar", "", "1.452,00 €"),
    )
    assert (fields.invoice_number, fields.invoice_date) == ("2026/0042", date(2026, 3, 5))
    assert (fields.net_total, fields.tax_total, fields.total) == (
        Decimal("1200.00"),
        Decimal("252.00"),
        Decimal("1452.00"),
    )
    assert (fields.currency, fields.vendor.vat_id, fields.vendor.name) == ("EUR", "B12345674", "Talleres Rioseco S.L.")
    assert fields.due_date == date(2026, 4, 4)


def test_italian() -> None:
    fields = read(
        "Officine Valchiara S.r.l.",
        "P.IVA 01234567890",
        "Fattura n. 118 del 12/06/2026",
        ("Totale imponibile", "", "300,00"),
        ("IVA 22%", "", "66,00"),
        ("Totale fattura", "", "EUR 366,00"),
    )
    assert (fields.invoice_number, fields.invoice_date) == ("118", date(2026, 6, 12))
    assert (fields.net_total, fields.tax_total, fields.total) == (
        Decimal("300.00"),
        Decimal("66.00"),
        Decimal("366.00"),
    )
    assert fields.vendor.vat_id == "01234567890"


def test_dutch_with_amounts_including_tax() -> None:
    fields = read(
        "Molenkade Meubels B.V.",
        ("Factuurnummer", "F20260017"),
        ("Factuurdatum", "8-9-2026"),
        ("Vervaldatum", "22-9-2026"),
        ("Subtotaal", "", "€ 100,00"),
        ("BTW 21%", "", "€ 21,00"),
        ("Totaal incl. BTW", "", "€ 121,00"),
    )
    assert (fields.invoice_number, fields.invoice_date) == ("F20260017", date(2026, 9, 8))
    assert (fields.net_total, fields.tax_total, fields.total) == (
        Decimal("100.00"),
        Decimal("21.00"),
        Decimal("121.00"),
    )


def test_values_under_their_labels() -> None:
    fields = read(
        "Cedar Falls Roofing LLC",
        ("Date", "Invoice #", "P.O. No."),
        ("3/4/2026", "20391", "A-551"),
        "Springfield, IL 62701",
        ("", "", "Total", "$450.00"),
        ("", "", "Balance Due", "$0.00"),
    )
    assert (fields.invoice_number, fields.order_number) == ("20391", "A-551")
    assert fields.invoice_date == date(2026, 3, 4), "a US invoice puts the month first"
    assert (fields.total, fields.currency) == (Decimal("450.00"), "USD")


def test_gst_and_pst_together_make_the_tax() -> None:
    fields = read(
        "Birchmount Signs Ltd.",
        "Invoice No: 881",
        "Invoice Date: 2026-02-03",
        ("Subtotal", "", "$100.00"),
        ("GST 5%", "", "$5.00"),
        ("PST 7%", "", "$7.00"),
        ("Total CAD", "", "$112.00"),
    )
    assert (fields.net_total, fields.tax_total, fields.total) == (
        Decimal("100.00"),
        Decimal("12.00"),
        Decimal("112.00"),
    )
    assert fields.currency == "CAD"
    assert {(tax.rate, tax.amount) for tax in fields.taxes} == {
        (Decimal(5), Decimal("5.00")),
        (Decimal(7), Decimal("7.00")),
    }


def test_an_ambiguous_date_is_settled_by_the_due_date_or_left_out() -> None:
    settled = read(
        "Quarry Hill Ltd.", "Invoice No: 5512", "Invoice Date: 04/03/2026", "Due Date: 03/04/2026", "Total: 12.00"
    )
    assert (settled.invoice_date, settled.due_date) == (date(2026, 3, 4), date(2026, 4, 3))
    open_one = read("Somewhere", "Invoice No: 5512", "Invoice Date: 04/03/2026", "Total: 12.00")
    assert open_one.invoice_date is None, "absent rather than wrong"


def test_what_is_not_there_is_absent() -> None:
    fields = read(
        "Minutes of the meeting", "We met on the roof and talked about", "the weather until it was late and dark"
    )
    assert fields == Fields()


def test_a_zero_balance_is_not_the_total() -> None:
    fields = read("Invoice No: 77", ("Total", "", "440.00 EUR"), ("Balance due", "", "0.00 EUR"))
    assert fields.total == Decimal("440.00")


def test_totals_that_contradict_each_other_lower_the_confidence() -> None:
    rows = [
        "Invoice No: 1-1",
        "Invoice Date: 2026-01-31",
        "Subtotal: 100.00 EUR",
        "VAT 20%: 20.00",
        "Total: 150.00 EUR",
    ]
    texts = [(40, 800 - 18 * index, 10, row) for index, row in enumerate(rows)]
    document = read_document(pdf_of_texts(texts), "x.pdf")
    assert document.fields.total == Decimal("150.00")
    assert document.confidence < 0.9


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("$1,234.56", "1234.56"),
        ("1.234,56 €", "1234.56"),
        ("1 234,56", "1234.56"),
        ("2'025.00", "2025.00"),
        ("(149.25)", "-149.25"),
        ("-$246.00", "-246.00"),
        ("€ -9,32", "-9.32"),
        ("12.50-", "-12.50"),
        ("$2,025", "2025"),
        ("1,234,567.89", "1234567.89"),
    ],
)
def test_amounts_in_every_form(text: str, value: str) -> None:
    assert [found.value for found in amounts_in(text)] == [Decimal(value)]


@pytest.mark.parametrize("text", ["7.00%", "21 %", "192.168.1.1", "2026-01-02", "INV-3337", "0012345", "12:30"])
def test_what_is_no_amount(text: str) -> None:
    assert amounts_in(text) == []


def test_bare_numbers_and_conventions() -> None:
    assert number_of("2.500", decimal_comma=True) == Decimal(2500)
    assert number_of("1,289", decimal_comma=True) == Decimal("1.289")
    assert number_of("5 pcs") is None
    assert uses_decimal_comma("12,50 and 1.200,00 but 3.75")


@pytest.mark.parametrize(
    ("text", "day"),
    [
        ("January 25, 2026", date(2026, 1, 25)),
        ("August 3 , 2026", date(2026, 8, 3)),
        ("7. Mai 2026", date(2026, 5, 7)),
        ("19 april 2026", date(2026, 4, 19)),
        ("02 Juillet 2026", date(2026, 7, 2)),
        ("1er août 2026", date(2026, 8, 1)),
        ("5 de marzo de 2026", date(2026, 3, 5)),
        ("31.12.26", date(2026, 12, 31)),
        ("5/16/2026", date(2026, 5, 16)),
        ("2026-09-01", date(2026, 9, 1)),
        ("Monday, 5 January 2026", date(2026, 1, 5)),
    ],
)
def test_dates_in_six_languages(text: str, day: date) -> None:
    found = date_at_start(text)
    assert found is not None
    assert settle(found, None) == day


def test_dates_that_could_be_two_days() -> None:
    found = dates_in("03/04/2026")[0]
    assert settle(found, None) is None
    assert (settle(found, True), settle(found, False)) == (date(2026, 3, 4), date(2026, 4, 3))
    assert month_first("paid 12/31/2025") is True
    assert month_first("paid 31/12/2025") is False
    assert month_first("12/31/2025 31/12/2025") is None
    assert dates_in("31/31/2026 12/12/297 99-99-99") == []


def test_tax_numbers_and_accounts_are_checked() -> None:
    assert ibans_in("IBAN: DE89 3704 0044 0532 0130 00 BIC") == ["DE89370400440532013000"]
    assert ibans_in("IBAN DE89 3704 0044 0532 0130 01") == []
    assert is_abn("89000000019")
    assert not is_abn("89000000018")
    found = [(tax_id.country, tax_id.value) for tax_id in tax_ids_in("VAT No GB 123 4567 82, USt-IdNr. DE 999999990")]
    assert found == [("GB", "GB123456782"), ("DE", "DE999999990")]
    assert tax_ids_in("IBAN DE89 3704 0044 0532 0130 00") == []
