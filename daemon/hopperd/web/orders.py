"""An order by a person, what it suits, and what is said about what it did."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from hopperd.pipeline.job import Job, Stage
from hopperd.pipeline.naming import shown

OrderName = Literal["retry", "hold", "release", "forget"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """An order to jobs: named one by one (job id, file name, task number), or in bulk."""

    name: OrderName
    jobs: tuple[str, ...] = ()
    failed: bool = False
    folder: str | None = None
    task: str | None = None
    why: str = ""


def file_of(job: Job) -> str:
    return shown(job.group if job.group is not None else job.originals[0].name)


def is_named(job: Job, text: str) -> bool:
    names = [shown(original.name) for original in job.originals]
    return text in (job.task_id, job.task_number) or any(text in (name, name.rpartition("/")[2]) for name in names)


def suits(order: OrderName, job: Job) -> bool:
    match order:
        case "retry":
            return job.stage in (Stage.FAILED, Stage.ABANDONED) or job.is_open
        case "hold":
            return job.is_open and job.hold is None
        case "release":
            return job.hold is not None
        case "forget":
            return True


def what_was_done(order: Order, before: Job, after: Job) -> str:
    match order.name:
        case "retry" if not before.is_open or before.stage is Stage.ABANDONED:
            return "starts again from its original"
        case "retry":
            return f"tries its next step at once ({after.stage})"
        case "hold":
            return f"held at {after.stage}"
        case "release" if order.task is not None:
            return f"goes on with task {order.task}"
        case "release" if before.stage is Stage.SUBMITTING:
            return "released; the Run is asked for once more"
        case "release":
            return f"released at {after.stage}"
        case "forget":
            return "given up; its original goes to failed/"
