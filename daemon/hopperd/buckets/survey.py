"""What lies in a hot folder in a bucket, for whoever compares it with the ledger. Reads only.

`done/` and `failed/` may hold millions, and are told in portions, one level's names at a time, oldest days first.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from concurrent.futures import Executor
from itertools import islice
from typing import Final, Literal, TypeVar

from hopperd.buckets.claim import in_work
from hopperd.buckets.disk import Bucket, run
from hopperd.buckets.file_away import receipt_in
from hopperd.buckets.identity import present
from hopperd.buckets.place import Role
from hopperd.buckets.scratch import digest_of
from hopperd.buckets.seen import Seen
from hopperd.folders.receipts import RECEIPT_BYTES
from hopperd.folders.survey import IS_RECEIPT, original_of, staging_of
from hopperd.folders.trouble import troubled
from hopperd.pipeline.audit import Whereabouts
from hopperd.pipeline.job import Job, JobId, Original, Stage
from hopperd.ports import Filed, FolderTrouble, StagedJob, WorkFound

Given = TypeVar("Given")
PORTION: Final = 200
_FILED: Final[tuple[Role, Role]] = ("failed", "done")


class BucketSurvey:
    """The port `Survey` on a bucket. Every call may raise FolderTrouble and nothing else."""

    def __init__(self, bucket: Bucket, pool: Executor, *, by_folder: bool) -> None:
        self._bucket = bucket
        self._pool = pool
        self._by_folder = by_folder

    async def present(self, ledger_id: str) -> FolderTrouble | None:
        return await self._run(lambda: present(self._bucket.store, self._bucket.place, ledger_id))

    async def work(self) -> WorkFound:
        def call() -> WorkFound:
            claiming = self._bucket.claims.in_progress()
            found, strays = in_work(self._bucket.store, self._bucket.place, by_folder=self._by_folder)
            return WorkFound(jobs=tuple(one for one in found if one.job_id not in claiming), strays=tuple(strays))

        return await self._run(call)

    async def staging(self) -> tuple[Sequence[StagedJob], Sequence[bytes]]:
        def call() -> tuple[Sequence[StagedJob], Sequence[bytes]]:
            with troubled(self._bucket.local, "look into staging in"):
                return staging_of(self._bucket.layout)

        return await self._run(call)

    async def whereabouts(self, job: Job) -> tuple[Whereabouts, ...]:
        return await self._run(lambda: tuple(self._whereabouts(job, original) for original in job.originals))

    async def filed(self, place: Literal["done", "failed"]) -> AsyncIterator[Sequence[Filed]]:
        everything = self._filed(place, self._bucket.place.root(place))
        while portion := await self._run(lambda: list(islice(everything, PORTION))):
            yield portion

    async def remove_hollow(self, job_id: JobId) -> None:
        """A bucket has no folders, so none is ever empty."""

    def _whereabouts(self, job: Job, original: Original) -> Whereabouts:
        """Looked for in the order in which it moves, so that one on its way is seen at one end or the other."""
        store, place = self._bucket.store, self._bucket.place
        work_key = place.work_key(job.id, original.name)
        in_work = store.look(work_key)
        filed, has_receipt, is_other = None, False, False
        for root in _FILED if original.filed_as is not None else ():
            filed = store.look(place.key(root, original.filed_as or b""))
            if filed is not None:
                has_receipt = self._bucket.filing.has_receipt(root, original.filed_as or b"", job.id)
                is_other = job.stage in (Stage.DONE, Stage.FAILED) and self._is_other(original, filed)
                break
        if in_work is None and filed is None:
            in_work = store.look(work_key)  # brought back meanwhile, for a retry
        return Whereabouts(
            in_work=in_work.identity if in_work is not None else None,
            filed=filed.identity if filed is not None else None,
            has_receipt=has_receipt,
            is_other=is_other,
        )

    def _is_other(self, original: Original, filed: Seen) -> bool:
        """Its bytes are read only where ETag and size do not tell already that it is the same."""
        if filed.identity.same_file(original.identity):
            return False
        if filed.size_bytes != original.size_bytes:
            return True
        digest = digest_of(self._bucket.store, filed.key)
        return digest is not None and digest != original.sha256

    def _filed(self, place: Role, prefix: str) -> Iterator[Filed]:
        objects, prefixes = self._bucket.store.level(prefix)
        yield from self._at_level(place, objects)
        for below in prefixes:
            yield from self._filed(place, below)

    def _at_level(self, place: Role, objects: Sequence[Seen]) -> Iterator[Filed]:
        by_name = {self._bucket.place.below(place, seen.key): seen for seen in objects}
        bases = {name.rpartition(b"/")[2]: name for name in by_name}
        told: set[bytes] = set()
        for name, seen in by_name.items():
            base = name.rpartition(b"/")[2]
            found = self._bucket.store.read(seen.key, most_bytes=RECEIPT_BYTES) if IS_RECEIPT.match(base) else None
            receipt = receipt_in(found[1]) if found is not None else None
            if receipt is None:
                continue
            original = original_of(base, set(bases))
            path = bases[original] if original is not None else None
            told |= {name, path} if path is not None else {name}
            identity = by_name[path].identity if path is not None else None
            yield Filed(name=name, receipt=receipt, original=path, identity=identity)
        for name in sorted(by_name.keys() - told):
            yield Filed(name=name)

    async def _run(self, call: Callable[[], Given]) -> Given:
        return await run(self._pool, call)
