"""Where one hot folder's five places lie. Paths are bytes and absolute; nothing here touches the disk."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from hopperd.pipeline.job import JobId

if TYPE_CHECKING:
    from hopperd.settings import Folder

Role = Literal["in", "work", "out", "done", "failed"]
ROLES: tuple[Role, ...] = ("in", "work", "out", "done", "failed")

MARKER = b".hopperd-id"
ONE_MOUNT = (
    "cannot be reached from in/ by rename. Both must lie on one file system and one mount: set work to a folder beside "
    "in/, or to in/.hopperd if a share is mounted at in/ itself"
)
STAGING = b".hopperd"
MANIFEST = b"manifest.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    name: str
    inbox: bytes
    work: bytes
    out: bytes
    done: bytes
    failed: bytes

    @classmethod
    def of(cls, folder: Folder) -> Layout:
        """The layout that a folder's settings describe."""
        paths = (folder.inbox, folder.work, folder.out, folder.done, folder.failed)
        inbox, work, out, done, failed = (os.path.abspath(os.fsencode(path)) for path in paths)
        return cls(name=folder.name, inbox=inbox, work=work, out=out, done=done, failed=failed)

    @property
    def roots(self) -> Mapping[Role, bytes]:
        return {"in": self.inbox, "work": self.work, "out": self.out, "done": self.done, "failed": self.failed}

    def key(self, role: Role) -> str:
        """How the ledger calls a place: `us/work`."""
        return f"{self.name}/{role}"

    def work_path(self, job_id: JobId, name: bytes) -> bytes:
        return b"/".join((self.work, job_id.encode(), name))

    def staging_path(self, job_id: JobId, staged_as: str) -> bytes:
        return b"/".join((self.out, STAGING, job_id.encode(), staged_as.encode()))
