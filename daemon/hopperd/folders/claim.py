"""The moment a file becomes ours: one rename from in/ into work/JOB/, then its digests. Also what lies there at start.

Nothing is copied and nothing is replaced: at every instant the file lies either in in/ or in work/. What turns out not
to be the file that had settled is put back.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Hashable, Iterable, Iterator
from typing import NamedTuple

from hopperd.folders import places, renaming
from hopperd.folders.candidates import Candidate, Group
from hopperd.folders.layout import MARKER, Layout
from hopperd.folders.selection import Selection
from hopperd.folders.walk import Found, Walk, name_bytes
from hopperd.pipeline.identity import group_of
from hopperd.pipeline.job import Identity, JobId, Original, is_job_id
from hopperd.pipeline.naming import next_free, split_path
from hopperd.ports import Leftover

DIGEST_TRIES = 3


class NotClaimed(NamedTuple):
    """It is not ours: it vanished, changed, or could not be read, and lies in in/ as before if it lies anywhere."""

    reason: str
    what: str


class _Unsteady(Exception):
    """It changes while it is read."""


VANISHED = NotClaimed("vanished", "it is no longer there")
CHANGED = NotClaimed("changed", "it changed after it had settled")
DEEPEST = 200
RETURN_TRIES = 200
_FILE_ERRORS = (errno.EACCES, errno.EPERM, errno.EBUSY, errno.EXDEV, errno.EINVAL, errno.ELOOP)


def claim(
    layout: Layout, selection: Selection, job_id: JobId, candidate: Candidate, *, even_unreadable: bool = False
) -> tuple[Original, ...] | NotClaimed:
    """Rename a settled candidate into work/ and digest it. OSError is trouble of the folder, not of the file.

    `even_unreadable`: a file that we may move but not read is taken all the same, without digests.
    """
    try:
        with places.place(layout.inbox, candidate.name) as (source, base):
            seen = None if candidate.is_group else places.look(source, base)
            if not candidate.is_group and not _is_still(seen, candidate.identity):
                return VANISHED if seen is None else CHANGED
            with _job_folder(layout, job_id, candidate.name) as target:
                return _take(
                    layout, selection, job_id, candidate, source, target, seen, even_unreadable=even_unreadable
                )
    except (FileNotFoundError, NotADirectoryError):
        _clear_job_folder(layout, job_id, candidate.name)
        if not os.path.isdir(layout.inbox) or not os.path.isdir(layout.work):
            raise
        return VANISHED


def _take(
    layout: Layout,
    selection: Selection,
    job_id: JobId,
    candidate: Candidate,
    source: int,
    target: int,
    seen: os.stat_result | None,
    *,
    even_unreadable: bool,
) -> tuple[Original, ...] | NotClaimed:
    base = split_path(candidate.name)[1]
    try:
        renaming.rename_new(source, base, target, base, seen)
    except OSError as error:
        _clear_job_folder(layout, job_id, candidate.name)
        if error.errno in _FILE_ERRORS and (error.errno != errno.EXDEV or b"/" in candidate.name):
            return _refused(error)
        raise
    places.flush_folder(target)
    places.flush_folder(source)
    try:
        if candidate.is_group:
            taken = _take_group(layout, selection, job_id, candidate, target)
        else:
            taken = (_digest(target, base, candidate.name, settled=candidate.identity),)
    except (_Unsteady, FileNotFoundError, NotADirectoryError):
        taken = CHANGED  # a member of a group that somebody took away meanwhile, too: the others are no whole group
    except OSError as error:
        if error.errno not in (*_FILE_ERRORS, errno.EIO):
            raise
        if not candidate.is_group and not _is_still(places.look(target, base), candidate.identity):
            taken = CHANGED
        elif isinstance(error, PermissionError) and even_unreadable:
            taken = (_undigested(target, base, candidate.name),)
        else:
            taken = _refused(error)
    if isinstance(taken, NotClaimed) and not _put_back(source, target, base):
        # Its place in in/ is taken meanwhile: it stays ours, as it is. Adopted, since nobody knows the job yet.
        return _as_it_is(layout, selection, job_id, candidate, taken)
    if isinstance(taken, NotClaimed):
        _clear_job_folder(layout, job_id, candidate.name)
    return taken


def _refused(error: OSError) -> NotClaimed:
    return NotClaimed("unreadable", f"it can be neither moved nor read: {os.strerror(error.errno or errno.EIO)}")


def _as_it_is(
    layout: Layout, selection: Selection, job_id: JobId, candidate: Candidate, otherwise: NotClaimed
) -> tuple[Original, ...] | NotClaimed:
    names = [candidate.name] if not candidate.is_group else _below(layout, selection, job_id).wanted
    return tuple(digests(layout, job_id, names)) or otherwise


def _put_back(source: int, target: int, base: bytes) -> bool:
    try:
        renaming.rename_new(target, base, source, base)
    except FileNotFoundError:
        return True
    except OSError:
        return False
    places.flush_folder(source)
    places.flush_folder(target)
    return True


@contextlib.contextmanager
def _job_folder(layout: Layout, job_id: JobId, name: bytes) -> Iterator[int]:
    """The folder in work/ that takes `name`: work/JOB/, which is new, and the parents of `name`."""
    with places.root_folder(layout.work) as work:
        with contextlib.suppress(FileExistsError):
            places.make_folder(work, job_id.encode())
            places.flush_folder(work)
        with places.folder_below(work, b"/".join((job_id.encode(), split_path(name)[0])), make=True) as folder:
            yield folder


def _clear_job_folder(layout: Layout, job_id: JobId, name: bytes) -> None:
    with contextlib.suppress(OSError), places.root_folder(layout.work) as work:
        places.remove_empty(work, b"/".join((job_id.encode(), split_path(name)[0])))


def _is_still(found: os.stat_result | None, identity: Identity) -> bool:
    return found is not None and places.is_plain(found) and places.identity_of(found).same_file(identity)


# -------------------------------------------------------------------------------------------------------- groups


def _take_group(
    layout: Layout, selection: Selection, job_id: JobId, candidate: Candidate, target: int
) -> tuple[Original, ...] | NotClaimed:
    """The whole subfolder is in work/: digest its files, and put back what is nobody's invoice."""
    wanted, others, mark = _members(Walk(selection, frozenset(), name_bytes(layout)), target, candidate.name)
    if mark != candidate.look.mark or not wanted:
        return CHANGED
    originals = tuple(digest(layout, job_id, name) for name in sorted(wanted))
    with contextlib.suppress(OSError):  # else they go back when the originals are filed
        for name in others:
            return_to_inbox(layout, job_id, name)
    return originals


