"""The one place where the twin meets `hopperd.invoices`: from a document's bytes to data, exports and page images.

The reading, writing and drawing here is done in a child process (`reader_child`), because a hostile document may crash,
hang or swell whoever opens it.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hopperd.invoices.document import Document as Invoice

log = logging.getLogger("hopperd.sandbox")

Exports = tuple[tuple[str, bytes], ...]


class Unreadable(Exception):
    """Nothing can be made of the document: it does not open, is encrypted, not well-formed, or declares entities."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """One file read: its invoices, and exports as (extension, bytes), one per format asked for; 0 pages: unknown."""

    exports: Exports
    invoices: tuple[Invoice, ...] = ()
    pages: int = 0
    confidence: float = 1.0
    do_sums_agree: bool = True


def read_document(data: bytes, name: str, formats: tuple[str, ...]) -> Reading:
    """Reads a document and writes it in each format. Raises Unreadable."""
    from hopperd.invoices.reader import Unreadable as CannotBeRead
    from hopperd.invoices.reader import read

    try:
        found = read(data, name)
    except CannotBeRead as error:
        raise Unreadable(str(error)) from error
    for note in found.notes:
        log.warning("A document was not read in full. %s", note)
    return Reading(
        exports=write_exports(found.documents, formats),
        invoices=found.documents,
        pages=found.pages,
        confidence=min(each.confidence for each in found.documents),
        do_sums_agree=all(_agree(each) for each in found.documents),
    )


def write_exports(invoices: tuple[Invoice, ...], formats: tuple[str, ...]) -> Exports:
    """The invoices of one file in each format, as (extension, bytes)."""
    from hopperd.invoices.exports import export

    written = [export(invoices, each) for each in formats]
    return tuple((extension, data) for data, extension in written)


def blank_reading(name: str, formats: tuple[str, ...]) -> Reading:
    """A reading for `--reader none`: nothing is opened, so nothing is known but the name, and nothing fails.

    For load tests: in Json, Csv and Xml it costs next to nothing (a workbook takes 5 ms to write, whatever is in it).
    """
    from hopperd.invoices.document import Document, Fields

    invoices = (Document(file_name=name, read_from="scan", confidence=0.0, fields=Fields()),)
    return Reading(exports=write_exports(invoices, formats), invoices=invoices, confidence=0.0)


def _agree(invoice: Invoice) -> bool:
    """False where amounts contradict each other. An e-invoice's lines stand before its allowances, so they may."""
    from hopperd.invoices.sums import agree, lines_agree

    fields = invoice.fields
    if agree(fields.net_total, fields.tax_total, fields.total) is False:
        return False
    return invoice.read_from == "einvoice" or lines_agree(fields) is not False
