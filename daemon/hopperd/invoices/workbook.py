"""Documents written as a workbook: three sheets, amounts as numbers, dates as dates.

Built in memory with xlsxwriter. Text is always written as text: never a formula, never a link, never a number.
"""

import io
from collections.abc import Iterable, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Final

import xlsxwriter

from hopperd.invoices.document import HEADER_NAMES, LINE_ITEM_NAMES, PARTY_NAMES, TAX_NAMES, Document

_CELL_CHARACTERS_MAX: Final = 32_767
_STAMP: Final = datetime(2000, 1, 1)  # noqa: DTZ001  # a workbook's times have no zone; a fixed one keeps the bytes the same
_KEYS: Final = ("FileName", "InvoiceNumber")
_INVOICE_COLUMNS: Final = (
    "FileName",
    "ReadFrom",
    "Confidence",
    *(name for name, _ in HEADER_NAMES),
    *(f"Vendor.{name}" for name, _ in PARTY_NAMES),
    *(f"BusinessUnit.{name}" for name, _ in PARTY_NAMES),
)


def write_workbook(documents: Sequence[Document]) -> bytes:
    """An .xlsx with the sheets Invoices, LineItems and Taxes; rows of the latter two name their file and invoice."""
    out = io.BytesIO()
    book = xlsxwriter.Workbook(
        out,
        {"in_memory": True, "strings_to_formulas": False, "strings_to_urls": False, "strings_to_numbers": False},
    )
    book.set_properties({"created": _STAMP})
    sheet = _Sheet(book, "Invoices", _INVOICE_COLUMNS)
    for document in documents:
        sheet.add(_invoice_row(document))
    items = _Sheet(book, "LineItems", (*_KEYS, *(name for name, _ in LINE_ITEM_NAMES)))
    taxes = _Sheet(book, "Taxes", (*_KEYS, *(name for name, _ in TAX_NAMES)))
    for document in documents:
        keys = (document.file_name, document.fields.invoice_number)
        for item in document.fields.line_items:
            items.add([*keys, *_values(item, LINE_ITEM_NAMES)])
        for tax in document.fields.taxes:
            taxes.add([*keys, *_values(tax, TAX_NAMES)])
    book.close()
    return out.getvalue()


def _invoice_row(document: Document) -> list[Any]:
    return [
        document.file_name,
        document.read_from,
        Decimal(str(round(document.confidence, 2))),
        *_values(document.fields, HEADER_NAMES),
        *_values(document.fields.vendor, PARTY_NAMES),
        *_values(document.fields.business_unit, PARTY_NAMES),
    ]


def _values(source: object, names: Iterable[tuple[str, str]]) -> list[Any]:
    return [getattr(source, attribute) for _, attribute in names]


class _Sheet:
    """One sheet with a bold first row that stays in view; rows are only ever added."""

    def __init__(self, book: Any, name: str, columns: Sequence[str]) -> None:
        self._sheet = book.add_worksheet(name)
        self._number = book.add_format({"num_format": "#,##0.00####"})
        self._date = book.add_format({"num_format": "yyyy-mm-dd"})
        self._row = 1
        bold = book.add_format({"bold": True})
        for column, title in enumerate(columns):
            self._sheet.write_string(0, column, title, bold)
            self._sheet.set_column(column, column, max(12, len(title) + 2))
        self._sheet.freeze_panes(1, 0)

    def add(self, values: Sequence[Any]) -> None:
        for column, value in enumerate(values):
            if isinstance(value, Decimal):
                self._sheet.write_number(self._row, column, float(value), self._number)
            elif isinstance(value, date):
                self._sheet.write_datetime(self._row, column, value, self._date)
            elif value is not None:
                self._sheet.write_string(self._row, column, str(value)[:_CELL_CHARACTERS_MAX])
        self._row += 1