def _members(walk: Walk, target: int, group: bytes) -> tuple[list[bytes], list[bytes], Hashable]:
    adding = Group(group)
    wanted: list[bytes] = []
    others: list[bytes] = []
    for member in walk.into(target, group):
        adding.add(member)
        _sort_in(member, wanted, others)
    return wanted, others, adding.mark


def _sort_in(member: Found, wanted: list[bytes], others: list[bytes]) -> None:
    (wanted if member.reason is None and member.status is not None else others).append(member.name)


def return_to_inbox(layout: Layout, job_id: JobId, name: bytes) -> None:
    """What lay in a group's folder and is not taken goes back to where it was; under a numbered name if that is taken.

    Raises OSError where the disk would not; then it stays in work/.
    """
    planned, taken = name, set[bytes]()
    for _ in range(RETURN_TRIES):
        try:
            with (
                places.place(layout.work, job_id.encode() + b"/" + name) as (source, base),
                places.place(layout.inbox, planned, make=True) as (target, its_name),
            ):
                renaming.rename_new(source, base, target, its_name)
                places.flush_folder(target)
                places.flush_folder(source)
        except (FileExistsError, NotADirectoryError):
            taken.add(places.blocking_folder(layout.inbox, planned) or planned)
            planned = next_free(name, taken, on_taken="number", date="")
        else:
            return
    raise OSError(errno.EBUSY, "its place in in/ is taken, and so are the next", name)


# ------------------------------------------------------------------------------------------------------- digests


def digest(layout: Layout, job_id: JobId, name: bytes) -> Original:
    """Identity and digests of a file in work/, taken while it did not change. FileNotFoundError where it is not there.

    A file that never stops changing is digested as it last was: the identity then tells that it changed. One that may
    not be read has no digests: the look into it, before anything is sent, then gives the reason.
    """
    with places.place(layout.work, job_id.encode() + b"/" + name) as (folder, base):
        try:
            return _digest(folder, base, name)
        except _Unsteady:
            return _digest(folder, base, name, steady=False)
        except PermissionError:
            return _undigested(folder, base, name)


