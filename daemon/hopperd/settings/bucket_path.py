"""A place in an S3-compatible bucket, written where a path could stand: `s3://bucket/prefix`.

It is a path as far as joining and showing go, so that all who only show it need not know. Nothing opens it: whoever
reaches for the files of a folder asks first whether it lies in a bucket.
"""

from __future__ import annotations

import re
from pathlib import Path, PosixPath
from typing import Final

SCHEME: Final = "s3://"
_BUCKET: Final = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_PREFIX_BYTES: Final = 512


class BucketPath(PosixPath):
    """`str()` of it is the address as it was written, without a slash at its end."""

    def __str__(self) -> str:
        return SCHEME + super().__str__().removeprefix("s3:").lstrip("/")

    def __fspath__(self) -> str:
        return str(self)

    @property
    def bucket(self) -> str:
        return str(self)[len(SCHEME) :].partition("/")[0]

    @property
    def prefix(self) -> str:
        """Without slashes at its ends; empty for the whole bucket."""
        return str(self)[len(SCHEME) :].partition("/")[2]


def bucket_path(text: str) -> BucketPath:
    """ValueError with a sentence where it is none."""
    bucket, _, prefix = text.removeprefix(SCHEME).partition("/")
    prefix = prefix.removesuffix("/")
    if not _BUCKET.fullmatch(bucket):
        raise ValueError(
            'must be "s3://bucket/prefix"; a bucket\'s name has 3 to 63 small letters, digits, dots or dashes'
        )
    parts = prefix.split("/") if prefix else []
    if any(part in ("", ".", "..") for part in parts) or not prefix.isprintable():
        raise ValueError('has a prefix that cannot be named: no empty part, no "." or ".." and no control characters')
    if len(prefix.encode()) > _PREFIX_BYTES:
        raise ValueError(f"has a prefix of more than {_PREFIX_BYTES} bytes")
    return BucketPath(f"{SCHEME}{bucket}/{prefix}")


def in_bucket(path: Path | None) -> BucketPath | None:
    """The place itself, where it is one in a bucket."""
    return path if isinstance(path, BucketPath) else None
