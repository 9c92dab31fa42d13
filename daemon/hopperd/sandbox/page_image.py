"""One page of a document as a picture for the verification page. Runs in a reader child only, never in the server."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Final

from hopperd.sandbox.reader import Unreadable

if TYPE_CHECKING:
    from PIL.Image import Image

WIDTH: Final = 1_240
HEIGHT_MAX: Final = 4_000
PIXELS_MAX: Final = 200_000_000
_EXACT: Final = ("1", "L", "P")


def draw_page(data: bytes, number: int) -> tuple[str, bytes]:
    """Page `number` (from 0) as (mime type, bytes), upright and at most WIDTH by HEIGHT_MAX. Raises Unreadable."""
    try:
        image = _pdf_page(data, number) if b"%PDF-" in data[:1024] else _frame(data, number)
    except Unreadable:
        raise
    except Exception as error:  # any library error about a file of somebody else's
        raise Unreadable("There is no picture of this page.") from error
    out = io.BytesIO()
    if image.mode in _EXACT:
        image.convert("L").save(out, "PNG")
        return "image/png", out.getvalue()
    image.convert("RGB").save(out, "JPEG", quality=88)
    return "image/jpeg", out.getvalue()


def _pdf_page(data: bytes, number: int) -> Image:
    import pypdfium2

    pdf = pypdfium2.PdfDocument(data)
    try:
        if number >= len(pdf):
            raise Unreadable("There is no such page.")
        page = pdf[number]
        width, height = page.get_size()
        scale = min(WIDTH / max(width, 1.0), HEIGHT_MAX / max(height, 1.0))
        image: Image = page.render(scale=scale).to_pil()
    finally:
        pdf.close()
    return image


def _frame(data: bytes, number: int) -> Image:
    from PIL import Image, ImageOps

    Image.MAX_IMAGE_PIXELS = PIXELS_MAX
    with Image.open(io.BytesIO(data)) as image:
        if number >= getattr(image, "n_frames", 1):
            raise Unreadable("There is no such page.")
        image.seek(number)
        mode = image.mode
        image.draft("RGB", (WIDTH, HEIGHT_MAX))
        upright = ImageOps.exif_transpose(image)
        upright = upright.convert("L" if mode in ("1", "L") else "RGB")
        upright.thumbnail((WIDTH, HEIGHT_MAX))
        return upright
