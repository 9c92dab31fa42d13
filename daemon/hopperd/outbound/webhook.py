"""A letter by HTTP POST, signed as Standard Webhooks says, so that a receiver can check it with a ready-made library.

    webhook-id: the letter's id, the same at every try
    webhook-timestamp: seconds since the epoch, of this try
    webhook-signature: v1,BASE64(HMAC-SHA256(secret, "{id}.{timestamp}." + body))

Only a 2xx says that it was taken. Redirects are not followed: a signed receipt goes where it was meant to go.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Callable
from typing import Final

import aiohttp

from hopperd.pipeline.naming import printable
from hopperd.ports import NotTaken

SECRET_PREFIX: Final = "whsec_"  # noqa: S105 (how a secret may begin, not one)
SAID_LETTERS: Final = 200


def signed(secret: bytes, letter_id: str, timestamp: int, body: bytes) -> str:
    """The value of the header `webhook-signature`."""
    content = f"{letter_id}.{timestamp}.".encode() + body
    return "v1," + base64.b64encode(hmac.new(secret, content, hashlib.sha256).digest()).decode()


def key_of(secret: str) -> bytes:
    """`whsec_` and base64, as the standard writes a secret; anything else is taken as it is."""
    if secret.startswith(SECRET_PREFIX):
        try:
            return base64.b64decode(secret.removeprefix(SECRET_PREFIX), validate=True)
        except binascii.Error:
            pass
    return secret.encode()


class Webhook:
    """`now` is the wall clock. Without a secret nothing is signed."""

    def __init__(self, url: str, secret: str, seconds: float, now: Callable[[], float]) -> None:
        self._url = url
        self._key = key_of(secret) if secret else None
        self._seconds = seconds
        self._now = now
        self._session: aiohttp.ClientSession | None = None

    async def take(self, letter_id: str, document: bytes) -> None:
        headers = {"content-type": "application/json", "webhook-id": letter_id}
        timestamp = int(self._now())
        headers["webhook-timestamp"] = str(timestamp)
        if self._key is not None:
            headers["webhook-signature"] = signed(self._key, letter_id, timestamp, document)
        try:
            async with self._opened().post(self._url, data=document, headers=headers, allow_redirects=False) as answer:
                said = await answer.content.read(SAID_LETTERS)
                status, wanted = answer.status, answer.headers.get("Retry-After", "")
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise NotTaken(f"{self._url} could not be reached: {str(error) or type(error).__name__}") from None
        if not 200 <= status < 300:
            words = printable(said.decode("utf-8", "replace")).strip()
            raise NotTaken(
                f"{self._url} answered {status}" + (f": {words}" if words else ""),
                retry_after_seconds=float(wanted) if wanted.isascii() and wanted.isdigit() else None,
            )

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                timeout=aiohttp.ClientTimeout(total=self._seconds),
                headers={"User-Agent": "hopperd", "Accept-Encoding": "identity"},
                cookie_jar=aiohttp.DummyCookieJar(),
            )
        return self._session

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None
