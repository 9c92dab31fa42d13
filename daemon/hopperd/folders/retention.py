"""Take away what `done_days` says need not be kept: whole days of done/, oldest first, some files at a time.

Only day folders that hopperd itself made (YYYY/MM/DD) are touched, links are never followed, and nothing of the last
`done_days` days is ever removed. A day before there was a hopperd is that of a clock which had not been set: what lies
there may be of yesterday, and stays.
"""

from __future__ import annotations

import contextlib
import datetime
import os
from collections.abc import Iterator
from itertools import islice

from hopperd.folders import places
from hopperd.folders.layout import MARKER, Layout

FILES_AT_ONCE = 500
FIRST_DAY = datetime.date(2026, 1, 1)


def clear_done(layout: Layout, before: datetime.date, limit: int = FILES_AT_ONCE) -> int:
    """Remove originals and receipts filed on days before `before`; returns how many files went. Raises OSError."""
    removed = 0
    with places.root_folder(layout.done) as root:
        for day, path in _days(root):
            if day < FIRST_DAY:
                continue
            if day >= before:
                break
            for name in islice(_files_below(root, path), limit - removed):
                with places.place(layout.done, name) as (folder, base):
                    removed += places.remove(folder, base)
            _remove_empty_folders(root, path)
            if removed >= limit:
                break
    return removed


def _days(root: int) -> Iterator[tuple[datetime.date, bytes]]:
    """The day folders there are, oldest first."""
    for year in _numbers(root, b"", 4):
        for month in _numbers(root, year, 2):
            for path in _numbers(root, month, 2):
                with contextlib.suppress(ValueError):
                    yield datetime.date(*(int(part) for part in path.split(b"/"))), path


def _numbers(root: int, above: bytes, digits: int) -> list[bytes]:
    """Subfolders whose names are numbers of so many digits."""
    with contextlib.suppress(FileNotFoundError, NotADirectoryError), places.folder_below(root, above) as folder:
        with os.scandir(folder) as entries:
            names = [os.fsencode(entry.name) for entry in entries if entry.is_dir(follow_symlinks=False)]
        return sorted(
            (above + b"/" if above else b"") + name for name in names if name.isdigit() and len(name) == digits
        )
    return []


def _files_below(root: int, path: bytes) -> Iterator[bytes]:
    with places.folder_below(root, path) as folder, os.scandir(folder) as entries:
        found = [(os.fsencode(entry.name), entry.is_dir(follow_symlinks=False)) for entry in entries]
    for name, is_folder in found:
        inner = path + b"/" + name
        if is_folder:
            yield from _files_below(root, inner)
        elif name != MARKER:
            yield inner


def _remove_empty_folders(root: int, path: bytes) -> None:
    with contextlib.suppress(OSError):
        with places.folder_below(root, path) as folder, os.scandir(folder) as entries:
            inner = [os.fsencode(entry.name) for entry in entries if entry.is_dir(follow_symlinks=False)]
        for name in inner:
            _remove_empty_folders(root, path + b"/" + name)
        places.remove_empty(root, path)
