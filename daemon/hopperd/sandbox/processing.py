"""How a task gets on: from Submitted through InProgress to what becomes of it, by the clock and by what was read.

Nothing runs for a task but the reading of its documents: its status is worked out when somebody looks. Times are drawn
from a seeded source, so that the n-th task of a twin takes the same time in every run.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from hopperd.sandbox.catalog import Catalogs
from hopperd.sandbox.config import SandboxConfig
from hopperd.sandbox.faults import FaultCourse
from hopperd.sandbox.reader import Exports, Reading, Unreadable
from hopperd.sandbox.reader_pool import ReaderPool
from hopperd.sandbox.state import State
from hopperd.sandbox.vault import Course, Document, StoredFile, Task, TaskReading, Vault
from hopperd.sandbox.wire import stem_of

if TYPE_CHECKING:
    from hopperd.invoices.document import Document as Invoice

log = logging.getLogger("hopperd.sandbox")

UNKNOWN_STATUS: Final = "Reassembling"
"""A status that no documentation names; a client is to treat it as still running."""
WAITING: Final = ("WaitForAction", UNKNOWN_STATUS)
SURE_ENOUGH: Final = 0.8
"""Troubleshooting asks for a person below this confidence."""


@dataclass(slots=True)
class Bill:
    """What one application has been billed. A document counts when its Run is accepted, pages once it is read."""

    runs: int = 0
    documents: int = 0
    pages: int = 0
    canceled_runs: int = 0

    def as_json(self, application: str, quota: int | None) -> dict[str, Any]:
        rest = {} if quota is None else {"quota": quota}
        return {
            "application": application,
            "runs": self.runs,
            "documents": self.documents,
            "pages": self.pages,
            "canceled_runs": self.canceled_runs,
            **rest,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What a person decided about one document: it is removed, or its invoices are these (None: as they were read)."""

    is_removed: bool = False
    invoices: tuple[Invoice, ...] | None = None


