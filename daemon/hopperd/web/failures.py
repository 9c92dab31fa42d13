"""The newest jobs that failed and need somebody. What a person gave up needs nobody, and hides nothing."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any, Final

from hopperd.ports import JobQuery

SHOWN: Final = 20
PAGES: Final = 10

Pages = Callable[[JobQuery], Awaitable[dict[str, Any]]]


async def newest_failed(pages: Pages, entered_since: float | None = None) -> tuple[list[dict[str, Any]], bool]:
    """SHOWN jobs at the most, each as in a list, and whether there may be more."""
    found: list[dict[str, Any]] = []
    query = JobQuery(failed=True, entered_since=entered_since, limit=SHOWN)
    for _ in range(PAGES):
        page = await pages(query)
        found += [line for line in page["jobs"] if line.get("failure", {}).get("reason") != "forgotten"]
        if len(found) >= SHOWN or page["next"] is None:
            return found[:SHOWN], len(found) > SHOWN or page["next"] is not None
        query = replace(query, before=page["next"])
    return found, True
