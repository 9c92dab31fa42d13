"""One OpenTelemetry trace for each invoice, told when it ended: its stages as spans, with the times the ledger has.

An extra: hopperd[otel]. Where to is said by OpenTelemetry's own variables (OTEL_EXPORTER_OTLP_ENDPOINT, …); without
them, or without the extra, nothing is traced. A collector that is away costs spans, never an invoice.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Mapping
from typing import Any, Final

import structlog

from hopperd import __version__
from hopperd.pipeline.job import Job
from hopperd.pipeline.naming import printable

log = structlog.get_logger("hopperd.web")

ENDPOINTS: Final = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
END_SECONDS: Final = 3.0
SAID_EVERY_SECONDS: Final = 60.0
_NANO: Final = 1_000_000_000


class Traces:
    """`provider` is an OpenTelemetry TracerProvider of our own, none of the library's globals; None traces nothing."""

    def __init__(self, provider: Any = None) -> None:
        self._provider = provider
        self._tracer = provider.get_tracer("hopperd", __version__) if provider is not None else None

    def recorded(self, before: Job | None, after: Job) -> None:
        if self._tracer is None or before is None or not before.is_open or after.is_open:
            return
        from opentelemetry.trace import Status, StatusCode, set_span_in_context

        ended = after.entered_at
        root = self._tracer.start_span("invoice", start_time=_nanos(after.opened_at), attributes=_about(after))
        if after.failure is not None:
            root.set_status(Status(StatusCode.ERROR, f"{after.failure.reason}: {after.failure.what}"))
        inside = set_span_in_context(root)
        for entry, following in zip(after.stages, after.stages[1:], strict=False):
            span = self._tracer.start_span(entry.stage.value, context=inside, start_time=_nanos(entry.at))
            span.end(end_time=_nanos(max(entry.at, following.at)))
        root.end(end_time=_nanos(max(after.opened_at, ended)))

    def close(self) -> None:
        """What was told is sent, if the collector takes it quickly."""
        if self._provider is not None:
            ending = threading.Thread(target=self._provider.shutdown, daemon=True)
            ending.start()
            ending.join(END_SECONDS)


def _about(job: Job) -> dict[str, Any]:
    told: dict[str, Any] = {
        "hopperd.job": job.id,
        "hopperd.folder": job.folder,
        "hopperd.account": job.account,
        "hopperd.file": printable(job.group if job.group is not None else job.originals[0].name),
        "hopperd.outcome": job.outcome or job.stage.value,
        "hopperd.size_bytes": job.size_bytes,
        "hopperd.doubts": job.doubts,
    }
    return told | ({"hopperd.task": job.task_number or job.task_id} if job.task_id else {})


def _nanos(at: float) -> int:
    return int(at * _NANO)


def traces_of(environ: Mapping[str, str] = os.environ) -> Traces:
    """As the environment asks for."""
    if not any(environ.get(name) for name in ENDPOINTS):
        return Traces()
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError:
        log.warning("not-traced", what="traces are asked for, and cannot be made", do="pip install 'hopperd[otel]'")
        return Traces()
    _listen_to_the_library()
    name = environ.get("OTEL_SERVICE_NAME", "hopperd")
    provider = TracerProvider(
        resource=Resource.create({"service.name": name, "service.version": __version__}), shutdown_on_exit=False
    )
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return Traces(provider)


class _ToOurLog(logging.Handler):
    """The library's complaints, once a minute."""

    _said_at = 0.0

    def emit(self, record: logging.LogRecord) -> None:
        now = time.monotonic()
        if now - self._said_at >= SAID_EVERY_SECONDS or not self._said_at:
            self._said_at = now
            log.warning("traces-not-sent", what=record.getMessage()[:300])


def _listen_to_the_library() -> None:
    library = logging.getLogger("opentelemetry")
    if not library.handlers:
        library.addHandler(_ToOurLog(logging.WARNING))
        library.propagate = False
