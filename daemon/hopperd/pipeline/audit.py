"""Ledger and disk, side by side: what does not agree, in sentences, and what may safely be done about it.

Pure: what the ledger says and what lies on the disk are handed in. A place where a crash may leave things for the next
start to finish is no disagreement; an export that is gone is none either, since somebody picked it up.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from hopperd.pipeline.job import Identity, Job, JobId, Original, Stage
from hopperd.pipeline.naming import printable

Mend = Literal["adopt", "close-staging", "write-receipts", "remove-folder", "abandon", "take-in"]
"""What `fsck --repair` does about a finding. None of them deletes an original or an export."""

BEFORE_THE_RUN: Final = (Stage.CLAIMED, Stage.UPLOADED)
FILING: Final = (Stage.DELIVERED, Stage.ABANDONED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Whereabouts:
    """Where one original of a job lies; None where it does not. `has_receipt`: one of this very job is beside it."""

    in_work: Identity | None = None
    filed: Identity | None = None
    has_receipt: bool = False
    is_other: bool = False  # it lies where it was filed, and its bytes are not the ones that were claimed


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One disagreement. Two looks found the same if all fields are equal: a job that moved has another `version`."""

    kind: str
    what: str
    do: str
    folder: str | None = None
    job: JobId | None = None
    version: int | None = None
    path: bytes | None = None
    mend: Mend | None = None
    is_remark: bool = False  # worth knowing, and no disagreement


def of_job(job: Job, places: Sequence[Whereabouts], *, may_be_gone: bool = False) -> Iterator[Finding]:
    """What does not agree about a job and its originals. `may_be_gone`: the settings let filed ones be deleted."""
    if job.is_open:
        yield from _of_open(job, places)
    else:
        yield from _of_finished(job, places, may_be_gone=may_be_gone)


def _of_open(job: Job, places: Sequence[Whereabouts]) -> Iterator[Finding]:
    for original, place in zip(job.originals, places, strict=True):
        is_there = place.in_work is not None
        if job.stage in FILING or original.filed_as is not None:
            is_there |= place.filed is not None
        if not is_there:
            yield _missing(job, original)


def _missing(job: Job, original: Original) -> Finding:
    name = printable(original.name)
    if job.stage in BEFORE_THE_RUN:
        return _about(
            job,
            "original-missing",
            f"{name} is not in work/, and nothing was asked of the service for it yet",
            "`hopperd fsck --repair` gives the job up (vanished). Put the file in again if it is wanted.",
            path=original.name,
            mend="abandon",
        )
    return _about(
        job,
        "original-missing",
        f"{name} is not in work/ although its job is {job.stage.value}: somebody took it away",
        "Its exports still come, and its receipt will say so. Nobody but hopperd should touch work/.",
        path=original.name,
    )


def _of_finished(job: Job, places: Sequence[Whereabouts], *, may_be_gone: bool) -> Iterator[Finding]:
    root = "failed" if job.stage is Stage.FAILED else "done"
    lost = [
        original
        for original, place in zip(job.originals, places, strict=True)
        if place.filed is None and original.note is None
    ]
    for original in lost if not may_be_gone else ():
        name = printable(original.filed_as or original.name)
        yield _about(
            job,
            "original-missing",
            f"{name} is not in {root}/, where the ledger says it was filed",
            f"If somebody took it away on purpose, `hopperd forget {job.id}` lets the job leave the ledger.",
            path=original.name,
        )
    for original, place in zip(job.originals, places, strict=True):
        if place.is_other and original.note is None:
            yield _about(
                job,
                "original-differs",
                f"{printable(original.filed_as or original.name)} in {root}/ is not the file that was filed there",
                "Its bytes are others than the ledger and the receipt say; put the right one back if you have it.",
                path=original.name,
            )
    if any(place.filed is not None and not place.has_receipt for place in places):
        yield _about(
            job,
            "receipt-missing",
            f"{_name(job)} lies in {root}/ without its receipt",
            "`hopperd fsck --repair` writes it again.",
            mend="write-receipts",
        )


