"""Receipts on disk: written whole or not at all, replaced only by the same job, never in place of another file."""

from __future__ import annotations

import errno
import itertools
import json
import os
from collections.abc import Mapping
from typing import Any

from hopperd.folders import places, renaming
from hopperd.pipeline.job import JobId, is_job_id
from hopperd.pipeline.naming import numbered, receipt_name

RECEIPT_BYTES = 1 << 25  # of what may be one of ours; a task's answer is limited to less
NAMES_TRIED = 1_000


def write_receipt(folder: int, original: bytes, job_id: JobId, content: bytes) -> bytes:
    """The receipt beside `original` in an open folder; its name is counted on where another file has it.

    The caller flushes the folder, where the original has come to lie as well.
    """
    scratch = b".hopperd-" + job_id.encode() + b"-receipt"
    for name in _names(original):
        there = _job_of(folder, name)
        if there == job_id:
            _replace(folder, name, scratch, content)
            return name
        if there is None:
            try:
                with renaming.new_file(folder, name, scratch, flushed_later=True) as file:
                    places.write_all(file, content)
            except FileExistsError:
                continue
            return name
    raise OSError(errno.EEXIST, "all names for its receipt are taken", original)


def remove_receipt(folder: int, original: bytes, job_id: JobId) -> None:
    """Wherever its name was counted on to: a receipt before it may have been taken away since."""
    for name in _names(original):
        if _job_of(folder, name) == job_id:
            places.remove(folder, name)
            places.flush_folder(folder)
            return


def has_receipt(folder: int, original: bytes, job_id: JobId) -> bool:
    """Whether a receipt of this job lies beside `original`, wherever its name was counted on to."""
    return any(_job_of(folder, name) == job_id for name in _names(original))


def jobs_beside(folder: int, original: bytes) -> set[str]:
    """The jobs whose receipts lie beside `original`, wherever their names were counted on to."""
    return {job for name in _names(original) if (job := _job_of(folder, name))}


def read(folder: bytes, name: bytes) -> Mapping[str, Any] | None:
    """What a receipt says; None where the file is no receipt of ours."""
    with places.root_folder(folder) as fd:
        content = _content(fd, name)
    return content if isinstance(content, dict) and is_job_id(str(content.get("job"))) else None


def _names(original: bytes) -> itertools.chain[bytes]:
    first = receipt_name(original)
    return itertools.chain((first,), itertools.islice(numbered(first), NAMES_TRIED))


def _job_of(folder: int, name: bytes) -> str | None:
    """Whose receipt it is: None where nothing stands, "" where it is nobody's."""
    try:
        content = _content(folder, name)
    except FileNotFoundError:
        return None
    job = content.get("job") if isinstance(content, dict) else None
    return job if isinstance(job, str) else ""


def _content(folder: int, name: bytes) -> Any:
    """The JSON of a plain file; None where it holds none. FileNotFoundError where nothing stands."""
    found = places.look(folder, name)
    if found is None:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), name)
    if not places.is_plain(found) or found.st_size > RECEIPT_BYTES:
        return None
    try:
        with places.open_file(folder, name) as file:
            return json.loads(places.content(file, RECEIPT_BYTES + 1))
    except (ValueError, RecursionError):
        return None


def _replace(folder: int, name: bytes, scratch: bytes, content: bytes) -> None:
    with places.open_file(folder, name) as file:
        if places.content(file, RECEIPT_BYTES + 1) == content:
            return
    with renaming.replaced_file(folder, name, scratch) as file:
        places.write_all(file, content)
