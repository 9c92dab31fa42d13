"""Every store of the ledger, open on a folder of its own."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from hopperd.ledger.store import Store
from tests.support.stores import STORES


@pytest_asyncio.fixture(params=sorted(STORES))
async def ledger(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    store = STORES[request.param](str(tmp_path / "state"))
    yield store
    await store.close()
