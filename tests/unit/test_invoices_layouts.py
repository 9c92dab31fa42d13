"""Layouts of the trade, country by country: what each prints is read, and what it leaves open stays open."""

from datetime import date
from decimal import Decimal

import pytest

from hopperd.invoices.document import Fields
from hopperd.invoices.reader import read_document
from hopperd.invoices.small_pdf import pdf_of_texts
from tests.support.pages import read


def totals(fields: Fields) -> tuple[str, ...]:
    return tuple(str(value) for value in (fields.net_total, fields.tax_total, fields.total))


def test_united_states_with_sales_tax_and_values_in_a_box() -> None:
    fields = read(
        ("*Prairie Paper LLC", "", "*INVOICE"),
        ("1200 Cedar Avenue", "", "Invoice #", "PP-10442"),
        ("Omaha, NE 68102", "", "Date", "02/03/2026"),
        "",
        ("Bill To", "", "P.O. No.", "88-310"),
        "Blue Mesa Clinic Inc.",
        "15 Ridge Road",
        "Tulsa, OK 74103",
        ("Description", "Qty", "Rate", "Amount"),
        ("Copy paper", "10", "41.50", "415.00"),
        ("", "", "Subtotal", "$415.00"),
        ("", "", "Sales Tax (8.5%)", "$35.28"),
        ("", "", "Total", "$450.28"),
    )
    assert totals(fields) == ("415.00", "35.28", "450.28")
    assert (fields.invoice_number, fields.order_number, fields.currency) == ("PP-10442", "88-310", "USD")
    assert fields.invoice_date == date(2026, 2, 3), "the month comes first"
    assert (fields.vendor.name, fields.vendor.city, fields.vendor.state) == ("Prairie Paper LLC", "Omaha", "NE")
    assert (fields.business_unit.name, fields.business_unit.zip) == ("Blue Mesa Clinic Inc.", "74103")
    assert [(item.description, item.total_price) for item in fields.line_items] == [("Copy paper", Decimal("415.00"))]


def test_australia_with_gst_inside_the_total() -> None:
    fields = read(
        "*Bilby Plumbing Pty Ltd",
        "ABN 89 000 000 019",
        "TAX INVOICE",
        "Invoice No: 7741",
        "Invoice Date: 03/04/2026",
        ("Subtotal", "", "$200.00"),
        ("GST 10%", "", "$20.00"),
        ("Total (inc. GST)", "", "$220.00"),
    )
    assert totals(fields) == ("200.00", "20.00", "220.00")
    assert (fields.invoice_date, fields.currency) == (date(2026, 4, 3), "AUD")
    assert (fields.vendor.name, fields.vendor.vat_id) == ("Bilby Plumbing Pty Ltd", "89000000019")


def test_canada_in_two_languages_with_two_taxes() -> None:
    fields = read(
        "*Atelier Boréal Inc.",
        "Facture no : 5521   Date de facturation : 2026-05-11",
        "TPS/GST: 123456789 RT 0001",
        ("Sous-total", "", "100,00 $"),
        ("TPS/GST 5%", "", "5,00 $"),
        ("TVQ/QST 9,975%", "", "9,98 $"),
        ("Total", "", "114,98 $"),
    )
    assert totals(fields) == ("100.00", "14.98", "114.98")
    assert (fields.invoice_number, fields.invoice_date, fields.currency) == ("5521", date(2026, 5, 11), "CAD")


def test_great_britain() -> None:
    fields = read(
        "*Marsh Lane Joinery Ltd",
        "VAT Reg No: 123 4567 82",
        ("Invoice number", "MLJ/0091"),
        ("Invoice date", "05/06/2026"),
        ("Net amount", "£1,250.00"),
        ("VAT @ 20%", "£250.00"),
        ("Amount due", "£1,500.00"),
    )
    assert totals(fields) == ("1250.00", "250.00", "1500.00")
    assert (fields.invoice_number, fields.invoice_date) == ("MLJ/0091", date(2026, 6, 5))
    assert (fields.currency, fields.vendor.vat_id) == ("GBP", "123456782")


