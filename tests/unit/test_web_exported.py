"""Only what was delivered is handed out."""

from __future__ import annotations

import hashlib

import pytest

from hopperd.pipeline.job import Export
from hopperd.web.exported import LARGEST_BYTES, handed_out
from hopperd.web.refusal import Refusal

CONTENT = b"an export"
EXPORT = Export(name=b"a.csv", staged_as="0", sha256=hashlib.sha256(CONTENT).hexdigest(), size_bytes=len(CONTENT))


@pytest.mark.asyncio
async def test_what_was_delivered_is_handed_out_and_nothing_else() -> None:
    lies_there = CONTENT

    async def read(export: Export) -> bytes:
        assert export.name == b"a.csv"
        return lies_there

    assert await handed_out(EXPORT, read) == CONTENT
    for lies_there in (b"", CONTENT + b"!", b"another1!"):  # noqa: B007 (`read` gives it)
        with pytest.raises(Refusal, match="picked it up"):
            await handed_out(EXPORT, read)


@pytest.mark.asyncio
async def test_one_that_would_fill_the_memory_is_not_read() -> None:
    async def read(export: Export) -> bytes:
        raise AssertionError(f"{export.name!r} was read")

    large = Export(name=b"a.csv", staged_as="0", sha256="", size_bytes=LARGEST_BYTES + 1)
    with pytest.raises(Refusal, match="too large"):
        await handed_out(large, read)
