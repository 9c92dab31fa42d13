"""What the twin remembers: files and tasks, each seen by its own application alone, in bounded number.

When there are too many, the oldest that no running task needs are forgotten, as if they had expired. The clock is an
argument. Nothing here knows HTTP.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from hopperd.sandbox.contents import Content, Contents, Incoming, NoRoom
from hopperd.sandbox.memoir import file_from, file_value, task_from, task_value
from hopperd.sandbox.reader import Reading
from hopperd.sandbox.state import State

if TYPE_CHECKING:
    from hopperd.invoices.document import Document as Invoice

_KINDS: Final = (
    (b"II*\x00", "image/tiff"),
    (b"MM\x00*", "image/tiff"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"BM", "image/bmp"),
    (b"GIF8", "image/gif"),
)
_BY_EXTENSION: Final = {
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    "xls": "application/vnd.ms-excel",
    "csv": "text/csv",
    "json": "application/json",
    "xml": "application/xml",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class FileReference:
    """How a task names a file; it outlives the file, so it holds no bytes."""

    id: str
    token: str
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredFile:
    """An uploaded file, or a result (`task_id` says of which task). Times are seconds since the epoch."""

    id: str
    token: str
    name: str
    application: str
    content: Content
    mime: str
    is_recognizable: bool
    created: float
    expiring: float
    task_id: str | None = None

    def reference(self) -> FileReference:
        return FileReference(id=self.id, token=self.token, name=self.name)


@dataclass(slots=True, kw_only=True)
class Document:
    """One uploaded file of a task and what came of it. `content` is there until the task is over.

    `invoices` is what a person is asked about, while the task waits for one.
    """

    source: FileReference
    content: Content | None
    targets: list[tuple[str, FileReference]] = field(default_factory=list)
    pages: int = 0
    is_moved: bool = False
    invoices: tuple[Invoice, ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Course:
    """How a task will get on, drawn when it is made: when it starts, when it is due, what becomes of it."""

    starts: float
    due: float
    outcome: str = "done"


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskReading:
    """The readings of a task's documents, in order; None if one of them cannot be read at all."""

    readings: tuple[Reading, ...] | None
    finished: float


@dataclass(slots=True, kw_only=True)
class Task:
    """A capture task. `processing` moves it; dates are unset until they happen."""

    id: str
    number: str
    type: str
    application: str
    properties: Mapping[str, str]
    documents: list[Document]
    created: float
    verification_id: str | None = None
    started: float | None = None
    action_required: float | None = None
    billed: float | None = None
    delivered: float | None = None
    deleted: float | None = None
    is_counted: bool = False
    is_final: bool = False
    status: str = "Submitted"
    course: Course
    reading: asyncio.Task[TaskReading] | None = None
    is_unknown_shown: bool = False
    is_closing: bool = False


