"""The hot folders: what is seen in them, what is done there, and who looks into files."""

from __future__ import annotations

import datetime
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from hopperd.pipeline.audit import Whereabouts
from hopperd.pipeline.job import (
    Export,
    Failure,
    Identity,
    Job,
    JobId,
    Original,
    Staged,
)
from hopperd.pipeline.settle import Answer, Look


@dataclass(frozen=True, slots=True, kw_only=True)
class Sighting:
    """One look at one path below in/. Not ours yet. `at` is monotonic."""

    name: bytes
    identity: Identity
    at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftAlone:
    """Something in in/ that hopperd will not take, and why."""

    name: bytes
    reason: str
    what: str


class Candidate(Protocol):
    """What could be claimed: one file, or one group (`name` is its subfolder). The look is what settling judges."""

    @property
    def name(self) -> bytes: ...

    @property
    def look(self) -> Look: ...

    @property
    def identity(self) -> Identity: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Swept:
    """One full look at an inbox: the first candidates in the folder's order, and how many there are in all."""

    candidates: Sequence[Candidate]
    waiting: int
    left_alone: tuple[LeftAlone, ...]
    left_alone_total: int
    rest_seconds: float = 0.0  # a look costs something here: the next regular one may wait for so long
    adopt: bool = False  # work/ holds what somebody else's claim left behind: look there again
    folders: Mapping[bytes, int] = field(default_factory=dict)
    """The folders that were looked into, by their paths below in/, and when each had changed last, in ns; not all where
    they are very many."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Leftover:
    """What lies in work/ under a job id at start. `group` is its subfolder where the job is a group.

    `others` are files that came along with it and that the folder's settings do not take.
    """

    job_id: JobId
    names: tuple[bytes, ...]
    others: tuple[bytes, ...] = ()
    group: bytes | None = None


class Inbox(Protocol):
    """The side of a hot folder where people put files. Every call may raise FolderTrouble and nothing else."""

    async def present(self) -> None:
        """Raises FolderTrouble where a marker is missing (the folder is not mounted) or the disk is nearly full."""
        ...

    async def sweep(self, at: float, limit: int, skip: Mapping[bytes, Identity], *, quick: bool = False) -> Swept:
        """One look; `at` is monotonic, `skip` are files known to be unwanted for as long as they do not change.

        With `quick`, only their names and inodes are looked at: what is written into one in place is not seen.
        """
        ...

    async def look_again(self, candidates: Sequence[Candidate], at: float) -> Sequence[Candidate]:
        """One more look at some that the last sweep has seen; `at` is monotonic. Those that were looked at and are
        there, as they are now."""
        ...

    async def ask(self, candidate: Candidate) -> tuple[Answer, LeftAlone | None]:
        """Does anybody write to it, does it look finished; and why it is left alone, where its content says so."""
        ...

    async def claim(self, job_id: JobId, candidate: Candidate) -> tuple[Original, ...] | LeftAlone | None:
        """Rename into work/ and digest. None: it vanished or changed meanwhile, as the next sweep will tell.

        LeftAlone: it can be neither moved nor read.
        """
        ...

    async def leftovers(self) -> Sequence[Leftover]: ...

    def reload(self, settings: Any) -> None:
        """New patterns, depth and order, from a reloaded configuration."""
        ...


class FolderTrouble(Exception):
    """The disk would not: full, read-only, gone, or an I/O error. Weather of the folder, never a file's fault.

    `kind`: "disk" (no space, quota, read-only, I/O error), "gone" (the folder or its marker is not there),
    "crossing" (two places that must be on one file system are not).
    """

    def __init__(
        self, kind: Literal["disk", "gone", "crossing", "denied"], what: str, path: bytes | None = None
    ) -> None:
        super().__init__(what)
        self.kind = kind
        self.what = what
        self.path = path


@dataclass(frozen=True, slots=True, kw_only=True)
class NameTaken:
    """The place is taken by another file; `taken` are names (below the root) known to be taken.

    `delivered` are positions of exports that are at their places already.
    """

    position: int
    taken: frozenset[bytes]
    delivered: tuple[int, ...] = ()


class Folders(Protocol):
    """One hot folder on disk. Every call may raise FolderTrouble and nothing else for an operating error."""

    delete_delivered: bool

    async def digest(self, job_id: JobId, name: bytes) -> Original:
        """Identity and digests of a file in work/. Raises FileNotFoundError where it is not there."""
        ...

    async def digests(self, job_id: JobId, names: Sequence[bytes]) -> tuple[Original, ...]:
        """The same of several, without those that are not there."""
        ...

    async def return_to_inbox(self, job_id: JobId, names: Sequence[bytes]) -> None:
        """Files in work/ that are no originals go back to in/."""
        ...

    async def identity(self, job_id: JobId, name: bytes) -> Identity | None: ...

    async def at_hand(self, job_id: JobId, original: Original) -> bytes:
        """A local path at which an original in work/ can be read. FileNotFoundError where it is not there."""
        ...

    def staging_path(self, job_id: JobId, staged_as: str) -> bytes: ...

    async def open_staging(self, job: Job) -> None:
        """An empty staging folder for the job, mode 0700, with its manifest."""
        ...

    async def seal_staging(self, job: Job, staged: Sequence[Staged]) -> None:
        """Make everything in staging durable, the folder and its manifest included."""
        ...

    async def deliver(
        self, job: Job, *, all_or_none: bool = False
    ) -> Literal["delivered", "perhaps-twice", "lost", "never-sent"] | NameTaken:
        """Every export out of staging to its recorded name, without replacing, durable when this returns.

        With `all_or_none`, all names are looked at first, and nothing is moved where one is taken.
        Staging is gone: "lost" where exports may have been delivered, "never-sent" where that is certainly not so.
        """
        ...

    async def close_staging(self, job_id: JobId) -> None: ...

    async def clear_done(self, before: datetime.date) -> int:
        """Remove some of what was filed in done/ on days before `before`; 0 when there is no more of it."""
        ...

    async def staging_jobs(self) -> Sequence[JobId]:
        """Whose staging is there."""
        ...

    async def file_away(self, job: Job, receipts: Mapping[int, bytes]) -> Sequence[tuple[int, str]] | NameTaken:
        """Originals to their recorded places, then their receipts. Returns notes by position."""
        ...

    async def read_export(self, export: Export) -> bytes:
        """What lies at the export's place: as many bytes as it has, and one more where there are more. Empty where it
        is no file, or gone."""
        ...

    async def mark_exports(self, job: Job) -> None:
        """An empty NAME.done beside each export that still stands at its place."""
        ...

    async def reclaim(self, job: Job) -> tuple[Original, ...]:
        """Bring the originals of a retried job back from failed/ or done/ into work/, receipts removed."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkFound:
    """All of work/: a job folder without files is told with no names; strays are nobody's job."""

    jobs: tuple[Leftover, ...]
    strays: tuple[bytes, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class StagedJob:
    """Staging of one job: how many exports it holds, what its manifest says, and whether it holds all of that."""

    job_id: JobId
    files: int
    manifest: Mapping[str, Any] | None
    is_whole: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Filed:
    """One file below done/ or failed/: a receipt with the original it lies beside, or an original with no receipt."""

    name: bytes
    receipt: Mapping[str, Any] | None = None
    original: bytes | None = None
    identity: Identity | None = None  # of the original


class Survey(Protocol):
    """What lies in one hot folder, to be compared with the ledger. May raise FolderTrouble, and nothing else."""

    async def present(self, ledger_id: str) -> FolderTrouble | None:
        """What is wrong with its markers; None where it is all there, and this ledger's."""
        ...

    async def work(self) -> WorkFound: ...

    async def staging(self) -> tuple[Sequence[StagedJob], Sequence[bytes]]:
        """Jobs, and what lies there otherwise."""
        ...

    async def whereabouts(self, job: Job) -> tuple[Whereabouts, ...]:
        """Where each original of the job lies."""
        ...

    def filed(self, place: Literal["done", "failed"]) -> AsyncIterator[Sequence[Filed]]:
        """Everything below done/ or failed/, in portions, oldest folders first."""
        ...

    async def remove_hollow(self, job_id: JobId) -> None:
        """Remove a job's folder in work/, if no file is in it."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What the inspection found in one original: its kind and pages, or why it must not be sent."""

    kind: str | None = None
    pages: int | None = None
    failure: Failure | None = None


class Inspector(Protocol):
    async def inspect(self, path: bytes, folder: str, *, is_suspect: bool = False) -> Verdict:
        """Look into one file in a child process. Raises ChildProcessError when the child died over it, FolderTrouble
        when the disk or this machine would not, FileNotFoundError when the file is gone.

        `is_suspect`: a child has died over it before; it may take its time, out of everybody's way.
        """
        ...