class Processing:
    """Begins tasks, tells where they stand, releases those that wait."""

    def __init__(
        self,
        config: SandboxConfig,
        vault: Vault,
        pool: ReaderPool,
        faults: FaultCourse,
        now: Callable[[], float],
        catalogs: Catalogs,
        state: State,
    ) -> None:
        self._config = config
        self._vault = vault
        self._pool = pool
        self._faults = faults
        self._now = now
        self._catalogs = catalogs
        self._state = state
        self._random = random.Random(config.seed)  # noqa: S311 - replayable on purpose
        self._started = now()
        known = {application: Bill(**bill) for application, bill in state.all("bill")}
        self.bills = {each.id: known.get(each.id, Bill()) for each in config.applications}

    def resume(self) -> None:
        """Reads on for the tasks that an earlier twin has left unfinished."""
        for task in self._vault.tasks():
            is_billed = task.course.outcome != "canceled"
            if is_billed and not task.is_final and task.status not in WAITING:
                task.reading = asyncio.create_task(self._read(task))

    def begin(
        self, task_type: str, application: str, properties: Mapping[str, str], files: list[StoredFile]
    ) -> tuple[Task, bool]:
        """A new task, and whether it is billed: beyond the quota it will be Canceled, with nothing processed."""
        fault = self._faults.next("task", self._now() - self._started)
        outcome = fault.outcome if fault else "done"
        bill = self.bills[application]
        if self._config.quota is not None and bill.documents + len(files) > self._config.quota:
            outcome = "canceled"
        task = self._vault.add_task(task_type, application, properties, files, self._course(outcome))
        task.status = "New" if self._config.new_first else "Submitted"
        is_billed = outcome != "canceled"
        bill.runs += is_billed
        bill.canceled_runs += not is_billed
        bill.documents += len(files) * is_billed
        self._vault.save(task)
        self._save_bill(application)
        if is_billed:
            task.reading = asyncio.create_task(self._read(task))
        return task, is_billed

    def look(self, task: Task) -> tuple[str, float]:
        """The task's status now and its progress from 0 to 1; fills in what has happened since."""
        now = self._now()
        if task.is_final or task.status in WAITING:
            return _standing(task)
        if now < task.course.starts:
            task.status = "Submitted"
            return task.status, 0.0
        task.started = task.course.starts
        if self._config.unknown_status and not task.is_unknown_shown:
            task.is_unknown_shown = True
            return UNKNOWN_STATUS, 0.1
        reading = task.reading
        if now < task.course.due or (reading is not None and not reading.done()):
            task.status = "InProgress"
            return task.status, min(0.99, (now - task.created) / max(task.course.due - task.created, 0.001))
        self._conclude(task, reading.result() if reading is not None else None)
        return _standing(task)

    def waits(self, task: Task) -> bool:
        """Whether a person can release the task now."""
        self.look(task)
        return not task.is_final and task.status in WAITING and not task.is_closing

    async def release(self, task: Task, decisions: Sequence[Decision]) -> bool:
        """What a person at the verification page decides, document by document: the task goes on to Done.

        False if it does not wait (any more). Raises Unreadable if the exports cannot be written; it waits on then.
        """
        if not self.waits(task):
            return False
        task.is_closing = True
        try:
            exports = [await self._exports(task, each, by) for each, by in zip(task.documents, decisions, strict=True)]
        finally:
            task.is_closing = False
        if task.is_final:  # it was deleted meanwhile
            return False
        for document, decision in zip(task.documents, decisions, strict=True):
            document.is_moved = decision.is_removed
        self._deliver(task, exports, self._now())
        return True

    async def _exports(self, task: Task, document: Document, decision: Decision) -> Exports:
        invoices = document.invoices if decision.invoices is None else decision.invoices
        if decision.is_removed or invoices is None:
            return ()
        known = self._catalogs.recognised(task.application, invoices)
        return await self._pool.write(known, formats_of(task.properties))

    async def close(self) -> None:
        """Puts down every reading under way."""
        readings = [each.reading for each in self._vault.tasks() if each.reading is not None]
        for reading in readings:
            reading.cancel()
        await asyncio.gather(*readings, return_exceptions=True)

    def _course(self, outcome: str) -> Course:
        now = self._now()
        seconds = self._random.uniform(*self._config.processing_seconds)
        waits = seconds * self._random.uniform(0.1, 0.4)
        return Course(starts=now + waits, due=now + seconds, outcome=outcome)

    async def _read(self, task: Task) -> TaskReading:
        formats = formats_of(task.properties)
        try:
            readings = [await self._read_one(task, each, formats) for each in task.documents]
        except Unreadable as refusal:
            log.info("Task %s will fail: a document cannot be read: %s", task.id, refusal)
            return TaskReading(readings=None, finished=self._now())
        except Exception:
            log.exception("Task %s will fail: its reading went wrong.", task.id)
            return TaskReading(readings=None, finished=self._now())
        return TaskReading(readings=tuple(readings), finished=self._now())

    async def _read_one(self, task: Task, document: Document, formats: tuple[str, ...]) -> Reading:
        if document.content is None:
            raise Unreadable("Its task is over, or its bytes are gone.")
        reading = await self._pool.read(document.content, document.source.name, formats)
        known = self._catalogs.recognised(task.application, reading.invoices)
        if known is reading.invoices:
            return reading
        return replace(reading, invoices=known, exports=await self._pool.write(known, formats))

    def _conclude(self, task: Task, result: TaskReading | None) -> None:
        self._settle(task, result)
        self._vault.save(task)
        self._save_bill(task.application)

    def _settle(self, task: Task, result: TaskReading | None) -> None:
        if result is None:
            task.status = "Canceled"
            self._vault.end_task(task)
            return
        finished = max(task.course.due, result.finished)
        task.billed = finished
        task.is_counted = True
        if result.readings is None or task.course.outcome == "failed":
            task.status = "Failed"
            self._vault.end_task(task)
            return
        for document, reading in zip(task.documents, result.readings, strict=True):
            document.pages = reading.pages
        self.bills[task.application].pages += sum(each.pages for each in task.documents)
        self._pass_on(task, result.readings, finished)

    def _pass_on(self, task: Task, readings: Sequence[Reading], finished: float) -> None:
        if task.course.outcome == "unknown-status":
            task.status = UNKNOWN_STATUS
            _keep_invoices(task, readings)
        elif task.course.outcome == "wait" or asks_for_person(task.properties, readings):
            task.status = "WaitForAction"
            task.action_required = finished
            self._vault.ask_person(task)
            _keep_invoices(task, readings)
        else:
            if task.course.outcome == "no-documents":
                self._vault.end_task(task)
                task.documents = []
            self._deliver(task, [each.exports for each in readings], finished)

    def _deliver(self, task: Task, exports: Sequence[Exports], finished: float) -> None:
        for document, written in zip(task.documents, exports, strict=False):
            if not document.is_moved:
                self._add_targets(task, document, written)
        task.status = "Done"
        task.delivered = finished
        self._vault.end_task(task)
        self._vault.save(task)

    def _save_bill(self, application: str) -> None:
        self._state.put("bill", application, asdict(self.bills[application]))

    def _add_targets(self, task: Task, document: Document, exports: tuple[tuple[str, bytes], ...]) -> None:
        for number, (extension, data) in enumerate(exports, 1):
            content = self._vault.keep(data)
            name = f"{stem_of(document.source.name)}.{extension}"
            file = self._vault.add_file(name, content, task.application, task.id)
            document.targets.append(("target" if number == 1 else f"target_{number}", file.reference()))


def _keep_invoices(task: Task, readings: Sequence[Reading]) -> None:
    """A task that waits, maybe for ever, keeps no exports: they are written once it goes on."""
    for document, reading in zip(task.documents, readings, strict=True):
        document.invoices = reading.invoices
    task.reading = None


def _standing(task: Task) -> tuple[str, float]:
    return task.status, 1.0 if task.is_final else 0.9


def formats_of(properties: Mapping[str, str]) -> tuple[str, ...]:
    """The export formats asked for, in lower case; several may be given with commas, an addition of the twin's own."""
    asked = properties.get("export_format", "Xls")
    return tuple(each.strip().lower() for each in asked.split(","))


def asks_for_person(properties: Mapping[str, str], readings: Sequence[Reading]) -> bool:
    """Whether the task stops at the verification page: always, never, or when a reader is unsure or sums disagree."""
    match properties.get("verification_type", "").lower():
        case "userverification":
            return True
        case "troubleshooting":
            return any(each.confidence < SURE_ENOUGH or not each.do_sums_agree for each in readings)
        case _:
            return False
