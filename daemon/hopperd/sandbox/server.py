"""The twin's HTTP server: routes, and the two layers around every handler (faults with the log, and errors).

No input makes a 500: whatever is wrong with a request is told in the service's own error model. An unexpected error of
ours is logged on stderr, and the server goes on.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Final

import aiohttp
from aiohttp import web

from hopperd.sandbox import control, datasets, files, tasks, trouble, verification
from hopperd.sandbox.config import SandboxConfig
from hopperd.sandbox.contents import NoRoom
from hopperd.sandbox.faults import KINDS_BEFORE
from hopperd.sandbox.reader import Unreadable
from hopperd.sandbox.refusal import Refusal, error_answer
from hopperd.sandbox.state import StateLost
from hopperd.sandbox.twin import TWIN, Clock, Twin, noted, steady_clock, twin_of
from hopperd.sandbox.upload import upload

log = logging.getLogger("hopperd.sandbox")

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

FILE: Final = "/v2/file/{file_id}/{token}"
PAGE: Final = "/verification/{verification_id}"
WINDOW: Final = PAGE + "/windows/{window}"
ROUTES: Final[tuple[tuple[str, str, Handler, str], ...]] = (
    ("POST", "/v2/file", upload, "upload"),
    ("GET", FILE + "/info", files.info, "info"),
    ("GET", FILE, files.download, "download"),
    ("DELETE", FILE, files.delete, "delete"),
    ("POST", "/v2/task/capture/invoices", tasks.run_invoices, "run"),
    ("POST", "/v2/task/capture/documents", tasks.run_documents, "run"),
    ("GET", "/v2/task/{task_id}", tasks.look, "look"),
    ("DELETE", "/v2/task/{task_id}", tasks.delete, "delete"),
    ("POST", "/v2/dataset/vendors", datasets.put_entries, "dataset"),
    ("PUT", "/v2/dataset/vendors", datasets.put_entries, "dataset"),
    ("POST", "/v2/dataset/businessunits", datasets.put_entries, "dataset"),
    ("PUT", "/v2/dataset/businessunits", datasets.put_entries, "dataset"),
    ("GET", "/v2/training/layout/{task_id}/{file_id}", datasets.layout, "training"),
    ("POST", "/v2/training", datasets.train, "training"),
    ("POST", "/sandbox/verify/{task_id}", control.verify, ""),
    ("GET", "/sandbox/ledger", control.bills, ""),
    ("GET", "/sandbox/openapi.json", control.openapi, ""),
    ("GET", "/sandbox/static/{name}", verification.static, ""),
    ("GET", PAGE, verification.page, ""),
    ("PUT", WINDOW, verification.take_window, ""),
    ("DELETE", WINDOW, verification.leave_window, ""),
    ("GET", WINDOW + "/task", verification.questions, ""),
    ("GET", WINDOW + "/documents/{document}/pages/{page}", verification.picture, ""),
    ("POST", WINDOW + "/close", verification.close, ""),
)
"""Method, path, handler, and the operation by which a fault plan knows it (its `any` means all that have one)."""

NOT_UNDERSTOOD: Final = (web.RequestPayloadError, aiohttp.ClientError, aiohttp.http.HttpProcessingError)
"""What aiohttp raises while a body is read that is not what its headers say."""

OPERATION_OF: Final = {handler: operation for _, _, handler, operation in ROUTES}


def make_app(config: SandboxConfig, now: Clock | None = None) -> web.Application:
    """The twin as an aiohttp application; its parts are built when it starts and closed when it ends."""
    app = web.Application(middlewares=[_faults_and_log, _errors], client_max_size=config.max_body_bytes)
    for method, path, handler, _ in ROUTES:
        app.router.add_route(method, path, handler)

    async def parts(app: web.Application) -> AsyncIterator[None]:
        twin = Twin(config, now or steady_clock())
        app[TWIN] = twin
        yield
        await twin.close()

    app.cleanup_ctx.append(parts)
    return app


@web.middleware
async def _faults_and_log(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Lets a fault of the plan have its way, and logs what the request did before its answer leaves."""
    twin = twin_of(request)
    operation = OPERATION_OF.get(request.match_info.handler, "")
    fault = twin.faults.next(operation, twin.elapsed_seconds()) if operation else None
    if fault is not None:
        log.debug("%s meets a fault of the plan: %s.", operation, fault.kind)
        if fault.kind in KINDS_BEFORE:
            return await trouble.before(fault, request)
    answer = await handler(request)
    try:
        twin.state.commit()
    except StateLost:
        log.exception("What has changed cannot be kept.")
        return error_answer(503, "The sandbox cannot keep its state.")
    _write_deeds(request, trouble.answered_status(fault, answer), fault.kind if fault else None)
    if fault is None or not isinstance(answer, web.Response):
        return answer
    return await trouble.after(fault, request, answer)


def _write_deeds(request: web.Request, status: int, fault: str | None) -> None:
    try:
        for deed in noted(request):
            twin_of(request).deeds.write(deed, status, fault)
    except OSError:
        log.exception("The log of deeds misses a line.")


@web.middleware
async def _errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Every error in the service's own model."""
    try:
        return await handler(request)
    except Refusal as refusal:
        return error_answer(refusal.status, refusal.description)
    except web.HTTPException as error:
        answer = error_answer(error.status, error.reason)
        if "Allow" in error.headers:
            answer.headers["Allow"] = error.headers["Allow"]
        return answer
    except Unreadable as error:
        return error_answer(503, f"A reader could not do its work: {error}")
    except NoRoom:
        return error_answer(503, "The sandbox has no room for more files.")
    except TimeoutError:
        return error_answer(408, "The body did not come to an end.")
    except NOT_UNDERSTOOD as error:
        log.info("A body was not what its headers said (%s).", type(error).__name__)
        return error_answer(400, "The body is not what the headers say.")
    except ValueError:
        log.warning("A request could not be understood.", exc_info=True)
        return error_answer(400, "The request cannot be understood.")
    except Exception:
        log.exception("A request went wrong in the sandbox itself.")
        return error_answer(500, "The sandbox has made a mistake; its log says more.")
