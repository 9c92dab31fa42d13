"""The client of one account at the service: upload, run, look, fetch, tidy, probe. Implements the port CaptureService.

No request is ever sent twice by itself: redirects are not followed, aiohttp's own re-sending is switched off, and the
paid step is a POST. Every request has a deadline that only progress moves on. No credential leaves in a text or a log.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from typing import Any, Final, Literal, Self

import aiohttp
import structlog
from yarl import URL

from hopperd.capture import wire
from hopperd.capture.session import KEEPALIVE_SECONDS, PAID_KEEPALIVE_SECONDS, open_session
from hopperd.capture.transfer import PIECE_BYTES, Body, Deadline, FileBody, ResultFile, disk_trouble
from hopperd.pipeline.job import RemoteFile, Task
from hopperd.pipeline.naming import upload_name
from hopperd.ports import CaptureService, ChangedUnderUs, Fetchable, ServiceTrouble, Source
from hopperd.settings import Account

log = structlog.get_logger(__name__)

LONGEST_RESULT_BYTES: Final = 1024**3
FILE_THREADS: Final = 4
_NOBODYS_FILE: Final = RemoteFile(id="0" * 24, token="0" * 40)


class Client:
    """One account at the service. Use as an async context manager, or call `close`.

    `more` is awaited before every request but the first of a call: the first one's token comes with the turn;
    `more_tidying` (or `more`) where the call only deletes what nobody needs.
    With `verify_results`, a result's size and SHA-512 are asked for before it is fetched, and compared. `note` is told
    of every request that ended: what it was for, and its status or why it got none. `pools` gives the threads for the
    files of a hot folder, so that a share that hangs keeps its own.
    """

    def __init__(
        self,
        account: Account,
        *,
        more: Callable[[], Awaitable[None]] | None = None,
        more_tidying: Callable[[], Awaitable[None]] | None = None,
        pools: Callable[[str], Executor] | None = None,
        verify_results: bool = True,
        note: Callable[[str, str], None] | None = None,
    ) -> None:
        self._account = account
        self._more = more
        self._more_tidying = more_tidying or more
        self._own_pool = ThreadPoolExecutor(FILE_THREADS, "hopperd-files")  # begins no thread before it is used
        self._pools: Callable[[str], Executor] = pools or (lambda _: self._own_pool)
        self._verify_results = verify_results
        self._note = note
        self._log = log.bind()  # once: most of its lines are never written
        self._token = account.application_token.get_secret_value()
        self._authorization = wire.authorization(account.application_id, self._token)
        self._sessions: dict[float, tuple[aiohttp.ClientSession, dict[str, Any]]] = {}  # by how long connections idle

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        opened, self._sessions = self._sessions, {}
        for session, _ in opened.values():
            await session.close()
        self._own_pool.shutdown(wait=False, cancel_futures=True)

    # ----------------------------------------------------------------------------------------------------- calls

    async def upload(self, source: Source) -> RemoteFile:
        """Upload one file. Raises ServiceTrouble, ChangedUnderUs or FileNotFoundError."""
        body = FileBody(source, upload_name(source.name), self._pools(source.folder))
        try:
            await body.open_file()
            info = await self._send_file(body)
            if not await body.is_untouched():
                raise ChangedUnderUs("the file changed while it was uploaded")
            if info.sha512 == source.sha512.lower() and info.size_bytes == source.size_bytes:
                return info.remote
            if not await body.is_as_announced():
                raise ChangedUnderUs("the file's bytes are not those that were claimed")
        finally:
            body.close_file()
        raise ServiceTrouble("weather", "upload: the uploaded bytes did not arrive as sent", status=200)

    async def _send_file(self, body: FileBody) -> wire.FileInfo:
        try:
            status, answer = await self._ask("upload", "POST", "/v2/file", body)
        except ServiceTrouble as trouble:
            if body.changed:
                raise ChangedUnderUs("the file became shorter while it was uploaded") from trouble
            if body.disk_error is not None:
                raise disk_trouble("upload", body.disk_error) from trouble
            raise
        with self._readable("upload", status, answer):
            return wire.read_file_info(answer)

    async def run(self, files: Sequence[RemoteFile], properties: Mapping[str, str]) -> Task:
        """Ask for a Run, once. Anything but a certain yes or a certain no is ServiceTrouble("doubt")."""
        body = Body(wire.run_body(files, properties), "application/json")
        status, answer = await self._ask("run", "POST", "/v2/task/capture/invoices", body)
        with self._readable("run", status, answer):
            return wire.read_task(answer)

    async def look(self, task_id: str) -> Task:
        status, answer = await self._ask("look", "GET", wire.task_path(task_id))
        with self._readable("look", status, answer):
            task = wire.read_task(answer)
            if task.id != task_id:
                raise wire.Unreadable("it describes another task")
            return task

    async def fetch(self, fetchable: Fetchable) -> tuple[int, str]:
        """Fetch one result into a new file. On any trouble no file is left."""
        remote, name = fetchable.result.remote, fetchable.result.name
        info = await self._look_at_file(remote) if self._verify_results else None
        if self._verify_results:
            await self._next_request()
        pool = self._pools(fetchable.folder)
        result = ResultFile(fetchable.path, pool, with_sha512=info is not None and info.sha512 is not None)
        try:
            has_size = info is not None and (info.size_bytes is not None or info.sha512 is not None)
            await self._receive(result, wire.file_path(remote), end_is_known=has_size)
            await result.finish(lambda: _check_result(result, info, name))
        except BaseException:
            await result.drop()
            raise
        return result.size_bytes, result.sha256

    async def tidy(self, task_id: str | None, files: Sequence[RemoteFile]) -> None:
        """Delete the task, then the files. What is gone already is fine."""
        paths = [] if task_id is None else [wire.task_path(task_id)]
        paths += [wire.file_path(file) for file in files]
        for place, path in enumerate(paths):
            if place and self._more_tidying is not None:
                await self._more_tidying()
            try:
                await self._ask("tidy", "DELETE", path)
            except ServiceTrouble as trouble:
                if trouble.fault != "gone":
                    raise

    async def probe(self) -> None:
        """Ask for a file that nobody has: to hear that it does not exist takes valid credentials and costs nothing."""
        try:
            status, answer = await self._ask("probe", "GET", wire.file_path(_NOBODYS_FILE) + "/info")
        except ServiceTrouble as trouble:
            if trouble.status in (400, 404):
                return
            raise
        if wire.looks_like_html(answer):  # a log-in page of the network in between, most likely
            raise ServiceTrouble("weather", "probe: an HTML page answered in place of the service", status=status)

    async def _look_at_file(self, remote: RemoteFile) -> wire.FileInfo | None:
        """FileInfo of a result. None where the service does not say: then the download alone decides."""
        try:
            _, answer = await self._ask("info", "GET", wire.file_path(remote) + "/info")
            return wire.read_file_info(answer)
        except wire.Unreadable:
            return None
        except ServiceTrouble as trouble:
            if trouble.fault in ("gone", "unready", "file"):
                return None
            raise

    async def _next_request(self) -> None:
        if self._more is not None:
            await self._more()

    # -------------------------------------------------------------------------------------------------- requests

    async def _ask(self, call: str, method: str, path: str, body: Body | None = None) -> tuple[int, bytes]:
        """One request whose answer is small. Raises ServiceTrouble for every answer but a 2xx."""
        async with self._request(call, method, path, body) as (response, _):
            answer = await _read_bounded(response, wire.LONGEST_ANSWER_BYTES)
            self._raise_for_status(call, response, answer)
            return response.status, answer

    async def _receive(self, result: ResultFile, path: str, *, end_is_known: bool) -> None:
        """The body of a download into `result`, whole or not at all.

        Whole by its Content-Length or its chunks; or by what the service says of the file, which is compared later.
        Without any of them, a body that was cut short looks like one that has ended.
        """
        async with self._request("fetch", "GET", path) as (response, deadline):
            if response.status != 200:
                self._raise_for_status("fetch", response, await _read_bounded(response, 65536))
                raise ServiceTrouble("weather", "fetch: the service sent something else", status=response.status)
            credited = 0
            async for piece in response.content.iter_any():
                await result.add(piece)
                if result.size_bytes - credited >= PIECE_BYTES:  # a peer that drips single bytes makes no progress
                    credited = result.size_bytes
                    deadline.progress()
                if result.size_bytes > LONGEST_RESULT_BYTES:
                    raise ServiceTrouble("weather", f"fetch: the result is longer than {LONGEST_RESULT_BYTES} bytes")
            announced = response.content_length
            if announced not in (None, result.size_bytes) and "Content-Encoding" not in response.headers:
                raise ServiceTrouble("weather", "fetch: the result is not as long as announced", status=200)
            is_chunked = "chunked" in response.headers.get("Transfer-Encoding", "").lower()
            if announced is None and not is_chunked and not end_is_known:
                what = "fetch: nothing says how long the result is, so nobody can tell whether it is whole"
                raise ServiceTrouble("weather", what, status=200)

    def _raise_for_status(self, call: str, response: aiohttp.ClientResponse, answer: bytes) -> None:
        if not 200 <= response.status < 300:
            raise wire.answer_trouble(
                call,
                response.status,
                answer,
                retry_after=response.headers.get("Retry-After"),
                now=time.time(),
                secrets=self._secrets,
            )

    @contextmanager
    def _readable(self, call: str, status: int, answer: bytes) -> Iterator[None]:
        try:
            yield
        except wire.Unreadable as why:
            raise wire.unreadable_trouble(call, status, str(why), answer, secrets=self._secrets) from None

    @asynccontextmanager
    async def _request(
        self, call: str, method: str, path: str, body: Body | None = None
    ) -> AsyncIterator[tuple[aiohttp.ClientResponse, Deadline]]:
        """The request, until the block is left: the deadline covers all that is done with the answer."""
        account = self._account
        session, given = self._open(call, PAID_KEEPALIVE_SECONDS if call == "run" else KEEPALIVE_SECONDS)
        deadline = Deadline(
            first_seconds=account.connect_seconds + account.answer_seconds,
            answer_seconds=account.answer_seconds,
            stall_seconds=account.stall_seconds,
        )
        if body is not None:
            body.deadline = deadline
        started, outcome = time.monotonic(), "cancelled"
        response: aiohttp.ClientResponse | None = None
        try:
            async with deadline.timeout:
                response = await session.request(
                    method, URL(account.url + path, encoded=True), data=body, allow_redirects=False, **given
                )
                deadline.progress()
                yield response, deadline
            outcome = "answered"
        except ServiceTrouble as trouble:
            outcome = trouble.fault
            raise
        except (aiohttp.ClientError, TimeoutError, OSError, UnicodeError) as error:
            outcome = type(error).__name__
            if response is not None:  # a refusal stays one, even if its explanation broke off
                self._raise_for_status(call, response, b"")
            raise _lost(call, error, never_arrived=body is not None and not body.begun) from None
        finally:
            if response is not None:
                response.release() if outcome == "answered" or response.content.at_eof() else response.close()
            if self._note is not None:
                self._note(call, str(response.status) if response is not None else outcome)
            log = self._log
            log.debug(
                "request",
                account=account.name,
                call=call,
                outcome=outcome,
                status=response.status if response is not None else None,
                milliseconds=round((time.monotonic() - started) * 1000.0, 1),
            )

    def _open(self, call: str, keepalive_seconds: float) -> tuple[aiohttp.ClientSession, dict[str, Any]]:
        if keepalive_seconds not in self._sessions:
            try:
                opened = open_session(self._account, self._authorization, keepalive_seconds)
            except OSError as error:  # nothing was sent
                why = f"{call}: ca_file {self._account.ca_file} cannot be used: {error.strerror or error}"
                raise ServiceTrouble("weather", why, kind="network") from None
            self._sessions[keepalive_seconds] = opened
        return self._sessions[keepalive_seconds]

    @property
    def _secrets(self) -> tuple[str, ...]:
        return (self._token, self._authorization.removeprefix("Basic "))


async def _read_bounded(response: aiohttp.ClientResponse, longest_bytes: int) -> bytes:
    """The body, or its beginning: one byte more than the longest, so that whoever reads it sees that there is more."""
    pieces, size = [], 0
    async for piece in response.content.iter_any():
        pieces.append(piece)
        size += len(piece)
        if size > longest_bytes:
            break
    return b"".join(pieces)[: longest_bytes + 1]


def _check_result(result: ResultFile, info: wire.FileInfo | None, name: str) -> None:
    """Raises ServiceTrouble where what was fetched cannot be the result: then it is fetched again."""
    why = None
    if result.size_bytes == 0:
        why = "the result is empty"
    elif wire.looks_like_html(result.start) and not name.lower().endswith((".html", ".htm")):
        why = "an HTML page came in place of the result"
    elif info is not None and info.size_bytes not in (None, result.size_bytes):
        why = f"{result.size_bytes} bytes came, and the service says that the result has {info.size_bytes}"
    elif info is not None and info.sha512 is not None and info.sha512 != result.sha512:
        why = "the result's SHA-512 is not the one that the service names"
    if why is not None:
        raise ServiceTrouble("weather", f"fetch: {why}", status=200)


def _lost(call: str, error: Exception, *, never_arrived: bool) -> ServiceTrouble:
    """No whole answer came. After a Run that is a doubt, unless nothing of it can have arrived.

    The texts of aiohttp's errors hold addresses with file tokens in them: none is quoted.
    """
    kind: Literal["server", "network"] = "network"
    match error:
        case aiohttp.ClientConnectorDNSError():
            never_arrived, what = True, f"the name {error.host} could not be resolved"
        case aiohttp.ClientConnectorCertificateError():
            never_arrived, what = True, f"the certificate of {error.host} is not to be trusted"
        case aiohttp.ClientSSLError():
            never_arrived, what = True, f"TLS with {error.host} failed"
        case aiohttp.ClientConnectorError():
            reason = error.os_error.strerror or "refused"
            never_arrived, what = True, f"no connection to {error.host}:{error.port}: {reason}"
        case aiohttp.ClientHttpProxyError():
            never_arrived, what = True, f"the proxy answered {error.status}"
        case aiohttp.ConnectionTimeoutError():
            never_arrived, what = True, "no connection in time"
        case aiohttp.InvalidURL() | UnicodeError():
            never_arrived, what = True, "the service's address is not one"
        case TimeoutError():
            what = "no answer in time"
        case aiohttp.ClientPayloadError():
            kind, what = "server", "the answer broke off"
        case aiohttp.ClientResponseError():
            kind, what = "server", "the answer is not HTTP"
        case _:
            what = "the connection was cut"
    is_doubt = call == "run" and not never_arrived
    return ServiceTrouble("doubt" if is_doubt else "weather", f"{call}: {wire.clean(what)}", kind=kind)


def _is_service(client: Client) -> CaptureService:
    """For the type checker: the class keeps the port's promises."""
    return client
