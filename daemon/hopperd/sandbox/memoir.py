"""Files and tasks as plain values for the state on disk, and back. A task's course goes on by the clock."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from hopperd.sandbox.contents import Content

if TYPE_CHECKING:
    from hopperd.sandbox.vault import Document, FileReference, StoredFile, Task

_FILE = ("id", "token", "name", "application", "mime", "is_recognizable", "created", "expiring", "task_id")
_TASK = ("id", "number", "type", "application", "created", "verification_id", "started", "action_required", "billed")
_TASK_REST = ("delivered", "is_counted", "is_final", "status", "is_unknown_shown")


def file_value(file: StoredFile) -> dict[str, Any]:
    """A file, with the name of its bytes in the folder of files (null for an empty one)."""
    content = file.content
    where = None if content.path is None else os.path.basename(content.path)
    kept = {"where": where, "size": content.size, "sha256": content.sha256, "sha512": content.sha512}
    return {name: getattr(file, name) for name in _FILE} | {"content": kept}


def file_from(value: dict[str, Any], directory: str) -> StoredFile | None:
    """The file back; None if its bytes are not there any more."""
    from hopperd.sandbox.vault import StoredFile

    kept = value["content"]
    path = None if kept["where"] is None else os.path.join(directory, kept["where"])
    if path is not None and not os.path.exists(path):
        return None
    content = Content(
        data=b"" if path is None else None,
        path=path,
        size=kept["size"],
        sha256=kept["sha256"],
        sha512=kept["sha512"],
        head=b"",
    )
    return StoredFile(content=content, **{name: value[name] for name in _FILE})


def task_value(task: Task) -> dict[str, Any]:
    """A task, with the invoices of one that waits for a person."""
    course = [task.course.starts, task.course.due, task.course.outcome]
    return {
        **{name: getattr(task, name) for name in (*_TASK, *_TASK_REST)},
        "properties": dict(task.properties),
        "course": course,
        "documents": [_document_value(each) for each in task.documents],
    }


def task_from(value: dict[str, Any]) -> Task:
    """The task back; its documents have no content yet."""
    from hopperd.sandbox.vault import Course, Task

    starts, due, outcome = value["course"]
    return Task(
        properties=value["properties"],
        course=Course(starts=starts, due=due, outcome=outcome),
        documents=[_document_from(each) for each in value["documents"]],
        **{name: value[name] for name in (*_TASK, *_TASK_REST)},
    )


def _document_value(document: Document) -> dict[str, Any]:
    from hopperd.invoices.document import document_as_json

    invoices = document.invoices
    return {
        "source": _reference_value(document.source),
        "targets": [[key, _reference_value(file)] for key, file in document.targets],
        "pages": document.pages,
        "is_moved": document.is_moved,
        "invoices": None if invoices is None else [document_as_json(each) for each in invoices],
    }


def _document_from(value: dict[str, Any]) -> Document:
    from hopperd.invoices.document import document_from_json
    from hopperd.sandbox.vault import Document, FileReference

    invoices = value["invoices"]
    return Document(
        source=FileReference(**value["source"]),
        content=None,
        targets=[(key, FileReference(**file)) for key, file in value["targets"]],
        pages=value["pages"],
        is_moved=value["is_moved"],
        invoices=None if invoices is None else tuple(document_from_json(each) for each in invoices),
    )


def _reference_value(file: FileReference) -> dict[str, str]:
    return {"id": file.id, "token": file.token, "name": file.name}
