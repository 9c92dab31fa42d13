"""Exports: whole and durable in staging, then renamed to their final names without replacing, each exactly once.

Staging is `out/.hopperd/JOB/`, on the file system of out/, so that a delivery is one rename. After a crash it tells
what happened: a file still there is not delivered; one gone while the manifest stands is; the manifest gone too means
that somebody cleaned up, and nobody knows. Hence the manifest is durable before `fetched` is recorded and removed last.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import json
import os
import stat
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

from hopperd.boot import boot_id
from hopperd.folders import places, renaming
from hopperd.folders.layout import MANIFEST, STAGING, Layout
from hopperd.pipeline.job import Export, Job, JobId, Staged, is_job_id
from hopperd.pipeline.naming import marker_name, numbered, split_path
from hopperd.ports import FolderTrouble, NameTaken

RENAME_TRIES = 5
LOOKED_AT = 1_000  # names looked at at once where one is taken: a thousand same-named files cost few records
_SCRATCH = b"manifest.new"
_MANIFEST_BYTES = 1 << 24


def open_staging(layout: Layout, job: Job) -> None:
    """An empty staging folder for the job, mode 0700; what an earlier try left is removed. Its manifest seals it."""
    with places.root_folder(layout.out) as out, places.Opened(out) as below:
        try:
            staging = below.at(STAGING)
        except (FileNotFoundError, NotADirectoryError):
            if _make_private(out, STAGING):
                places.flush_folder(out)
            staging = below.at(STAGING)
        if not _make_private(staging, job.id.encode()):
            with places.folder_below(staging, job.id.encode()) as folder:
                _empty(folder)


def seal_staging(layout: Layout, job: Job, staged: Sequence[Staged]) -> None:
    """Everything in staging durable: each file, the manifest that lists them, and the folders above.

    A file that cannot be made durable is removed, since nobody knows what it holds: it is to be fetched again.
    """
    with places.root_folder(layout.out) as out, places.folder_below(out, STAGING) as staging:
        with places.folder_below(staging, job.id.encode()) as folder:
            for one in staged:
                _seal(folder, one)
            try:
                _write_manifest(folder, job, staged)
            except FileExistsError:  # of an earlier try
                places.remove(folder, MANIFEST)
                _write_manifest(folder, job, staged)
        places.flush_folder(staging)


def _seal(folder: int, one: Staged) -> None:
    name = one.staged_as.encode()
    try:
        with places.plain_file(folder, name) as (file, status):
            _prove_size(status.st_size, one)
            os.fchmod(file, 0o666 & ~_umask())
            places.flush(file)
    except OSError:
        with contextlib.suppress(OSError):
            places.remove(folder, name)
        raise


def _prove_size(size: int, one: Staged) -> None:
    if size != one.size_bytes:
        raise OSError(errno.EIO, f"{one.staged_as} holds {size} bytes and not {one.size_bytes}")


def deliver(
    layout: Layout, job: Job, *, all_or_none: bool = False
) -> Literal["delivered", "perhaps-twice", "lost"] | NameTaken:
    """Rename every export out of staging to its recorded name, in order; then fsync the folders they went to.

    With `all_or_none`, nothing is renamed where a name is taken, unless it is taken in that very moment.
    To be repeated after a crash or a name that was taken: what is delivered already is not delivered again.
    """
    with places.root_folder(layout.out) as out:
        try:
            with places.folder_below(out, STAGING + b"/" + job.id.encode()) as folder:
                manifest = read_manifest(folder)
                if manifest is None:
                    return "lost"
                outcome = _deliver_all(layout, job, out, folder, all_or_none=all_or_none)
        except (FileNotFoundError, NotADirectoryError):
            return "lost"
    if isinstance(outcome, NameTaken):
        return outcome
    # Sealed before the machine last started: a rename that was not durable may have been undone after somebody had
    # taken the file away. A process that died is no reason for such a doubt.
    return "perhaps-twice" if outcome and manifest.get("boot") != boot_id() else "delivered"


def read_export(layout: Layout, export: Export) -> bytes:
    """No more than one byte beyond what was delivered; nothing where a link, or no file, lies at its place."""
    parent, base = split_path(export.name)
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        with (
            places.root_folder(layout.out) as out,
            places.folder_below(out, parent) as folder,
            open(os.open(base, flags, dir_fd=folder), "rb") as file,
        ):
            is_file = stat.S_ISREG(os.fstat(file.fileno()).st_mode)
            return file.read(export.size_bytes + 1) if is_file else b""
    except (FileNotFoundError, NotADirectoryError):
        return b""
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENXIO):
            return b""
        raise


def mark_exports(layout: Layout, job: Job) -> None:
    """NAME.done beside each export, empty. May be repeated: whoever took an export away is told nothing once more.

    The set is complete when this is called. A marker that stands there already is as good as ours.
    """
    with places.root_folder(layout.out) as out:
        for export in job.exports:
            parent, base = split_path(export.name)
            with (
                contextlib.suppress(FileNotFoundError, NotADirectoryError, FileExistsError),
                places.folder_below(out, parent) as folder,
            ):
                if places.look(folder, base) is not None:
                    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
                    os.close(os.open(split_path(marker_name(export.name))[1], flags, 0o666, dir_fd=folder))
                    places.flush_folder(folder)


def _deliver_all(layout: Layout, job: Job, out: int, folder: int, *, all_or_none: bool) -> int | NameTaken:
    """How many exports were still in staging; all are delivered now, and durable."""
    moved = 0
    try:
        if all_or_none:
            for position, export in enumerate(job.exports):
                if places.look(folder, export.staged_as.encode()) is not None and _is_taken(out, export.name):
                    return _name_taken(layout, job, position, out, folder)
        for position, export in enumerate(job.exports):
            try:
                moved += _deliver_one(out, folder, export)
            except (FileExistsError, NotADirectoryError):
                return _name_taken(layout, job, position, out, folder)
    finally:
        # Also those of an earlier, cut short try, whose folders may not have been made durable.
        for parent in {split_path(export.name)[0] for export in job.exports}:
            _flush_below(out, parent)
        places.flush_folder(folder)
    return moved


def _flush_below(out: int, parent: bytes) -> None:
    with (
        contextlib.suppress(FileNotFoundError, NotADirectoryError),
        places.folder_below(out, parent) as destination,
    ):
        places.flush_folder(destination)


def _deliver_one(out: int, folder: int, export: Export) -> bool:
    """False if it is delivered already."""
    staged_as = export.staged_as.encode()
    parent, base = split_path(export.name)
    for _ in range(RENAME_TRIES):
        seen = places.look(folder, staged_as)
        if seen is None:
            return False
        with (
            contextlib.suppress(FileNotFoundError),  # somebody removes empty folders, or a server repeated the rename
            places.folder_below(out, parent, make=True) as destination,
        ):
            renaming.rename_new(folder, staged_as, destination, base, seen)
            return True
    raise OSError(errno.EBUSY, "somebody removes the subfolder again and again", export.name)


def _is_taken(out: int, name: bytes) -> bool:
    parent, base = split_path(name)
    try:
        with places.folder_below(out, parent) as destination:
            return places.look(destination, base) is not None
    except FileNotFoundError:
        return False
    except NotADirectoryError:
        return True


def _name_taken(layout: Layout, job: Job, position: int, out: int, folder: int) -> NameTaken:
    delivered = tuple(
        place for place, export in enumerate(job.exports) if places.look(folder, export.staged_as.encode()) is None
    )
    taken = _taken_names(layout, out, job.exports[position].name)
    return NameTaken(position=position, taken=taken, delivered=delivered)


def _taken_names(layout: Layout, out: int, name: bytes) -> frozenset[bytes]:
    blocking = places.blocking_folder(layout.out, name)
    if blocking is not None:
        return frozenset({blocking})
    return frozenset({name, *taken_numbers(out, name)})


def taken_numbers(root: int, name: bytes) -> Iterator[bytes]:
    """The numbered names after `name` that are taken, up to the first that is free."""
    parent = split_path(name)[0]
    with contextlib.suppress(FileNotFoundError, NotADirectoryError), places.folder_below(root, parent) as folder:
        for _, candidate in zip(range(LOOKED_AT), numbered(name), strict=False):
            if places.look(folder, split_path(candidate)[1]) is None:
                return
            yield candidate


def close_staging(layout: Layout, job_id: JobId, *, all_delivered: bool = False) -> None:
    """Remove what is left in staging, the manifest last, then the folder. Only after the delivery is recorded.

    `all_delivered`: nothing but the manifest is expected there, so that it is not looked for.
    """
    try:
        with places.root_folder(layout.out) as out, places.folder_below(out, STAGING) as staging:
            with places.folder_below(staging, job_id.encode()) as folder:
                if all_delivered:
                    places.remove(folder, MANIFEST)
                else:
                    _empty(folder)
            try:
                places.remove_folder(staging, job_id.encode())
            except OSError as error:
                if not all_delivered or error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                    raise
                close_staging(layout, job_id)
    except (FileNotFoundError, NotADirectoryError):
        return


def _empty(folder: int) -> None:
    for name in sorted(_names(folder), key=lambda name: name == MANIFEST):
        places.remove(folder, name)


def staging_jobs(layout: Layout) -> list[JobId]:
    """Whose staging is there: at start, that of a job whose delivery is recorded is closed."""
    try:
        with places.root_folder(layout.out) as out, places.folder_below(out, STAGING) as staging:
            names = [os.fsdecode(name) for name in _names(staging)]
    except (FileNotFoundError, NotADirectoryError):
        return []
    return sorted(JobId(name) for name in names if is_job_id(name))


# ------------------------------------------------------------------------------------------------- the manifest


def _write_manifest(folder: int, job: Job, staged: Sequence[Staged]) -> None:
    """With what a rebuilt ledger needs to deliver these exports without another Run."""
    content = {
        "job": job.id,
        "boot": boot_id(),
        "task": job.task_id,
        "number": job.task_number,
        "files": [_listed(job, one) for one in staged],
    }
    with renaming.new_file(folder, MANIFEST, _SCRATCH, 0o600) as file:
        places.write_all(file, json.dumps(content).encode())


def _listed(job: Job, one: Staged) -> dict[str, Any]:
    entry: dict[str, Any] = {"name": one.staged_as, "size_bytes": one.size_bytes, "sha256": one.sha256}
    if one.result < len(job.results):
        entry |= {"result": job.results[one.result].name, "original": job.results[one.result].original}
    return entry


def read_manifest(folder: int) -> Mapping[str, Any] | None:
    """What staging says of itself; {} where it says nothing that we understand, None where there is no manifest."""
    try:
        with places.open_file(folder, MANIFEST) as file:
            content = json.loads(places.content(file, _MANIFEST_BYTES))
    except FileNotFoundError:
        return None
    except ValueError:
        return {}
    return content if isinstance(content, dict) else {}


@functools.cache
def _umask() -> int:
    """This process's umask, without setting it for a moment as umask(2) would."""
    try:
        with open("/proc/self/status") as status:
            return next(int(line.split()[1], 8) for line in status if line.startswith("Umask:"))
    except (OSError, StopIteration, ValueError):
        return 0o022


def _names(folder: int) -> list[bytes]:
    with os.scandir(folder) as entries:
        return [os.fsencode(entry.name) for entry in entries]


def _make_private(fd: int, name: bytes) -> bool:
    """True if it was missing."""
    try:
        places.make_folder(fd, name, 0o700)
    except FileExistsError:
        found = places.look(fd, name)
        if found is not None and not places.is_folder(found):
            raise FolderTrouble("denied", f"{os.fsdecode(name)} in out/ is no folder; take it away", name) from None
        return False
    return True
