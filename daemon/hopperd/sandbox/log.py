"""The record of deeds: one JSON line for each request that did something, written before its answer leaves.

Each line is one write to a file opened for appending, so that it is there for others once the answer is out, and
lines of several twins on one file do not mix. Tests judge the daemon from outside by this file.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Deed:
    """What a request did. `event` is upload, run, look, download, delete_task or delete_file."""

    event: str
    application: str
    file_id: str | None = None
    task_id: str | None = None
    sha256: str | None = None
    more: dict[str, Any] = field(default_factory=dict)


class DeedLog:
    """Appends deeds to a file, or nowhere when no path is given."""

    def __init__(self, path: str | None, now: Callable[[], float]) -> None:
        self._now = now
        self._fd = -1 if path is None else os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)

    def write(self, deed: Deed, status: int, fault: str | None) -> None:
        """One line; `status` is the HTTP status answered (or that a cut connection would have carried)."""
        if self._fd >= 0:
            line = deed_line(deed, self._now(), status, fault)
            os.write(self._fd, line)

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def deed_line(deed: Deed, now: float, status: int, fault: str | None) -> bytes:
    """The line for one deed; keys that say nothing about it are null, a run has `file_ids` in place of `file_id`."""
    line: dict[str, Any] = {
        "time": datetime.fromtimestamp(now, UTC).isoformat(timespec="microseconds"),
        "event": deed.event,
        "file_id": deed.file_id,
        "task_id": deed.task_id,
        "sha256": deed.sha256,
        "application": deed.application,
        "status": status,
        **deed.more,
    }
    if deed.event == "run":
        del line["file_id"]
    if fault is not None:
        line["fault"] = fault
    return json.dumps(line).encode() + b"\n"
