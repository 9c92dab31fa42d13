"""What this node hears of the others that share its ledger, and tells them; nothing of it where the ledger is its own.

Jobs are shared by the ledger itself. What is left: pauses that were set at another node, and the folders' markers,
which one node at a time proves and counts on.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Final, Protocol

import structlog

from hopperd.grounds import Ground
from hopperd.ledger.choice import link_to
from hopperd.ledger.store import Store
from hopperd.ports import ALONE, Lease, LedgerTrouble, Pause
from hopperd.settings import Settings

log = structlog.get_logger("hopperd")

PAUSES_EVERY_SECONDS: Final = 2.0


class Node(Protocol):
    """The running daemon."""

    def moved(self) -> None: ...

    async def pause_account(self, account: str, pause: Pause | None) -> None: ...

    async def pause_folder(self, folder: str, pause: Pause | None) -> None: ...


class Neighbours:
    """Of one node. `id` is what its jobs are owned by; None where there is nobody else."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._link = link_to(settings)
        self._told = asyncio.Event()
        self._seen: dict[tuple[str, str], Pause | None] = {}

    @property
    def id(self) -> str | None:
        return self._link.id if self._link is not None else None

    @property
    def lease(self) -> Lease:
        return self._link.lease if self._link is not None else ALONE

    async def enter(self) -> None:
        """Once the ledger is open. Raises LedgerTrouble."""
        if self._link is not None:
            await asyncio.to_thread(self._link.start, asyncio.get_running_loop())

    async def leave(self) -> None:
        """When nothing is in hand any more."""
        if self._link is not None:
            await asyncio.to_thread(self._link.stop)

    @contextlib.asynccontextmanager
    async def alone(self, what: str) -> AsyncIterator[None]:
        """No other node does the same meanwhile. Raises LedgerTrouble."""
        if self._link is None:
            yield
            return
        lock = self._link.lock(what)
        await asyncio.to_thread(lock.take)
        try:
            yield
        finally:
            await asyncio.to_thread(lock.give_back)

    async def mind(self, store: Store, node: Node, busy: Callable[[], int]) -> None:
        """For as long as the node works: hear of jobs and pauses, and look for pauses all the same."""
        if self._link is None:
            return

        def hear(what: str) -> None:
            node.moved()
            if what == "pauses":
                self._told.set()

        self._link.attend(busy, hear)
        while True:
            try:
                await self._take_pauses(store, node)
            except LedgerTrouble as trouble:
                log.debug("pauses-postponed", what=str(trouble))
            self._told.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(PAUSES_EVERY_SECONDS):
                    await self._told.wait()

    async def _take_pauses(self, store: Store, node: Node) -> None:
        """Those that were set or ended since the last look; what this node knows of its own stays."""
        accounts, folders = await store.account_pauses(), await store.folder_pauses()
        for name in self._settings.accounts:
            if self._is_news("account", name, accounts.get(name)):
                await node.pause_account(name, accounts.get(name))
                node.moved()
        for folder in self._settings.folders:
            if self._is_news("folder", folder.name, folders.get(folder.name)):
                await node.pause_folder(folder.name, folders.get(folder.name))
                node.moved()

    def _is_news(self, kind: str, name: str, pause: Pause | None) -> bool:
        before = self._seen.get((kind, name))
        self._seen[(kind, name)] = pause
        return before != pause


async def prepare_folder(ground: Ground, store: Store, neighbours: Neighbours) -> None:
    """The folder identity of promise 9: markers made at a first start, proven at every other.

    Raises FolderIdentityError for a folder that is not this ledger's, FolderTrouble for one that is not there.
    """
    async with neighbours.alone(f"folder {ground.name}"):
        marks = await store.marks()
        prepared = await ground.in_thread(lambda: ground.prepare(store.ledger_id, marks))
        for warning in prepared.warnings:
            log.warning("folder", folder=ground.name, what=warning)
        for mark in prepared.marks:
            await store.set_mark(mark)
