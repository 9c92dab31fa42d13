"""Draws made-up invoices: as text PDF, as Factur-X, as a scanned page, as TIFF and PNG. Same invoice, same bytes.

Where each text stands is decided once, in points on an A4 page, and drawn by whichever maker is asked. Pillow and
fpdf2 are imported only by the makers that need them.
"""

import io
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Final

from hopperd.invoices.document import Fields, Party
from hopperd.invoices.sample_cii import cii_xml
from hopperd.invoices.sample_invoices import Wording, write_amount, written_date
from hopperd.invoices.small_pdf import Text, pdf_of_texts

if TYPE_CHECKING:
    from fpdf import FPDF
    from PIL.Image import Image

_PAGE_HEIGHT: Final = 842
_PAGE_WIDTH: Final = 595
_DPI: Final = 150
_STAMP: Final = datetime(2026, 1, 5, tzinfo=UTC)
_DIGIT_WIDTHS: Final = {",": 278, ".": 278, " ": 278, "-": 333}


def text_pdf(fields: Fields, wording: Wording) -> bytes:
    """The invoice as a PDF with a text layer."""
    return pdf_of_texts(list(placed(fields, wording)))


def scanned_pdf(fields: Fields, wording: Wording) -> bytes:
    """The invoice as a PDF whose one page is a picture: no text layer."""
    picture = io.BytesIO()
    page_image(fields, wording).convert("1").save(picture, "PNG")
    pdf = _new_pdf()
    pdf.image(picture, x=0, y=0, w=_PAGE_WIDTH, h=_PAGE_HEIGHT)
    return bytes(pdf.output())


def png(fields: Fields, wording: Wording) -> bytes:
    """The invoice as a grey PNG."""
    out = io.BytesIO()
    page_image(fields, wording).save(out, "PNG", optimize=False, dpi=(_DPI, _DPI))
    return out.getvalue()


def jpeg(fields: Fields, wording: Wording) -> bytes:
    """The invoice as a grey JPEG."""
    out = io.BytesIO()
    page_image(fields, wording).save(out, "JPEG", quality=80, dpi=(_DPI, _DPI))
    return out.getvalue()


def two_page_tiff(fields: Fields, wording: Wording) -> bytes:
    """The invoice as a black-and-white TIFF of two pages, the second with the terms."""
    from PIL import Image

    terms = Image.new("L", _pixel_size(), 255)
    _write(terms, [(50, 780, 12, "Terms and conditions"), (50, 750, 10, "Goods remain ours until they are paid for.")])
    pages = [page_image(fields, wording).convert("1"), terms.convert("1")]
    out = io.BytesIO()
    pages[0].save(out, "TIFF", compression="group4", save_all=True, append_images=pages[1:], dpi=(_DPI, _DPI))
    return out.getvalue()


def factur_x(fields: Fields, wording: Wording) -> bytes:
    """The invoice as a PDF that carries its own data: factur-x.xml attached as the Data of the whole document."""
    pdf = _new_pdf()
    pdf.set_font("helvetica")
    for x, y, size, text in placed(fields, wording):
        pdf.set_font_size(size)
        pdf.text(x, _PAGE_HEIGHT - y, text)
    pdf.embed_file(
        bytes=cii_xml(fields).encode(),
        basename="factur-x.xml",
        mime_type="text/xml",
        associated_file_relationship="Data",
        desc="Factur-X invoice",
        creation_date=_STAMP,
        modification_date=_STAMP,
    )
    pdf.set_xmp_metadata(_XMP)
    return bytes(pdf.output())


def placed(fields: Fields, wording: Wording) -> Iterator[Text]:
    """Every text of the invoice and where it stands: (x, y from the bottom, size, text)."""
    label = wording.labels
    yield 50, 790, 16, fields.vendor.name or ""
    for row, line in enumerate(_address(fields.vendor, wording)):
        yield 50, 772 - 13 * row, 9, line
    yield 380, 790, 18, label["title"]
    facts = (
        ("number", fields.invoice_number or ""),
        ("date", _date(fields.invoice_date, wording)),
        ("due", _date(fields.due_date, wording)),
        ("order", fields.order_number or ""),
    )
    for row, (name, value) in enumerate(facts):
        yield 340, 750 - 15 * row, 10, f"{label[name]}:"
        yield 450, 750 - 15 * row, 10, value
    yield 50, 670, 10, f"{label['buyer']}:"
    yield 50, 655, 10, fields.business_unit.name or ""
    for row, line in enumerate(_address(fields.business_unit, wording)):
        yield 50, 641 - 13 * row, 10, line
    yield from _table(fields, wording)
    if fields.vendor.iban:
        yield 50, 90, 9, f"IBAN {fields.vendor.iban}"