def digests(layout: Layout, job_id: JobId, names: Iterable[bytes]) -> Iterator[Original]:
    """Of files in work/ that nobody's job are yet; without those that vanish, or are replaced by no file, meanwhile."""
    for name in names:
        try:
            yield digest(layout, job_id, name)
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.ENOTDIR, errno.EINVAL, errno.ELOOP, errno.ENXIO):
                raise


def _digest(folder: int, base: bytes, name: bytes, *, steady: bool = True, settled: Identity | None = None) -> Original:
    """`settled`: what it must still be."""
    with places.plain_file(folder, base) as (file, status):
        if settled is not None and not _is_still(status, settled):
            raise _Unsteady
        before = places.identity_of(status)
        for _ in range(DIGEST_TRIES):
            sha256, sha512, size = places.digests(file)
            after = places.identity_of(os.fstat(file))
            if (after == before and size == before.size_bytes) or not steady:
                return Original(name=name, identity=before, sha256=sha256, sha512=sha512)
            before = after
    raise _Unsteady


def _undigested(folder: int, base: bytes, name: bytes) -> Original:
    found = places.look(folder, base)
    if found is None or not places.is_plain(found):
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), base)
    return Original(name=name, identity=places.identity_of(found), sha256="", sha512="")


def identity(layout: Layout, job_id: JobId, name: bytes) -> Identity | None:
    """What lies in work/ now under this name; None if nothing, or nothing plain, does."""
    try:
        with places.place(layout.work, job_id.encode() + b"/" + name) as (folder, base):
            found = places.look(folder, base)
    except (FileNotFoundError, NotADirectoryError):
        return None
    return places.identity_of(found) if found is not None and places.is_plain(found) else None


# ----------------------------------------------------------------------------------------------------- at start


def leftovers(
    layout: Layout, selection: Selection, *, by_folder: bool, tidy: bool = True
) -> tuple[list[Leftover], list[bytes]]:
    """What lies in work/: job folders with their files, and strays that are nobody's job.

    Empty job folders go; without `tidy` they are told, with no names.

    What `selection` does not take is no original here either: it came along with a group's folder.
    Several files in one subfolder are a group whatever the settings say now; one is if groups are taken by folder.
    """
    found, strays = [], []
    with places.root_folder(layout.work) as work, os.scandir(work) as entries:
        for entry in entries:
            name = os.fsencode(entry.name)
            if name == MARKER or name.startswith(b".hopperd"):
                continue
            if not is_job_id(entry.name) or not entry.is_dir(follow_symlinks=False):
                strays.append(name)
                continue
            job_id = JobId(entry.name)
            below = _below(layout, selection, job_id)
            strays += below.odd
            if below.wanted or below.others or not tidy:
                wanted, others = tuple(sorted(below.wanted)), tuple(sorted(below.others))
                group = group_of(wanted, by_folder=by_folder)
                found.append(Leftover(job_id=job_id, names=wanted, others=others, group=group))
            else:
                remove_hollow(work, name)
    return sorted(found, key=lambda leftover: leftover.job_id), strays


class _Below(NamedTuple):
    """What lies in one job's folder: files by their name below in/, and what is no file by its path below work/."""

    wanted: list[bytes]
    others: list[bytes]
    odd: list[bytes]


def _below(layout: Layout, selection: Selection, job_id: JobId) -> _Below:
    below = _Below([], [], [])
    folder = job_id.encode()
    with places.root_folder(layout.work) as work:
        for found in Walk(Selection(depth=DEEPEST), frozenset(), 1 << 16).into(work, folder):
            name = found.name[len(folder) + 1 :]
            if found.status is None or not places.is_plain(found.status):
                below.odd.append(found.name)
            elif name.count(b"/") > selection.depth or selection.why_not(name) is not None:
                below.others.append(name)
            else:
                below.wanted.append(name)
    return below


def remove_hollow(work: int, folder: bytes) -> None:
    """Remove a tree of empty folders; anything else in it stays."""
    with contextlib.suppress(OSError):
        with places.folder_below(work, folder) as inner, os.scandir(inner) as entries:
            below = [os.fsencode(entry.name) for entry in entries if entry.is_dir(follow_symlinks=False)]
        for name in below:
            remove_hollow(work, folder + b"/" + name)
        above, base = split_path(folder)
        with places.folder_below(work, above) as fd:
            places.remove_folder(fd, base)
