"""Exports say what the document says, in the documented shape, the same bytes every time, and nothing that runs."""

import csv
import io
import json
import xml.etree.ElementTree as ET
from concurrent.futures import ProcessPoolExecutor
from datetime import date, datetime
from decimal import Decimal
from multiprocessing import get_context

import openpyxl
import pytest

from hopperd.invoices.document import Document, Fields, LineItem, Party, Tax, document_as_json, document_from_json
from hopperd.invoices.exports import CSV_COLUMNS, UnknownFormat, export
from hopperd.invoices.reading import read_and_export, warm_up
from hopperd.invoices.small_pdf import small_pdf

DOCUMENT = Document(
    file_name="mülle & co.pdf",
    read_from="text",
    confidence=0.974,
    fields=Fields(
        invoice_number="=1+1",
        invoice_date=date(2026, 1, 31),
        currency="EUR",
        net_total=Decimal("1000.50"),
        tax_total=Decimal("190.10"),
        total=Decimal("1190.60"),
        vendor=Party(name="Kessel <b>& Söhne", vat_id="DE999999990"),
        line_items=(
            LineItem(
                position="1",
                description='=HYPERLINK("http://127.0.0.1")',
                quantity=Decimal(2),
                total_price=Decimal("-5.5"),
            ),
            LineItem(position="2", description="http://127.0.0.1/x\x01", unit_price=Decimal("0.1234")),
        ),
        taxes=(Tax(rate=Decimal(19), base=Decimal("1000.50"), amount=Decimal("190.10")),),
    ),
)


def test_json_has_exactly_the_documented_shape() -> None:
    data, extension = export(DOCUMENT, "JSON")
    assert extension == "json"
    assert json.loads(data) == {
        "Documents": [
            {
                "FileName": "mülle & co.pdf",
                "ReadFrom": "text",
                "Confidence": 0.97,
                "Fields": {
                    "InvoiceNumber": "=1+1",
                    "InvoiceDate": "2026-01-31",
                    "Currency": "EUR",
                    "NetTotal": "1000.50",
                    "TaxTotal": "190.10",
                    "Total": "1190.60",
                    "Vendor": {"Name": "Kessel <b>& Söhne", "VATID": "DE999999990"},
                    "LineItems": [
                        {
                            "Position": "1",
                            "Description": '=HYPERLINK("http://127.0.0.1")',
                            "Quantity": "2",
                            "TotalPrice": "-5.5",
                        },
                        {"Position": "2", "Description": "http://127.0.0.1/x\x01", "UnitPrice": "0.1234"},
                    ],
                    "Taxes": [{"Rate": "19", "Base": "1000.50", "Amount": "190.10"}],
                },
            }
        ]
    }


def test_a_document_survives_its_json() -> None:
    back = document_from_json(json.loads(json.dumps(document_as_json(DOCUMENT))))
    assert back.fields == DOCUMENT.fields


def test_csv_is_strict_and_no_cell_is_a_formula() -> None:
    data, extension = export(DOCUMENT, "Csv")
    rows = list(csv.DictReader(io.StringIO(data.decode(), newline=""), strict=True))
    assert extension == "csv"
    assert tuple(rows[0]) == CSV_COLUMNS
    assert [row["Record"] for row in rows] == ["Invoice", "LineItem", "LineItem", "Tax"]
    assert {row["InvoiceNumber"] for row in rows} == {"'=1+1"}
    assert rows[1]["LineItems.Description"].startswith("'=HYPERLINK")
    assert (rows[1]["LineItems.TotalPrice"], rows[0]["Total"]) == ("-5.5", "1190.60")
    assert (rows[3]["Taxes.Rate"], rows[3]["Taxes.Amount"]) == ("19", "190.10")
    assert data.endswith(b"\r\n")


def test_xml_is_well_formed_with_the_same_names() -> None:
    data, extension = export(DOCUMENT, "xml")
    root = ET.fromstring(data)
    assert (root.tag, extension) == ("Documents", "xml")
    fields = root.find("Document/Fields")
    assert fields is not None
    assert fields.findtext("Vendor/Name") == "Kessel <b>& Söhne"
    assert [item.findtext("Description") for item in fields.iter("LineItem")] == [
        '=HYPERLINK("http://127.0.0.1")',
        "http://127.0.0.1/x",
    ]
    assert fields.findtext("Taxes/Tax/Amount") == "190.10"


def test_the_workbook_has_numbers_dates_and_never_a_formula_or_link() -> None:
    data, extension = export(DOCUMENT, "Xls")
    assert extension == "xlsx"
    book = openpyxl.load_workbook(io.BytesIO(data))
    assert book.sheetnames == ["Invoices", "LineItems", "Taxes"]
    titles = [cell.value for cell in book["Invoices"][1]]
    row = dict(zip(titles, book["Invoices"][2], strict=True))
    assert (row["Total"].value, row["Total"].data_type) == (1190.6, "n")
    assert row["InvoiceDate"].value == datetime(2026, 1, 31)
    assert row["InvoiceDate"].is_date
    assert (row["InvoiceNumber"].value, row["InvoiceNumber"].data_type) == ("=1+1", "s")
    for sheet in book:
        for cells in sheet.iter_rows():
            assert all(cell.data_type != "f" and cell.hyperlink is None for cell in cells)
    assert book["LineItems"].max_row == 3
    assert book["Taxes"]["C2"].value == 19


@pytest.mark.parametrize("format_name", ["Json", "csv", "XML", "xls"])
def test_the_same_document_gives_the_same_bytes(format_name: str) -> None:
    assert export(DOCUMENT, format_name) == export([DOCUMENT], format_name)


def test_a_document_that_says_nothing_is_still_an_export() -> None:
    nothing = Document(file_name="x.png", read_from="scan", confidence=0.0, fields=Fields())
    data, _ = export(nothing, "json")
    assert json.loads(data)["Documents"][0]["Fields"] == {}
    for format_name in ("csv", "xml", "xls"):
        assert export(nothing, format_name)[0]


def test_an_unknown_format_says_which_there_are() -> None:
    with pytest.raises(UnknownFormat, match="Json, Csv, Xml or Xls"):
        export(DOCUMENT, "docx")


def test_reading_and_exporting_runs_in_a_worker_process() -> None:
    with ProcessPoolExecutor(1, mp_context=get_context("spawn"), initializer=warm_up) as pool:
        good = pool.submit(read_and_export, small_pdf("W-5"), "w.pdf", ["Json", "Xls"]).result(60)
        bad = pool.submit(read_and_export, b"%PDF-1.4", "w.pdf", ["Json"]).result(60)
    assert [made.extension for made in good.exports] == ["json", "xlsx"]
    assert (good.documents[0].fields.invoice_number, good.pages, good.reason) == ("W-5", 1, None)
    assert (bad.reason, bad.exports) == ("truncated", ())
