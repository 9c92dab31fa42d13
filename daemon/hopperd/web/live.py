"""What the window asks of the running daemon: what only it knows, and what it is told at once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from hopperd.pipeline.job import Export, Policy
from hopperd.ports import LeftAlone, Pause


@dataclass(frozen=True, slots=True, kw_only=True)
class FolderState:
    """What only the running daemon knows of a hot folder."""

    waiting_files: int = 0
    left_alone: tuple[LeftAlone, ...] = ()
    left_alone_total: int = 0
    swept_at: float | None = None
    trouble: str | None = None


class Live(Protocol):
    """The running daemon, as far as readings and orders need it."""

    def folder_state(self, folder: str) -> FolderState: ...

    def account_pause(self, account: str) -> Pause | None: ...

    def account_trouble(self, account: str) -> str | None:
        """What the last request of the account met, in words; None while requests get through."""
        ...

    def account_figures(self, account: str) -> Mapping[str, Any]: ...

    def policy(self, folder: str) -> Policy: ...

    def letter_troubles(self) -> Mapping[str, str | None]:
        """Every channel on which letters go out, and why nothing gets through on it."""
        ...

    async def read_export(self, folder: str, export: Export) -> bytes:
        """As `ports.Folders.read_export`."""
        ...

    def moved(self) -> None:
        """Jobs may be due that were not: look again."""
        ...

    async def pause_account(self, account: str, pause: Pause | None) -> None: ...

    async def pause_folder(self, folder: str, pause: Pause | None) -> None: ...