def test_germany_with_two_rates_and_a_window_for_the_addressee() -> None:
    fields = read(
        "*Tannhof Bürobedarf GmbH",
        ("Tannhof Bürobedarf GmbH - Am Hang 3 - 79100 Freiburg",),
        "",
        "Seeblick Verwaltungs AG",
        "Uferstraße 12",
        "78462 Konstanz",
        "",
        "Rechnungs-Nr. 2026-118   Rechnungsdatum: 07.08.2026",
        "Zahlbar bis 21.08.2026   USt-IdNr. DE 999999990",
        ("Netto 19 %", "100,00", "19 % MwSt.", "19,00"),
        ("Netto 7 %", "200,00", "7 % MwSt.", "14,00"),
        ("Nettobetrag", "", "", "300,00 €"),
        ("Mehrwertsteuer", "", "", "33,00 €"),
        ("Rechnungsbetrag", "", "", "333,00 €"),
    )
    assert totals(fields) == ("300.00", "33.00", "333.00")
    assert (fields.invoice_date, fields.due_date) == (date(2026, 8, 7), date(2026, 8, 21))
    assert {(tax.rate, tax.base, tax.amount) for tax in fields.taxes} == {
        (Decimal(19), Decimal("100.00"), Decimal("19.00")),
        (Decimal(7), Decimal("200.00"), Decimal("14.00")),
    }
    assert fields.vendor.name == "Tannhof Bürobedarf GmbH"
    assert (fields.business_unit.name, fields.business_unit.city) == ("Seeblick Verwaltungs AG", "Konstanz")


def test_france_with_spaces_for_thousands() -> None:
    fields = read(
        "*Papeterie du Canal SARL",
        "TVA intracommunautaire : FR 40 303265045",
        "Facture n° F-2026-77 du 1er août 2026",
        "Échéance : 31/08/2026",
        ("Total HT", "", "1 234,50 €"),
        ("TVA 20 %", "", "246,90 €"),
        ("Net à payer", "", "1 481,40 €"),
    )
    assert totals(fields) == ("1234.50", "246.90", "1481.40")
    assert (fields.invoice_number, fields.invoice_date) == ("F-2026-77", date(2026, 8, 1))
    assert (fields.due_date, fields.currency) == (date(2026, 8, 31), "EUR")


@pytest.mark.parametrize(
    ("printed", "total"),
    [
        ("CHF 1'234.55", "1234.55"),
        ("CHF 1\u2019234.55", "1234.55"),
        ("EUR 12.345,67", "12345.67"),
        ("12 345,67 EUR", "12345.67"),
        ("$12,345", "12345"),
        ("USD 1,234,567.89", "1234567.89"),
        ("EUR 1.234", "1234"),
    ],
)
def test_a_total_in_every_way_of_writing_it(printed: str, total: str) -> None:
    assert str(read("Invoice No: A-1", "Date: 2026-01-31", f"Total: {printed}").total) == total


@pytest.mark.parametrize(
    ("title", "number", "net", "tax", "total"),
    [
        ("CREDIT NOTE", "Credit Note No: CN-77", "Net amount: -100.00", "VAT 20%: -20.00", "Total: -120.00 GBP"),
        ("Gutschrift", "Gutschrift-Nr.: CN-77", "Netto: -100,00", "20 % USt: -20,00", "Gesamtbetrag: -120,00 EUR"),
        ("AVOIR", "Avoir n° CN-77", "Total HT : (100,00)", "TVA 20 % : (20,00)", "Total TTC : (120,00) EUR"),
        ("Nota di credito", "Fattura n. CN-77", "Imponibile 100,00-", "IVA 20% 20,00-", "Totale documento 120,00- EUR"),
    ],
)
def test_a_credit_note_keeps_its_signs(title: str, number: str, net: str, tax: str, total: str) -> None:
    fields = read(title, number, "Datum: 2026-03-01", net, tax, total)
    assert totals(fields) == ("-100.00", "-20.00", "-120.00")
    assert fields.invoice_number == "CN-77"


@pytest.mark.parametrize(
    ("hint", "day"),
    [
        ("Springfield, IL 62701", date(2026, 3, 4)),
        ("ABN 89 000 000 019", date(2026, 4, 3)),
        ("United Kingdom", date(2026, 4, 3)),
        ("Delivered 12/31/2025", date(2026, 3, 4)),
        ("Delivered 31/12/2025", date(2026, 4, 3)),
        ("Toronto, ON M5V 2T6", None),
        ("Somewhere", None),
    ],
)
def test_a_date_of_two_readings_is_settled_by_country_or_another_date_or_left_out(hint: str, day: date | None) -> None:
    assert read("Harrow & Daughters", hint, "Invoice No: 5512", "Invoice Date: 03/04/2026").invoice_date == day


