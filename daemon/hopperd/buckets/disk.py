"""One hot folder in a bucket: the port `Folders`, its calls run by a pool of threads given to it.

Originals lie in the bucket from first to last; staging and copies to read lie in the state folder.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import TypeVar

from hopperd.buckets.claim import Claims
from hopperd.buckets.deliver import Deliveries, Outcome
from hopperd.buckets.file_away import Filing
from hopperd.buckets.listing import Listing
from hopperd.buckets.place import Place
from hopperd.buckets.scratch import Scratch
from hopperd.buckets.store import Store
from hopperd.folders import deliver as staging
from hopperd.folders.layout import Layout
from hopperd.folders.trouble import troubled
from hopperd.pipeline.job import Export, Identity, Job, JobId, Original, Staged
from hopperd.ports import NameTaken

Given = TypeVar("Given")


@dataclass(frozen=True, slots=True, kw_only=True)
class Bucket:
    """Everything that works on one hot folder in a bucket, joined. `local` is its own folder in the state folder."""

    store: Store
    place: Place
    local: bytes
    scratch: Scratch
    layout: Layout
    claims: Claims
    deliveries: Deliveries
    filing: Filing
    listing: Listing

    @classmethod
    def of(cls, store: Store, place: Place, local: bytes, owner: str) -> Bucket:
        scratch = Scratch(local + b"/scratch")
        layout = Layout(name=place.name, inbox=local, work=local, out=local, done=local, failed=local)
        return cls(
            store=store,
            place=place,
            local=local,
            scratch=scratch,
            layout=layout,
            claims=Claims(store, place, scratch, owner),
            deliveries=Deliveries(store, place, layout),
            filing=Filing(store, place, scratch),
            listing=Listing(store, place),
        )


async def run(pool: Executor, call: Callable[[], Given]) -> Given:
    return await asyncio.get_running_loop().run_in_executor(pool, call)


class BucketFolder:
    """`delete_delivered` is the setting after = "delete"; it may be changed while running."""

    def __init__(self, bucket: Bucket, pool: Executor, *, delete_delivered: bool = False) -> None:
        self._bucket = bucket
        self._pool = pool
        self.delete_delivered = delete_delivered

    async def at_hand(self, job_id: JobId, original: Original) -> bytes:
        """A local copy, fetched unless it is there already."""

        def call() -> bytes:
            if not self._bucket.scratch.has(job_id, original):
                self._bucket.filing.digest(job_id, original.name)
            return self._bucket.scratch.path(job_id, original.name)

        return await self._run(call)

    def staging_path(self, job_id: JobId, staged_as: str) -> bytes:
        return self._bucket.layout.staging_path(job_id, staged_as)

    async def digest(self, job_id: JobId, name: bytes) -> Original:
        return await self._run(lambda: self._bucket.filing.digest(job_id, name))

    async def digests(self, job_id: JobId, names: Sequence[bytes]) -> tuple[Original, ...]:
        def call() -> Iterator[Original]:
            for name in names:
                with contextlib.suppress(FileNotFoundError):
                    yield self._bucket.filing.digest(job_id, name)

        return await self._run(lambda: tuple(call()))

    async def return_to_inbox(self, job_id: JobId, names: Sequence[bytes]) -> None:
        """Objects are claimed one by one: nothing comes along that is not wanted."""

    async def identity(self, job_id: JobId, name: bytes) -> Identity | None:
        def call() -> Identity | None:
            seen = self._bucket.store.look(self._bucket.place.work_key(job_id, name))
            return seen.identity if seen is not None else None

        return await self._run(call)

    async def open_staging(self, job: Job) -> None:
        def call() -> None:
            self._bucket.deliveries.forget(job.id)
            with troubled(self._bucket.local, "stage exports in"):
                staging.open_staging(self._bucket.layout, job)

        await self._run(call)

    async def seal_staging(self, job: Job, staged: Sequence[Staged]) -> None:
        def call() -> None:
            with troubled(self._bucket.local, "stage exports in"):
                staging.seal_staging(self._bucket.layout, job, staged)

        await self._run(call)

    async def deliver(self, job: Job, *, all_or_none: bool = False) -> Outcome | NameTaken:
        return await self._run(lambda: self._bucket.deliveries.deliver(job, all_or_none=all_or_none))

    async def close_staging(self, job_id: JobId) -> None:
        def call() -> None:
            with troubled(self._bucket.local, "clean up staging in"):
                staging.close_staging(self._bucket.layout, job_id)

        await self._run(call)

    async def staging_jobs(self) -> Sequence[JobId]:
        def call() -> Sequence[JobId]:
            with troubled(self._bucket.local, "look into"):
                return staging.staging_jobs(self._bucket.layout)

        return await self._run(call)

    async def file_away(self, job: Job, receipts: Mapping[int, bytes]) -> Sequence[tuple[int, str]] | NameTaken:
        await self.close_staging(job.id)
        delete = self.delete_delivered
        return await self._run(lambda: self._bucket.filing.file_away(job, receipts, delete_delivered=delete))

    async def read_export(self, export: Export) -> bytes:
        return await self._run(lambda: self._bucket.deliveries.read(export))

    async def mark_exports(self, job: Job) -> None:
        await self._run(lambda: self._bucket.deliveries.mark(job))

    async def reclaim(self, job: Job) -> tuple[Original, ...]:
        return await self._run(lambda: self._bucket.filing.reclaim(job))

    async def clear_done(self, before: datetime.date) -> int:
        return await self._run(lambda: self._bucket.filing.clear_done(before))

    async def _run(self, call: Callable[[], Given]) -> Given:
        return await run(self._pool, call)
