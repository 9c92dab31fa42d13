"""The outcome of looking into a file before it is sent, and the sentences a clerk reads when it is refused.

Only data and words. A refusal's `reason` is from the documented list of slugs and never changes its meaning; `what`
says what is wrong with this file, `do` what a person can do about it. Neither ever quotes the content of an invoice.
"""

from dataclasses import asdict, dataclass
from typing import Any, Final

KIND_NAMES: Final = {
    "pdf": "a PDF document",
    "tiff": "a TIFF image",
    "jpeg": "a JPEG image",
    "png": "a PNG image",
    "xml": "an XML file",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How much of a file we are willing to look at, and what is too much to send."""

    max_size_bytes: int
    max_pages: int
    max_pixels: int = 180_000_000
    max_xml_bytes: int = 50 * 1024 * 1024
    max_inflated_bytes: int = 256 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """Why a file cannot be sent: a stable slug, what is wrong, and what to do."""

    reason: str
    what: str
    do: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What a file is (`kind`, None if unknown), its pages (None where pages mean nothing), and any refusal."""

    kind: str | None
    pages: int | None = None
    refusal: Refusal | None = None

    def as_json(self) -> dict[str, Any]:
        """The verdict as plain JSON values, every key always there."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> "Verdict":
        """The verdict back from what `as_json` made."""
        refusal = value["refusal"]
        return cls(kind=value["kind"], pages=value["pages"], refusal=Refusal(**refusal) if refusal else None)


class Refused(Exception):
    """Raised inside the inspection once it is certain that the file cannot be sent; carries the finished refusal."""

    def __init__(self, refusal: Refusal, pages: int | None = None) -> None:
        super().__init__(refusal.what)
        self.refusal = refusal
        self.pages = pages


def refuse(reason: str, what: str, do: str, pages: int | None = None) -> Refused:
    """A ready-to-raise refusal from its three parts."""
    return Refused(Refusal(reason=reason, what=what, do=do), pages)


def size_words(size_bytes: int) -> str:
    """A size as people say it: `1.5 MB`, `12 kB`, `7 bytes`."""
    if size_bytes >= 1_000_000:
        return f"{size_bytes / 1_000_000:.1f} MB"
    if size_bytes >= 1_000:
        return f"{size_bytes / 1_000:.0f} kB"
    return f"{size_bytes} bytes"


def empty() -> Refused:
    """Nothing in the file at all."""
    return refuse("empty", "The file is empty (0 bytes).", "Scan or copy it again.")


def truncated(kind: str) -> Refused:
    """The file ends before anything can be read from it."""
    return refuse(
        "truncated",
        f"The file begins like {KIND_NAMES[kind]} but ends too early; the rest is missing.",
        "Copy or scan it again; the transfer was probably cut short.",
    )


def damaged(kind: str, detail: str = "") -> Refused:
    """The file is whole but cannot be read."""
    return refuse(
        "damaged",
        f"The file is {KIND_NAMES[kind]} but cannot be opened{detail}.",
        "Ask for it again, or open it where it still opens and save it anew.",
    )


def encrypted() -> Refused:
    """Only a password opens it."""
    return refuse(
        "encrypted",
        "The PDF is protected and does not open without a password.",
        "Save it without the password and put it in again, or ask the sender for an open copy.",
    )


def no_pages(kind: str) -> Refused:
    """Opens, but there is nothing to look at."""
    return refuse(
        "no-pages", f"The file is {KIND_NAMES[kind]} without a single page.", "Ask the sender for it again.", 0
    )


def too_large(size_bytes: int, limit_bytes: int) -> Refused:
    """More bytes than may be sent."""
    return refuse(
        "too-large",
        f"The file has {size_words(size_bytes)}; at most {size_words(limit_bytes)} are allowed here.",
        "Split it, or scan it again with a lower resolution or in black and white.",
    )


def too_many_pages(pages: int, limit: int) -> Refused:
    """More pages than may be sent."""
    return refuse(
        "too-many-pages",
        f"The document has {pages} pages; at most {limit} are allowed here.",
        "Split it into single invoices and put those in.",
        pages,
    )


def bomb(what: str) -> Refused:
    """Small on disk, harmful once unpacked."""
    return refuse("bomb", what, "Do not open it; ask the sender for an ordinary copy, and tell your administrator.")


def wrong_type(what_it_is: str, accept: frozenset[str]) -> Refused:
    """Some other kind of content than this folder takes."""
    wanted = ", ".join(kind.upper() for kind in sorted(accept)) or "nothing"
    return refuse(
        "wrong-type",
        f"The file is {what_it_is}, whatever its name says.",
        f"Only {wanted} can be put in here; convert it first, or put it somewhere else.",
    )


def no_known_einvoice() -> Refused:
    """XML, and whole, but nothing that a reader of e-invoices knows."""
    return refuse(
        "wrong-type",
        "The file is an XML file that is no e-invoice we know (UBL, Cross Industry Invoice, FatturaPA).",
        "Ask the sender for a real e-invoice or for a PDF.",
    )


def unsafe_xml() -> Refused:
    """XML that could make its reader fetch or multiply things."""
    return refuse(
        "unsafe-xml",
        "The XML declares a document type or entities, which an invoice never needs and which can do harm.",
        "Ask the sender for an e-invoice without a DOCTYPE.",
    )


def unreadable(why: str) -> Refused:
    """The file could not be read from the disk."""
    return refuse(
        "unreadable", f"The file could not be read: {why}.", "Check its permissions and the disk or share it lies on."
    )
