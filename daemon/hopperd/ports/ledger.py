"""The ledger: what is asked of it, and what it answers."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from hopperd.pipeline.events import Claimed, Event
from hopperd.pipeline.job import (
    Job,
    JobId,
    Stage,
    Twin,
)
from hopperd.ports.nodes import Node


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryRow:
    """One event of a job as it was recorded: `stage` is the stage it led to, `detail` its fields as plain JSON."""

    job: JobId
    version: int
    at: float
    event: str
    stage: Stage
    detail: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pause:
    """A paused account or folder. `by_person` pauses end only by a person; `scope` "runs" stops only the paid step."""

    reason: str
    what: str
    do: str
    since: float
    by_person: bool = False
    scope: Literal["all", "runs", "intake"] = "all"


@dataclass(frozen=True, slots=True, kw_only=True)
class FolderMark:
    """What the ledger knows of one marker file. `key` is folder name and role, e.g. "us/work"."""

    key: str
    path: bytes
    starts: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class JobQuery:
    """Which jobs to list, newest first. `before` is the cursor: the id of the last job of the page before."""

    stages: Sequence[Stage] | None = None
    folder: str | None = None
    account: str | None = None
    held: bool | None = None
    waiting_for_person: bool | None = None
    waiting_for_twin: bool | None = None
    failed: bool | None = None
    perhaps_twice: bool | None = None  # True: only jobs that may have been paid for or delivered twice
    opened_before: float | None = None
    in_stage_since: float | None = None  # only jobs that entered their stage before this moment
    entered_since: float | None = None  # only jobs that entered their stage at or after this moment
    text: str | None = None
    before: JobId | None = None
    limit: int = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class BacklogCell:
    """How many jobs of one folder stand in one stage, in one bucket of age (seconds since they were opened)."""

    folder: str
    account: str
    stage: Stage
    age_bucket: int
    jobs: int
    held: int
    waiting_for_person: int
    oldest_opened_at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Doubts:
    """How many jobs may have been paid for twice (open, finished), and how many may have been delivered twice."""

    open: int
    finished: int
    perhaps_delivered_twice: int


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitingLetter:
    """A letter that was not taken yet, and why it was not the last time."""

    id: str
    at: float
    attempts: int
    trouble: str | None
    document: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LettersWaiting:
    """Of one channel."""

    letters: int
    oldest_at: float
    next_due: float


class LedgerTrouble(Exception):
    """The ledger's disk would not: full, read-only, or an I/O error; or its database. Weather of the whole daemon.

    Nothing may be done that was to be recorded; what the ledger says when asked again is what counts.
    """

    def __init__(self, what: str, *, do: str = "Free space on the disk of the state folder.") -> None:
        super().__init__(what)
        self.what = what
        self.do = do


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """How many jobs of one account somebody could take in hand, out of these stages."""

    account: str
    stages: tuple[Stage, ...]
    limit: int


class Ledger(Protocol):
    """Jobs and their history: the only truth after a restart. Every call that writes is durable when it returns."""

    @property
    def ledger_id(self) -> str: ...

    async def open(self, job: Job, event: Claimed, *, twins: bool) -> Job:
        """Insert a new job with its first history row.

        With `twins`, take the bytes for this job in its folder, or set `job.twin` to the job that has them.
        A job of that id that exists already is returned as it stands: claiming is repeatable.
        """
        ...

    async def record(
        self, before: Job, after: Job, event: Event, at: float, *, most_in_flight: int | None = None
    ) -> Job:
        """Compare-and-set on `before.version` plus a history row, one transaction. Raises Stale on a lost race.

        `most_in_flight`: only while fewer jobs of the account are in flight, whoever else records at the same time;
        else NoRoom.
        """
        ...

    async def take_bytes(self, job: Job) -> Twin | None:
        """Take the job's bytes in its folder; if another job holds them, say which, and whether it delivered."""
        ...

    async def get(self, job_id: JobId) -> Job | None: ...

    async def get_many(self, job_ids: Collection[JobId]) -> dict[JobId, Job]: ...

    async def due(
        self,
        account: str,
        stages: Sequence[Stage],
        now: float,
        limit: int,
        excluding: Collection[JobId],
        folders: Collection[str] | None = None,
    ) -> list[Job]:
        """Open jobs not on hold, due by `now`: by priority, then by due time. Never more than `limit`.

        `folders`: only jobs of these; None for all.
        """
        ...

    async def pick_up(
        self, wanted: Sequence[Wanted], now: float, excluding: Collection[JobId], folders: Collection[str]
    ) -> tuple[list[list[Job]], float | None]:
        """What is due for each of `wanted`, as `due` says, and when something will be due next; all in one question."""
        ...

    async def leave_to_others(self, account: str, stages: Sequence[Stage], not_these: Collection[JobId]) -> list[JobId]:
        """This node's open jobs in these stages are nobody's, for any node to pick up; those that it has in hand stay
        its own. Which ones. For a ledger that several nodes share."""
        ...

    async def next_due(self, now: float) -> float | None:
        """The earliest due time after `now` of any open job not on hold."""
        ...

    async def in_flight(self, account: str) -> list[JobId]:
        """Jobs whose task counts against `tasks_in_flight`: submitted, or submitting and not on hold, and not waiting
        for a person at the service."""
        ...

    async def open_jobs(self) -> dict[str, int]:
        """Open jobs by folder, those on hold or waiting for a person not counted."""
        ...

    async def unfinished(self) -> int:
        """Open jobs that could still move by themselves."""
        ...

    async def tidy_due(self, account: str, now: float, limit: int) -> list[Job]: ...

    async def history(self, job_id: JobId) -> list[HistoryRow]: ...

    async def page(self, query: JobQuery) -> list[Job]: ...

    async def job_with_task(self, task_id: str) -> JobId | None: ...

    async def untidied(self) -> int:
        """How many done jobs still have task or files to be deleted at the service."""
        ...

    async def doubts(self) -> Doubts: ...

    async def letters_waiting(self) -> dict[str, LettersWaiting]:
        """By channel; one on which nothing waits is left out."""
        ...

    async def backlog(self, now: float, bucket_edges: Sequence[float]) -> list[BacklogCell]: ...

    async def account_pauses(self) -> dict[str, Pause]: ...

    async def set_account_pause(self, account: str, pause: Pause | None) -> None: ...

    async def folder_pauses(self) -> dict[str, Pause]: ...

    async def set_folder_pause(self, folder: str, pause: Pause | None) -> None: ...

    async def marks(self) -> dict[str, FolderMark]: ...

    async def set_mark(self, mark: FolderMark) -> None: ...

    async def clamp_due(self, now: float, longest_seconds: float) -> int:
        """After the wall clock stepped: no due time of an open job stays further than `longest_seconds` ahead."""
        ...

    async def purge_digests(self, older_than: float) -> int:
        """Forget some digests delivered before `older_than`; 0 when there is no more of them."""
        ...

    async def purge(self, older_than: float, limit: int) -> int:
        """Forget at most `limit` jobs that finished before `older_than`, oldest first; 0 when there is none."""
        ...

    async def count_slice(self, after_id: str, limit: int) -> tuple[int, str | None]:
        """How many jobs follow `after_id`, `limit` at the most, and the last of them."""
        ...

    async def oldest_finished(self) -> float | None:
        """When the job that finished first, of those still known, did."""
        ...

    async def forget(self, job_id: JobId) -> bool:
        """Delete a finished job and its history. Its digest stays, so that a duplicate is still known."""
        ...

    async def nodes(self) -> list[Node]:
        """The daemons that share this ledger, the eldest first; none where it is one daemon's own."""
        ...

    async def carrier(self, job_id: JobId) -> str | None:
        """The name of the node whose job it is. None where it is nobody's now, or the ledger one daemon's own."""
        ...

    async def open_job_ids(self) -> list[JobId]: ...

    async def backup(self, path: bytes) -> None:
        """A consistent copy of the ledger while it runs, durable, mode 0600. Raises FileExistsError, OSError."""
        ...

    async def integrity(self) -> list[str]:
        """Everything that is wrong with the ledger itself, in sentences; empty when all is well. Reads all of it."""
        ...
