"""Names: of exports, of originals filed away, of receipts, and how a name is shown.

Pure, and in bytes: a name is carried as it is, whatever its encoding. What is made here never leaves its folder, is
never longer than 255 bytes, and never cuts a UTF-8 character in two. Limits count bytes, because file systems do.
"""

from __future__ import annotations

import hashlib
import re
import string
import unicodedata
from collections.abc import Collection, Iterator
from datetime import UTC, datetime, timedelta
from typing import Literal

NAME_BYTES = 255
EXTENSION_LETTERS = 16
RECEIPT_TAIL = b".receipt.json"
DONE_TAIL = b".done"

_NUMBERED = re.compile(rb"\A(.+) \(([1-9][0-9]{0,8})\)\Z", re.DOTALL)
_DATED = re.compile(rb" [0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{6}Z\Z")
_ESCAPED = re.compile(r"\\x([0-9a-f]{2})|\\u([0-9a-f]{4})|\\U([0-9a-f]{8})")
_EXTENSION = re.compile(rb"[0-9A-Za-z]{1,16}\Z")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


# ------------------------------------------------------------------------------------------------------- exports


def export_name(
    original: bytes,
    result_name: str,
    ordinal: int,
    *,
    template: str,
    job: str,
    task_number: str | None,
    date: str,
) -> bytes:
    """The path below out/ of the `ordinal`-th export (from 1) of one original, whose path below in/ is `original`.

    `result_name` is the service's name for the result and gives the extension only. An unknown task number is empty.
    """
    folder, name = split_path(original)
    values = {
        "stem": split_extension(name)[0],
        "name": name,
        "job": job.encode(),
        "task_number": (task_number or "").encode(),
        "date": date.encode(),
    }
    stem = _safe(_rendered(template, values)) or _safe(values["stem"]) or b"export"
    tail = b"-%d" % ordinal if ordinal > 1 else b""
    return folder + clamped(stem, tail + result_extension(result_name))


def _rendered(template: str, values: dict[str, bytes]) -> bytes:
    """The template with its placeholders filled in one pass: what a name contains is never taken for a placeholder."""
    parts = []
    for text, placeholder, _, _ in string.Formatter().parse(template):
        parts.append(text.encode("utf-8", "replace"))
        if placeholder is not None:
            parts.append(values[placeholder])
    return b"".join(parts)


def _safe(name: bytes) -> bytes:
    """One component that stays in its folder and is not hidden: no slash, no NUL, no dot in front."""
    name = name.replace(b"/", b"_").replace(b"\0", b"_")
    return b"_" + name[1:] if name.startswith(b".") else name


def result_extension(result_name: str) -> bytes:
    """`.xlsx` of `Result.xlsx`; empty unless it is 1 to 16 plain letters and digits."""
    _, dot, extension = result_name.rpartition(".")
    raw = extension.encode("utf-8", "replace")
    return b"." + raw if dot and _EXTENSION.match(raw) else b""


# ---------------------------------------------------------------------------------------------------- collisions


def next_free(
    name: bytes, taken: Collection[bytes], *, on_taken: Literal["number", "fail", "date"], date: str
) -> bytes:
    """The name to use for `name` (a path below its root) when those in `taken` exist: `name` itself if it is free.

    A subfolder in `taken` is one in whose place something else stands: that component is numbered, whatever `on_taken`.
    With "fail" there is no other name: LookupError. `date` looks like `2026-11-23T101500Z`.
    """
    name = _through_free_folders(name, taken)
    if name not in taken:
        return name
    if on_taken == "fail":
        raise LookupError(printable(name))
    if on_taken == "date":
        dated = _dated(name, date)
        if dated not in taken:
            return dated
        name = dated
    return next(candidate for candidate in numbered(name) if candidate not in taken)


def _through_free_folders(name: bytes, taken: Collection[bytes]) -> bytes:
    folders, base = split_path(name)
    free = b""
    for folder in folders.split(b"/")[:-1]:
        free += folder
        if free in taken:
            free = next(candidate for candidate in numbered(free) if candidate not in taken)
        free += b"/"
    return free + base


def numbered(name: bytes) -> Iterator[bytes]:
    """`a (2).pdf`, `a (3).pdf`, … without end. A name that has a number already is counted on from there."""
    folder, base = split_path(name)
    stem, extension = split_extension(base)
    number = 2
    if match := _NUMBERED.match(stem):
        stem, number = match[1], max(2, int(match[2]) + 1)
    while True:
        yield folder + clamped(stem, b" (%d)" % number + extension)
        number += 1


def _dated(name: bytes, date: str) -> bytes:
    folder, base = split_path(name)
    stem, extension = split_extension(base)
    if match := _NUMBERED.match(stem):
        stem = match[1] if _DATED.search(match[1]) else stem
    if _DATED.search(stem):
        return folder + clamped(stem, extension)
    return folder + clamped(stem, b" " + date.encode() + extension)


