"""Capture tasks: Run (`POST /v2/task/capture/...`), look and delete (`/v2/task/{id}`)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from aiohttp import web

from hopperd.sandbox.log import Deed
from hopperd.sandbox.processing import formats_of
from hopperd.sandbox.refusal import Refusal
from hopperd.sandbox.twin import Twin, admit, note, read_json, twin_of
from hopperd.sandbox.vault import StoredFile, Task
from hopperd.sandbox.wire import is_string_map

FILES_MAX: Final = 1_000
PROPERTIES_MAX: Final = 1_000
PROPERTIES_CHARACTERS_MAX: Final = 100_000
ALLOWED: Final = {
    "region": ("us", "au", "eu", "ca"),
    "verification_type": ("noverification", "troubleshooting", "userverification"),
}
FORMATS: Final = ("xls", "xml", "csv", "json")


async def run_invoices(request: web.Request) -> web.Response:
    """`POST /v2/task/capture/invoices`. [doc]"""
    return await _run(request, "ic")


async def run_documents(request: web.Request) -> web.Response:
    """`POST /v2/task/capture/documents`, for custom document projects. [seen]"""
    return await _run(request, "dc")


async def look(request: web.Request) -> web.Response:
    """`GET /v2/task/{id}`. [seen]"""
    task = _task(request)
    answer, status = _answer(twin_of(request), task)
    note(request, Deed(event="look", application=task.application, task_id=task.id, more={"task_status": status}))
    return web.json_response(answer)


async def delete(request: web.Request) -> web.Response:
    """`DELETE /v2/task/{id}`: 200 or 204 is open. The files of the task stay. [doc step, path inferred]"""
    twin = twin_of(request)
    task = _task(request)
    status, progress = twin.processing.look(task)
    twin.vault.delete_task(task)
    note(request, Deed(event="delete_task", application=task.application, task_id=task.id))
    if twin.config.delete_status == "200":
        return web.json_response(twin.wire.task(task, status, progress))
    return web.Response(status=204)


async def _run(request: web.Request, task_type: str) -> web.Response:
    application = admit(request)
    twin = twin_of(request)
    body = await read_json(request)
    if not isinstance(body, dict):
        raise Refusal(400, "The body must be an object with files and properties.")
    properties = check_properties(body.get("properties", {}))
    files = _files(twin, application, body.get("files"))
    task, is_billed = twin.processing.begin(task_type, application, properties, files)
    note(request, _run_deed(task, files, is_billed))
    return web.json_response(twin.wire.task(task, task.status, 0.0), status=int(twin.config.run_status))


def check_properties(properties: Any) -> Mapping[str, str]:
    """A free map of strings; those with a meaning must have one of its values, in any case. Raises Refusal 400."""
    if not is_string_map(properties) or len(properties) > PROPERTIES_MAX:
        raise Refusal(400, "properties must be an object whose values are all strings.")
    if sum(len(name) + len(value) for name, value in properties.items()) > PROPERTIES_CHARACTERS_MAX:
        raise Refusal(400, f"properties have more than {PROPERTIES_CHARACTERS_MAX} characters.")
    for name, allowed in ALLOWED.items():
        if name in properties and properties[name].lower() not in allowed:
            raise Refusal(400, f"The value of properties.{name} is not known.")
    if not set(formats_of(properties)) <= set(FORMATS):
        raise Refusal(400, "The value of properties.export_format is not known.")
    checked: Mapping[str, str] = properties
    return checked


def _files(twin: Twin, application: str, references: Any) -> list[StoredFile]:
    if not isinstance(references, list) or not references:
        raise Refusal(400, "files must be a list of at least one file.")
    if len(references) > FILES_MAX:
        raise Refusal(400, f"A task can have at most {FILES_MAX} files.")
    return [_referenced(twin, application, each) for each in references]


def _referenced(twin: Twin, application: str, reference: Any) -> StoredFile:
    if not isinstance(reference, dict):
        raise Refusal(400, "Each of files must be an object with id and token.")
    file_id, token = reference.get("id"), reference.get("token")
    if not isinstance(file_id, str) or not isinstance(token, str):
        raise Refusal(400, "Each of files needs id and token, both strings.")
    file = twin.vault.file(file_id, token, application)
    if file is None:
        raise Refusal(404, "One of files is not there.")
    return file


def _task(request: web.Request) -> Task:
    application = admit(request)
    task = twin_of(request).vault.task(request.match_info["task_id"], application)
    if task is None:
        raise Refusal(404, "There is no such task.")
    return task


def _answer(twin: Twin, task: Task) -> tuple[dict[str, Any], str]:
    status, progress = twin.processing.look(task)
    return twin.wire.task(task, status, progress), status


def _run_deed(task: Task, files: list[StoredFile], is_billed: bool) -> Deed:
    more: dict[str, Any] = {
        "file_ids": [each.id for each in files],
        "sha256s": [each.content.sha256 for each in files],
        "billed": is_billed,
    }
    if task.course.outcome != "done":
        more["outcome"] = task.course.outcome
    return Deed(event="run", application=task.application, task_id=task.id, more=more)
