"""Pictures of invoices give what stands on them, however they lie; without an engine that is said, nothing made up."""

import io
import shutil
from collections.abc import Callable

import pytest
from PIL import Image, ImageFilter

from hopperd.invoices import ocr, scan
from hopperd.invoices.document import Document, Fields
from hopperd.invoices.ocr import NO_ENGINE, PageRead
from hopperd.invoices.pictures import looks_sideways, pictures_in, straightened
from hopperd.invoices.reader import read, read_document
from hopperd.invoices.sample_invoices import DE, GB, US, make_fields
from hopperd.invoices.sample_pages import jpeg, page_image, png, scanned_pdf, two_page_tiff

needs_engine = pytest.mark.skipif(shutil.which("tesseract") is None, reason="tesseract is not installed here")
TRUTH = make_fields(3, GB)
GERMAN = make_fields(5, DE)
AMERICAN = make_fields(5, US)


def of_picture(picture: Image.Image, form: str = "PNG", **options: object) -> bytes:
    out = io.BytesIO()
    picture.save(out, form, **options)
    return out.getvalue()


def check(document: Document, truth: Fields) -> None:
    assert document.read_from == "scan"
    fields = document.fields
    for name in ("invoice_number", "invoice_date", "due_date", "currency", "net_total", "tax_total", "total"):
        assert getattr(fields, name) == getattr(truth, name), name
    assert fields.vendor.name == truth.vendor.name


@needs_engine
@pytest.mark.parametrize(
    ("data", "truth", "pages"),
    [
        pytest.param(scanned_pdf(TRUTH, GB), TRUTH, 1, id="pdf"),
        pytest.param(two_page_tiff(GERMAN, DE), GERMAN, 2, id="1-bit-tiff-of-two-pages"),
        pytest.param(png(AMERICAN, US), AMERICAN, 1, id="png"),
        pytest.param(jpeg(TRUTH, GB), TRUTH, 1, id="jpeg"),
    ],
)
def test_a_scan_of_each_kind_is_read(data: bytes, truth: Fields, pages: int) -> None:
    reading = read(data, "x")
    assert (reading.pages, reading.notes) == (pages, ())
    check(reading.documents[0], truth)


def askew(picture: Image.Image) -> Image.Image:
    return picture.rotate(2.6, Image.Resampling.BICUBIC, expand=True, fillcolor=255)