def test_a_date_with_points_puts_the_day_first_whatever_the_country() -> None:
    assert read("Invoice No: 12", "Springfield, IL 62701", "Invoice Date: 03.04.2026").invoice_date == date(2026, 4, 3)


def test_an_allowance_on_the_whole_invoice_is_inside_net() -> None:
    fields = read(
        "Invoice No: 31",
        ("Description", "Qty", "Price", "Amount"),
        ("Chair", "2", "60.00", "120.00"),
        ("", "", "Discount", "-20.00"),
        ("", "", "Net total", "100.00"),
        ("", "", "VAT 20%", "20.00"),
        ("", "", "Total", "120.00 GBP"),
    )
    assert totals(fields) == ("100.00", "20.00", "120.00")
    assert [item.total_price for item in fields.line_items] == [Decimal("120.00")]


def test_who_is_paid_and_who_is_named_beside_other_words_is_not_the_buyer_or_the_vendor() -> None:
    fields = read(
        ("*INVOICE", "", "Advertiser", "Big Spender 2026, Inc"),
        ("Remit Address:", "", "Product", "Other Things, LLC"),
        ("Tower Hill Radio", "", "Invoice #", "938991-1"),
        ("4614 Harbor Drive", "", "Invoice Date", "01/26/26"),
        "Chicago, IL 60693",
        "",
        "Send Payment To:",
        "Tower Hill Radio",
        "4614 Harbor Drive",
        "Chicago, IL 60693",
    )
    assert fields.vendor.name == "Tower Hill Radio"
    assert fields.business_unit.name is None


def test_two_addresses_without_a_label_are_vendor_and_addressee() -> None:
    fields = read(
        ("Cloudrest Television Inc", "", "Invoice No: 20-1"),
        ("PO BOX 1001", "", "Agency:", "Some Agency, LLC"),
        "QUINCY, IL 62306",
        "",
        "",
        "NORTHWIND STRATEGIES",
        "3001 WASHINGTON BLVD FL 7",
        "ARLINGTON, VA 22201-2247",
        ("", "", "Total", "$120.00"),
        "",
        *[""] * 20,
        "Thank you for your business",
    )
    assert (fields.vendor.name, fields.vendor.zip) == ("Cloudrest Television Inc", "62306")
    assert (fields.business_unit.name, fields.business_unit.zip) == ("NORTHWIND STRATEGIES", "22201-2247")


def test_the_line_over_a_window_is_the_vendors_address_and_below_it_the_buyers() -> None:
    fields = read(
        "Musterwerk e.K. · Hangstr. 5 · 50667 Köln",
        "Frau",
        "Petra Sommer",
        "Lindenweg 3",
        "53111 Bonn",
        "",
        "Rechnungsnr. 2026-77",
    )
    vendor, buyer = fields.vendor, fields.business_unit
    assert (vendor.name, vendor.street, vendor.zip, vendor.city) == ("Musterwerk e.K.", "Hangstr. 5", "50667", "Köln")
    assert (buyer.name, buyer.street, buyer.zip, buyer.city) == ("Petra Sommer", "Lindenweg 3", "53111", "Bonn")


def test_a_british_post_code_may_stand_on_its_own() -> None:
    buyer = read(
        "Invoice to:", "Fenwick & Daughters Ltd", "12 High Street", "York", "YO1 7HH", "Invoice No: 2201"
    ).business_unit
    assert (buyer.name, buyer.street, buyer.city, buyer.zip, buyer.country) == (
        "Fenwick & Daughters Ltd", "12 High Street", "York", "YO1 7HH", "GB",
    )  # fmt: skip


def test_a_name_in_the_title_counts_where_it_is_printed_once_more() -> None:
    rows = ("*Umbra Web Hosting Invoice", "Invoice Number: 4218", "Total: $4.11 USD")
    assert read(*rows, "Sold to you by Umbra Web Hosting").vendor.name == "Umbra Web Hosting"
    assert read(*rows).vendor.name is None


def test_a_folio_paid_on_leaving_tells_its_total_and_its_day() -> None:
    rows: tuple[str | tuple[str, ...], ...] = (
        "Hotel Drei Linden",
        "Nordallee 18, 20097 Hamburg",
        "Tel. +49 40 302 3720",
        ("Folio No", "172895"),
        ("Arrival Date:", "22/09/2026"),
        ("Departure Date:", "23/09/2026"),
        "Printed 23/09/2026 09:05:00",
        ("22/09/2026", "MC *5052", "", "-€99.00"),
        ("22/09/2026", "GUEST ROOM", "€94.05"),
        ("22/09/2026", "BREAKFAST", "€4.95"),
        ("", "BALANCE", "€0.00"),
    )
    fields = read(*rows)
    assert (fields.total, fields.invoice_date) == (Decimal("99.00"), date(2026, 9, 23))
    assert (fields.invoice_number, fields.vendor.name) == ("172895", "Hotel Drei Linden")
    unpaid = [row for row in rows if "BREAKFAST" not in row]
    assert read(*unpaid).total is None, "charges that do not add up to what was paid tell nothing"


