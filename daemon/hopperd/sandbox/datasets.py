"""The handlers of data sets and training; all they do is check, store and answer as the documentation says. [doc]"""

from __future__ import annotations

from aiohttp import web

from hopperd.sandbox.catalog import CatalogFull, entries_of
from hopperd.sandbox.refusal import Refusal
from hopperd.sandbox.twin import admit, read_json, twin_of
from hopperd.sandbox.vault import Document, Task


async def put_entries(request: web.Request) -> web.Response:
    """`POST` or `PUT` of one entry or a list of them; 204."""
    application = admit(request)
    entries = entries_of(await read_json(request))
    if entries is None:
        raise Refusal(400, "The body must be an object with a list of entries, such a list, or one entry.")
    name = request.path.rpartition("/")[2]
    try:
        twin_of(request).catalogs.put(application, name, entries)
    except CatalogFull:
        raise Refusal(413, "The data set is full.") from None
    return web.Response(status=204)


async def layout(request: web.Request) -> web.Response:
    """`GET /v2/training/layout/{taskId}/{fileId}`: 409 until the task is processed. The form is the twin's own."""
    application = admit(request)
    twin = twin_of(request)
    task = twin.vault.task(request.match_info["task_id"], application)
    document = _document(task, request.match_info["file_id"])
    if task is None or document is None:
        raise Refusal(404, "There is no such task, or no such file in it.")
    twin.processing.look(task)
    if not task.is_counted:
        raise Refusal(409, "The task has not been processed yet.")
    return web.json_response({"taskId": task.id, "fileId": document.source.id, "pages": [], "fields": []})


async def train(request: web.Request) -> web.Response:
    """`POST /v2/training`: 204; nothing is learned."""
    admit(request)
    if not isinstance(await read_json(request), (dict, list)):
        raise Refusal(400, "The body must be a layout.")
    return web.Response(status=204)


def _document(task: Task | None, file_id: str) -> Document | None:
    documents = task.documents if task is not None else []
    return next((each for each in documents if each.source.id == file_id.lower()), None)
