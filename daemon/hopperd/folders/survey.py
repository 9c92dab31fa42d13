"""What lies in a hot folder, for whoever compares it with the ledger. Reads only, one folder's names at a time.

`work/` and staging are told whole: they hold what is open. `done/` and `failed/` may hold millions, and are told in
portions, oldest first.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from concurrent.futures import Executor
from itertools import islice
from typing import Any, Final, Literal, TypeVar

from hopperd.folders import claim, deliver, identity, places, receipts
from hopperd.folders.answers import Asked
from hopperd.folders.disk import require_markers
from hopperd.folders.layout import MANIFEST, MARKER, STAGING, Layout
from hopperd.folders.selection import Selection
from hopperd.folders.trouble import troubled
from hopperd.pipeline.audit import Whereabouts
from hopperd.pipeline.job import Identity, Job, JobId, Original, Stage, is_job_id
from hopperd.pipeline.naming import NAME_BYTES, RECEIPT_TAIL, receipt_name
from hopperd.ports import Filed, FolderTrouble, StagedJob, WorkFound

Given = TypeVar("Given")

PORTION: Final = 200
IS_RECEIPT: Final = re.compile(rb"\A(.+)\.receipt(?: \([0-9]+\))?\.json\Z", re.DOTALL)


class HotSurvey:
    """The port `Survey` on the real disk. Every call may raise FolderTrouble and nothing else, also of a share that
    hangs."""

    def __init__(self, layout: Layout, pool: Executor, selection: Selection, *, by_folder: bool) -> None:
        self._layout = layout
        self._asked = Asked(pool, list(layout.roots.values()))
        self._selection = selection
        self._by_folder = by_folder

    async def present(self, ledger_id: str) -> FolderTrouble | None:
        return await self._run(lambda: identity.present(self._layout, ledger_id))

    async def work(self) -> WorkFound:
        def call() -> WorkFound:
            require_markers([self._layout.work])
            found, strays = claim.leftovers(self._layout, self._selection, by_folder=self._by_folder, tidy=False)
            return WorkFound(jobs=tuple(found), strays=tuple(strays))

        return await self._run(call)

    async def staging(self) -> tuple[Sequence[StagedJob], Sequence[bytes]]:
        return await self._run(lambda: _staging(self._layout))

    async def whereabouts(self, job: Job) -> tuple[Whereabouts, ...]:
        def call() -> tuple[Whereabouts, ...]:
            return tuple(_whereabouts(self._layout, job, original) for original in job.originals)

        return await self._run(call)

    async def filed(self, place: Literal["done", "failed"]) -> AsyncIterator[Sequence[Filed]]:
        root = self._layout.done if place == "done" else self._layout.failed
        everything = _filed(root)
        while portion := await self._run(lambda: list(islice(everything, PORTION))):
            yield portion

    async def remove_hollow(self, job_id: JobId) -> None:
        def call() -> None:
            with places.root_folder(self._layout.work) as work:
                claim.remove_hollow(work, job_id.encode())

        await self._run(call)

    async def _run(self, call: Callable[[], Given]) -> Given:
        def guarded() -> Given:
            with troubled(self._layout.work, "look into the folders around"):
                return call()

        return await self._asked.run(guarded)


# ----------------------------------------------------------------------------------------------------- one original


def _whereabouts(layout: Layout, job: Job, original: Original) -> Whereabouts:
    """Looked for in the order in which it moves, so that one on its way is seen at one end or the other."""
    in_work = claim.identity(layout, job.id, original.name)
    filed, has_receipt, is_other = None, False, False
    if original.filed_as is not None:
        for root in (layout.failed, layout.done):
            filed = _look(root, original.filed_as)
            if filed is not None:
                has_receipt = _has_receipt(root, original.filed_as, job.id)
                is_other = job.stage in (Stage.DONE, Stage.FAILED) and _is_other(root, original, filed)
                break
    if in_work is None and filed is None:
        in_work = claim.identity(layout, job.id, original.name)  # brought back meanwhile, for a retry
    return Whereabouts(in_work=in_work, filed=filed, has_receipt=has_receipt, is_other=is_other)


def _look(root: bytes, name: bytes) -> Identity | None:
    with contextlib.suppress(FileNotFoundError, NotADirectoryError), places.place(root, name) as (folder, base):
        found = places.look(folder, base)
        return places.identity_of(found) if found is not None and places.is_plain(found) else None
    return None


def _has_receipt(root: bytes, name: bytes, job_id: JobId) -> bool:
    with contextlib.suppress(FileNotFoundError, NotADirectoryError), places.place(root, name) as (folder, base):
        return receipts.has_receipt(folder, base, job_id)
    return False


def _is_other(root: bytes, original: Original, now: Identity) -> bool:
    """Its bytes are read only where inode, size and time do not tell already that it is the same file."""
    if now.same_file(original.identity):
        return False
    if now.size_bytes != original.size_bytes:
        return True
    try:
        with (
            places.place(root, original.filed_as or original.name) as (folder, base),
            places.open_file(folder, base) as f,
        ):
            return places.digests(f)[0] != original.sha256
    except FileNotFoundError:
        return False


# ---------------------------------------------------------------------------------------------------------- staging


def _staging(layout: Layout) -> tuple[list[StagedJob], list[bytes]]:
    require_markers([layout.out])
    return staging_of(layout)


def staging_of(layout: Layout) -> tuple[list[StagedJob], list[bytes]]:
    """Staged jobs below out/, whoever vouches for the folder, and what lies there otherwise."""
    found: list[StagedJob] = []
    strays: list[bytes] = []
    with (
        contextlib.suppress(FileNotFoundError, NotADirectoryError),
        places.root_folder(layout.out) as out,
        places.folder_below(out, STAGING) as staging,
    ):
        for name in sorted(os.fsencode(entry) for entry in os.listdir(staging)):
            if not is_job_id(os.fsdecode(name)):
                strays.append(STAGING + b"/" + name)
                continue
            with contextlib.suppress(FileNotFoundError, NotADirectoryError):
                found.append(_staged(staging, name))
    return found, strays


def _staged(staging: int, name: bytes) -> StagedJob:
    with places.folder_below(staging, name) as folder:
        files = {os.fsencode(entry) for entry in os.listdir(folder)} - {MANIFEST}
        manifest = deliver.read_manifest(folder)
        return StagedJob(
            job_id=JobId(os.fsdecode(name)),
            files=len(files),
            manifest=manifest,
            is_whole=manifest is not None and _is_whole(folder, manifest, files),
        )


def _is_whole(folder: int, manifest: Any, files: set[bytes]) -> bool:
    """Every file that the manifest lists is there with its bytes, and no other."""
    listed = manifest.get("files")
    if not isinstance(listed, list) or not listed or not all(isinstance(one, dict) for one in listed):
        return False
    names = {str(one.get("name")).encode() for one in listed}
    if names != files:
        return False
    for one in listed:
        with places.open_file(folder, str(one["name"]).encode()) as file:
            if places.digests(file)[0] != one.get("sha256"):
                return False
    return True


# ------------------------------------------------------------------------------------------------ done/ and failed/


def _filed(root: bytes) -> Iterator[Filed]:
    """Originals and receipts below done/ or failed/. An original whose receipt is there as well comes with it."""
    require_markers([root])
    for folder, below, names in os.walk(root, onerror=_complain):
        below.sort()
        prefix = folder[len(root) + 1 :] + b"/" if len(folder) > len(root) else b""
        yield from _in_folder(folder, prefix, sorted(names))


def _in_folder(folder: bytes, prefix: bytes, names: Sequence[bytes]) -> Iterator[Filed]:
    there = set(names)
    with_receipt: set[bytes] = set()
    ours: set[bytes] = set()
    for name in names:
        document = receipts.read(folder, name) if IS_RECEIPT.match(name) else None
        if document is not None:
            original = original_of(name, there)
            ours.add(name)
            with_receipt.add(original or name)
            yield Filed(
                name=prefix + name,
                receipt=document,
                original=prefix + original if original is not None else None,
                identity=_look(folder, original) if original is not None else None,
            )
    for name in names:
        is_nothing = name == MARKER or name.startswith(b".hopperd-")
        if name not in ours and name not in with_receipt and not is_nothing:
            yield Filed(name=prefix + name)


def original_of(receipt: bytes, there: set[bytes]) -> bytes | None:
    """The original that a receipt lies beside, where it lies there. A cut receipt's name holds a piece of a digest."""
    match = IS_RECEIPT.match(receipt)
    plain = match[1] if match else receipt
    if plain in there:
        return plain
    if b"~" not in plain:
        return None
    first = plain + RECEIPT_TAIL
    return next(
        (name for name in there if len(name) + len(RECEIPT_TAIL) > NAME_BYTES and receipt_name(name) == first), None
    )


def _complain(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError):
        raise error