def test_a_till_roll_begins_with_the_shop_and_its_tax_follows_from_the_printed_rate() -> None:
    fields = read(
        "Harbour Fuel",
        "166 Quay Road, Leith",
        "VAT No: GB123456782",
        *[f"Line {number}" for number in range(20)],
        "20.00 % VAT",
        "Total net 27.99",
        "Total 33.59",
    )
    assert fields.vendor.name == "Harbour Fuel"
    assert totals(fields) == ("27.99", "5.60", "33.59")


def test_a_table_ends_at_its_totals_and_not_at_those_above_it() -> None:
    fields = read(
        ("*INVOICE", "", "# INV-42"),
        ("Date:", "Mar 5, 2026"),
        ("Balance Due:", "$1,210.00"),
        ("Item", "Quantity", "Rate", "Amount USD"),
        ("Consulting", "10", "$100.00", "$1,000.00"),
        ("Travel", "1", "$100.00", "$100.00"),
        ("", "", "Subtotal:", "$1,100.00"),
        ("", "", "Tax (10%):", "$110.00"),
        ("", "", "Total:", "$1,210.00"),
    )
    assert [(item.description, item.quantity, item.total_price) for item in fields.line_items] == [
        ("Consulting", Decimal(10), Decimal("1000.00")),
        ("Travel", Decimal(1), Decimal("100.00")),
    ]
    assert totals(fields) == ("1100.00", "110.00", "1210.00")


@pytest.mark.parametrize(("second", "lines"), [("50.00", 2), ("51.00", 0)])
def test_a_table_of_two_columns_counts_only_if_it_adds_up(second: str, lines: int) -> None:
    fields = read(
        "Invoice no 88-1",
        ("Description", "Amount"),
        ("Work", "100.00"),
        ("More work", second),
        ("Subtotal", "150.00"),
        ("VAT 20%", "30.00"),
        ("Total GBP", "180.00"),
    )
    assert len(fields.line_items) == lines


@pytest.mark.parametrize(
    ("tax", "expected"),
    [("Includes VAT at 20%", ("20.00", "4.00", "24.00")), ("Includes VAT", ("None", "None", "24.00"))],
)
def test_a_tax_inside_the_total_counts_at_a_printed_rate(tax: str, expected: tuple[str, ...]) -> None:
    assert totals(read("Receipt no: 7714", ("Total", "", "£24.00"), (tax, "", "£4.00"))) == expected


@pytest.mark.parametrize(
    ("row", "number"),
    [
        ("Invoice No. : 2026 0012 345", "2026 0012 345"),
        ("Credit Note CN-0098", "CN-0098"),
        ("Avoir n° 77-A du 2 mars 2026", "77-A"),
        ("Rechnung 4711 vom 02.03.2026", "4711"),
        ("Invoice date 2026", None),
    ],
)
def test_a_number_however_it_is_printed(row: str, number: str | None) -> None:
    assert read(row, "Total: 12.00 EUR").invoice_number == number


def test_two_lines_that_run_into_each_other_stay_two() -> None:
    fields = read_document(
        pdf_of_texts(
            [
                (40, 780, 10, "Remit to Larch Hill Broadcast Group Inc"),
                (40, 766, 10, "PO Box 2201"),
                (40, 752, 10, "Dallas, TX 75320"),
                (150, 783, 10, "Advertiser"),
                (240, 783, 10, "Somebody for Mayor"),
                (40, 700, 10, "Invoice Number: 77-1"),
                (40, 680, 10, "Total $10.00"),
            ]
        ),
        "x.pdf",
    ).fields
    assert fields.vendor.name == "Larch Hill Broadcast Group Inc"


def test_what_is_printed_twice_to_look_bold_is_read_once() -> None:
    twice = [(x, 680, 10, text) for x, text in ((40, "Total"), (200, "$10.00")) for x in (x, x + 1)]
    assert read_document(pdf_of_texts(twice), "x.pdf").fields.total == Decimal("10.00")
