"""Documents written as an export: Json, Csv, Xml, or a workbook.

The schemas stand in docs/reference/exports.md; names and order never change without a word there. The same documents
give the same bytes. No text of an invoice ever becomes a formula, a link or markup.
"""

import csv
import io
import json
import re
from collections.abc import Callable, Sequence
from typing import Any, Final
from xml.sax.saxutils import escape

from hopperd.invoices.document import (
    HEADER_NAMES,
    LINE_ITEM_NAMES,
    PARTY_NAMES,
    TAX_NAMES,
    Document,
    document_as_json,
    plain_text,
)

_NOT_IN_XML: Final = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_PLAIN_NUMBER: Final = re.compile(r"[+-]?[\d.,\s]+%?")


class UnknownFormat(ValueError):
    """There is no export of this name; say one of Json, Csv, Xml, Xls."""


def export(documents: Document | Sequence[Document], format_name: str) -> tuple[bytes, str]:
    """Write documents in the format of this name, in any case; returns the bytes and the file name extension.

    Raises `UnknownFormat`.
    """
    writer = FORMATS.get(format_name.lower())
    if writer is None:
        raise UnknownFormat(f"there is no export format {format_name!r}; use Json, Csv, Xml or Xls")
    make, extension = writer
    return make([documents] if isinstance(documents, Document) else list(documents)), extension


def _json(documents: list[Document]) -> bytes:
    value = {"Documents": [document_as_json(document) for document in documents]}
    return json.dumps(value, ensure_ascii=False, indent=2).encode("utf-8", "replace") + b"\n"


def _csv(documents: list[Document]) -> bytes:
    out = io.StringIO()
    writer = csv.writer(out, quoting=csv.QUOTE_MINIMAL, lineterminator="\r\n")
    writer.writerow(CSV_COLUMNS)
    for document in documents:
        fields = document.fields
        header = _head_cells(document)
        no_item, no_tax = [""] * len(LINE_ITEM_NAMES), [""] * len(TAX_NAMES)
        writer.writerow(["Invoice", *header, *no_item, *no_tax])
        for item in fields.line_items:
            writer.writerow(["LineItem", *header, *_cells(item, LINE_ITEM_NAMES), *no_tax])
        for tax in fields.taxes:
            writer.writerow(["Tax", *header, *no_item, *_cells(tax, TAX_NAMES)])
    return out.getvalue().encode("utf-8", "replace")


CSV_COLUMNS: Final = (
    "Record",
    "FileName",
    "ReadFrom",
    "Confidence",
    *(name for name, _ in HEADER_NAMES),
    *(f"Vendor.{name}" for name, _ in PARTY_NAMES),
    *(f"BusinessUnit.{name}" for name, _ in PARTY_NAMES),
    *(f"LineItems.{name}" for name, _ in LINE_ITEM_NAMES),
    *(f"Taxes.{name}" for name, _ in TAX_NAMES),
)


def _head_cells(document: Document) -> list[str]:
    return [
        _cell(document.file_name),
        document.read_from,
        f"{document.confidence:.2f}",
        *_cells(document.fields, HEADER_NAMES),
        *_cells(document.fields.vendor, PARTY_NAMES),
        *_cells(document.fields.business_unit, PARTY_NAMES),
    ]


def _cells(source: object, names: Sequence[tuple[str, str]]) -> list[str]:
    return [_cell(getattr(source, attribute)) for _, attribute in names]


def _cell(value: object) -> str:
    """A value for a Csv; text that a spreadsheet would run as a formula gets an apostrophe in front."""
    if value is None:
        return ""
    text = plain_text(value)
    if isinstance(value, str) and text[:1] in ("=", "+", "-", "@", "\t", "\r") and not _PLAIN_NUMBER.fullmatch(text):
        return "'" + text
    return text


def _xml(documents: list[Document]) -> bytes:
    parts = ['<?xml version="1.0" encoding="UTF-8"?>\n<Documents>\n']
    for document in documents:
        _element(parts, "Document", document_as_json(document), 1)
    parts.append("</Documents>\n")
    return "".join(parts).encode("utf-8", "replace")


_ONE_OF: Final = {"LineItems": "LineItem", "Taxes": "Tax"}


def _element(parts: list[str], name: str, value: Any, depth: int) -> None:
    indent = "  " * depth
    if not isinstance(value, dict | list):
        parts.append(f"{indent}<{name}>{escape(_NOT_IN_XML.sub('', str(value)))}</{name}>\n")
        return
    parts.append(f"{indent}<{name}>\n")
    children = value.items() if isinstance(value, dict) else ((_ONE_OF[name], child) for child in value)
    for child_name, child in children:
        _element(parts, child_name, child, depth + 1)
    parts.append(f"{indent}</{name}>\n")


def _workbook(documents: list[Document]) -> bytes:
    from hopperd.invoices.workbook import write_workbook

    return write_workbook(documents)


FORMATS: Final[dict[str, tuple[Callable[[list[Document]], bytes], str]]] = {
    "json": (_json, "json"),
    "csv": (_csv, "csv"),
    "xml": (_xml, "xml"),
    "xls": (_workbook, "xlsx"),
}
