"""One folder, one ledger: the marker `.hopperd-id` in each place, made at the first start and proven at every other.

A marker counts as missing only once the ledger has recorded it. Then the folder is gone (a share that is not mounted):
nothing is concluded and nothing is made. The marker in work/ also holds the ledger's id and a start counter.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import secrets
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from hopperd.errors import FolderIdentityError
from hopperd.folders import places, renaming
from hopperd.folders.layout import MARKER, ONE_MOUNT, ROLES, STAGING, Layout, Role
from hopperd.folders.trouble import trouble_from, troubled
from hopperd.pipeline.naming import printable
from hopperd.ports import FolderMark, FolderTrouble

_SCRATCH = b".hopperd-id.new"
_MARKER_BYTES = 1 << 16
NOTE = "hopperd knows this folder by this file; please leave it here"


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """Marks for the ledger to record, now that the markers are durable; `warnings` are sentences for log and check."""

    marks: tuple[FolderMark, ...]
    warnings: tuple[str, ...] = ()


def prepare(layout: Layout, ledger_id: str, marks: Mapping[str, FolderMark], *, take_over: bool = False) -> Prepared:
    """Prove the five places to be this ledger's, and make what a first start needs. `marks`: what the ledger recorded.

    FolderIdentityError: a foreign or restored work/ folder; nothing was changed. FolderTrouble: gone, or the disk would
    not; to be tried again. `take_over` proves nothing and makes them this ledger's: only for `fsck --rebuild`.
    """
    for role in ROLES if not take_over else ():
        _prove(layout, role, ledger_id, marks)
    with troubled(layout.inbox, "prepare"):
        starts, warning = _next_start(layout, marks)
        for role in ROLES:
            _make_folder(layout.roots[role])
            _mark(layout, role, ledger_id, starts)
    _cross(layout)
    new = (FolderMark(key=layout.key(role), path=layout.roots[role], starts=starts) for role in ROLES)
    return Prepared(marks=tuple(new), warnings=(warning,) if warning else ())


def present(layout: Layout, ledger_id: str | None = None) -> FolderTrouble | None:
    """A cheap look, before each sweep: do all places still carry their markers, and work/ the one of this ledger?"""
    for role in ROLES:
        missing = marker_trouble(layout.roots[role])
        if missing is not None:
            return missing
    if ledger_id is None:
        return None
    try:
        found = read_marker(layout.work)
    except OSError as error:
        return trouble_from(error, layout.work, "read the marker in")
    if found is not None and found.get("ledger") not in (None, ledger_id):
        return FolderTrouble("gone", f"{printable(layout.work)} now belongs to another hopperd's ledger", layout.work)
    return None


def marker_trouble(root: bytes) -> FolderTrouble | None:
    """None where the marker is there."""
    try:
        os.lstat(root + b"/" + MARKER)
    except (FileNotFoundError, NotADirectoryError):
        what = f"{printable(root)} is gone: its marker {MARKER.decode()} is not there. Is the share mounted?"
        return FolderTrouble("gone", what, root)
    except OSError as error:
        return trouble_from(error, root, "reach")
    return None


def read_marker(root: bytes) -> Mapping[str, Any] | None:
    """What a marker says; {} where it says nothing that we understand, None where there is none."""
    try:
        with places.root_folder(root) as fd, places.open_file(fd, MARKER) as file:
            content = json.loads(os.read(file, _MARKER_BYTES))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except ValueError:
        return {}
    return content if isinstance(content, dict) else {}


# ------------------------------------------------------------------------------------------------------- proving


def _recorded(layout: Layout, role: Role, marks: Mapping[str, FolderMark]) -> FolderMark | None:
    """What the ledger knows of this place. A place whose path was changed in the configuration is a new one."""
    mark = marks.get(layout.key(role))
    return mark if mark is not None and mark.path == layout.roots[role] else None


def _prove(layout: Layout, role: Role, ledger_id: str, marks: Mapping[str, FolderMark]) -> None:
    root, mark = layout.roots[role], _recorded(layout, role, marks)
    with troubled(root, "read the marker in"):
        found = read_marker(root)
    if role == "work":
        _prove_work(layout, found, marks.get(layout.key(role)), ledger_id)  # moved with its marker: counted on
    if found is None and mark is not None:
        raise marker_trouble(root) or FolderTrouble("gone", f"{printable(root)} is gone", root)
    if found is not None and found.get("role", role) != role:
        raise FolderIdentityError(
            f"{printable(root)} is configured as the {role} folder of {layout.name}, but its marker says it is "
            f'"{found["role"]}" of {found.get("folder")}: have two folders changed places, or was one copied?'
        )


def _prove_work(layout: Layout, found: Mapping[str, Any] | None, mark: FolderMark | None, ledger_id: str) -> None:
    judge_work(printable(layout.work), found, mark, ledger_id, holds_files=lambda: _has_files(layout.work))


def judge_work(
    where: str,
    found: Mapping[str, Any] | None,
    mark: FolderMark | None,
    ledger_id: str,
    *,
    holds_files: Callable[[], bool],
) -> None:
    """Raises FolderIdentityError unless what the marker in work/ says, or its absence, fits this ledger."""
    rebuild = "If that ledger is lost, `hopperd fsck --rebuild` makes one from the folders and receipts."
    if found is None:
        if holds_files():
            raise FolderIdentityError(
                f"{where} holds files and no marker, so nobody knows whose they are. Was the wrong disk mounted, or "
                f"the marker deleted? {rebuild}"
            )
        return
    if found.get("ledger") != ledger_id:
        raise FolderIdentityError(
            f"{where} belongs to another ledger ({found.get('ledger')}; this one is {ledger_id}): another hopperd "
            f"works here, or `state` points elsewhere than before. {rebuild}"
        )
    known = mark.starts if mark is not None else 0
    if starts_of(found) > known + 1:
        raise FolderIdentityError(
            f"{where} has seen {starts_of(found)} starts and this ledger knows of {max(0, known)}: it is an old copy, "
            f"restored from a backup perhaps, and does not know what was sent since. `hopperd fsck --rebuild` makes "
            f"one from the folders and receipts and holds what is in work/ as a doubt."
        )


def starts_of(found: Mapping[str, Any]) -> int:
    starts = found.get("starts", 0)
    return starts if isinstance(starts, int) else 0


def _has_files(work: bytes) -> bool:
    """Whether anything but folders of ours lies in work/."""
    with contextlib.suppress(FileNotFoundError), os.scandir(work) as entries:
        ours = (MARKER, _SCRATCH, STAGING)
        return any(entry.name not in ours for entry in entries)
    return False


def _next_start(layout: Layout, marks: Mapping[str, FolderMark]) -> tuple[int, str | None]:
    """One more than the ledger knows of: a start that was cut short before the ledger heard of it is done again."""
    mark, found = marks.get(layout.key("work")), read_marker(layout.work)
    if mark is None:
        return 1, None
    if found is not None and starts_of(found) < mark.starts:
        what = (
            f"{printable(layout.work)} has seen fewer starts than the ledger knows of: was it restored from a backup?"
        )
        return mark.starts + 1, what
    return mark.starts + 1, None


# -------------------------------------------------------------------------------------------------------- making


def _make_folder(root: bytes) -> None:
    """The folder and its parents, each durable in the one above. What is there is left as it is."""
    if os.path.isdir(root):
        return
    above = os.path.dirname(root)
    if above != root:
        _make_folder(above)
    with places.root_folder(above) as fd, places.folder_below(fd, os.path.basename(root), make=True):
        pass


def _mark(layout: Layout, role: Role, ledger_id: str, starts: int) -> None:
    """Write the marker: a new one without replacing another's, the counter in work/ over the old one."""
    root = layout.roots[role]
    found = read_marker(root)
    if found is not None and role != "work":
        return
    content: dict[str, Any] = {"hopperd": NOTE, "id": (found or {}).get("id") or secrets.token_hex(8)}
    content |= {"folder": layout.name, "role": role}
    if role == "work":
        content |= {"ledger": ledger_id, "starts": starts}
    text = json.dumps(content, indent=2).encode() + b"\n"
    with places.root_folder(root) as fd:
        if found is None:
            try:
                with renaming.new_file(fd, MARKER, _SCRATCH, 0o644) as file:
                    places.write_all(file, text)
            except FileExistsError as error:
                raise FolderIdentityError(f"another hopperd started on {printable(root)} at the same time") from error
        else:
            with renaming.replaced_file(fd, MARKER, _SCRATCH, 0o644) as file:
                places.write_all(file, text)
            places.flush_folder(fd)


@contextlib.contextmanager
def _crossing(work: bytes) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno == errno.EXDEV:
            raise FolderTrouble("crossing", f"{printable(work)} {ONE_MOUNT}", work) from error
        raise trouble_from(error, work, "move a file from in/ into") from error


def _cross(layout: Layout) -> None:
    """A real rename from in/ to work/: what every claim needs."""
    name = b".hopperd-probe"
    with _crossing(layout.work), places.root_folder(layout.inbox) as inbox, places.root_folder(layout.work) as work:
        os.close(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600, dir_fd=inbox))
        try:
            os.rename(name, name, src_dir_fd=inbox, dst_dir_fd=work)
        finally:
            for fd in (inbox, work):
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(name, dir_fd=fd)