class Vault:
    """All files and tasks of one twin."""

    def __init__(
        self,
        contents: Contents,
        now: Callable[[], float],
        *,
        keep_seconds: float,
        max_files: int,
        state: State | None = None,
    ) -> None:
        self.contents = contents
        self._state = state or State()
        self._now = now
        self._keep_seconds = keep_seconds
        self._max_files = max_files
        self._files: dict[str, StoredFile] = {}
        self._tasks: dict[str, Task] = {}
        self._in_use: dict[str, int] = {}
        self._verifications: dict[str, Task] = {}
        self._number = 1_126_563
        self._restore()

    def add_file(self, name: str, content: Content, application: str, task_id: str | None = None) -> StoredFile:
        """Remembers a file under a new id and token; forgets the oldest beyond the bound."""
        now = self._now()
        mime = mime_of(content.head, name)
        file = StoredFile(
            id=new_id(now),
            token=secrets.token_hex(20).upper(),
            name=name,
            application=application,
            content=content,
            mime=mime,
            is_recognizable=task_id is None and (mime == "application/pdf" or mime.startswith("image/")),
            created=now,
            expiring=now + self._keep_seconds,
            task_id=task_id,
        )
        self._files[file.id] = file
        self._state.put("file", file.id, file_value(file))
        self._forget_files()
        return file

    def file(self, file_id: str, token: str, application: str) -> StoredFile | None:
        """The file, if it is there, not expired, the application's own and the token is right."""
        file = self._files.get(file_id.lower())
        if file is None or file.application != application or file.token != token.upper():
            return None
        if file.expiring <= self._now():
            self._forget(file)
            return None
        return file

    def delete_file(self, file: StoredFile) -> None:
        self._forget(file)

    def add_task(
        self, task_type: str, application: str, properties: Mapping[str, str], files: list[StoredFile], course: Course
    ) -> Task:
        """Remembers a new task for these files, which stay until it is over; forgets the oldest beyond the bound."""
        now = self._now()
        self._number += 1
        task = Task(
            id=new_id(now),
            number=str(self._number),
            type=task_type,
            application=application,
            properties=properties,
            documents=[Document(source=file.reference(), content=file.content) for file in files],
            created=now,
            course=course,
        )
        for file in files:
            self._in_use[file.id] = self._in_use.get(file.id, 0) + 1
        self._tasks[task.id] = task
        self._state.put("vault", "number", self._number)
        self.save(task)
        if len(self._tasks) > self._max_files:
            self.delete_task(next(iter(self._tasks.values())))
        return task

    def task(self, task_id: str, application: str | None) -> Task | None:
        """The task, if it is the application's own (of any application for None) and not deleted."""
        task = self._tasks.get(task_id.lower())
        if task is None or (application is not None and task.application != application):
            return None
        return task

    def delete_task(self, task: Task) -> None:
        task.deleted = self._now()
        self.end_task(task)
        self._tasks.pop(task.id, None)
        self._verifications.pop(task.verification_id or "", None)
        self._state.drop("task", task.id)

    def end_task(self, task: Task) -> None:
        """The task needs its source files no longer."""
        if task.is_final:
            return
        task.is_final = True
        if task.reading is not None:
            task.reading.cancel()
            task.reading = None
        for document in task.documents:
            document.content = None
            document.invoices = None
            left = self._in_use.pop(document.source.id, 0) - 1
            if left > 0:
                self._in_use[document.source.id] = left

    def save(self, task: Task) -> None:
        """Something about the task has changed."""
        self._state.put("task", task.id, task_value(task))

    def ask_person(self, task: Task) -> None:
        """Gives the task the id under which a person finds it."""
        task.verification_id = secrets.token_hex(16)
        self._verifications[task.verification_id] = task

    def asked_about(self, verification_id: str) -> Task | None:
        """The task with this verification id, also when it waits no longer, until it is deleted."""
        return self._verifications.get(verification_id.lower())

    def tasks(self) -> Iterator[Task]:
        return iter(list(self._tasks.values()))

    def receive(self, incoming: Incoming, chunk: bytes) -> None:
        """Writes on; where there is no room left, the oldest files make it. Raises NoRoom if that does not help."""
        while True:
            try:
                incoming.write(chunk)
            except NoRoom:
                if not self.make_room():
                    raise
            else:
                return

    def keep(self, data: bytes) -> Content:
        """Bytes that are already whole. Raises NoRoom."""
        incoming = self.contents.receive()
        try:
            self.receive(incoming, data)
        except NoRoom:
            incoming.abandon()
            raise
        return incoming.finish()

    def make_room(self) -> bool:
        """Forgets the oldest file, before all others one that no running task needs; False if there is none."""
        oldest = next((each for each in self._files.values() if each.id not in self._in_use), None)
        oldest = oldest or next(iter(self._files.values()), None)
        if oldest is not None:
            self._forget(oldest)
        return oldest is not None

    def _forget(self, file: StoredFile) -> None:
        if self._files.pop(file.id, None) is not None:
            self.contents.discard(file.content)
            self._state.drop("file", file.id)

    def _forget_files(self) -> None:
        while len(self._files) > self._max_files:
            self.make_room()

    def _restore(self) -> None:
        """Takes over what an earlier twin has kept."""
        if self._state.files_directory is None:
            return
        for file_id, value in self._state.all("file"):
            file = file_from(value, self._state.files_directory)
            if file is None:
                self._state.drop("file", file_id)
            else:
                self._files[file_id] = file
        self.contents.take_over([each.content for each in self._files.values()])
        for task_id, value in self._state.all("task"):
            self._tasks[task_id] = task = task_from(value)
            if task.verification_id is not None:
                self._verifications[task.verification_id] = task
            for document in task.documents if not task.is_final else ():
                self._in_use[document.source.id] = self._in_use.get(document.source.id, 0) + 1
                if document.source.id in self._files:
                    document.content = self._files[document.source.id].content
        self._number = max([self._number, *(number for _, number in self._state.all("vault"))])


def new_id(now: float) -> str:
    """24 lower-case hex digits that begin with the time, as the service's do. [seen]"""
    return f"{int(now) & 0xFFFFFFFF:08x}{secrets.token_hex(8)}"


def mime_of(head: bytes, name: str) -> str:
    """By content first, by name for what has no magic of its own."""
    if b"%PDF-" in head:
        return "application/pdf"
    for magic, mime in _KINDS:
        if head.startswith(magic):
            return mime
    by_name = _BY_EXTENSION.get(name.rpartition(".")[2].lower())
    if by_name is not None:
        return by_name
    is_xml = head.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<?xml")
    return "application/xml" if is_xml else "application/octet-stream"
