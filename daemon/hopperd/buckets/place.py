"""Where one hot folder lies in its bucket: keys ↔ names. Nothing here reaches the store.

A name is a path below in/, in bytes as everywhere; a key is text. Everything of hopperd's own lies below `work/`, under
names that begin with `.hopperd`, which no original has.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Final, Literal

from hopperd.pipeline.job import JobId

Role = Literal["in", "work", "out", "done", "failed"]
MARKER: Final = ".hopperd-id"
CLAIMS: Final = ".hopperd-claims"
PROBE: Final = ".hopperd-probe"
DELIVERING: Final = ".hopperd-delivering"
LARGE: Final = ".hopperd-export"
OWN: Final = ".hopperd"
KEY_BYTES: Final = 1_024
_ROOM: Final = 64  # for what a name becomes: its day in done/, its job in work/, the tail of its receipt


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """One hot folder `name` below `prefix` (without slashes at its ends; may be empty) of `bucket`."""

    name: str
    bucket: str
    prefix: str

    def root(self, role: Role) -> str:
        return f"{self.prefix}/{role}" if self.prefix else role

    def key(self, role: Role, name: bytes) -> str:
        """UnicodeDecodeError for a name that is not UTF-8: such a name comes from no bucket."""
        return f"{self.root(role)}/{name.decode()}"

    def work_key(self, job_id: JobId, name: bytes) -> str:
        return f"{self.root('work')}/{job_id}/{name.decode()}"

    def own_key(self, job_id: JobId, note: str) -> str:
        return f"{self.root('work')}/{job_id}/{note}"

    def claim_key(self, name: bytes) -> str:
        """The marker of whoever claims this name, whatever version of it: one at a time."""
        return f"{self.root('work')}/{CLAIMS}/{hashlib.sha256(name).hexdigest()[:40]}"

    def below(self, role: Role, key: str) -> bytes:
        return key[len(self.root(role)) + 1 :].encode()

    def url(self, role: Role) -> str:
        return f"s3://{self.bucket}/{self.root(role)}"

    def is_too_long(self, name: bytes) -> bool:
        return len(self.prefix.encode()) + len(name) + _ROOM > KEY_BYTES
