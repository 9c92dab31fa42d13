"""What a job is: our promise about one original, or about one group of them.

Plain frozen data. Everything durable about a job stands in it; nothing here knows a disk, a clock or a service.
Names of files are bytes, relative to the hot folder's `in/`, and are never decoded except to be shown.
Times are seconds since the epoch, UTC.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Literal, NewType

JobId = NewType("JobId", str)

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's: no i, l, o, u; sorts like the number


def new_job_id(now: float, randomness: bytes) -> JobId:
    """A job id of 18 characters that sorts by time: 10 for milliseconds, 8 for `randomness` (5 bytes)."""
    number = (int(now * 1000) << 40) | int.from_bytes(randomness[:5], "big")
    return JobId("".join(_ALPHABET[(number >> shift) & 31] for shift in range(85, -1, -5)))


def made_at(job_id: JobId) -> float:
    """The moment that a job id begins with, in seconds since the epoch."""
    number = 0
    for letter in job_id:
        number = number * 32 + _ALPHABET.index(letter)
    return (number >> 40) / 1000


def is_job_id(text: str) -> bool:
    return len(text) == 18 and all(letter in _ALPHABET for letter in text)


class Stage(StrEnum):
    """Named by what is already true. The table of transitions stands in transitions.py."""

    CLAIMED = "claimed"  # original in work/, digest known
    UPLOADED = "uploaded"  # the service holds the bytes, hash proven
    SUBMITTING = "submitting"  # about to ask for a Run, or asked and heard nothing certain
    SUBMITTED = "submitted"  # task id known
    CAPTURED = "captured"  # results ready at the service
    FETCHED = "fetched"  # every export whole and durable in staging, final names recorded
    DELIVERED = "delivered"  # every export at its destination
    DONE = "done"  # original in done/ beside its receipt
    ABANDONED = "abandoned"  # will not be tried again; the reason is recorded
    FAILED = "failed"  # original in failed/ beside its receipt


OPEN_STAGES = tuple(stage for stage in Stage if stage not in (Stage.DONE, Stage.FAILED))
FAILED_STAGES = (Stage.ABANDONED, Stage.FAILED)

Outcome = Literal["delivered", "duplicate", "removed", "failed"]
Fault = Literal["file", "service", "account", "us"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """What tells that a file on disk is still the one we claimed, without reading it."""

    device: int
    inode: int
    size_bytes: int
    mtime_ns: int

    def same_file(self, other: Identity) -> bool:
        """Device numbers of network mounts change over a restart, so they are not compared."""
        return (self.inode, self.size_bytes, self.mtime_ns) == (other.inode, other.size_bytes, other.mtime_ns)


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteFile:
    """A file as the service names it. `expiring` is when the service will drop it, where it said so."""

    id: str
    token: str
    expiring: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Original:
    """A file a person put in. `name` is its path below `in/`; `filed_as` the path below done/ or failed/."""

    name: bytes
    identity: Identity
    sha256: str
    sha512: str
    remote: RemoteFile | None = None
    filed_as: bytes | None = None
    note: str | None = None

    @property
    def size_bytes(self) -> int:
        return self.identity.size_bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """One result file at the service: which original it came from, and how the service calls it."""

    original: int
    key: str
    name: str
    remote: RemoteFile


@dataclass(frozen=True, slots=True, kw_only=True)
class Staged:
    """One result whole and durable in staging, under an opaque name. `result` is its place in `Job.results`."""

    result: int
    staged_as: str
    size_bytes: int
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Export:
    """One result document on its way to `out/`. `name` is the recorded final path below `out/`."""

    name: bytes
    staged_as: str
    size_bytes: int
    sha256: str
    original: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """Why a job was abandoned: a slug, whose fault it is, what happened, what a person can do."""

    reason: str
    fault: Fault
    what: str
    do: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """A mark that keeps a job where it is until a person releases it."""

    reason: str
    what: str
    do: str
    since: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Twin:
    """The first job with the same bytes in the same folder. `delivered` once that job has delivered."""

    job: JobId
    delivered: bool = False
    exports: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class StageAt:
    stage: Stage
    at: float


class TaskStatus(StrEnum):
    """What a task's status means to us. Statuses nobody documented count as running."""

    RUNNING = "running"
    WAITS_FOR_PERSON = "waits-for-person"
    DONE = "done"
    FAILED = "failed"
    CANCELED = "canceled"


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskDocument:
    """One document of a task: the id of the uploaded file it was made from, and its result files."""

    source_id: str | None
    source_name: str | None
    is_moved: bool
    results: tuple[tuple[str, str, RemoteFile], ...]  # (key, name, file)


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """A CaptureTask as last seen; `raw` is the whole answer, unknown fields included."""

    id: str
    number: str | None
    status: TaskStatus
    status_text: str
    raw: Mapping[str, Any]
    verification_id: str | None = None
    is_demo: bool = False
    is_known_status: bool = True
    documents: tuple[TaskDocument, ...] = ()


