"""HTTP Basic as the service takes it: any Base64 variant (standard or URL-safe, padded or not). [doc]

The header is cut at the first colon, so an application id has none; a token may. Clients disagree about the character
set of credentials that are not ASCII, so UTF-8 and Latin-1 both pass.
"""

from __future__ import annotations

import base64
import binascii
import hmac
from collections.abc import Iterable
from typing import Final

from hopperd.sandbox.config import Application

_URL_SAFE: Final = bytes.maketrans(b"-_", b"+/")


class Applications:
    """Knows which credentials belong to which application."""

    def __init__(self, applications: Iterable[Application]) -> None:
        self._ids: dict[bytes, str] = {}
        for each in applications:
            for charset in ("utf-8", "latin-1"):
                self._remember(each, charset)

    def _remember(self, application: Application, charset: str) -> None:
        try:
            self._ids[f"{application.id}:{application.token}".encode(charset)] = application.id
        except UnicodeEncodeError:
            return

    def admit(self, header: str | None) -> str | None:
        """The id of the application whose credentials the Authorization header carries, None if of none."""
        credentials = basic_credentials(header)
        if credentials is None:
            return None
        for known, application_id in self._ids.items():
            if hmac.compare_digest(known, credentials):
                return application_id
        return None


def basic_credentials(header: str | None) -> bytes | None:
    """`user:password` as bytes from a Basic header in any Base64 variant; None if it is no such header."""
    scheme, _, encoded = (header or "").strip().partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        letters = b"".join(encoded.encode("ascii").split()).translate(_URL_SAFE).rstrip(b"=")
        return base64.b64decode(letters + b"=" * (-len(letters) % 4), validate=True)
    except (UnicodeEncodeError, binascii.Error):
        return None
