"""Exports opened by other people's programs: the workbook by LibreOffice, the Csv strictly, the Xml by our schema."""

import csv
import io
import re
import shutil
import subprocess
from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest
import xmlschema

from hopperd.invoices.document import Document, Fields, LineItem, Party, Tax
from hopperd.invoices.exports import CSV_COLUMNS, export
from hopperd.invoices.sample_invoices import WORDINGS, make_fields

DOCS = Path(__file__).parents[2] / "docs" / "reference" / "exports.md"
SAMPLES = [
    Document(file_name=f"{wording.country}.pdf", read_from="text", confidence=0.98, fields=make_fields(index, wording))
    for index, wording in enumerate(WORDINGS)
]
ODD = Document(
    file_name='a"b,\r\nc.pdf',
    read_from="scan",
    confidence=0.0,
    fields=Fields(
        invoice_number="=1+1",
        order_number="-7",
        invoice_date=date(2026, 12, 31),
        currency="EUR",
        total=Decimal("-1234567.05"),
        vendor=Party(name='Kessel, "Brand" & <Söhne>\x01'),
        line_items=(LineItem(description="@SUM(A1)", quantity=Decimal("0.001")),),
        taxes=(Tax(rate=Decimal("7.7")),),
    ),
)
NOTHING = Document(file_name="x.tif", read_from="scan", confidence=0.0, fields=Fields())


def test_the_schema_in_the_docs_takes_every_xml_we_write_and_no_other() -> None:
    text = DOCS.read_text()
    (found,) = re.findall(r"<xs:schema.*?</xs:schema>", text, re.DOTALL)
    schema = xmlschema.XMLSchema(found)
    for documents in ([ODD], [NOTHING], SAMPLES):
        xml = export(documents, "Xml")[0].decode()
        schema.validate(xml)
        assert not schema.is_valid(xml.replace("<ReadFrom>", "<ReadFrom>x"))
        assert not schema.is_valid(xml.replace("<FileName>", "<Unknown/><FileName>"))


def test_the_csv_parses_strictly_and_every_row_has_every_column() -> None:
    data = export([*SAMPLES, ODD, NOTHING], "Csv")[0].decode("utf-8")
    assert not data.startswith("\ufeff")
    assert data.endswith("\r\n")
    head, *rows = csv.reader(io.StringIO(data, newline=""), strict=True)
    assert tuple(head) == CSV_COLUMNS
    assert {len(row) for row in rows} == {len(CSV_COLUMNS)}
    invoices = [dict(zip(head, row, strict=True)) for row in rows if row[0] == "Invoice"]
    assert [Decimal(row["Total"]) for row in invoices if row["Total"]] == [
        each.fields.total for each in [*SAMPLES, ODD]
    ]
    assert invoices[-2]["FileName"] == ODD.file_name


@pytest.mark.skipif(shutil.which("soffice") is None, reason="LibreOffice is not installed here")
def test_libreoffice_opens_the_workbook_and_sees_the_same_values(tmp_path: Path) -> None:
    (tmp_path / "book.xlsx").write_bytes(export([*SAMPLES, ODD], "Xls")[0])
    subprocess.run(
        [
            "soffice", f"-env:UserInstallation=file://{tmp_path}/profile", "--headless", "--convert-to",
            "csv:Text - txt - csv (StarCalc):44,34,76,1,,0,false,true,false,false,false,-1",
            "--outdir", str(tmp_path), str(tmp_path / "book.xlsx"),
        ],
        check=True, capture_output=True, timeout=120,
    )  # fmt: skip
    sheets = {
        name: list(csv.DictReader(io.StringIO((tmp_path / f"book-{name}.csv").read_text(), newline="")))
        for name in ("Invoices", "LineItems", "Taxes")
    }
    for row, document in zip(sheets["Invoices"], [*SAMPLES, ODD], strict=True):
        fields = document.fields
        assert row["InvoiceNumber"] == fields.invoice_number
        assert row["InvoiceDate"] == str(fields.invoice_date)
        assert Decimal(row["Total"].replace(",", "")) == fields.total
        assert (row["NetTotal"] == "") is (fields.net_total is None)
    assert [row["Description"] for row in sheets["LineItems"]] == [
        item.description for document in [*SAMPLES, ODD] for item in document.fields.line_items
    ]
    assert [Decimal(row["Rate"].replace(",", "")) for row in sheets["Taxes"]] == [
        tax.rate for document in [*SAMPLES, ODD] for tax in document.fields.taxes
    ]
