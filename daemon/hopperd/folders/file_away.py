"""Originals from work/ to done/ or failed/, each beside its receipt; and back, when a person orders a retry.

May be repeated after a crash at any point. Nothing is replaced but a receipt of the same job, and an original leaves
work/ only by the rename that files it, or after its copy on another file system is proven and durable.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
from collections.abc import Iterable, Mapping, Sequence

from hopperd.folders import places, renaming
from hopperd.folders.claim import DEEPEST, digest, identity, remove_hollow, return_to_inbox
from hopperd.folders.deliver import taken_numbers
from hopperd.folders.layout import Layout
from hopperd.folders.receipts import jobs_beside, remove_receipt, write_receipt
from hopperd.folders.selection import Selection
from hopperd.folders.walk import Walk
from hopperd.pipeline.job import Job, JobId, Original, Stage
from hopperd.pipeline.naming import split_path
from hopperd.ports import NameTaken

TAKEN_AWAY = "the original was taken away from work/ before it could be filed"
CHANGED = "the original in work/ was changed after it had been claimed; what is filed is not what was sent"
KEPT = 'the original in work/ was changed after it had been claimed; it is kept although after = "delete"'


def file_away(
    layout: Layout, job: Job, receipts: Mapping[int, bytes], *, delete_delivered: bool = False
) -> Sequence[tuple[int, str]] | NameTaken:
    """Originals to their recorded places, then their receipts. Notes by position say what was noticed on the way."""
    root = layout.failed if has_failed(job) else layout.done
    delete = delete_delivered and job.outcome == "delivered"
    notes = []
    with places.root_folder(root) as destination, places.root_folder(layout.work) as work:
        with places.Opened(destination) as filed, places.Opened(work) as waiting:
            for position, original in enumerate(job.originals):
                try:
                    note = _file(layout, job, position, waiting, filed, delete=delete)
                except (FileExistsError, NotADirectoryError):
                    return _taken(root, destination, position, _filed_as(original))
                if note is not None:
                    notes.append((position, note))
            for position, content in sorted(receipts.items()):
                parent, base = split_path(_filed_as(job.originals[position]))
                write_receipt(filed.at(parent, make=True), base, job.id, content)
            # The places filed to, before work/ is: an entry may be in both, never in neither.
            _flush_all(filed, {split_path(_filed_as(original))[0] for original in job.originals})
            _flush_all(waiting, _places_in_work(job))
        _leave_work(layout, job, work)
    return notes


def has_failed(job: Job) -> bool:
    return job.stage in (Stage.ABANDONED, Stage.FAILED) or job.outcome == "failed"


def _filed_as(original: Original) -> bytes:
    return original.filed_as or original.name


def _taken(root: bytes, destination: int, position: int, name: bytes) -> NameTaken:
    blocking = places.blocking_folder(root, name)
    taken = {blocking} if blocking is not None else {name, *taken_numbers(destination, name)}
    return NameTaken(position=position, taken=frozenset(taken))


def _file(
    layout: Layout, job: Job, position: int, waiting: places.Opened, filed: places.Opened, *, delete: bool
) -> str | None:
    """From where it waits in work/ to where it is filed."""
    original = job.originals[position]
    parent, base = split_path(_filed_as(original))
    inside, name = split_path(job.id.encode() + b"/" + original.name)
    found = None
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
        source = waiting.at(inside)
        found = places.look(source, name)
    if found is None or not places.is_plain(found):
        return None if delete else _filed_before(filed, original)
    is_changed = not places.identity_of(found).same_file(original.identity)
    if delete and not is_changed:
        places.remove(source, name)
        return None
    folder = filed.at(parent, make=True)
    try:
        renaming.rename_new(source, name, folder, base, found)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        _Copy(layout, job.id, position).carry(source, name, folder, base)
    if is_changed:
        return KEPT if delete else CHANGED
    return None


def _filed_before(filed: places.Opened, original: Original) -> str | None:
    """The note for an original that is no longer in work/: is what stands at its place this file, or its copy?"""
    parent, base = split_path(_filed_as(original))
    try:
        folder = filed.at(parent)
        found = places.look(folder, base)
        if found is None or not places.is_plain(found):
            return TAKEN_AWAY
        there = places.identity_of(found)
        if there.inode == original.identity.inode:
            return None if there.same_file(original.identity) else CHANGED
        return None if _has_its_bytes(folder, base, original) else TAKEN_AWAY
    except (FileNotFoundError, NotADirectoryError):
        return TAKEN_AWAY


def _has_its_bytes(folder: int, base: bytes, original: Original) -> bool:
    """False also where it may not be read: nothing tells then that it is the file."""
    try:
        with places.open_file(folder, base) as file:
            return places.digests(file)[0] == original.sha256
    except PermissionError:
        return False


def _flush_all(opened: places.Opened, folders: Iterable[bytes]) -> None:
    for folder in folders:
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            places.flush_folder(opened.at(folder))


def _places_in_work(job: Job) -> set[bytes]:
    return {split_path(job.id.encode() + b"/" + original.name)[0] for original in job.originals}


def _leave_work(layout: Layout, job: Job, work: int) -> None:
    """Remove the job's folder in work/. What came along with a group's folder and is no original goes back to in/.

    OSError where something cannot: then the filing is to be repeated.
    """
    top = job.id.encode()
    is_gone = [places.remove_empty(work, folder) for folder in _places_in_work(job)]
    if any(is_gone) or places.look(work, top) is None:
        return
    trouble: OSError | None = None
    for found in list(Walk(Selection(depth=DEEPEST), frozenset(), 1 << 16).into(work, top)):
        if split_path(found.name)[1].startswith(_INTENT):
            with places.folder_below(work, split_path(found.name)[0]) as fd:
                places.remove(fd, split_path(found.name)[1])
            continue
        try:
            return_to_inbox(layout, job.id, found.name[len(top) + 1 :])
        except OSError as error:
            trouble = error
    remove_hollow(work, top)
    if trouble is not None:  # the job is not filed as long as work/ holds a file that nobody would look for there
        raise trouble


# ------------------------------------------------------------------------------------------- another file system

_INTENT = b".hopperd-filing-"


class _Copy:
    """Copy, prove, then unlink. A note in work/ names the copy's inode before the copy gets its name.

    Without it nobody could tell after a crash whether the file at the destination is our copy or somebody's twin.
    """

    def __init__(self, layout: Layout, job_id: JobId, position: int) -> None:
        self._layout = layout
        self._job = job_id.encode()
        self._intent = _INTENT + b"%d" % position

    def carry(self, source: int, name: bytes, folder: int, base: bytes) -> None:
        if not self.is_made(source, name, folder, base):
            self._copy(source, name, folder, base)
        places.flush_folder(folder)
        places.remove(source, name)
        places.flush_folder(source)
        with places.root_folder(self._layout.work) as work, places.folder_below(work, self._job) as top:
            places.remove(top, self._intent)

    def _copy(self, source: int, name: bytes, folder: int, base: bytes) -> None:
        if places.look(folder, base) is not None:
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), base)
        scratch = b".hopperd-" + self._job + self._intent
        with places.open_file(source, name) as file, renaming.new_file(folder, base, scratch, 0o600) as copy:
            before = os.fstat(file)
            sha256, _, size = places.digests(file, also=copy)
            if places.identity_of(os.fstat(file)) != places.identity_of(before) or size != before.st_size:
                raise OSError(errno.EBUSY, "it changes while it is copied", name)
            with contextlib.suppress(PermissionError):
                os.fchown(copy, -1, before.st_gid)
            os.fchmod(copy, before.st_mode & 0o777)
            os.utime(copy, ns=(before.st_atime_ns, before.st_mtime_ns))
            places.flush(copy)
            os.posix_fadvise(copy, 0, 0, os.POSIX_FADV_DONTNEED)
            if places.digests(copy)[0] != sha256:
                raise OSError(errno.EIO, "the copy is not what was written", base)
            self._note(os.fstat(copy).st_ino, sha256)

    def _note(self, inode: int, sha256: str) -> None:
        with places.root_folder(self._layout.work) as work, places.folder_below(work, self._job) as top:
            places.remove(top, self._intent)
            with renaming.new_file(top, self._intent, self._intent + b".new", 0o600) as file:
                places.write_all(file, json.dumps({"inode": inode, "sha256": sha256}).encode())

    def is_made(self, source: int, name: bytes, folder: int, base: bytes) -> bool:
        found = places.look(folder, base)
        if found is None or not places.is_plain(found):
            return False
        try:
            with (
                places.place(self._layout.work, self._job + b"/" + self._intent) as (top, intent),
                places.open_file(top, intent) as file,
            ):
                noted = json.loads(os.read(file, 1 << 16))
        except (FileNotFoundError, ValueError):
            return False
        if noted.get("inode") != found.st_ino:
            return False
        with places.open_file(folder, base) as copy, places.open_file(source, name) as file:
            return places.digests(copy)[0] == places.digests(file)[0]


# ----------------------------------------------------------------------------------------------------- and back


def reclaim(layout: Layout, job: Job) -> tuple[Original, ...]:
    """The originals of a retried job from failed/ or done/ into work/ again, digested anew; then their receipts go.

    Whoever repaired a file in failed/ before ordering the retry finds the repaired one taken. FileNotFoundError where
    an original is nowhere, or nothing tells that what has its name by now is no one else's.
    """
    for position, original in enumerate(job.originals):
        if identity(layout, job.id, original.name) is None:
            _bring_back(layout, job, position)
        else:
            _end_copy(layout, job, position)
    originals = tuple(digest(layout, job.id, original.name) for original in job.originals)
    for root in (layout.failed, layout.done):
        for original in job.originals:
            with (
                contextlib.suppress(FileNotFoundError, NotADirectoryError),
                places.place(root, _filed_as(original)) as (folder, base),
            ):
                remove_receipt(folder, base, job.id)
    return originals


def _end_copy(layout: Layout, job: Job, position: int) -> None:
    """The copy into work/ was cut short after it got its name: its source is still to be removed."""
    original, copy = job.originals[position], _Copy(layout, job.id, position)
    for root in (layout.failed, layout.done):
        with (
            contextlib.suppress(FileNotFoundError, NotADirectoryError),
            places.place(root, _filed_as(original)) as (folder, base),
            places.place(layout.work, job.id.encode() + b"/" + original.name) as (target, name),
        ):
            if _is_its_own(folder, base, job, original) and copy.is_made(folder, base, target, name):
                copy.carry(folder, base, target, name)


def _bring_back(layout: Layout, job: Job, position: int) -> None:
    original = job.originals[position]
    with (
        places.root_folder(layout.work) as work,
        places.folder_below(work, job.id.encode() + b"/" + split_path(original.name)[0], make=True) as target,
    ):
        name = split_path(original.name)[1]
        for root in (layout.failed, layout.done):
            with (
                contextlib.suppress(FileNotFoundError, NotADirectoryError),
                places.place(root, _filed_as(original)) as (folder, base),
            ):
                if not _is_its_own(folder, base, job, original):
                    continue
                try:
                    renaming.rename_new(folder, base, target, name)
                except OSError as error:
                    if error.errno != errno.EXDEV:
                        raise
                    _Copy(layout, job.id, position).carry(folder, base, target, name)
                places.flush_folder(target)
                places.flush_folder(folder)
                return
        remove_hollow(work, job.id.encode())
    raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), _filed_as(original))


def _is_its_own(folder: int, base: bytes, job: Job, original: Original) -> bool:
    """Not a file that was put or filed there after the original had been taken away.

    It is the same file, or the job's receipt alone lies beside it: then somebody may have repaired it. Otherwise its
    bytes tell, unless only others' receipts lie there.
    """
    found = places.look(folder, base)
    if found is None or not places.is_plain(found):
        return False
    if places.identity_of(found).same_file(original.identity):
        return True
    beside = jobs_beside(folder, base)
    if beside == {job.id}:
        return True
    return (not beside or job.id in beside) and _has_its_bytes(folder, base, original)
