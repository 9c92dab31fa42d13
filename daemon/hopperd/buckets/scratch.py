"""Local copies of originals in work/, for those who must read a file: the inspection and the upload.

Nothing here is needed after a crash, so nothing is made durable. Its size is bounded: beyond it the copies that were
used longest ago go, and are fetched again when they are wanted.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import shutil
from collections.abc import Iterator
from typing import Final

from hopperd.buckets.seen import Seen
from hopperd.buckets.store import Store, StoreTrouble
from hopperd.pipeline.job import JobId, Original

KEPT_BYTES: Final = 1 << 30


class Scratch:
    """`root` is a folder in the state folder that belongs to one hot folder."""

    def __init__(self, root: bytes, kept_bytes: int = KEPT_BYTES) -> None:
        self._root = root
        self._kept_bytes = kept_bytes

    def path(self, job_id: JobId, name: bytes) -> bytes:
        return b"/".join((self._root, job_id.encode(), hashlib.sha256(name).hexdigest()[:40].encode()))

    def has(self, job_id: JobId, original: Original) -> bool:
        """Whether its copy is here; one that is has just been used."""
        path = self.path(job_id, original.name)
        try:
            os.utime(path)
            return os.stat(path).st_size == original.size_bytes
        except OSError:
            return False

    def fetch(self, store: Store, key: str, job_id: JobId, name: bytes) -> tuple[Seen, str, str] | None:
        """Fetch an object, digests taken on the way: what it is, SHA-256, SHA-512. None where it is not there."""
        found = store.chunks(key)
        if found is None:
            return None
        seen, pieces = found
        path = self.path(job_id, name)
        try:
            os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
            self._make_room(seen.size_bytes)
            with open(path + b".new", "wb") as file:
                size, sha256, sha512 = _digests(pieces, file)
            if size != seen.size_bytes:
                raise StoreTrouble("gone", f"{key} came with {size} bytes and not {seen.size_bytes}")
            os.replace(path + b".new", path)
        except OSError as error:
            with contextlib.suppress(OSError):
                os.unlink(path + b".new")
            raise StoreTrouble(
                "disk", f"cannot keep a copy of {key}: {os.strerror(error.errno or errno.EIO)}"
            ) from error
        return seen, sha256, sha512

    def drop(self, job_id: JobId) -> None:
        shutil.rmtree(os.path.join(self._root, job_id.encode()), ignore_errors=True)

    def _make_room(self, size_bytes: int) -> None:
        kept = sorted(self._kept())
        total = sum(size for _, size, _ in kept) + size_bytes
        for _, size, path in kept:
            if total <= self._kept_bytes:
                return
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)
            total -= size

    def _kept(self) -> Iterator[tuple[float, int, bytes]]:
        with contextlib.suppress(FileNotFoundError):
            for folder in os.scandir(self._root):
                with contextlib.suppress(FileNotFoundError), os.scandir(folder) as entries:
                    for entry in entries:
                        found = entry.stat()
                        yield found.st_mtime, found.st_size, os.fsencode(entry.path)


def digest_of(store: Store, key: str) -> str | None:
    """SHA-256 of an object, read and kept nowhere; None where it is not there."""
    found = store.chunks(key)
    return _digests(found[1])[1] if found is not None else None


def have_same_bytes(store: Store, one: Seen, other: Seen) -> bool:
    """Proof by ETag; where a store gives a copy another (parts, encryption), by reading both."""
    if one.has_bytes_of(other):
        return True
    if one.size_bytes != other.size_bytes:
        return False
    digest = digest_of(store, one.key)
    return digest is not None and digest == digest_of(store, other.key)


def _digests(pieces: Iterator[bytes], also: object = None) -> tuple[int, str, str]:
    size, sha256, sha512 = 0, hashlib.sha256(), hashlib.sha512()
    write = getattr(also, "write", None)
    for piece in pieces:
        size += len(piece)
        sha256.update(piece)
        sha512.update(piece)
        if write is not None:
            write(piece)
    return size, sha256.hexdigest(), sha512.hexdigest()