def of_work(folder: str, job_id: JobId, names: Sequence[bytes], job: Job | None) -> Finding | None:
    """What does not agree about a job's folder in work/. No `names`: there is no file in it."""
    if job is not None and job.folder != folder:
        return Finding(
            kind="wrong-folder",
            folder=folder,
            job=job_id,
            what=f"work/ of {folder} holds files of a job that belongs to {job.folder}",
            do="Have two folders changed places? Look at the paths in the configuration.",
        )
    if job is None and names:
        return Finding(
            kind="unknown-original",
            folder=folder,
            job=job_id,
            path=names[0],
            what=f"work/ holds {_count(names)} ({printable(names[0])}) that no job knows",
            do="`hopperd run` takes it up when it starts, and so does `hopperd fsck --repair`.",
            mend="adopt",
        )
    if job is not None and not job.is_open and names:
        return _about(
            job,
            "finished-in-work",
            f"work/ holds {_count(names)} ({printable(names[0])}) of a job that is {job.stage.value}",
            "Compare it with the one that was filed; then move it away from work/, or into in/ to capture it.",
            path=names[0],
        )
    if not names and (job is None or not job.is_open):
        return Finding(
            kind="empty-folder",
            folder=folder,
            job=job_id,
            what="an empty folder is left in work/",
            do="`hopperd fsck --repair` removes it.",
            mend="remove-folder",
        )
    return None


def of_staging(folder: str, job_id: JobId, files: int, job: Job | None) -> Finding | None:
    """What does not agree about a job's staging, which holds so many exports."""
    if job is None:
        return Finding(
            kind="unknown-staging",
            folder=folder,
            job=job_id,
            what=f"out/.hopperd/ holds staging of a job that nobody knows, with {files} undelivered exports",
            do="Look at them; then remove that folder." if files else "`hopperd fsck --repair` removes it.",
            mend=None if files else "close-staging",
        )
    if job.is_open or job.folder != folder:
        return None
    is_surplus = job.outcome != "delivered" or files == 0
    return _about(
        job,
        "staging-left",
        f"staging is left over of a job that is {job.stage.value}"
        + (f", with {files} exports that are nowhere else" if not is_surplus else ""),
        "`hopperd fsck --repair` closes it." if is_surplus else "Look at them; then remove that folder.",
        mend="close-staging" if is_surplus else None,
    )


def of_fetched(job: Job, *, is_staged: bool) -> Iterator[Finding]:
    """A job whose exports are fetched must have its staging."""
    if job.stage is Stage.FETCHED and not is_staged:
        yield _about(
            job,
            "staging-missing",
            f"the exports of {_name(job)} were fetched, and their staging in out/.hopperd/ is gone",
            "They are fetched once more, and marked as perhaps delivered twice. Nobody but hopperd should touch it.",
        )


def unknown_receipt(folder: str, place: str, name: bytes, job_id: JobId, outcome: str, *, bytes_known: bool) -> Finding:
    """A receipt whose job the ledger does not have, as after `forget`: what counts is whether its bytes are known."""
    is_remark = bytes_known or outcome != "delivered"
    return Finding(
        kind="unknown-receipt",
        folder=folder,
        job=job_id,
        path=name,
        what=f"{printable(name)} in {place}/ tells of a job that is not in the ledger"
        + ("" if is_remark else ", which does not know either that its bytes were delivered"),
        do="That is right for a job that was forgotten."
        if is_remark
        else "`hopperd fsck --repair` takes it in again, so that the same bytes are not paid for twice.",
        mend=None if is_remark else "take-in",
        is_remark=is_remark,
    )


def without_receipt(folder: str, place: str, name: bytes) -> Finding:
    return Finding(
        kind="receipt-missing",
        folder=folder,
        path=name,
        what=f"{printable(name)} lies in {place}/ without a receipt, and no job filed it there",
        do="If it was to be captured, put it into in/. hopperd leaves it where it is.",
    )


def stray(folder: str, place: str, name: bytes) -> Finding:
    return Finding(
        kind="stray",
        folder=folder,
        path=name,
        what=f"{printable(name)} lies in {place}/ and is nobody's job",
        do="Move it away, or into in/ if it is to be captured. hopperd leaves it where it is.",
    )


def _about(job: Job, kind: str, what: str, do: str, *, path: bytes | None = None, mend: Mend | None = None) -> Finding:
    return Finding(
        kind=kind, folder=job.folder, job=job.id, version=job.version, path=path, what=what, do=do, mend=mend
    )


def _name(job: Job) -> str:
    return printable(job.group if job.group is not None else job.originals[0].name)


def _count(names: Sequence[bytes]) -> str:
    return "a file" if len(names) == 1 else f"{len(names)} files"
