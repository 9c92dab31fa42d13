"""The twin's whole interface as OpenAPI, written as data beside the routes; a test tells when one of them is missing.

What the vendor's documentation leaves open stands here both ways (200 and 201, an array or an object).
"""

from __future__ import annotations

import copy
import re
from dataclasses import dataclass
from typing import Any, Final

import hopperd
from hopperd.sandbox.openapi_schemas import FILE_ID, FILE_TOKEN, SCHEMAS, VERIFICATION_ID, Schema, named

_REFUSED: Final = {
    400: "The request cannot be understood.",
    401: "The credentials are not right.",
    404: "It is not there, or not this application's.",
    408: "The body did not come to an end.",
    409: "It is not ready, or somebody else has it open.",
    410: "The task does not wait for anybody any more.",
    413: "Too much at once.",
    503: "The sandbox has no room, or a reader was lost.",
}
_PARAMETERS: Final[dict[str, Schema]] = {
    "file_id": FILE_ID,
    "token": FILE_TOKEN,
    "task_id": FILE_ID,
    "verification_id": VERIFICATION_ID,
    "window": VERIFICATION_ID | {"description": "Made up by the window that opens the page: 32 hex digits."},
    "document": {"type": "integer", "minimum": 0, "maximum": 999},
    "page": {"type": "integer", "minimum": 0, "maximum": 999_999},
    "name": {"type": "string", "enum": ["verification.css", "verification.js", "form.js", "icon.svg"]},
}
_JSON: Final = "application/json"
_ANY: Final = "*/*"


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One method of one path: what it takes, what it answers when all is well, and how it may refuse."""

    summary: str
    good: dict[int, tuple[str, Schema] | None]
    body: tuple[str, Schema] | None = None
    is_body_needed: bool = True
    refusals: tuple[int, ...] = (404,)
    is_open: bool = False


_TASK: Final = (_JSON, named("CaptureTask"))
_INFO: Final = (_JSON, named("FileInfo"))
_BYTES: Final = (_ANY, {"type": "string", "format": "binary"})
_UPLOADED: Final = (_JSON, {"oneOf": [{"type": "array", "items": named("FileInfo")}, named("FileInfo")]})
_UPLOAD: Final = (
    "multipart/form-data",
    {
        "type": "object",
        "properties": {"file": {"type": "string", "format": "binary"}},
        "additionalProperties": {"type": "string", "format": "binary"},
        "minProperties": 1,
        "required": ["file"],
    },
)
_RUN: Final = (_JSON, named("Run"))
_FILE: Final = "/v2/file/{file_id}/{token}"
_PAGE: Final = "/verification/{verification_id}"
_WINDOW: Final = _PAGE + "/windows/{window}"
_HTML: Final = ("text/html", {"type": "string"})


def _run(summary: str) -> Operation:
    return Operation(summary=summary, body=_RUN, good={200: _TASK, 201: _TASK}, refusals=(400, 404, 408, 413))


def _entries(summary: str, schema: str) -> Operation:
    return Operation(summary=summary, body=(_JSON, named(schema)), good={204: None}, refusals=(400, 408, 413))


OPERATIONS: Final[dict[tuple[str, str], Operation]] = {
    ("POST", "/v2/file"): Operation(
        summary="Upload one or more files, each a part of any name.",
        body=_UPLOAD,
        good={200: _UPLOADED},
        refusals=(400, 408, 413, 503),
    ),
    ("GET", _FILE + "/info"): Operation(summary="What is known about a file.", good={200: _INFO}),
    ("GET", _FILE): Operation(summary="The bytes of a source or result.", good={200: _BYTES}),
    ("DELETE", _FILE): Operation(summary="Delete a file.", good={200: _INFO, 204: None}),
    ("POST", "/v2/task/capture/invoices"): _run("Run a capture task on invoices."),
    ("POST", "/v2/task/capture/documents"): _run("Run a capture task of a custom project."),
    ("GET", "/v2/task/{task_id}"): Operation(summary="Where a task stands.", good={200: _TASK}),
    ("DELETE", "/v2/task/{task_id}"): Operation(summary="Delete a task.", good={200: _TASK, 204: None}),
    ("POST", "/v2/dataset/vendors"): _entries("Create vendors.", "Vendors"),
    ("PUT", "/v2/dataset/vendors"): _entries("Update vendors.", "Vendors"),
    ("POST", "/v2/dataset/businessunits"): _entries("Create business units.", "BusinessUnits"),
    ("PUT", "/v2/dataset/businessunits"): _entries("Update business units.", "BusinessUnits"),
    ("GET", "/v2/training/layout/{task_id}/{file_id}"): Operation(
        summary="The layout of one file of a task.", good={200: (_JSON, named("Layout"))}, refusals=(404, 409)
    ),
    ("POST", "/v2/training"): Operation(
        summary="Train; nothing is learned.",
        body=(_JSON, {"type": "object"}),
        good={204: None},
        refusals=(400, 408, 413),
    ),
    ("POST", "/sandbox/verify/{task_id}"): Operation(
        summary="Release a task that waits, as a person would.",
        body=(_JSON, named("Orders")),
        is_body_needed=False,
        good={200: _TASK},
        refusals=(400, 404, 408, 409, 413, 503),
        is_open=True,
    ),
    ("GET", "/sandbox/ledger"): Operation(
        summary="What was billed.", good={200: (_JSON, named("Ledger"))}, refusals=(), is_open=True
    ),
    ("GET", "/sandbox/openapi.json"): Operation(
        summary="This document.", good={200: (_JSON, {"type": "object"})}, refusals=(), is_open=True
    ),
    ("GET", "/sandbox/static/{name}"): Operation(
        summary="Style and scripts of the page.", good={200: _BYTES}, is_open=True
    ),
    ("GET", _PAGE): Operation(
        summary="The page where a person verifies; 404 and 410 are pages too.",
        good={200: _HTML, 404: _HTML, 410: _HTML},
        refusals=(),
        is_open=True,
    ),
    ("PUT", _WINDOW): Operation(
        summary="A window opens the page, or says that it is still there.",
        good={200: (_JSON, named("Window"))},
        refusals=(404, 409, 410),
        is_open=True,
    ),
    ("DELETE", _WINDOW): Operation(summary="A window is closed.", good={204: None}, is_open=True),
    ("GET", _WINDOW + "/task"): Operation(
        summary="What was read of each document.",
        good={200: (_JSON, named("Questions"))},
        refusals=(404, 409, 410),
        is_open=True,
    ),
    ("GET", _WINDOW + "/documents/{document}/pages/{page}"): Operation(
        summary="A page of a document as a picture.", good={200: _BYTES}, refusals=(404, 409, 410), is_open=True
    ),
    ("POST", _WINDOW + "/close"): Operation(
        summary="What a person decided about each document.",
        body=(_JSON, named("Decisions")),
        good={200: (_JSON, named("Closed"))},
        refusals=(400, 404, 408, 409, 410, 413, 503),
        is_open=True,
    ),
}


def document() -> dict[str, Any]:
    """The OpenAPI document, as plain values."""
    paths: dict[str, dict[str, Any]] = {}
    for (method, path), operation in OPERATIONS.items():
        paths.setdefault(path, {})[method.lower()] = _operation(method, path, operation)
    return copy.deepcopy(
        {
            "openapi": "3.1.0",
            "info": {
                "title": "hopperd sandbox: a twin of ABBYY FlexiCapture for Invoices Cloud, REST API v2",
                "version": hopperd.__version__,
                "description": "What lies under /v2 and /verification is the service's; /sandbox is the twin's own.",
            },
            "paths": paths,
            "components": {
                "schemas": SCHEMAS,
                "securitySchemes": {"application": {"type": "http", "scheme": "basic"}},
            },
            "security": [{"application": []}],
        }
    )


def _operation(method: str, path: str, operation: Operation) -> dict[str, Any]:
    refusals = operation.refusals if operation.is_open else (*operation.refusals, 401)
    answers = {str(status): _answer("As asked.", content) for status, content in operation.good.items()}
    answers |= {str(status): _refusal(status) for status in refusals}
    parameters = [
        {"name": name, "in": "path", "required": True, "schema": _PARAMETERS[name]}
        for name in re.findall(r"{(\w+)}", path)
    ]
    found: dict[str, Any] = {
        "operationId": re.sub(r"\W+", "_", f"{method} {path}").strip("_").lower(),
        "summary": operation.summary,
        "parameters": parameters,
        "responses": dict(sorted(answers.items())),
    }
    if operation.body is not None:
        content_type, schema = operation.body
        found["requestBody"] = {"required": operation.is_body_needed, "content": {content_type: {"schema": schema}}}
    if operation.is_open:
        found["security"] = []
    return found


def _refusal(status: int) -> dict[str, Any]:
    if status == 503:
        return _answer(_REFUSED[status], ("text/plain", {"type": "string"}))
    return _answer(_REFUSED[status], (_JSON, named("Refusal")))


def _answer(description: str, content: tuple[str, Schema] | None) -> dict[str, Any]:
    if content is None:
        return {"description": description}
    content_type, schema = content
    return {"description": description, "content": {content_type: {"schema": schema}}}