# ---------------------------------------------------------------------------------------------------- filing away


def filed_name(original: bytes, at: float | None) -> bytes:
    """The path below done/ (`at` is when it is filed: YYYY/MM/DD in UTC) or below failed/ (`at` is None)."""
    if at is None:
        return original
    try:
        day = _EPOCH + timedelta(seconds=at)
    except OverflowError:
        day = _EPOCH
    return f"{day.year:04d}/{day.month:02d}/{day.day:02d}/".encode() + original


def receipt_name(filed: bytes) -> bytes:
    """The receipt's path beside an original: NAME.receipt.json.

    Where that is too long, NAME is cut and a piece of its digest keeps two such names in one folder apart.
    """
    folder, name = split_path(filed)
    if len(name) + len(RECEIPT_TAIL) <= NAME_BYTES:
        return folder + name + RECEIPT_TAIL
    digest = hashlib.sha256(name).hexdigest()[:12].encode()
    return folder + clamped(name, b"~" + digest + RECEIPT_TAIL)


def marker_name(export: bytes) -> bytes:
    """The path of the marker file beside an export: NAME.done, NAME cut where that is too long."""
    folder, name = split_path(export)
    return folder + clamped(name, DONE_TAIL)


# ------------------------------------------------------------------------------------------------- showing names


def shown(name: bytes) -> str:
    """A name for receipts and lists. UTF-8 stands as it is, control characters included: JSON escapes them.

    In a name that is not UTF-8, each offending byte and each percent sign is percent-encoded, so that decoding the
    percent signs gives the name back.
    """
    try:
        return name.decode()
    except UnicodeDecodeError:
        text = name.replace(b"%", b"%25").decode("utf-8", "surrogateescape")
        return "".join(f"%{ord(c) - 0xDC00:02X}" if "\udc80" <= c <= "\udcff" else c for c in text)


def printable(name: bytes | str) -> str:
    """A name for terminals and logs: nothing in it moves the cursor, ends the line or turns the reading direction."""
    text = shown(name) if isinstance(name, bytes) else name
    return text if text.isascii() and text.isprintable() else "".join(_visible(letter) for letter in text)


def _visible(letter: str) -> str:
    if letter == " " or unicodedata.category(letter)[0] not in "CZ":
        return letter
    number = ord(letter)
    if number < 0x100:
        return f"\\x{number:02x}"
    return f"\\u{number:04x}" if number < 0x10000 else f"\\U{number:08x}"


def unprintable(text: str) -> str:
    """What `printable` shows as `text`: for a name that somebody copied from a terminal or the log."""
    return _ESCAPED.sub(lambda match: chr(min(int(match[1] or match[2] or match[3], 16), 0x10FFFF)), text)


def upload_name(name: bytes) -> str:
    """The name under which an original is uploaded: its own, without the subfolder, as browsers send it.

    UTF-8 as it is; bytes that are not UTF-8, and control characters, which no header may hold, percent-encoded.
    """
    base = shown(split_path(name)[1])
    return "".join(f"%{ord(letter):02X}" if letter < " " or letter == "\x7f" else letter for letter in base)


# ---------------------------------------------------------------------------------------------------- the pieces


def split_path(path: bytes) -> tuple[bytes, bytes]:
    """`(b"a/b/", b"c.pdf")` of `a/b/c.pdf`: the folder with its slash, or nothing, and the last component."""
    folder, slash, name = path.rpartition(b"/")
    return folder + slash, name


def split_extension(name: bytes) -> tuple[bytes, bytes]:
    """`(b"c", b".pdf")` of `c.pdf`. A dot in front makes no extension, nor does a tail longer than 16 letters."""
    stem, dot, extension = name.rpartition(b".")
    if not dot or not stem.strip(b".") or not _EXTENSION.match(extension):
        return name, b""
    return stem, dot + extension


def clamped(stem: bytes, tail: bytes) -> bytes:
    """`stem + tail` in at most 255 bytes: the stem is cut, the tail is kept, no UTF-8 character is cut in two."""
    return cut(stem, NAME_BYTES - len(tail)) + tail


def cut(text: bytes, size: int) -> bytes:
    """The first `size` bytes at most, ending before a UTF-8 character that would be cut; odd bytes are cut anywhere."""
    if len(text) <= size:
        return text
    for start in range(size - 1, max(size - 4, -1), -1):
        if text[start] & 0xC0 == 0x80:
            continue
        return text[:start] if _is_character(text[start:], longer_than=size - start) else text[:size]
    return text[:size]


def _is_character(text: bytes, *, longer_than: int) -> bool:
    """Whether a whole UTF-8 character of more than `longer_than` bytes stands in front of `text`."""
    for size in range(longer_than + 1, 5):
        try:
            if len(text[:size].decode()) == 1:
                return True
        except UnicodeDecodeError:
            continue
    return False
