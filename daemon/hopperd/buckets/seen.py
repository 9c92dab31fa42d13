"""One object of a bucket, as a look or a listing tells it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Final

from hopperd.pipeline.job import Identity

_BYTES_OF_DIGEST: Final = 7  # of the ETag's: fits what the ledger keeps of an inode


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """One object as it was seen. `modified` is in whole seconds: a listing and a look tell it differently below."""

    key: str
    etag: str
    size_bytes: int
    modified: int

    @property
    def is_usable(self) -> bool:
        """Whether the store's client can name it."""
        parts_are_names = not any(part in ("", ".", "..") for part in self.key.split("/"))
        return parts_are_names and not any(letter < " " or letter == "\x7f" for letter in self.key)

    @property
    def identity(self) -> Identity:
        """What tells that it is still the same: ETag and size. A copy with the same ETag is the same file."""
        digest = hashlib.sha256(self.etag.encode()).digest()
        return Identity(
            device=0, inode=int.from_bytes(digest[:_BYTES_OF_DIGEST], "big"), size_bytes=self.size_bytes, mtime_ns=0
        )

    def is_same_version(self, other: Seen) -> bool:
        return (self.etag, self.size_bytes, self.modified) == (other.etag, other.size_bytes, other.modified)

    def has_bytes_of(self, other: Seen) -> bool:
        """Whether ETag and size tell that both hold the same bytes; where they do not, reading tells."""
        return bool(self.etag) and (self.etag, self.size_bytes) == (other.etag, other.size_bytes)
