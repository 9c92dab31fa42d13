"""Promise: one trace for each invoice, with the times the ledger has; and none where nobody asks for one."""

from __future__ import annotations

import pytest

from hopperd.pipeline.job import Failure, Stage, StageAt
from hopperd.web.traces import Traces, traces_of
from tests.support.stores import NOW, new_job

sdk = pytest.importorskip("opentelemetry.sdk.trace")


def test_an_invoice_that_ended_is_one_trace_of_its_stages() -> None:
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    kept = InMemorySpanExporter()
    provider = sdk.TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(kept))
    traces = Traces(provider)
    stages = tuple(
        StageAt(stage=stage, at=NOW + at)
        for stage, at in ((Stage.CLAIMED, 0), (Stage.UPLOADED, 2), (Stage.ABANDONED, 5), (Stage.FAILED, 6))
    )
    before = new_job(1, stage=Stage.ABANDONED, stages=stages[:-1])
    failure = Failure(reason="encrypted", fault="file", what="it needs a password", do="Remove it")
    after = new_job(1, stage=Stage.FAILED, stages=stages, failure=failure, outcome="failed")
    traces.recorded(None, before)
    traces.recorded(before, before)
    assert not kept.get_finished_spans()
    traces.recorded(before, after)
    *children, root = kept.get_finished_spans()
    assert root.name == "invoice"
    assert root.attributes["hopperd.job"] == after.id
    assert root.status.description == "encrypted: it needs a password"
    assert (root.start_time, root.end_time) == (int(NOW * 1e9), int((NOW + 6) * 1e9))
    assert [(span.name, (span.end_time - span.start_time) / 1e9) for span in children] == [
        ("claimed", 2.0),
        ("uploaded", 3.0),
        ("abandoned", 1.0),
    ]
    assert {span.context.trace_id for span in children} == {root.context.trace_id}
    assert {span.parent.span_id for span in children} == {root.context.span_id}
    traces.close()


def test_without_an_endpoint_nothing_is_traced() -> None:
    traces = traces_of({})
    job = new_job(1)
    traces.recorded(job, new_job(1, stage=Stage.DONE))
    traces.close()


def test_a_collector_that_is_away_ends_within_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    import time

    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    traces = traces_of({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"})
    job = new_job(1, stages=(StageAt(stage=Stage.CLAIMED, at=NOW),))
    traces.recorded(job, new_job(1, stage=Stage.DONE, stages=(StageAt(stage=Stage.DONE, at=NOW),)))
    began = time.monotonic()
    traces.close()
    assert time.monotonic() - began < 5
