"""Handing an export out to whoever asks on the page: only bytes whose digest is the delivered one leave here.

What lies at its place now may be another file, a link, or gone: whoever picks exports up is free to do so.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from typing import Final

from hopperd.pipeline.job import Export
from hopperd.web.refusal import Refusal

LARGEST_BYTES: Final = 64 * 1024 * 1024


async def handed_out(export: Export, read: Callable[[Export], Awaitable[bytes]]) -> bytes:
    """The export's bytes. Raises Refusal where they are not there any more, and what `read` raises."""
    if export.size_bytes > LARGEST_BYTES:
        raise Refusal("The export is too large to be handed out here; take it from out/.")
    content = await read(export)
    digest = await asyncio.to_thread(lambda: hashlib.sha256(content).hexdigest())
    if digest != export.sha256:
        raise Refusal("The export is not in out/ any more: somebody has picked it up.")
    return content
