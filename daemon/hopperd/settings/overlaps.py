"""Paths that must not meet: a folder inside another's, one folder used twice, the state inside a hot folder.

Judged by names, and by device and inode where folders exist already (links, bind mounts); nothing is created. Where a
share hangs, its folders are judged by their names alone.
"""

from __future__ import annotations

import os
import threading
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from hopperd.settings.folder import Folder

PATIENCE_SECONDS: Final = 3.0

_Form = str | tuple[int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Place:
    folder: int
    role: str
    label: str
    path: Path


def overlaps(folders: Sequence[Folder], state: Path | None, files: Iterable[tuple[str, Path]]) -> Iterator[str]:
    """A sentence for each meeting. `files` (label, path) are the configuration and the secrets: no hot folder's."""
    files = list(files)
    disk = _Disk([_paths_of(folder) for folder in folders], [path for _, path in files] + ([state] if state else []))
    by_form: dict[_Form, list[_Place]] = defaultdict(list)
    places = [place for number, folder in enumerate(folders) for place in _singles(number, folder)]
    for place in places:
        for form in disk.itself(place.path):
            by_form[form].append(place)
    meetings: dict[tuple[int, int], dict[frozenset[_Place], str]] = defaultdict(dict)
    for place in places:
        for other, same in _met(disk, place.path, by_form):
            if place != other and not _permitted(disk, place, other, same):
                two = (min(place.folder, other.folder), max(place.folder, other.folder))
                sentence = _sentence(f"{place.label} ({place.path})", other, same=same)
                meetings[two].setdefault(frozenset((place, other)), sentence)
    for (first, second), sentences in meetings.items():
        yield from _summary(disk, folders[first], folders[second], list(sentences.values()))
    for label, path in [*files, *([("state", state)] if state is not None else [])]:
        for other, same in _met(disk, path, by_form):
            yield _sentence(f"{label} ({path})", other, same=same)
            break


def _summary(disk: _Disk, one: Folder, two: Folder, sentences: list[str]) -> Iterator[str]:
    """Two hot folders that meet in several places have one mistake, not five."""
    if one is two or len(sentences) == 1:
        yield from sentences
    elif one.path is not None and two.path is not None and not disk.itself(one.path).isdisjoint(disk.itself(two.path)):
        yield f'[[folders]] "{two.name}" has the same path as "{one.name}" ({two.path}); each needs its own'
    else:
        yield f"{sentences[0]} ({len(sentences) - 1} more of their folders meet)"


def _sentence(what: str, other: _Place, *, same: bool) -> str:
    if same:
        return f"{what} is the same folder as {other.label}; each folder has one use, so give one of them another path"
    return f"{what} lies inside {other.label} ({other.path}); move one of them elsewhere"


def _singles(number: int, folder: Folder) -> Iterator[_Place]:
    roles = {"in": folder.inbox, "work": folder.work, "out": folder.out, "done": folder.done, "failed": folder.failed}
    for role, path in roles.items():
        yield _Place(folder=number, role=role, label=f'[[folders]] "{folder.name}", {role}', path=path)


def _permitted(disk: _Disk, place: _Place, other: _Place, same: bool) -> bool:
    """Where a share is mounted at in/ itself, work may be in/.hopperd."""
    if same or place.folder != other.folder or (place.role, other.role) != ("work", "in"):
        return False
    return place.path.name == ".hopperd" and not disk.itself(place.path.parent).isdisjoint(disk.itself(other.path))


def _met(disk: _Disk, path: Path, by_form: dict[_Form, list[_Place]]) -> Iterator[tuple[_Place, bool]]:
    """Every place that this path is, or lies inside."""
    seen: set[_Place] = set()
    for same, forms in ((True, disk.itself(path)), (False, disk.above(path))):
        for form in forms:
            for place in by_form.get(form, ()):
                if place not in seen:
                    seen.add(place)
                    yield place, same


def _paths_of(folder: Folder) -> list[Path]:
    paths = [folder.inbox, folder.work, folder.work.parent, folder.out, folder.done, folder.failed]
    return paths if folder.path is None else [folder.path, *paths]


class _Disk:
    """What the disk says of paths, looked up at once: each folder's by a thread of its own, which may never return."""

    def __init__(self, folders: Sequence[Sequence[Path]], files: Sequence[Path]) -> None:
        self._known: dict[Path, tuple[set[_Form], set[_Form]]] = {}
        threads = [threading.Thread(target=self._look, args=(paths,), daemon=True) for paths in (*folders, files)]
        for thread in threads:
            thread.start()
        deadline = time.monotonic() + PATIENCE_SECONDS
        for thread in threads:
            thread.join(max(0.0, deadline - time.monotonic()))

    def _look(self, paths: Sequence[Path]) -> None:
        for path in paths:
            self._known[path] = (_itself(path), _above(path))

    def itself(self, path: Path) -> set[_Form]:
        known = self._known.get(path)
        return known[0] if known is not None else {_normal(path)}

    def above(self, path: Path) -> set[_Form]:
        known = self._known.get(path)
        return known[1] if known is not None else {str(parent) for parent in Path(_normal(path)).parents}


def _normal(path: Path) -> str:
    return os.path.normpath(os.path.abspath(path))


def _itself(path: Path) -> set[_Form]:
    forms: set[_Form] = {_normal(path), os.path.realpath(path)}
    return forms | _identity(path)


def _above(path: Path) -> set[_Form]:
    forms: set[_Form] = set()
    for start in {_normal(path), os.path.realpath(path)}:
        for parent in Path(start).parents:
            forms |= {str(parent)} | _identity(parent)
    return forms


def _identity(path: Path) -> set[_Form]:
    try:
        found = os.stat(path)
    except (OSError, ValueError):
        return set()
    return {(found.st_dev, found.st_ino)}
