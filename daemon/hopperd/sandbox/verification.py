"""The verification page, `/verification/{verification_id}`, and what it asks the server for.

Needs nothing but the id, which nobody can guess. [doc] Works only while the task waits for a person, in one window at a
time. Everything it needs comes from this package; nothing from outside may be loaded.
"""

from __future__ import annotations

import re
from importlib import resources
from typing import Any, Final

from aiohttp import web

from hopperd.sandbox.corrections import NotCorrect, corrected, shown
from hopperd.sandbox.lenient import NotJson, loads
from hopperd.sandbox.processing import Decision
from hopperd.sandbox.reader import Unreadable
from hopperd.sandbox.refusal import Refusal, error_body
from hopperd.sandbox.twin import Twin, read_body, twin_of
from hopperd.sandbox.vault import Document, Task

BODY_MAX: Final = 8 * 1024 * 1024
_ID: Final = re.compile(r"[0-9a-fA-F]{32}")
_NUMBER: Final = re.compile(r"[0-9]{1,6}")
_TYPES: Final = {"css": "text/css", "js": "text/javascript", "html": "text/html", "svg": "image/svg+xml"}
STATIC: Final = ("verification.css", "verification.js", "form.js", "icon.svg")
GUARD: Final = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}
"""Others may show the page in a frame of theirs: that is what it is for. [doc]"""


async def page(request: web.Request) -> web.Response:
    """`GET /verification/{verification_id}`; 404 or 410, with a page that says so, if nobody is asked."""
    try:
        _waiting(request)
    except Refusal as refusal:
        return _static("closed.html", refusal.status)
    return _static("verification.html")


async def static(request: web.Request) -> web.Response:
    """The page's own style and scripts."""
    name = request.match_info["name"]
    if name not in STATIC:
        raise Refusal(404, "There is no such file.")
    return _static(name)


async def take_window(request: web.Request) -> web.Response:
    """`PUT .../windows/{window}`: this window opens the page, or is still there; 409 if another one is."""
    _, twin = _held(request)
    return web.json_response({"heartbeat_seconds": twin.windows.seconds / 5}, headers=GUARD)


async def leave_window(request: web.Request) -> web.Response:
    """`DELETE .../windows/{window}`: the window is closed."""
    verification_id, window = _ids(request)
    twin_of(request).windows.give_back(verification_id, window)
    return web.Response(status=204)


async def questions(request: web.Request) -> web.Response:
    """`GET .../windows/{window}/task`: what was read of every document."""
    task, _ = _held(request)
    documents = [_question(each) for each in task.documents]
    return web.json_response({"number": task.number, "documents": documents}, headers=GUARD)


async def picture(request: web.Request) -> web.Response:
    """`GET .../windows/{window}/documents/{document}/pages/{page}`, both from 0: the page as it was sent."""
    task, twin = _held(request)
    at, number = request.match_info["document"], request.match_info["page"]
    if not _NUMBER.fullmatch(at) or not _NUMBER.fullmatch(number) or int(at) >= len(task.documents):
        raise Refusal(404, "There is no such page.")
    content = task.documents[int(at)].content
    if content is None:
        raise Refusal(404, "The file is not there any more.")
    try:
        mime, data = await twin.pool.draw(content, int(number))
    except Unreadable as error:
        raise Refusal(404, str(error)) from error
    headers = GUARD | {"Cache-Control": "private, max-age=600"}
    return web.Response(body=data, content_type=mime, headers=headers)


async def close(request: web.Request) -> web.Response:
    """`POST .../windows/{window}/close`: every document's fate; the task goes on to Done."""
    task, twin = _held(request)
    body = await read_body(request, BODY_MAX)
    try:
        decisions = _decisions(task, loads(body))
    except NotJson as error:
        raise Refusal(400, f"The body is not JSON: {error}.") from error
    except NotCorrect as error:
        answer = error_body(400, error.sentence) | {"where": error.where}
        return web.json_response(answer, status=400, headers=GUARD)
    if not await twin.processing.release(task, decisions):
        raise Refusal(410, "The task does not wait for anybody any more.")
    verification_id, window = _ids(request)
    twin.windows.give_back(verification_id, window)
    return web.json_response({"status": task.status}, headers=GUARD)


def _question(document: Document) -> dict[str, Any]:
    invoices = document.invoices or ()
    return {
        "name": document.source.name,
        "pages": max(document.pages, 1),
        "invoices": [
            {"read_from": each.read_from, "confidence": round(each.confidence, 2), "fields": shown(each)}
            for each in invoices
        ],
    }


def _decisions(task: Task, body: Any) -> list[Decision]:
    """From `{"documents": [{"removed": bool, "invoices": [fields, ...]}, ...]}`. Raises NotCorrect or Refusal 400."""
    documents = body.get("documents") if isinstance(body, dict) else None
    if not isinstance(documents, list) or len(documents) != len(task.documents):
        raise Refusal(400, "The body must tell what becomes of each document.")
    return [_decision(at, *each) for at, each in enumerate(zip(task.documents, documents, strict=True))]


def _decision(at: int, document: Document, said: Any) -> Decision:
    if not isinstance(said, dict) or not isinstance(said.get("removed", False), bool):
        raise Refusal(400, "Each document must be an object; removed is true or false.")
    if said.get("removed", False):
        return Decision(is_removed=True)
    invoices = document.invoices or ()
    fields = said.get("invoices")
    if not isinstance(fields, list) or len(fields) != len(invoices):
        raise Refusal(400, "invoices must have the fields of each invoice of the document.")
    checked = []
    for number, (invoice, each) in enumerate(zip(invoices, fields, strict=True)):
        try:
            checked.append(corrected(invoice, each))
        except NotCorrect as error:
            raise NotCorrect(f"{at}.{number}.{error.where}", error.sentence) from error
    return Decision(invoices=tuple(checked))


def _waiting(request: web.Request) -> Task:
    twin = twin_of(request)
    verification_id = request.match_info["verification_id"]
    task = twin.vault.asked_about(verification_id) if _ID.fullmatch(verification_id) else None
    if task is None:
        raise Refusal(404, "There is no such task.")
    twin.processing.look(task)
    if task.status != "WaitForAction":
        raise Refusal(410, "The task does not wait for anybody any more.")
    return task


def _held(request: web.Request) -> tuple[Task, Twin]:
    """The task, if this window has it open, or nobody has: then it does now. Raises Refusal 404, 409 or 410."""
    verification_id, window = _ids(request)
    task, twin = _waiting(request), twin_of(request)
    if not twin.windows.take(verification_id, window):
        raise Refusal(409, "The task is open in another window.")
    return task, twin


def _ids(request: web.Request) -> tuple[str, str]:
    window = request.match_info["window"]
    if not _ID.fullmatch(window):
        raise Refusal(404, "There is no such window.")
    return request.match_info["verification_id"].lower(), window.lower()


def _static(name: str, status: int = 200) -> web.Response:
    data = resources.files("hopperd.sandbox").joinpath("static", name).read_bytes()
    content_type = _TYPES[name.rpartition(".")[2]]
    return web.Response(body=data, status=status, content_type=content_type, charset="utf-8", headers=GUARD)
