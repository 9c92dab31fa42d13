"""The look into one file before it is sent: can anything at all be made of it?

Made to run in a child process, because a hostile file may crash whoever looks. Refuses only what is certain: damaged
but readable passes. Never changes the file, never trusts its name, and never keeps or reports anything of its content.
"""

import os
import stat
from typing import BinaryIO, Final

from hopperd.invoices import safe_xml
from hopperd.invoices.content import HEAD_BYTES, describe, is_start_of_a_known_kind, sniff
from hopperd.invoices.einvoice import is_invoice_at
from hopperd.invoices.inspect_images import look_at_jpeg, look_at_png, look_at_tiff
from hopperd.invoices.verdict import (
    KIND_NAMES,
    Limits,
    Refusal,
    Refused,
    Verdict,
    bomb,
    damaged,
    empty,
    no_known_einvoice,
    refuse,
    too_large,
    unreadable,
    unsafe_xml,
    wrong_type,
)

__all__ = ["Limits", "Refusal", "Verdict", "inspect_file"]

_OPEN_FLAGS: Final = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY


def inspect_file(path: bytes, accept: frozenset[str], limits: Limits) -> Verdict:
    """Look into the file at `path` and say what it is and whether it can be sent. Never raises for what is in a file.

    `accept` holds kinds out of "pdf", "tiff", "jpeg", "png", "xml".
    """
    kind = None
    try:
        with _open(path) as file:
            size = os.fstat(file.fileno()).st_size
            kind = sniff(file.read(HEAD_BYTES))
            pages = look_into(file, size, accept, limits)
    except Refused as refused:
        return Verdict(kind=kind, pages=refused.pages, refusal=refused.refusal)
    except OSError as error:
        return Verdict(kind=kind, refusal=unreadable(os.strerror(error.errno or 0)).refusal)
    except MemoryError:
        return Verdict(kind=kind, refusal=bomb("The file needs more memory to open than any invoice.").refusal)
    return Verdict(kind=kind, pages=pages)


def look_into(file: BinaryIO, size: int, accept: frozenset[str], limits: Limits) -> int | None:
    """The same look into what is open already; returns the number of pages. Raises `Refused`, OSError, MemoryError."""
    file.seek(0)
    head = file.read(HEAD_BYTES)
    if not head:
        raise empty()
    kind = sniff(head)
    _check_kind(kind, head, size, accept)
    if size > limits.max_size_bytes:
        raise too_large(size, limits.max_size_bytes)
    return _look(kind or "", file, size, limits)


def _open(path: bytes) -> BinaryIO:
    descriptor = os.open(path, _OPEN_FLAGS)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise unreadable("it is not a plain file")
    return os.fdopen(descriptor, "rb")


def _check_kind(kind: str | None, head: bytes, size: int, accept: frozenset[str]) -> None:
    if kind in accept:
        return
    if kind is None and size == len(head) < 16 and is_start_of_a_known_kind(head):
        raise refuse("truncated", f"The file ends after {size} bytes.", "Copy or scan it again.")
    raise wrong_type(KIND_NAMES[kind] if kind else describe(head), accept)


def _look(kind: str, file: BinaryIO, size: int, limits: Limits) -> int | None:
    file.seek(0)
    if kind == "pdf":
        from hopperd.invoices.inspect_pdf import look_at_pdf

        return look_at_pdf(file.read(limits.max_size_bytes + 1), limits)
    if kind == "tiff":
        return look_at_tiff(file, size, limits)
    if kind == "jpeg":
        return look_at_jpeg(file, size, limits)
    if kind == "png":
        return look_at_png(file, size, limits)
    _look_at_xml(file, size, limits)
    return None


def _look_at_xml(file: BinaryIO, size: int, limits: Limits) -> None:
    if size > limits.max_xml_bytes:
        raise too_large(size, limits.max_xml_bytes)
    is_invoice = False

    def met(name: str, depth: int) -> None:
        nonlocal is_invoice
        is_invoice = is_invoice or is_invoice_at(name, depth)

    try:
        safe_xml.check(file.read, met)
    except safe_xml.UnsafeXml:
        raise unsafe_xml() from None
    except safe_xml.TooDeepXml:
        raise bomb("The XML is nested far deeper than any e-invoice.") from None
    except safe_xml.BadXml as error:
        raise damaged("xml", f": it is {error}") from None
    if not is_invoice:
        raise no_known_einvoice()