@dataclass(frozen=True, kw_only=True)  # without slots: `replace` copies its dictionary
class Job:
    """One job, whole. `version` counts its events; every record is a compare-and-set on it."""

    id: JobId
    version: int = 0
    folder: str
    account: str
    stage: Stage
    opened_at: float
    due_at: float
    originals: tuple[Original, ...]
    stages: tuple[StageAt, ...]
    group: bytes | None = None
    priority: int = 0
    attempts: int = 0  # in a row, of the present step; weather counts for the delay only
    server_errors: int = 0  # 5xx answers to this job while others passed
    gone_looks: int = 0  # answers in a row that what we ask for is not there
    lost_uploads: int = 0  # how often the service said it does not have what we uploaded
    deaths: int = 0  # children that died over this job's content
    doubts: int = 0
    doubts_foreign: int = 0  # doubts that our own death did not make
    hold: Hold | None = None
    waiting: str | None = None  # why it does not move right now, in words; None while it moves
    pages: int | None = None
    task_id: str | None = None
    task_number: str | None = None
    task: Mapping[str, Any] | None = None
    tasks_before: tuple[str, ...] = ()
    submitted_at: float | None = None
    looks: int = 0
    looked_at: float | None = None
    verification_url: str | None = None
    results: tuple[Result, ...] = ()
    exports: tuple[Export, ...] = ()
    outcome: Outcome | None = None
    failure: Failure | None = None
    twin: Twin | None = None
    notes: tuple[str, ...] = ()
    tidy_remote: bool = False  # task and files still to be deleted at the service

    @property
    def entered_at(self) -> float:
        return self.stages[-1].at if self.stages else self.opened_at

    @property
    def is_open(self) -> bool:
        return self.stage not in (Stage.DONE, Stage.FAILED)

    @property
    def delivered_exports(self) -> tuple[Export, ...]:
        """What stands in out/, or stood there until somebody took it. A failed job keeps only what it did deliver."""
        return self.exports if self.outcome in ("delivered", "failed") else ()

    @property
    def is_duplicate(self) -> bool:
        return self.twin is not None and self.twin.delivered

    @property
    def size_bytes(self) -> int:
        return sum(original.size_bytes for original in self.originals)


if TYPE_CHECKING:
    from dataclasses import replace as replace
else:
    _JOB_FIELDS = frozenset(one.name for one in fields(Job))

    def replace(value, /, **changes):
        """`dataclasses.replace`, but in a sixth of its time for a job: that asks for each of forty fields in turn."""
        if type(value) is not Job:
            return dataclasses.replace(value, **changes)
        if not changes.keys() <= _JOB_FIELDS:
            raise TypeError(f"a job has no {', '.join(sorted(changes.keys() - _JOB_FIELDS))}")
        copy = object.__new__(Job)
        copy.__dict__.update(value.__dict__, **changes)
        return copy


def claimed_job(
    job_id: JobId,
    originals: tuple[Original, ...],
    *,
    folder: str,
    account: str,
    priority: int,
    group: bytes | None,
    at: float,
) -> Job:
    """A job as it begins: its originals are in work/, and nothing was done yet."""
    return Job(
        id=job_id,
        folder=folder,
        account=account,
        stage=Stage.CLAIMED,
        opened_at=at,
        due_at=at,
        originals=originals,
        stages=(StageAt(stage=Stage.CLAIMED, at=at),),
        group=group,
        priority=priority,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What a folder's configuration says about the rules; see product.md and config/hopperd.toml."""

    on_doubt: Literal["resubmit", "hold"] = "resubmit"
    doubts_allowed: int = 3
    on_duplicate: Literal["skip", "again", "hold"] = "skip"
    on_taken: Literal["number", "fail", "date"] = "number"
    export_name: str = "{stem}"
    keep_remote: bool = False
    after: Literal["keep", "delete"] = "keep"
    verification_base: str = ""
    polling: Polling = field(default_factory=lambda: Polling())


@dataclass(frozen=True, slots=True, kw_only=True)
class Polling:
    """When to look at a task again; see polling.py. Seconds."""

    typical_seconds: float = 30.0
    shortest_seconds: float = 0.5
    longest_seconds: float = 300.0
    person_seconds: float = 60.0
