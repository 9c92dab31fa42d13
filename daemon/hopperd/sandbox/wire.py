"""The service's JSON as its documentation and examples print it: FileInfo and CaptureTask.

Unset optional fields are left out, never null. Written from the vendor's documentation, not from our client.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from hopperd.sandbox.config import SandboxConfig
from hopperd.sandbox.vault import Document, FileReference, StoredFile, Task

EMAIL: Final = "user@sandbox.example"
_FILE_ID: Final = re.compile(r"[0-9a-fA-F]{24}")
_FILE_TOKEN: Final = re.compile(r"[0-9a-fA-F]{40}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Wire:
    """Writes their JSON the way the twin's switches say. `account` is the id of the one account of this twin."""

    config: SandboxConfig
    account: str

    def date(self, seconds: float) -> str:
        """A date-time; the service sends it with or without milliseconds and `Z`. [seen]"""
        moment = datetime.fromtimestamp(seconds, UTC)
        if self.config.dates == "with-ms":
            return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03}Z"
        return f"{moment:%Y-%m-%dT%H:%M:%S}" + ("Z" if self.config.dates == "without" else "")

    def hash(self, sha512: str) -> str:
        """SHA-512 in hex; its case is open."""
        return sha512.upper() if self.config.hash_case == "upper" else sha512

    def file_info(self, file: StoredFile) -> dict[str, Any]:
        """FileInfo. [doc]"""
        info = {
            "id": file.id,
            "token": file.token,
            "name": file.name,
            "extension": extension_of(file.name),
            "hash": self.hash(file.content.sha512),
            "size": file.content.size,
            "mime": file.mime,
            "is_recognizable": file.is_recognizable,
            "account": self.account,
            "application": file.application,
            "email": EMAIL,
            "created": self.date(file.created),
            "expiring": self.date(file.expiring),
        }
        return info | ({"storage_class": "hot", "tags": [], "owner": None} if self.config.extra_fields else {})

    def task(self, task: Task, status: str, progress: float) -> dict[str, Any]:
        """CaptureTask; `progress` comes as 0 to 1. The field order is that of the vendor's own example."""
        properties = dict(task.properties)
        answer: dict[str, Any] = {"id": task.id, "number": task.number, "batch_id": 0}
        if task.verification_id is not None:
            answer["verification_id"] = task.verification_id
        answer |= {"type": task.type, "is_realtime_enabled": False, "processing_priority": "Normal"}
        answer |= {"is_demo": self.config.demo_application, "properties": properties, "account": self.account}
        answer |= {"email": EMAIL, "application": task.application, "created": self.date(task.created)}
        answer |= self._dates(task)
        answer |= {"progress": self.progress(progress), "status": status}
        answer |= {"is_deleted": task.deleted is not None, "is_billed": task.billed is not None}
        if task.is_counted:
            answer["documents_count"] = len(task.documents)
            if (pages := sum(each.pages for each in task.documents)) > 0:
                answer["pages_count"] = pages
        answer["documents"] = [document_json(each) for each in task.documents]
        answer["is_extra_error"] = False
        return answer | ({"sla": {"tier": "gold"}, "labels": ["a"], "parent": None} if self.config.extra_fields else {})

    def progress(self, fraction: float) -> float:
        """0 to 1, or 0 to 100; which is open."""
        return round(fraction * 100, 2) if self.config.progress == "percent" else round(fraction, 4)

    def _dates(self, task: Task) -> dict[str, str]:
        dates = {
            "started": task.started,
            "action_required": task.action_required,
            "billed": task.billed,
            "delivered": task.delivered,
            "deleted": task.deleted,
        }
        return {name: self.date(value) for name, value in dates.items() if value is not None}


def document_json(document: Document) -> dict[str, Any]:
    """`files` is a map: `source` is the uploaded file, results stand under keys that start with `target`. [seen]"""
    files = {"source": file_reference(document.source)}
    files |= {key: file_reference(file) for key, file in document.targets}
    return {"files": files, "data": {}, "is_moved": document.is_moved}


def file_reference(file: FileReference) -> dict[str, str]:
    """How a task names a file."""
    return {"id": file.id, "token": file.token, "name": file.name}


def extension_of(name: str) -> str:
    """`.pdf` for `a.pdf`, empty without one."""
    stem, dot, extension = name.rpartition(".")
    return f".{extension}" if dot and stem else ""


def stem_of(name: str) -> str:
    """The name without its extension."""
    return name.removesuffix(extension_of(name)) or name


def is_id(text: object) -> bool:
    return isinstance(text, str) and _FILE_ID.fullmatch(text) is not None


def is_token(text: object) -> bool:
    return isinstance(text, str) and _FILE_TOKEN.fullmatch(text) is not None


def is_string_map(value: object) -> bool:
    return isinstance(value, Mapping) and all(isinstance(each, str) for each in (*value.keys(), *value.values()))
