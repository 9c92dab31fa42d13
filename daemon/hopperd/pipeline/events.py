"""What may happen to a job (events), and what to do next with it (steps).

Events are facts that already happened; machine.py names the handler of each. Every event is recorded as one row of
history under its `name`, which is stable: people filter on it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar, Literal

from hopperd.pipeline.job import Failure, Hold, Original, RemoteFile, Result, Staged, Task, Twin


class Step(StrEnum):
    """The next thing to do. Each has one short function; workers/perform.py says which."""

    RECLAIM = "reclaim"  # bring an original back from failed/ into work/
    SETTLE_TWIN = "settle-twin"  # see how the first job with the same bytes ended
    UPLOAD = "upload"  # inspect and upload the next original
    RENEW_UPLOAD = "renew-upload"  # the uploaded bytes have expired at the service
    RUN = "run"  # the paid step, asked for once
    SETTLE_DOUBT = "settle-doubt"  # a Run was intended and its outcome is not in the ledger
    LOOK = "look"
    FETCH = "fetch"
    DELIVER = "deliver"
    FILE_AWAY = "file-away"


WeatherKind = Literal["rate", "server", "network", "credentials", "disk", "folder", "ceiling"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Weather:
    """Trouble that is nobody's file's fault: it delays, it never fails.

    `others_pass` says that other jobs got through while this one did not: five such server errors hold the job.
    """

    kind: WeatherKind
    what: str
    retry_after_seconds: float | None = None
    others_pass: bool = False
    jitter: float = 0.5  # 0 to 1, drawn outside; the rules know no randomness


@dataclass(frozen=True, slots=True, kw_only=True)
class Claimed:
    """The first row of every history: the original is ours. Opens a job; no transition leads here."""

    name: ClassVar[str] = "claimed"
    adopted: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Rebuilt:
    """The first row of a job that was read back from folders and receipts, its own history being lost."""

    name: ClassVar[str] = "rebuilt"
    read_from: str  # "receipt", "work" or "staging"


@dataclass(frozen=True, slots=True, kw_only=True)
class TakenOver:
    """Another node carries the job from here on, as it stands: the one before has left it behind. No transition."""

    name: ClassVar[str] = "taken-over"
    by: str
    left_by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Uploaded:
    """The service holds the bytes of one original, proven by SHA-512 and size."""

    name: ClassVar[str] = "uploaded"
    position: int
    remote: RemoteFile
    pages: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Changed:
    """Originals in work/ are not what was claimed; these are their new digests."""

    name: ClassVar[str] = "changed"
    originals: tuple[Original, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ChildDied:
    """The child process that looked into this job's content died over it."""

    name: ClassVar[str] = "child-died"
    position: int
    what: str


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadExpired:
    """The service no longer has the uploaded bytes, or is about to drop them."""

    name: ClassVar[str] = "upload-expired"
    what: str
    said_by_service: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class RunIntended:
    """Durable before the request leaves."""

    name: ClassVar[str] = "run-intended"


@dataclass(frozen=True, slots=True, kw_only=True)
class RunAccepted:
    """A 2xx with a CaptureTask that has an id."""

    name: ClassVar[str] = "run-accepted"
    task: Task
    typical_seconds: float = 30.0
    spread: float = 0.5
    jitter: float = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class RunDeclined:
    """A certain no that is not about the file: never connected, 401, 403, 409, 429, 503, a redirect."""

    name: ClassVar[str] = "run-declined"
    weather: Weather


