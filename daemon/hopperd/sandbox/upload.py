"""`POST /v2/file`: multipart, one or more parts of any name, each of them a file. [doc]"""

from __future__ import annotations

import asyncio
from typing import Final

import aiohttp
from aiohttp import web

from hopperd.sandbox.contents import Incoming
from hopperd.sandbox.log import Deed
from hopperd.sandbox.refusal import Refusal
from hopperd.sandbox.twin import IDLE_SECONDS_MAX, admit, keep_waiting, note, twin_of
from hopperd.sandbox.vault import StoredFile, Vault

PARTS_MAX: Final = 1_000
NAME_MAX: Final = 1_024
CHUNK_BYTES: Final = 64 * 1024
NOT_A_MULTIPART: Final = (ValueError, LookupError, RuntimeError, AssertionError, TypeError)
"""What aiohttp's multipart reader raises for bodies that are none."""


async def upload(request: web.Request) -> web.Response:
    """Stores every part; nothing of it if one part cannot be taken. Answers FileInfo for each, in order."""
    application = admit(request)
    twin = twin_of(request)
    received = await _receive_all(request, twin.vault, twin.config.max_body_bytes)
    files: list[StoredFile] = []
    for name, incoming in received:
        file = twin.vault.add_file(name, incoming.finish(), application)
        files.append(file)
        note(request, Deed(event="upload", application=application, file_id=file.id, sha256=file.content.sha256))
    infos = [twin.wire.file_info(each) for each in files]
    return web.json_response(infos[0] if twin.config.upload_answer == "object" else infos)


async def _receive_all(request: web.Request, vault: Vault, size_max: int) -> list[tuple[str, Incoming]]:
    received: list[tuple[str, Incoming]] = []
    try:
        async with asyncio.timeout(IDLE_SECONDS_MAX) as limit:
            await _receive_parts(request, vault, size_max, received, limit)
    except BaseException as error:
        for _, incoming in received:
            incoming.abandon()
        if isinstance(error, NOT_A_MULTIPART):
            raise Refusal(400, "The body is not a well-formed multipart/form-data.") from error
        raise
    return received


async def _receive_parts(
    request: web.Request, vault: Vault, size_max: int, received: list[tuple[str, Incoming]], limit: asyncio.Timeout
) -> None:
    if not request.content_type.startswith("multipart/"):
        raise Refusal(400, "The body must be multipart/form-data.")
    left = size_max
    async for part in await request.multipart():
        if not isinstance(part, aiohttp.BodyPartReader):
            raise Refusal(400, "A part cannot be a multipart itself.")
        if len(received) == PARTS_MAX:
            raise Refusal(413, f"The body has more than {PARTS_MAX} parts.")
        incoming = vault.contents.receive()
        received.append((file_name(part), incoming))
        while chunk := await part.read_chunk(CHUNK_BYTES):
            keep_waiting(limit)
            left -= len(chunk)
            if left < 0:
                raise Refusal(413, f"The files have more than {size_max} bytes.")
            vault.receive(incoming, chunk)
    if not received:
        raise Refusal(400, "The body has no part with a file.")


def file_name(part: aiohttp.BodyPartReader) -> str:
    """The name the client gives, without any folders; `file` if it gives none."""
    name = part.filename or part.name or "file"
    last = name.replace("\\", "/").rpartition("/")[2].replace("\0", "")
    return last[:NAME_MAX] or "file"
