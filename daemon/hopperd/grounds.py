"""The ground a hot folder stands on: a disk, or a bucket. Joins either to the ports that the workers see.

What only a bucket needs, its library included, is imported only for a folder that lies in one.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeVar

from hopperd.folders.answers import look
from hopperd.folders.disk import HotFolder
from hopperd.folders.identity import Prepared, prepare, read_marker
from hopperd.folders.inbox import HotInbox, LooksUnfinished, Sniff
from hopperd.folders.layout import Layout
from hopperd.folders.probe import Probed, probe
from hopperd.folders.selection import Selection
from hopperd.folders.survey import HotSurvey
from hopperd.ports import FolderMark, Folders, Inbox, Survey
from hopperd.settings import Folder
from hopperd.settings.bucket_path import BucketPath, in_bucket

if TYPE_CHECKING:
    from hopperd.buckets.disk import Bucket

Given = TypeVar("Given")


class Ground(Protocol):
    """One hot folder, wherever it lies. What is not awaited blocks, and may raise FolderTrouble."""

    @property
    def name(self) -> str: ...

    @property
    def root(self) -> bytes:
        """Where it lies, for sentences."""
        ...

    def disk(self) -> Folders: ...

    def inbox(
        self, ledger_id: str, free_space_bytes: int, *, sniff: Sniff, looks_unfinished: LooksUnfinished
    ) -> Inbox: ...

    def survey(self) -> Survey: ...

    def prepare(self, ledger_id: str, marks: Mapping[str, FolderMark], *, take_over: bool = False) -> Prepared: ...

    def is_marked(self) -> bool:
        """Whether every marker that a first start makes is there."""
        ...

    def probe(self) -> Probed: ...

    async def in_thread(self, call: Callable[[], Given]) -> Given: ...

    async def answers(self, pool: Executor) -> None:
        """Returns when its disk or share has answered something small. A bucket's calls end by themselves."""
        ...


class _Disk:
    def __init__(self, folder: Folder, pool: Executor | None) -> None:
        self.name = folder.name
        self._folder = folder
        self._layout = Layout.of(folder)
        self._pool = pool
        self.root = self._layout.inbox

    def disk(self) -> HotFolder:
        return HotFolder(self._layout, _needed(self._pool), delete_delivered=self._folder.after == "delete")

    def inbox(
        self, ledger_id: str, free_space_bytes: int, *, sniff: Sniff, looks_unfinished: LooksUnfinished
    ) -> HotInbox:
        return HotInbox(
            self._layout,
            self._folder,
            _needed(self._pool),
            ledger_id,
            free_space_bytes,
            sniff=sniff,
            looks_unfinished=looks_unfinished,
        )

    def survey(self) -> HotSurvey:
        by_folder, selection = self._folder.group_by == "folder", Selection.of(self._folder)
        return HotSurvey(self._layout, _needed(self._pool), selection, by_folder=by_folder)

    def prepare(self, ledger_id: str, marks: Mapping[str, FolderMark], *, take_over: bool = False) -> Prepared:
        return prepare(self._layout, ledger_id, marks, take_over=take_over)

    def is_marked(self) -> bool:
        return all(read_marker(root) is not None for root in self._layout.roots.values())

    def probe(self) -> Probed:
        return probe(self._layout)

    async def in_thread(self, call: Callable[[], Given]) -> Given:
        return await asyncio.get_running_loop().run_in_executor(self._pool, call)

    async def answers(self, pool: Executor) -> None:
        roots = list(self._layout.roots.values())
        await asyncio.get_running_loop().run_in_executor(pool, look, roots)


class _InBucket:
    def __init__(self, folder: Folder, bucket: Bucket, pool: Executor | None) -> None:
        self.name = folder.name
        self._folder = folder
        self._bucket = bucket
        self._pool = pool
        self.root = str(folder.path).encode()

    def disk(self) -> Folders:
        from hopperd.buckets.disk import BucketFolder

        return BucketFolder(self._bucket, _needed(self._pool), delete_delivered=self._folder.after == "delete")

    def inbox(self, ledger_id: str, free_space_bytes: int, *, sniff: Sniff, looks_unfinished: LooksUnfinished) -> Inbox:
        from hopperd.buckets.inbox import BucketInbox

        return BucketInbox(self._bucket, self._folder, _needed(self._pool), ledger_id, free_space_bytes, sniff=sniff)

    def survey(self) -> Survey:
        from hopperd.buckets.survey import BucketSurvey

        return BucketSurvey(self._bucket, _needed(self._pool), by_folder=self._folder.group_by == "folder")

    def prepare(self, ledger_id: str, marks: Mapping[str, FolderMark], *, take_over: bool = False) -> Prepared:
        from hopperd.buckets import identity
        from hopperd.folders.trouble import troubled

        with troubled(self._bucket.local, "make"):
            os.makedirs(self._bucket.local, mode=0o700, exist_ok=True)
        return identity.prepare(self._bucket.store, self._bucket.place, ledger_id, marks, take_over=take_over)

    def is_marked(self) -> bool:
        from hopperd.buckets.identity import read_marker

        return read_marker(self._bucket.store, self._bucket.place) is not None

    def probe(self) -> Probed:
        from hopperd.buckets.probe import probe

        return probe(self._bucket.store, self._bucket.place)

    async def in_thread(self, call: Callable[[], Given]) -> Given:
        return await asyncio.get_running_loop().run_in_executor(self._pool, call)

    async def answers(self, pool: Executor) -> None:
        return


class Grounds:
    """Makes the ground of each folder. `state` is the state folder: what a bucket needs locally lies in it."""

    def __init__(self, state: Path) -> None:
        self._state = os.fsencode(os.path.abspath(state))

    def of(self, folder: Folder, pool: Executor | None) -> Ground:
        """With `pool` None, only for a probe."""
        path = in_bucket(folder.path)
        return _Disk(folder, pool) if path is None else _InBucket(folder, self._bucket(folder, path), pool)

    def _bucket(self, folder: Folder, path: BucketPath) -> Bucket:
        from hopperd.buckets.disk import Bucket
        from hopperd.buckets.place import Place
        from hopperd.buckets.store import open_store

        store = open_store(path.bucket, folder.endpoint, os.environ)
        place = Place(name=folder.name, bucket=path.bucket, prefix=path.prefix)
        local = b"/".join((self._state, b"buckets", folder.name.encode()))
        return Bucket.of(store, place, local, f"{socket.gethostname()}:{os.fsdecode(self._state)}")


def _needed(pool: Executor | None) -> Executor:
    if pool is None:
        raise ValueError("a folder that does more than a probe needs threads")
    return pool