@dataclass(frozen=True, slots=True, kw_only=True)
class RunDoubted:
    """Nothing certain was heard: the Run may or may not have been accepted.

    `our_mistake`: hopperd failed over it, and would again; a person decides.
    """

    name: ClassVar[str] = "run-doubted"
    what: str
    own_death: bool = False
    our_mistake: bool = False
    jitter: float = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskSeen:
    """A look at the task, whatever its status. `spread` is that of the log of the durations; see polling.py."""

    name: ClassVar[str] = "task-seen"
    task: Task
    typical_seconds: float = 30.0
    spread: float = 0.5
    jitter: float = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskGone:
    """404 on a task we know. `others_pass`: looks at other tasks got through meanwhile."""

    name: ClassVar[str] = "task-gone"
    what: str
    others_pass: bool = False
    jitter: float = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class ResultGone:
    """404 on a result we were told of. `others_pass`: other jobs' results came meanwhile."""

    name: ClassVar[str] = "result-gone"
    result: Result
    what: str
    others_pass: bool = False
    jitter: float = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetched:
    """Every result is whole and durable in staging."""

    name: ClassVar[str] = "fetched"
    staged: tuple[Staged, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportNameTaken:
    """The recorded final name of an export is taken; `taken` lists what is known to be taken, too.

    `delivered` are the positions of those that are delivered already.
    """

    name: ClassVar[str] = "export-name-taken"
    position: int
    taken: frozenset[bytes]
    delivered: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class StagingLost:
    """Staging and its manifest are gone and no delivery is recorded: somebody cleaned, or another machine had it.

    `never_sent`: no export can have been delivered, so that to fetch again is no doubt.
    """

    name: ClassVar[str] = "staging-lost"
    never_sent: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivered:
    """Every export stands at its destination. `perhaps_twice` where the file system could not tell."""

    name: ClassVar[str] = "delivered"
    perhaps_twice: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class FilingNameTaken:
    """The planned place of an original in done/ or failed/ is taken by another file."""

    name: ClassVar[str] = "filing-name-taken"
    position: int
    taken: frozenset[bytes]


@dataclass(frozen=True, slots=True, kw_only=True)
class FiledAway:
    """Originals lie in done/ or failed/ beside their receipts. `notes` by position: what was noticed on the way."""

    name: ClassVar[str] = "filed-away"
    notes: tuple[tuple[int, str], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """It is about the file itself, or about what became of it: it will not be tried again."""

    name: ClassVar[str] = "refused"
    failure: Failure


@dataclass(frozen=True, slots=True, kw_only=True)
class Postponed:
    """Weather: the same step again, later."""

    name: ClassVar[str] = "postponed"
    weather: Weather


@dataclass(frozen=True, slots=True, kw_only=True)
class TwinEnded:
    """How the job with the same bytes ended, or who holds those bytes now. None: nobody, we are the first."""

    name: ClassVar[str] = "twin-ended"
    twin: Twin | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PutOnHold:
    """A person, or a rule outside the table, holds the job."""

    name: ClassVar[str] = "held"
    hold: Hold


@dataclass(frozen=True, slots=True, kw_only=True)
class Released:
    """A person released the job; with `task_id`, the task found in the portal settles the doubt."""

    name: ClassVar[str] = "released"
    task_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Retried:
    """A person ordered it: at once, and from the start where it had ended."""

    name: ClassVar[str] = "retried"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reclaimed:
    """The originals of a retried job are in work/ again."""

    name: ClassVar[str] = "reclaimed"
    originals: tuple[Original, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Forgotten:
    """A person gave the open job up for good."""

    name: ClassVar[str] = "forgotten"


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteTidied:
    """Task and files are deleted at the service, or gone anyway."""

    name: ClassVar[str] = "remote-tidied"


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteTidyPostponed:
    """The service would not delete them now; upkeep tries again later."""

    name: ClassVar[str] = "remote-tidy-postponed"
    weather: Weather


Event = (
    Uploaded
    | Changed
    | ChildDied
    | UploadExpired
    | RunIntended
    | RunAccepted
    | RunDeclined
    | RunDoubted
    | TaskSeen
    | TaskGone
    | ResultGone
    | Fetched
    | ExportNameTaken
    | StagingLost
    | Delivered
    | FilingNameTaken
    | FiledAway
    | Refused
    | Postponed
    | TwinEnded
    | PutOnHold
    | Released
    | Retried
    | Reclaimed
    | Forgotten
    | RemoteTidied
    | RemoteTidyPostponed
)
