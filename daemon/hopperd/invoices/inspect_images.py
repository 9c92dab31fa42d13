"""The look into a TIFF, JPEG or PNG: how many pages, how many pixels, and is it there at all.

Reads structure only and never decodes a pixel, so that no image can cost more than its headers. Every offset is taken
as a lie until it lies inside the file.
"""

import os
import struct
from typing import BinaryIO, Final

from hopperd.invoices.verdict import Limits, bomb, damaged, no_pages, too_many_pages, truncated

_IFD_ENTRIES_MAX: Final = 4096
_TAG_SUBFILE, _TAG_WIDTH, _TAG_HEIGHT, _TAG_STRIPS, _TAG_TILES = 254, 256, 257, 273, 324
_JPEG_FRAMES: Final = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_JPEG_STANDALONE: Final = frozenset(range(0xD0, 0xD8)) | {0x01}
_REDUCED_IMAGE: Final = 1


def look_at_tiff(file: BinaryIO, size: int, limits: Limits) -> int:
    """Count the pages of a TIFF by walking its directories; thumbnails are no pages. Raises `Refused`."""
    walk = _TiffWalk(file, size)
    pages = 0
    seen: set[int] = set()
    offset = walk.first_directory()
    while offset and offset not in seen and pages <= limits.max_pages:
        seen.add(offset)
        directory = walk.directory(offset)
        if directory is None:
            if not pages:
                raise truncated("tiff")
            break
        tags, offset = directory
        _check_pixels(tags.get(_TAG_WIDTH, 0), tags.get(_TAG_HEIGHT, 0), limits)
        if pages == 0 and _image_data_is_missing(tags, size):
            raise truncated("tiff")
        pages += not tags.get(_TAG_SUBFILE, 0) & _REDUCED_IMAGE
    if pages > limits.max_pages:
        raise too_many_pages(pages, limits.max_pages)
    if not pages:
        raise no_pages("tiff")
    return pages


def look_at_jpeg(file: BinaryIO, size: int, limits: Limits) -> int:
    """Walk the markers of a JPEG up to its picture data. Raises `Refused`."""
    position = 2
    framed = False
    while position + 4 <= size:
        file.seek(position)
        mark = file.read(9)
        if len(mark) < 4 or mark[0] != 0xFF:
            raise damaged("jpeg")
        if mark[1] == 0xFF or mark[1] in _JPEG_STANDALONE:
            position += 1 if mark[1] == 0xFF else 2
            continue
        if mark[1] in _JPEG_FRAMES and len(mark) == 9:
            height, width = struct.unpack(">HH", mark[5:9])
            _check_pixels(width, height, limits)
            framed = width > 0
        if mark[1] == 0xDA and framed:
            return 1
        if mark[1] in (0xDA, 0xD9):
            raise damaged("jpeg")
        position += 2 + max(2, int.from_bytes(mark[2:4], "big"))
    raise truncated("jpeg")


def look_at_png(file: BinaryIO, size: int, limits: Limits) -> int:
    """Read the header chunk of a PNG and find the start of its picture data. Raises `Refused`."""
    position = 8
    framed = False
    while position + 8 <= size:
        file.seek(position)
        head = file.read(16)
        length, name = int.from_bytes(head[:4], "big"), head[4:8]
        if not framed:
            if name != b"IHDR" or len(head) < 16:
                raise damaged("png")
            width, height = struct.unpack(">II", head[8:16])
            _check_pixels(width, height, limits)
            framed = True
        elif name == b"IDAT":
            return 1
        elif name == b"IEND" or not name.isalpha():
            raise damaged("png")
        position += 12 + length
    raise truncated("png")


def _check_pixels(width: int, height: int, limits: Limits) -> None:
    if width * height > limits.max_pixels:
        raise bomb(f"The image claims {width} × {height} pixels, far more than any scan of an invoice.")


def _image_data_is_missing(tags: dict[int, int], size: int) -> bool:
    starts = [tags[tag] for tag in (_TAG_STRIPS, _TAG_TILES) if tag in tags]
    return bool(starts) and all(start >= size for start in starts)


class _TiffWalk:
    """Reads directories of classic TIFF and BigTIFF in either byte order; None for what lies outside the file."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        self._file = file
        self._size = size
        head = self._read(0, 16)
        self._order = "<" if head[:2] == b"II" else ">"
        self._big = b"+" in head[2:4]
        self._head = head

    def first_directory(self) -> int:
        field = self._head[8:16] if self._big else self._head[4:8]
        if len(field) < (8 if self._big else 4):
            raise truncated("tiff")
        return self._number(field)

    def directory(self, offset: int) -> tuple[dict[int, int], int] | None:
        count_bytes, entry_bytes, link_bytes = (8, 20, 8) if self._big else (2, 12, 4)
        field = self._read(offset, count_bytes)
        if len(field) < count_bytes:
            return None
        count = self._number(field)
        if not 0 < count <= _IFD_ENTRIES_MAX:
            raise damaged("tiff")
        body = self._read(offset + count_bytes, count * entry_bytes + link_bytes)
        if len(body) < count * entry_bytes:
            return None
        tags = {}
        for position in range(0, count * entry_bytes, entry_bytes):
            tag, value = self._entry(body[position : position + entry_bytes])
            tags[tag] = value
        link = body[count * entry_bytes :]
        return tags, self._number(link) if len(link) == link_bytes else 0

    def _entry(self, entry: bytes) -> tuple[int, int]:
        tag, kind = struct.unpack(self._order + "HH", entry[:4])
        count = self._number(entry[4:12] if self._big else entry[4:8])
        field = entry[12:20] if self._big else entry[8:12]
        width = {1: 1, 3: 2, 4: 4, 13: 4, 16: 8}.get(kind, 0)
        if width and width * count <= len(field):
            return tag, self._number(field[:width])
        if width and tag in (_TAG_STRIPS, _TAG_TILES):
            first = self._read(self._number(field), width)
            return tag, self._number(first) if len(first) == width else self._size
        return tag, 0

    def _number(self, field: bytes) -> int:
        return int.from_bytes(field, "little" if self._order == "<" else "big")

    def _read(self, offset: int, count: int) -> bytes:
        if offset >= self._size:
            return b""
        self._file.seek(offset, os.SEEK_SET)
        return self._file.read(count)
