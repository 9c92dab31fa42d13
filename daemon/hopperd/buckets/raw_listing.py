"""Listings that tell every key, also those that the store's client cannot name: an empty part, a control character.

The client gives up a page of a thousand keys for one such key, and nobody's mistake may hide other people's invoices.
So the request is made here, by an address that the client has signed, and its answer is read here. Used only then.
"""

from __future__ import annotations

import datetime
import re
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote, unquote
from xml.etree import ElementTree

from hopperd.buckets.seen import Seen

if TYPE_CHECKING:
    from obstore.store import ClientConfig

GOOD_FOR: Final = datetime.timedelta(minutes=5)
SECONDS: Final = 60.0
ANSWER_BYTES: Final = 1 << 24
_NAMESPACE: Final = re.compile(rb' xmlns="[^"]*"')


class ListingFailed(Exception):
    """The store did not answer, or not with a listing. Its text holds nothing of the signed address."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    objects: tuple[Seen, ...]
    prefixes: tuple[str, ...]
    is_last: bool

    @property
    def end(self) -> str:
        return max((*(seen.key for seen in self.objects), *self.prefixes), default="")


class RawListing:
    """`address` is that of the store; `options` and `client` are those with which the store client was made."""

    def __init__(self, bucket: str, address: str, options: dict[str, Any], client: ClientConfig) -> None:
        self._bucket = bucket
        self._address = address
        self._options = options
        self._client = client

    def pages(self, prefix: str, *, after: str | None = None, delimiter: str = "") -> Iterator[Page]:
        """Everything below `prefix/` behind `after`, in the order of the keys."""
        while True:
            page = self._page(f"{prefix}/" if prefix else "", after, delimiter)
            yield page
            if page.is_last or not page.end:
                return
            after = page.end

    def _page(self, prefix: str, after: str | None, delimiter: str) -> Page:
        asked = {"list-type": "2", "encoding-type": "url", "prefix": prefix, "delimiter": delimiter}
        if after:
            asked["start-after"] = after
        from obstore.exceptions import BaseError

        query = "&".join(f"{name}={quote(text, safe='')}" for name, text in asked.items() if text)
        try:
            return _read(self._answer(query))
        except urllib.error.HTTPError as error:
            raise ListingFailed(f"status code: {error.code} {error.reason}: {_start_of(error)}") from None
        except (BaseError, OSError, ValueError, TypeError, ElementTree.ParseError) as error:
            raise ListingFailed(f"{type(error).__name__}") from None

    def _answer(self, query: str) -> bytes:
        """The client signs whatever its endpoint holds; the last, unknown part of the query takes the name it adds."""
        import obstore
        from obstore.store import S3Store

        options = {
            **self._options,
            "endpoint": f"{self._address}/{self._bucket}?{query}&x-id=",
            "virtual_hosted_style_request": True,
        }
        store = S3Store(self._bucket, client_options=self._client, **options)
        address = obstore.sign(store, "GET", "ListObjectsV2", GOOD_FOR)
        with urllib.request.urlopen(address, timeout=SECONDS) as answer:  # noqa: S310 (the operator's own endpoint)
            content: bytes = answer.read(ANSWER_BYTES)
        return content


def _start_of(error: urllib.error.HTTPError) -> str:
    try:
        return error.read(1_000).decode(errors="replace")
    except OSError:
        return ""


def _read(answer: bytes) -> Page:
    tree = ElementTree.fromstring(_NAMESPACE.sub(b"", answer, count=1))  # noqa: S314 (no entities of outside are read)
    if tree.tag != "ListBucketResult":
        raise ValueError(tree.tag)
    return Page(
        objects=tuple(_seen(one) for one in tree.iter("Contents")),
        prefixes=tuple(unquote(one.findtext("Prefix", "")) for one in tree.iter("CommonPrefixes")),
        is_last=tree.findtext("IsTruncated") != "true",
    )


def _seen(one: ElementTree.Element) -> Seen:
    modified = datetime.datetime.fromisoformat(one.findtext("LastModified", ""))
    return Seen(
        key=unquote(one.findtext("Key", "")),
        etag=one.findtext("ETag", ""),
        size_bytes=int(one.findtext("Size", "")),
        modified=int(modified.timestamp()),
    )
