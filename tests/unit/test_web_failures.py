"""Promise: what a person gave up needs nobody, and hides nothing that does."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from hopperd.ledger.store import Store
from hopperd.pipeline.events import Claimed
from hopperd.pipeline.job import Failure, Stage
from hopperd.ports import JobQuery
from hopperd.web.failures import PAGES, SHOWN, newest_failed
from hopperd.web.shapes import job_line
from tests.support.jobs import NOW, job

pytestmark = pytest.mark.asyncio

GIVEN_UP = Failure(reason="forgotten", fault="us", what="a person gave this job up", do="")


class Book:
    """A ledger, and its jobs as they are listed."""

    def __init__(self, state: Path) -> None:
        self.store = Store.open_state(str(state), inline=True)

    async def open(self, count: int, **changes: Any) -> list[str]:
        """Newer ones than before; their ids, the newest first."""
        jobs = [job(Stage.FAILED, **changes) for _ in range(count)]
        for one in jobs:
            await self.store.open(one, Claimed(), twins=False)
        return [one.id for one in reversed(jobs)]

    async def pages(self, query: JobQuery) -> dict[str, Any]:
        found = await self.store.page(query)
        more = found[-1].id if len(found) == query.limit else None
        return {"jobs": [job_line(one, NOW) for one in found], "next": more}

    async def failed(self) -> tuple[list[str], bool]:
        lines, more = await newest_failed(self.pages, NOW - 86400)
        return [line["job"] for line in lines], more


@pytest_asyncio.fixture
async def book(tmp_path: Path) -> AsyncIterator[Book]:
    one = Book(tmp_path)
    yield one
    await one.store.close()


async def test_what_failed_is_found_behind_a_whole_folder_that_was_given_up(book: Book) -> None:
    older = await book.open(2)
    await book.open(3 * SHOWN, failure=GIVEN_UP)
    newest = await book.open(1)
    assert await book.failed() == (newest + older, False)


async def test_only_the_newest_are_told_and_that_there_are_more(book: Book) -> None:
    failed = await book.open(SHOWN + 1)
    await book.open(1, failure=GIVEN_UP)
    assert await book.failed() == (failed[:SHOWN], True)


async def test_where_the_look_back_ends_nobody_is_told_that_nothing_failed(book: Book) -> None:
    await book.open(1)
    await book.open(PAGES * SHOWN, failure=GIVEN_UP)
    assert await book.failed() == ([], True)
