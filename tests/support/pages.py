"""Pages of text made of rows, for the reader's tests."""

from __future__ import annotations

import re

from hopperd.invoices.document import Fields
from hopperd.invoices.reader import read_document
from hopperd.invoices.small_pdf import Text, pdf_of_texts


def page(*rows: str | tuple[str, ...]) -> bytes:
    """A PDF page; a row of several texts stands in columns 130 points apart, the first letter of `*` makes it large."""
    texts: list[Text] = []
    for index, row in enumerate(rows):
        cells = (row,) if isinstance(row, str) else row
        for column, text in enumerate(cells):
            size = 18 if text.startswith("*") else 10
            texts += [(40 + 130 * column, 800 - 18 * index, size, text.removeprefix("*"))] if text else []
    return pdf_of_texts(texts)


def read(*rows: str | tuple[str, ...]) -> Fields:
    """The fields that are read from such a page."""
    document = read_document(page(*rows), "x.pdf")
    assert document.read_from == "text"
    return document.fields


_STEP_POINTS = 5.6


def drawn(art: str) -> Fields:
    """The fields of a page drawn with letters: where a text stands in its line, it stands on the page."""
    texts: list[Text] = []
    for line, row in enumerate(art.strip("\n").splitlines()):
        for found in re.finditer(r"\S+(?: \S+)*", row):
            size = 18 if found[0].startswith("*") else 10
            texts.append((round(30 + _STEP_POINTS * found.start()), 810 - 14 * line, size, found[0].removeprefix("*")))
    document = read_document(pdf_of_texts(texts), "x.pdf")
    assert document.read_from == "text"
    return document.fields
