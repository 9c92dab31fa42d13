"""Pages as pictures that an engine can read: upright, straight, grey, and of a size that reads well.

Decodes pixels, so it belongs in a process with limits on time and memory. Pillow and PDFium are imported only when the
first picture comes. A page that cannot be decoded is left out; nothing here ever raises for what is in a file.
"""

import io
import itertools
import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from PIL.Image import Image

# Between these widths a page of A4 or Letter reads well; outside of them it is brought to the one in the middle.
_WIDTH_MIN: Final = 1600
_WIDTH_MAX: Final = 2700
_WIDTH: Final = 2100
_PIXELS_MAX: Final = 16_000_000
_SOURCE_PIXELS_MAX: Final = 120_000_000
_NARROW: Final = 2.0  # a till receipt: its width in points says nothing about a page
_NARROW_WIDTH: Final = 1000
_SMALL: Final = 700
_INK_MIN: Final = 40
_SKEW_MAX: Final = 6.0
_SKEW_MIN: Final = 0.3
_SKEW_GAIN: Final = 1.06


def pictures_in(data: bytes) -> Iterator["Image"]:
    """Each page of a TIFF, JPEG or PNG, turned as the file itself says."""
    from PIL import Image, ImageOps

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of sizes (ours are checked below) and of odd tags
        try:
            with Image.open(io.BytesIO(data)) as file:
                for index in range(getattr(file, "n_frames", 1)):
                    file.seek(index)
                    if file.width * file.height > _SOURCE_PIXELS_MAX:
                        continue
                    file.draft("L", (_WIDTH_MAX, _WIDTH_MAX))
                    yield _sized(_grey(ImageOps.exif_transpose(file)), _stretch(file))
        except (OSError, ValueError, SyntaxError, TypeError, KeyError, EOFError, Image.DecompressionBombError):
            return


def _stretch(file: "Image") -> float:
    """How much taller a page is than its pixels say: faxes have half the lines of their columns."""
    try:
        across, down = file.info.get("dpi", (1, 1))
        ratio = float(across) / float(down)
    except (TypeError, ValueError, ZeroDivisionError):
        return 1.0
    return ratio if 1.5 < ratio < 2.5 else 1.0


def _grey(picture: "Image") -> "Image":
    """In grey, on white where it was transparent."""
    from PIL import Image

    if picture.mode in ("LA", "PA", "RGBA") or "transparency" in picture.info:
        layer = picture.convert("RGBA")
        paper = Image.new("RGBA", layer.size, "white")
        paper.alpha_composite(layer)
        return paper.convert("L")
    if picture.mode.startswith("I;16"):
        return picture.convert("I").point(lambda value: value / 256).convert("L")
    return picture.convert("L")


def _sized(picture: "Image", stretch: float = 1.0) -> "Image":
    from PIL import Image

    width, height = picture.width, round(picture.height * stretch)
    short = min(width, height)
    least, wanted = (_NARROW_WIDTH, _NARROW_WIDTH) if max(width, height) > _NARROW * short else (_WIDTH_MIN, _WIDTH)
    factor = 1.0 if least <= short <= _WIDTH_MAX else wanted / max(short, 1)
    factor = min(factor, 4.0, (_PIXELS_MAX / max(width * height, 1)) ** 0.5)
    size = max(1, round(width * factor)), max(1, round(height * factor))
    return picture if size == picture.size else picture.resize(size, Image.Resampling.BICUBIC, reducing_gap=2.0)


def pdf_picture(pdf: Any, index: int) -> "Image":
    """A page of an open pypdfium2 document as it is seen; one white pixel if it cannot be drawn."""
    import pypdfium2
    from PIL import Image

    try:
        page = pdf[index]
        short, long = sorted(page.get_size())
        wanted = _NARROW_WIDTH if long > _NARROW * short else _WIDTH
        scale = min(wanted / max(short, 1.0), (_PIXELS_MAX / max(short * long, 1.0)) ** 0.5)
        picture: Image.Image = page.render(scale=scale, grayscale=True).to_pil().convert("L")
        page.close()
    except (pypdfium2.PdfiumError, ValueError, MemoryError):
        return Image.new("L", (1, 1), 255)
    return picture


def is_blank(picture: "Image") -> bool:
    """Whether there is less ink on a page than a few letters have."""
    small = _small(picture)
    return small.histogram()[255] < _INK_MIN


def looks_sideways(picture: "Image") -> bool:
    """Whether the lines of text seem to run from top to bottom."""
    small = _small(picture)
    return _contrast(small.transpose(_quarter())) > 1.5 * _contrast(small)


def turned(picture: "Image", degrees: int) -> "Image":
    """Turned clockwise by 0, 90, 180 or 270 degrees."""
    from PIL import Image

    turns = {90: Image.Transpose.ROTATE_270, 180: Image.Transpose.ROTATE_180, 270: Image.Transpose.ROTATE_90}
    return picture.transpose(turns[degrees]) if degrees in turns else picture


def straightened(picture: "Image") -> "Image":
    """Turned back by the few degrees that it lay askew on the glass; as it is where no angle is clearly better."""
    from PIL import Image

    small = _small(picture)
    best, contrast = 0.0, _contrast(small) * _SKEW_GAIN
    for step in (1.0, 0.25):
        around = best
        reach = _SKEW_MAX if step == 1.0 else 0.75
        for count in range(-round(reach / step), round(reach / step) + 1):
            angle = around + count * step
            found = _contrast(small.rotate(angle, Image.Resampling.NEAREST, fillcolor=0)) if angle else 0.0
            if found > contrast:
                best, contrast = angle, found
    if abs(best) < _SKEW_MIN:
        return picture
    return picture.rotate(best, Image.Resampling.BICUBIC, fillcolor=255)


def _quarter() -> Any:
    from PIL import Image

    return Image.Transpose.ROTATE_90


def _small(picture: "Image") -> "Image":
    """Small and negative, ink as light: what angles are measured on."""
    from PIL import Image, ImageOps

    factor = _SMALL / max(min(picture.size), 1)
    size = max(1, round(picture.width * factor)), max(1, round(picture.height * factor))
    return ImageOps.invert(picture.resize(size, Image.Resampling.BOX)).point(lambda value: 255 if value > 80 else 0)


def _contrast(picture: "Image") -> float:
    """How much the rows of a picture differ from their neighbours: most where they run along lines of text."""
    from PIL import Image

    rows = picture.resize((1, picture.height), Image.Resampling.BOX).tobytes()
    return sum((upper - lower) ** 2 for upper, lower in itertools.pairwise(rows)) / max(len(rows), 1)
