"""Whose hopperd it is. What root makes beside another user's hopperd would be closed to that hopperd."""

from __future__ import annotations

import contextlib
import os
import shlex
import stat
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path

from hopperd.folders.answers import PATIENCE_SECONDS, asked_at_once
from hopperd.folders.layout import MARKER, Layout
from hopperd.ledger.state import user_name
from hopperd.settings import Settings
from hopperd.settings.bucket_path import in_bucket


@contextlib.contextmanager
def given_to_owner(settings: Settings) -> Iterator[None]:
    """What root makes in the state folder, and of places and markers, belongs to hopperd's user afterwards."""
    found = _found(settings) if os.geteuid() == 0 else {}
    owner = _owner(found)
    if owner is None:
        yield
        return
    try:
        yield
        for place, before in found.items():
            _give(place, [os.fsdecode(MARKER)], owner)
            if before is None:
                _give(place.parent, [place.name], owner)
    finally:
        _give(settings.state.parent, [settings.state.name] if found[settings.state] is None else [], owner)
        for folder, folders, files, fd in os.fwalk(settings.state):
            _give(Path(folder), [*folders, *files], owner, fd)


def root_warning(settings: Settings) -> list[str]:
    """For what root does where another user's hopperd is at home."""
    owner = _owner({settings.state: _look(str(settings.state))})
    if owner is None:
        return []
    whose = user_name(owner.st_uid)
    return [
        f"this is root, and {settings.state} belongs to {whose}: folders and files that root makes may be closed to "
        f"{whose}. Give the command as that user: sudo -u {shlex.quote(whose)} hopperd …"
    ]


def _owner(found: Mapping[Path, os.stat_result | None]) -> os.stat_result | None:
    """The user whose the state folder is, or work/ where there is none. None unless this is root beside them."""
    owner = next((place for place in found.values() if place is not None), None)
    return None if owner is None or owner.st_uid == 0 or os.geteuid() != 0 else owner


def _found(settings: Settings) -> dict[Path, os.stat_result | None]:
    """The state folder and each place, each work/ before the others. None for what is missing or does not answer."""
    layouts = [Layout.of(folder) for folder in settings.folders if in_bucket(folder.path) is None]
    roots = [os.fsdecode(layout.roots[role]) for role in ("work", "in", "out", "done", "failed") for layout in layouts]
    paths = dict.fromkeys([str(settings.state), *roots])
    looked = asked_at_once({path: partial(_look, path) for path in paths}, PATIENCE_SECONDS)
    return {Path(path): looked[path] for path in paths}


def _look(path: str) -> os.stat_result | None:
    with contextlib.suppress(OSError):
        return os.stat(path)
    return None


def _give(folder: Path, names: list[str], owner: os.stat_result, fd: int | None = None) -> None:
    """Only what is root's, and no file that has another name elsewhere."""
    for name in names:
        path = name if fd is not None else folder / name
        with contextlib.suppress(OSError):
            found = os.stat(path, dir_fd=fd, follow_symlinks=False)
            if found.st_uid == 0 and (stat.S_ISDIR(found.st_mode) or found.st_nlink == 1):
                os.chown(path, owner.st_uid, owner.st_gid, dir_fd=fd, follow_symlinks=False)