def in_colour_and_soft(picture: Image.Image) -> Image.Image:
    return picture.filter(ImageFilter.GaussianBlur(0.8)).point(lambda value: 60 + value * 3 // 4).convert("RGB")


@needs_engine
@pytest.mark.parametrize(
    "spoil",
    [
        pytest.param(lambda picture: picture.transpose(Image.Transpose.ROTATE_90), id="on-its-left-side"),
        pytest.param(lambda picture: picture.transpose(Image.Transpose.ROTATE_180), id="upside-down"),
        pytest.param(askew, id="askew"),
        pytest.param(in_colour_and_soft, id="soft-and-grey"),
    ],
)
def test_a_scan_is_read_however_it_lies(spoil: Callable[[Image.Image], Image.Image]) -> None:
    check(read_document(of_picture(spoil(page_image(TRUTH, GB))), "x.png"), TRUTH)


@needs_engine
def test_a_photo_is_turned_as_its_camera_says() -> None:
    turned = page_image(TRUTH, GB).transpose(Image.Transpose.ROTATE_90)
    exif = Image.Exif()
    exif[0x0112] = 6
    check(read_document(of_picture(turned, "JPEG", quality=85, exif=exif), "x.jpg"), TRUTH)


def test_without_an_engine_it_is_said_and_nothing_is_made_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    for data in (png(TRUTH, GB), scanned_pdf(TRUTH, GB)):
        reading = read(data, "x")
        (document,) = reading.documents
        assert reading.notes == (NO_ENGINE,)
        assert (document.read_from, document.confidence, document.fields) == ("scan", 0.0, Fields())


def test_an_engine_that_fails_or_hangs_costs_its_page(tmp_path: object, monkeypatch: pytest.MonkeyPatch) -> None:
    program = f"{tmp_path}/tesseract"
    with open(program, "w") as script:
        script.write('#!/bin/sh\n[ "$1" = --list-langs ] && echo eng && exit 0\nexit 1\n')
    shutil.copymode("/bin/sh", program)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    reading = read(two_page_tiff(TRUTH, GB), "x.tif")
    assert reading.notes == ("The engine could not read 2 of 2 pages.",)
    assert reading.documents[0].fields == Fields()
    engine = ocr.find_engine()
    assert engine is not None
    assert (engine.languages, engine.knows_orientation) == ("eng", False)
    with open(program, "w") as script:
        script.write("#!/bin/sh\nexec sleep 60\n")
    with pytest.raises(ocr.EngineFailed, match="within"):
        ocr.read_picture(engine, Image.new("L", (50, 50), 255), 0.2)


@pytest.mark.parametrize(
    ("specks", "runs"), [pytest.param(0, 0, id="white"), pytest.param(400, 1, id="specks, as on the back of a page")]
)
def test_a_blank_page_costs_at_most_one_run(specks: int, runs: int, monkeypatch: pytest.MonkeyPatch) -> None:
    blank = Image.new("L", (2100, 2970), 250)
    for number in range(specks):
        blank.paste(0, (number * 5, (number * 311) % 2960, number * 5 + 4, (number * 311) % 2960 + 4))
    asked: list[str] = []

    def nothing(engine: ocr.Engine, picture: Image.Image, seconds: float) -> PageRead:
        asked.append("read")
        return PageRead(words=[], confidence=0.0, sure_letters=0)

    monkeypatch.setattr(
        ocr, "find_engine", lambda: ocr.Engine(program="/bin/false", languages="eng", knows_orientation=True)
    )
    monkeypatch.setattr(ocr, "read_picture", nothing)
    monkeypatch.setattr(ocr, "turn_of", lambda *_: asked.append("turn"))
    assert scan.read_scan([blank]).pages == [[]]
    assert asked == ["read"] * runs


def test_pages_beyond_the_limit_are_left_out_and_that_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = ocr.Engine(program="/bin/false", languages="eng", knows_orientation=False)
    monkeypatch.setattr(ocr, "find_engine", lambda: engine)
    monkeypatch.setattr(scan, "_read_page", lambda *_: PageRead(words=[], confidence=0.0, sure_letters=0))
    found = scan.read_scan(Image.new("L", (9, 9)) for _ in range(scan.PAGES_MAX + 1))
    assert (len(found.pages), found.notes) == (scan.PAGES_MAX, (f"Only the first {scan.PAGES_MAX} pages were read.",))


def test_which_way_lines_run_is_seen_without_an_engine() -> None:
    upright = page_image(TRUTH, GB)
    assert not looks_sideways(upright)
    assert looks_sideways(upright.transpose(Image.Transpose.ROTATE_90))
    assert straightened(upright) is upright


@pytest.mark.parametrize("cut", [20, 200, 2000])
def test_a_picture_cut_short_or_odd_never_raises(cut: int) -> None:
    for data in (png(TRUTH, GB), jpeg(TRUTH, GB), two_page_tiff(TRUTH, GB)):
        list(pictures_in(data[:cut]))
    list(pictures_in(of_picture(Image.new("I;16", (30, 30)))))
    list(pictures_in(of_picture(Image.new("LA", (30, 30)))))


def test_pages_of_every_mode_come_out_grey_and_large_enough() -> None:
    for mode in ("1", "L", "P", "RGB", "RGBA", "LA"):
        (picture,) = pictures_in(of_picture(Image.new(mode, (400, 560))))
        assert (picture.mode, picture.width) == ("L", 1600), mode
    (fax,) = pictures_in(of_picture(Image.new("1", (1728, 1100), 1), "TIFF", dpi=(204, 98)))
    assert fax.height == round(1100 * 204 / 98)
