"""Jobs and events as tests need them: plain, valid, each field settable."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hopperd.pipeline import events as e
from hopperd.pipeline.job import (
    Export,
    Failure,
    Hold,
    Identity,
    Job,
    JobId,
    Original,
    RemoteFile,
    Result,
    Stage,
    StageAt,
    Staged,
    Task,
    TaskDocument,
    TaskStatus,
    Twin,
    new_job_id,
)

NOW = 1_780_000_000.0
_counter = iter(range(1_000_000))


def remote(place: int = 0, expiring: float | None = None) -> RemoteFile:
    return RemoteFile(id=f"{place:024x}", token=f"{place:040X}", expiring=expiring)


def original(name: bytes = b"sub/invoice.pdf", **changes: Any) -> Original:
    place = next(_counter)
    fields: dict[str, Any] = {
        "name": name,
        "identity": Identity(device=1, inode=100 + place, size_bytes=1234, mtime_ns=place),
        "sha256": f"{place:064x}",
        "sha512": f"{place:0128x}",
    }
    return Original(**{**fields, **changes})


def job(stage: Stage = Stage.CLAIMED, **changes: Any) -> Job:
    """A job as it looks when it stands in `stage`."""
    place = next(_counter)
    has_remote = stage != Stage.CLAIMED
    has_task = stage in (Stage.SUBMITTED, Stage.CAPTURED, Stage.FETCHED, Stage.DELIVERED, Stage.DONE)
    ends = stage in (Stage.DELIVERED, Stage.DONE, Stage.ABANDONED, Stage.FAILED)
    failed = stage in (Stage.ABANDONED, Stage.FAILED)
    one = original(remote=remote(place) if has_remote else None)
    if ends:
        one = original(remote=one.remote, filed_as=b"sub/invoice.pdf" if failed else b"2026/05/28/sub/invoice.pdf")
    fields: dict[str, Any] = {
        "id": new_job_id(NOW + place, place.to_bytes(5, "big")),
        "version": 7,
        "folder": "us",
        "account": "main",
        "stage": stage,
        "opened_at": NOW - 100,
        "due_at": NOW - 1,
        "originals": (one,),
        "stages": (StageAt(stage=Stage.CLAIMED, at=NOW - 100), StageAt(stage=stage, at=NOW - 50)),
        "task_id": f"task-{place}" if has_task else None,
        "task_number": str(place) if has_task else None,
        "task": {"id": f"task-{place}"} if has_task else None,
        "submitted_at": NOW - 40 if has_task else None,
        "results": (result(),) if stage in (Stage.CAPTURED, Stage.FETCHED, Stage.DELIVERED, Stage.DONE) else (),
        "outcome": "failed" if failed else "delivered" if ends else None,
        "failure": FAILURE if failed else None,
    }
    return Job(**{**fields, **changes})


FAILURE = Failure(reason="refused", fault="file", what="the service refused the file", do="look at it")
HOLD = Hold(reason="person", what="a person holds it", do="release it", since=NOW)
WEATHER = e.Weather(kind="network", what="no network")


def result(place: int = 0, name: str = "invoice.xlsx", of: int = 0) -> Result:
    return Result(original=of, key="target", name=name, remote=remote(1000 + place))


def staged(place: int = 0) -> Staged:
    return Staged(result=place, staged_as=f"{place + 1:04d}", size_bytes=10, sha256="ab" * 32)


def task(status: TaskStatus = TaskStatus.RUNNING, documents: tuple[TaskDocument, ...] = (), **changes: Any) -> Task:
    fields: dict[str, Any] = {
        "id": "task-1",
        "number": "1126563",
        "status": status,
        "status_text": status.value,
        "raw": {"id": "task-1", "status": status.value},
        "documents": documents,
    }
    return Task(**{**fields, **changes})


def document(source_id: str | None = None, results: int = 1, *, is_moved: bool = False) -> TaskDocument:
    found = tuple((f"target_{place}", f"invoice-{place}.xlsx", remote(2000 + place)) for place in range(results))
    return TaskDocument(source_id=source_id, source_name="invoice.pdf", is_moved=is_moved, results=found)


def one_of_each() -> list[e.Event]:
    """An event of every kind there is."""
    return [
        e.Uploaded(position=0, remote=remote(5), pages=2),
        e.Changed(originals=(original(),)),
        e.ChildDied(position=0, what="ended by SIGKILL"),
        e.UploadExpired(what="expired"),
        e.RunIntended(),
        e.RunAccepted(task=task()),
        e.RunDeclined(weather=WEATHER),
        e.RunDoubted(what="cut connection"),
        e.TaskSeen(task=task()),
        e.TaskGone(what="404"),
        e.ResultGone(result=result(), what="404"),
        e.Fetched(staged=(staged(),)),
        e.ExportNameTaken(position=0, taken=frozenset()),
        e.StagingLost(),
        e.Delivered(),
        e.FilingNameTaken(position=0, taken=frozenset()),
        e.FiledAway(),
        e.Refused(failure=FAILURE),
        e.Postponed(weather=WEATHER),
        e.TwinEnded(twin=Twin(job=JobId("0" * 18), delivered=True)),
        e.PutOnHold(hold=HOLD),
        e.Released(),
        e.Retried(),
        e.Reclaimed(originals=(original(),)),
        e.Forgotten(),
        e.RemoteTidied(),
        e.RemoteTidyPostponed(weather=WEATHER),
    ]


def in_stage(stage: Stage) -> Job:
    """With what a job of that stage cannot be without."""
    one = job(stage)
    if stage is Stage.FETCHED:
        export = Export(name=b"sub/invoice.xlsx", staged_as="0001", size_bytes=10, sha256="ab" * 32)
        one = replace(one, exports=(export,))
    return one