def _table(fields: Fields, wording: Wording) -> Iterator[Text]:
    label = wording.labels
    for x, name in ((50, "description"), (300, "quantity"), (390, "price"), (490, "amount")):
        yield x, 560, 10, label[name]
    y = 540
    for item in fields.line_items:
        yield 50, y, 10, item.description or ""
        yield 300, y, 10, f"{item.quantity}"
        yield _right(450, item.unit_price, wording, y)
        yield _right(550, item.total_price, wording, y)
        y -= 16
    rows = (
        (label["net"], fields.net_total),
        (f"{wording.tax} {_percent(wording)}%", fields.tax_total),
        (label["total"], fields.total),
    )
    for row, (name, value) in enumerate(rows):
        size = 12 if row == len(rows) - 1 else 10
        yield 340, y - 20 - 18 * row, size, name
        text = write_amount(value or Decimal(0), wording.amount_form)
        yield 550 - _width(text, size), y - 20 - 18 * row, size, text


def _right(edge: int, value: Decimal | None, wording: Wording, y: int) -> Text:
    bare = wording.amount_form.strip("$£ ABCDEFGHIJKLMNOPQRSTUVWXYZ")
    text = write_amount(value or Decimal(0), bare)
    return edge - _width(text, 10), y, 10, text


def _width(text: str, size: int) -> int:
    return sum(_DIGIT_WIDTHS.get(character, 556 if character.isdigit() else 640) for character in text) * size // 1000


def _percent(wording: Wording) -> str:
    text = format(wording.rate.normalize(), "f")
    return text.replace(".", ",") if "234,56" in wording.amount_form else text


def _date(value: object, wording: Wording) -> str:
    from datetime import date

    return written_date(value, wording.date_form) if isinstance(value, date) else ""


def _address(party: Party, wording: Wording) -> list[str]:
    if wording.country in {"DE", "FR"}:
        town = f"{party.zip} {party.city}"
    elif party.state:
        town = f"{party.city}, {party.state} {party.zip}" if wording.country == "US" else _town(party)
    else:
        town = f"{party.city} {party.zip}"
    lines = [party.street or "", town]
    return [*lines, f"{wording.vendor_tax_label} {party.vat_id}"] if party.vat_id else lines


def _town(party: Party) -> str:
    return f"{party.city} {party.state} {party.zip}"


def _pixel_size() -> tuple[int, int]:
    return _PAGE_WIDTH * _DPI // 72, _PAGE_HEIGHT * _DPI // 72


def page_image(fields: Fields, wording: Wording) -> "Image":
    """The invoice as a grey picture of an A4 page at 150 dots per inch."""
    from PIL import Image

    picture = Image.new("L", _pixel_size(), 255)
    _write(picture, list(placed(fields, wording)))
    return picture


def _write(picture: "Image", texts: list[Text]) -> None:
    from PIL import ImageDraw, ImageFont

    draw = ImageDraw.Draw(picture)
    for x, y, size, text in texts:
        font = ImageFont.load_default(size * _DPI / 72)
        draw.text((x * _DPI / 72, (_PAGE_HEIGHT - y - size) * _DPI / 72), text, fill=0, font=font)


def _new_pdf() -> "FPDF":
    from fpdf import FPDF

    pdf = FPDF(unit="pt", format="A4")
    pdf.set_creation_date(_STAMP)
    pdf.set_auto_page_break(auto=False)
    pdf.add_page()
    return pdf


_XMP: Final = (
    '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    '<rdf:Description rdf:about="" xmlns:fx="urn:factur-x:pdfa:CrossIndustryDocument:invoice:1p0#">'
    "<fx:DocumentType>INVOICE</fx:DocumentType><fx:DocumentFileName>factur-x.xml</fx:DocumentFileName>"
    "<fx:Version>1.0</fx:Version><fx:ConformanceLevel>EN 16931</fx:ConformanceLevel></rdf:Description></rdf:RDF>"
)
