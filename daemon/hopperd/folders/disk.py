"""One hot folder on the real disk: the port `Folders`, its calls run by a pool of threads given to it.

Before anything is concluded or made, the markers of the places concerned are looked at: under a share that is not
mounted lies an empty folder, and nothing must be done in it.
"""

from __future__ import annotations

import asyncio
import datetime
import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from typing import Literal, TypeVar

from hopperd.folders import claim, deliver, file_away, places
from hopperd.folders.identity import marker_trouble
from hopperd.folders.layout import Layout, Role
from hopperd.folders.retention import clear_done
from hopperd.folders.trouble import trouble_from
from hopperd.pipeline.job import Export, Identity, Job, JobId, Original, Staged
from hopperd.ports import FolderTrouble, NameTaken

Given = TypeVar("Given")


class HotFolder:
    """`delete_delivered` is the setting after = "delete"; it may be changed while running."""

    def __init__(self, layout: Layout, pool: Executor, *, delete_delivered: bool = False) -> None:
        self._layout = layout
        self._pool = pool
        self.delete_delivered = delete_delivered

    async def at_hand(self, job_id: JobId, original: Original) -> bytes:
        """It lies on a disk of ours already."""
        return self._layout.work_path(job_id, original.name)

    def staging_path(self, job_id: JobId, staged_as: str) -> bytes:
        return self._layout.staging_path(job_id, staged_as)

    async def digest(self, job_id: JobId, name: bytes) -> Original:
        def call() -> Original:
            try:
                return claim.digest(self._layout, job_id, name)
            except NotADirectoryError as error:
                raise FileNotFoundError(*error.args) from error

        return await self._run("read", ("work",), call, FileNotFoundError)

    async def digests(self, job_id: JobId, names: Sequence[bytes]) -> tuple[Original, ...]:
        return await self._run("read", ("work",), lambda: tuple(claim.digests(self._layout, job_id, names)))

    async def return_to_inbox(self, job_id: JobId, names: Sequence[bytes]) -> None:
        def call() -> None:
            for name in names:
                claim.return_to_inbox(self._layout, job_id, name)
            with places.root_folder(self._layout.work) as work:
                claim.remove_hollow(work, job_id.encode())

        if names:
            await self._run("put files back into", ("in", "work"), call)

    async def identity(self, job_id: JobId, name: bytes) -> Identity | None:
        return await self._run("look into", ("work",), lambda: claim.identity(self._layout, job_id, name))

    async def open_staging(self, job: Job) -> None:
        await self._run("stage exports in", ("out",), lambda: deliver.open_staging(self._layout, job))

    async def seal_staging(self, job: Job, staged: Sequence[Staged]) -> None:
        await self._run("stage exports in", ("out",), lambda: deliver.seal_staging(self._layout, job, staged))

    async def deliver(
        self, job: Job, *, all_or_none: bool = False
    ) -> Literal["delivered", "perhaps-twice", "lost", "never-sent"] | NameTaken:
        def call() -> Literal["delivered", "perhaps-twice", "lost"] | NameTaken:
            return deliver.deliver(self._layout, job, all_or_none=all_or_none)

        return await self._run("deliver to", ("out",), call)

    async def close_staging(self, job_id: JobId) -> None:
        await self._run("clean up staging in", ("out",), lambda: deliver.close_staging(self._layout, job_id))

    async def file_away(self, job: Job, receipts: Mapping[int, bytes]) -> Sequence[tuple[int, str]] | NameTaken:
        def call() -> Sequence[tuple[int, str]] | NameTaken:
            deliver.close_staging(self._layout, job.id, all_delivered=job.outcome == "delivered")
            return file_away.file_away(self._layout, job, receipts, delete_delivered=self.delete_delivered)

        root: Role = "failed" if file_away.has_failed(job) else "done"
        return await self._run("file originals in", (root, "work", "out"), call)

    async def read_export(self, export: Export) -> bytes:
        return await self._run("read", ("out",), lambda: deliver.read_export(self._layout, export))

    async def mark_exports(self, job: Job) -> None:
        await self._run("mark exports in", ("out",), lambda: deliver.mark_exports(self._layout, job))

    async def reclaim(self, job: Job) -> tuple[Original, ...]:
        def call() -> tuple[Original, ...]:
            return file_away.reclaim(self._layout, job)

        return await self._run("bring originals back from", ("failed", "done", "work"), call, FileNotFoundError)

    async def clear_done(self, before: datetime.date) -> int:
        return await self._run("clear old days from", ("done",), lambda: clear_done(self._layout, before))

    async def staging_jobs(self) -> list[JobId]:
        """Whose staging is there: at start, that of a job whose delivery is recorded is to be closed."""
        return await self._run("look into", ("out",), lambda: deliver.staging_jobs(self._layout))

    async def _run(
        self, doing: str, roles: Sequence[Role], call: Callable[[], Given], *passing: type[OSError]
    ) -> Given:
        """`call` in a thread. OSError becomes FolderTrouble, save of the kinds that the port lets pass."""
        roots = [self._layout.roots[role] for role in roles]

        def guarded() -> Given:
            require_markers(roots)
            try:
                return call()
            except passing:
                require_markers(roots)  # not there because nothing is there any more?
                raise
            except OSError as error:
                raise trouble_from(error, _culprit(error) or roots[0], doing) from error

        return await asyncio.get_running_loop().run_in_executor(self._pool, guarded)


def require_markers(roots: Sequence[bytes]) -> None:
    """FolderTrouble where one of these places does not carry its marker."""
    for root in roots:
        missing = marker_trouble(root)
        if missing is not None:
            raise missing


def _culprit(error: OSError) -> bytes | None:
    name = error.filename
    path = os.fsencode(name) if isinstance(name, str | bytes) else None
    return path if path is not None and path.startswith(b"/") and not path.startswith(b"/proc/self/fd/") else None


__all__ = ["FolderTrouble", "HotFolder", "require_markers"]
