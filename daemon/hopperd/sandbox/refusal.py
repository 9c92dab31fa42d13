"""How the twin says no: the error models of the service. [doc: 400 and 500; the bodies of the others are open]"""

from __future__ import annotations

import secrets
from typing import Any, Final

from aiohttp import web

NAMES: Final = {
    400: "invalid_request",
    401: "unauthorized",
    403: "forbidden",
    404: "not_found",
    405: "method_not_allowed",
    408: "request_timeout",
    409: "not_ready",
    410: "gone",
    413: "too_large",
    415: "unsupported_media_type",
    422: "unprocessable",
    429: "too_many_requests",
}


class Refusal(Exception):
    """A request that is refused: its HTTP status and a sentence for the developer on the other side."""

    def __init__(self, status: int, description: str) -> None:
        super().__init__(description)
        self.status = status
        self.description = description


def error_body(status: int, description: str) -> dict[str, Any]:
    """`{id, error, error_description}`; from 500 on `{id, requestId, statusCode, errorCode, message}`."""
    if status < 500:
        return {"id": secrets.token_hex(12), "error": NAMES.get(status, "error"), "error_description": description}
    return {
        "id": secrets.token_hex(12),
        "requestId": secrets.token_hex(16),
        "statusCode": status,
        "errorCode": "InternalError" if status == 500 else "Unavailable",
        "message": description,
    }


def error_answer(status: int, description: str) -> web.Response:
    """The whole answer; a 503 is plain text, as a front server would send it."""
    if status == 503:
        return web.Response(status=status, text=f"{description}\n")
    answer = web.json_response(error_body(status, description), status=status)
    if status == 401:
        answer.headers["WWW-Authenticate"] = 'Basic realm="api"'
    return answer
