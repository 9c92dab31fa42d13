"""What a finished task gives for our originals: which result is whose, what is somebody else's, and what is missing.

Pure, as following.py, which asks.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from hopperd.pipeline.job import Failure, Hold, Job, Original, Result, Task
from hopperd.pipeline.naming import printable

RESULTS_ALLOWED: Final = 5_000
"""Of one task: five for each file of the largest group. Each is a request, a file and a line of the receipt."""
NAMES_TOLD: Final = 3
NAME_LETTERS: Final = 80

NO_RESULT: Final = "the service returned no result for it"
REMOVED: Final = "removed by the verifier"


def results_of(job: Job, task: Task) -> tuple[Result, ...]:
    """Every `target*` file of every document, matched to its original by the id of the uploaded file.

    By the document's position where the service does not say what it was made from, or where we no longer know what
    we uploaded, since the ledger was made again from the folders.
    """
    ours = _uploaded(job)
    found: list[Result] = []
    for place, document in enumerate(task.documents):
        fallback = place if place < len(job.originals) else 0
        original = ours.get(document.source_id or "", fallback)
        found += [
            Result(original=original, key=key, name=name, remote=remote) for key, name, remote in document.results
        ]
    return tuple(found)


def _uploaded(job: Job) -> dict[str, int]:
    return {original.remote.id: place for place, original in enumerate(job.originals) if original.remote}


def hold_if_foreign(job: Job, task: Task, at: float) -> Hold | None:
    """A hold where documents of the task were made from other files than those that were uploaded for this job.

    A stale answer of a proxy, or a wrong number given to `release`: nothing of such a task may be delivered.
    """
    ours = _uploaded(job)
    foreign = [
        document
        for document in task.documents
        if ours and document.source_id is not None and document.source_id not in ours and not document.is_moved
    ]
    if not foreign:
        return None
    names = [printable((one.source_name or one.source_id or "")[:NAME_LETTERS]) for one in foreign[:NAMES_TOLD]]
    more = f" and {len(foreign) - NAMES_TOLD} more" if len(foreign) > NAMES_TOLD else ""
    return Hold(
        reason="foreign-task",
        what=f"task {task.number or task.id} was made from other files than this job's ({', '.join(names)}{more}); "
        "nothing of it was fetched",
        do="Look for this job's own task in the service's portal: `hopperd release JOB --task ID` if it is there, "
        "`hopperd release JOB` to ask for a Run once more.",
        since=at,
    )


def noted(job: Job, task: Task, results: tuple[Result, ...]) -> tuple[Original, ...]:
    """The originals, each that has no result with a note that says so."""
    with_result = {result.original for result in results}
    ours = _uploaded(job)
    removed = {
        ours.get(document.source_id or "", place) for place, document in enumerate(task.documents) if document.is_moved
    }
    return tuple(
        original if place in with_result else replace(original, note=REMOVED if place in removed else NO_RESULT)
        for place, original in enumerate(job.originals)
    )


def no_result(task: Task) -> Failure:
    return Failure(
        reason="no-result",
        fault="service",
        what=f"task {task.number or task.id} is done and has no result file",
        do="Look at the task in the service's portal; then retry the job, or enter the invoice by hand.",
    )


def too_many(task: Task, results: int) -> Failure:
    return Failure(
        reason="too-many-results",
        fault="service",
        what=f"task {task.number or task.id} has {results} result files, and {RESULTS_ALLOWED} are fetched at the most",
        do="Fetch them in the service's portal; or put the invoices in again in smaller files or groups.",
    )


def incomplete(job: Job) -> Failure | None:
    """Why the job has failed although what there is was delivered: an original of the group has no result."""
    without = [original for original in job.originals if original.note == NO_RESULT]
    if not without:
        return None
    names = ", ".join(printable(original.name)[:NAME_LETTERS] for original in without[:NAMES_TOLD])
    more = f" and {len(without) - NAMES_TOLD} more" if len(without) > NAMES_TOLD else ""
    return Failure(
        reason="incomplete",
        fault="service",
        what=f"task {job.task_number or job.task_id} has no result for {len(without)} of {len(job.originals)} files "
        f"({names}{more}); the results of the others were delivered",
        do="Put only the files without a result in again, or enter them by hand. `hopperd retry JOB` captures the "
        "whole group once more: it is paid for again, and what was delivered comes a second time.",
    )
