"""A one-page text PDF written by hand: the smallest whole invoice, for tests, benches and demos that need thousands.

Helvetica from the reader's own fonts, WinAnsi text, one content stream, a correct cross-reference table. Same input,
same bytes; no clock, no randomness, no library.
"""

from collections.abc import Sequence
from datetime import date
from typing import Final

Text = tuple[int, int, int, str]

_HEAD: Final = b"%PDF-1.4\n%\xe2\xe3\xcf\xd3\n"
_CATALOG: Final = b"1 0 obj\n<</Type/Catalog/Pages 2 0 R>>\nendobj\n"
_PAGES: Final = b"2 0 obj\n<</Type/Pages/Kids[3 0 R]/Count 1>>\nendobj\n"
_PAGE: Final = (
    b"3 0 obj\n<</Type/Page/Parent 2 0 R/MediaBox[0 0 595 842]/Contents 5 0 R"
    b"/Resources<</Font<</F 4 0 R>>>>>>\nendobj\n"
)
_FONT: Final = b"4 0 obj\n<</Type/Font/Subtype/Type1/BaseFont/Helvetica/Encoding/WinAnsiEncoding>>\nendobj\n"
_FIXED: Final = (_CATALOG, _PAGES, _PAGE, _FONT)


def pdf_of_texts(texts: Sequence[Text]) -> bytes:
    """A one-page A4 PDF of texts, each (x, y from the bottom, size, text), in points."""
    shown = "".join(f"/F {size} Tf 1 0 0 1 {x} {y} Tm({_escaped(text)})Tj\n" for x, y, size, text in texts)
    content = b"BT\n" + shown.encode("cp1252", "replace") + b"ET"
    objects = (*_FIXED, b"5 0 obj\n<</Length %d>>stream\n%b\nendstream\nendobj\n" % (len(content), content))
    position, rows = len(_HEAD), [b"0000000000 65535 f \n"]
    for piece in objects:
        rows.append(b"%010d 00000 n \n" % position)
        position += len(piece)
    end = b"xref\n0 6\n%btrailer\n<</Size 6/Root 1 0 R>>\nstartxref\n%d\n%%%%EOF\n" % (b"".join(rows), position)
    return b"".join((_HEAD, *objects, end))


def small_pdf(
    number: str,
    *,
    total: str = "100.00",
    currency: str = "USD",
    issued: date = date(2026, 1, 31),
    vendor: str = "Fernhill Office Supply Inc.",
    title: str = "INVOICE",
) -> bytes:
    """A minimal invoice of about one kilobyte that differs wherever its arguments differ. Takes some 10 µs."""
    return pdf_of_texts(
        (
            (50, 780, 14, vendor),
            (50, 740, 18, title),
            (50, 700, 10, f"Invoice Number: {number}"),
            (50, 684, 10, f"Invoice Date: {issued.isoformat()}"),
            (50, 640, 10, f"Total: {currency} {total}"),
        )
    )


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("(", "\\(").replace(")", "\\)")
