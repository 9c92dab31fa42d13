"""One piece of work for a worker process: read a file and write its exports.

`read_and_export` and all that goes in and comes out can be pickled, so that it runs in a process pool. It keeps no
state between calls and prints nothing; limits on time and memory are the business of whoever owns the process.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from hopperd.invoices.document import Document
from hopperd.invoices.exports import export
from hopperd.invoices.reader import DEFAULT_LIMITS, Unreadable, read
from hopperd.invoices.verdict import Limits


@dataclass(frozen=True, slots=True, kw_only=True)
class Export:
    """One finished export: its bytes and the extension its file name should have."""

    data: bytes
    extension: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadResult:
    """Either the documents with one export for each format asked for, in that order, or why nothing could be read."""

    documents: tuple[Document, ...] = ()
    pages: int = 0
    exports: tuple[Export, ...] = ()
    reason: str | None = None
    what: str | None = None
    notes: tuple[str, ...] = ()


def read_and_export(data: bytes, name: str, formats: Sequence[str], limits: Limits = DEFAULT_LIMITS) -> ReadResult:
    """Read a file and write it in each of `formats`. Raises `exports.UnknownFormat`, nothing for what is in a file."""
    try:
        reading = read(data, name, limits)
    except Unreadable as error:
        return ReadResult(reason=error.reason, what=error.what)
    made = [export(reading.documents, format_name) for format_name in formats]
    return ReadResult(
        documents=reading.documents,
        pages=reading.pages,
        exports=tuple(Export(data=content, extension=extension) for content, extension in made),
        notes=reading.notes,
    )


def warm_up() -> None:
    """Load what reading needs, so that a worker is as quick with its first file as later; a pool's initializer."""
    from hopperd.invoices.small_pdf import small_pdf

    read_and_export(small_pdf("0"), "warm-up.pdf", ["json", "xls"])
