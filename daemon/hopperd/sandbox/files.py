"""Files after their upload: `/v2/file/{id}/{token}` and its `/info`. Another application's file is not there: 404."""

from __future__ import annotations

from aiohttp import web

from hopperd.sandbox.log import Deed
from hopperd.sandbox.refusal import Refusal
from hopperd.sandbox.twin import admit, note, serve_content, twin_of
from hopperd.sandbox.vault import StoredFile
from hopperd.sandbox.wire import is_id, is_token


async def info(request: web.Request) -> web.Response:
    """FileInfo; a deleted or expired file is 404. [doc]"""
    return web.json_response(twin_of(request).wire.file_info(_file(request)))


async def download(request: web.Request) -> web.Response:
    """The bytes of a source or result file. [doc, seen]"""
    file = _file(request)
    answer = serve_content(request, file.content, file.mime)
    note(request, _deed("download", file))
    return answer


async def delete(request: web.Request) -> web.Response:
    """Deletes the file; 200 or 204 is open."""
    twin = twin_of(request)
    file = _file(request)
    twin.vault.delete_file(file)
    note(request, _deed("delete_file", file))
    if twin.config.delete_status == "200":
        return web.json_response(twin.wire.file_info(file))
    return web.Response(status=204)


def _file(request: web.Request) -> StoredFile:
    application = admit(request)
    file_id, token = request.match_info["file_id"], request.match_info["token"]
    found = None
    if is_id(file_id) and is_token(token):
        found = twin_of(request).vault.file(file_id, token, application)
    if found is None:
        raise Refusal(404, "There is no such file.")
    return found


def _deed(event: str, file: StoredFile) -> Deed:
    return Deed(
        event=event,
        application=file.application,
        file_id=file.id,
        task_id=file.task_id,
        sha256=file.content.sha256,
    )
