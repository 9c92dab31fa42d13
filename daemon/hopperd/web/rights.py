"""Who may read and who may act, on the web listener. The Unix socket needs none of this: its folder is ours alone.

Reading and acting are separate tokens, sent as `Authorization: Bearer`, never in an address or a cookie: no other
site can make a browser send them. Without a read token whoever reaches the (loopback) listener may read, so there the
Host header must name this machine, or a name that resolves to it would let any web site read. Without an act token
nobody acts. Acting takes JSON, and comes from our own page where a browser says where it comes from.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from aiohttp import web

from hopperd.settings.checks import is_loopback

OPEN_PATHS: Final = frozenset({"/healthz", "/readyz"})
SOCKET_ONLY: Final = frozenset({"/v1/backup", "/v1/fsck"})
READ_TOKEN_NEEDED: Final = frozenset({"/v1/export"})

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

HEADERS: Final = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Server": "hopperd",
    "X-Frame-Options": "DENY",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Rights:
    """The two tokens; empty where there is none."""

    read_token: str = ""
    act_token: str = ""

    def may_read(self, request: web.Request) -> bool:
        return not self.read_token or self._shows(request, self.read_token) or self.may_act(request)

    def knows(self, request: web.Request) -> bool:
        """Whether the request shows one of the tokens, needed or not."""
        return self.may_act(request) or (bool(self.read_token) and self._shows(request, self.read_token))

    def may_act(self, request: web.Request) -> bool:
        return bool(self.act_token) and self._shows(request, self.act_token)

    @staticmethod
    def _shows(request: web.Request, token: str) -> bool:
        kind, _, shown = request.headers.get("Authorization", "").partition(" ")
        # Of equal length when compared, so that time tells nothing.
        same = hmac.compare_digest(_digest(shown.strip()), _digest(token))
        return kind.lower() == "bearer" and same


def guard(
    rights: Rights, static_paths: frozenset[str]
) -> Callable[[web.Request, Handler], Awaitable[web.StreamResponse]]:
    """The middleware of the web listener: it stands outermost, so that nothing is done for whoever may not ask."""

    @web.middleware
    async def guarded(request: web.Request, handler: Handler) -> web.StreamResponse:
        refusal = _refusal(request, rights, static_paths)
        if refusal is not None:
            return _with_headers(refusal)
        try:
            answer = await handler(request)
        except web.HTTPException as error:
            answer = web.json_response({"error": f"{error.reason}: {request.path}"}, status=error.status)
            if "Allow" in error.headers:
                answer.headers["Allow"] = error.headers["Allow"]
        return answer if answer.prepared else _with_headers(answer)

    return guarded


def _refusal(request: web.Request, rights: Rights, static_paths: frozenset[str]) -> web.Response | None:
    path = request.path
    if path in static_paths or path in OPEN_PATHS:
        return None
    if not rights.read_token and not _names_this_machine(request.host):
        return _no(
            403,
            "This address is answered only by the name of this machine itself (127.0.0.1 or localhost). To let others "
            "in, set read_token_file.",
        )
    if not _is_from_here(request):
        return _no(403, "Another web site may not ask this.")
    if request.method in ("GET", "HEAD"):
        if not rights.may_read(request):
            return _no(401, "The read token is needed: Authorization: Bearer TOKEN.")
        if path in READ_TOKEN_NEEDED and not rights.read_token:
            return _no(403, "Exports are handed out only where a read token protects them (read_token_file).")
        return None
    if path in SOCKET_ONLY:
        return _no(403, "This is done on the daemon's machine only, by the command line.")
    if not rights.act_token:
        return _no(403, "The page only reads: no act token is set. Use the command line, or set act_token_file.")
    if not rights.may_act(request):
        return _no(401, "The act token is needed: Authorization: Bearer TOKEN.")
    if request.content_type != "application/json":
        return _no(415, "Orders are JSON: Content-Type: application/json.")
    return None


def _is_from_here(request: web.Request) -> bool:
    """Browsers say whether a request comes from a page of ours; whoever says nothing is no browser."""
    site = request.headers.get("Sec-Fetch-Site")
    if site is not None:
        return site in ("same-origin", "none")
    origin = request.headers.get("Origin")
    if origin is None:
        return True
    # Behind a proxy the browser's idea of our name is in X-Forwarded-Host, which no page of another site can send.
    ours = {request.host.lower(), request.headers.get("X-Forwarded-Host", request.host).lower()}
    return urlsplit(origin).netloc.lower() in ours


def _names_this_machine(host: str) -> bool:
    try:
        name = urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return False
    return is_loopback(name)


def _no(status: int, sentence: str) -> web.Response:
    headers = {"WWW-Authenticate": 'Bearer realm="hopperd"'} if status == 401 else {}
    return web.json_response({"error": sentence}, status=status, headers=headers)


def _with_headers(answer: web.StreamResponse) -> web.StreamResponse:
    answer.headers.update(HEADERS)
    return answer


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).digest()
