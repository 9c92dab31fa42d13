"""Figures for Prometheus. One registry for each daemon, none of the library's globals.

Counters are told as things happen; gauges are set when somebody asks. Names follow Prometheus' conventions: base
units, `_total` for counters. docs/reference/metrics.md is generated from here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from hopperd import __version__
from hopperd.pipeline.events import Claimed, Delivered, Event, Fetched, TaskSeen, Uploaded
from hopperd.pipeline.job import OPEN_STAGES, Job, Stage
from hopperd.pipeline.moves import PERHAPS_DELIVERED_TWICE
from hopperd.ports import BacklogCell

CONTENT_TYPE: Final = CONTENT_TYPE_LATEST
_LEDGER_EDGES: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_EXPORT_EDGES: Final = (1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1800, 3600, 4 * 3600, 86400)
_WAIT_EDGES: Final = (0.001, 0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


class Metrics:
    def __init__(self) -> None:
        registry = self.registry = CollectorRegistry(auto_describe=True)
        self._children: dict[tuple[Counter | Histogram, tuple[str, ...]], Any] = {}

        def counter(name: str, help_text: str, *labels: str) -> Counter:
            return Counter(name, help_text, labels, registry=registry)

        def gauge(name: str, help_text: str, *labels: str) -> Gauge:
            return Gauge(name, help_text, labels, registry=registry)

        def histogram(name: str, help_text: str, edges: Sequence[float], *labels: str) -> Histogram:
            return Histogram(name, help_text, labels, registry=registry, buckets=edges)

        self._build = gauge("hopperd_build_info", "Always 1; its label says the version.", "version")
        self._build.labels(__version__).set(1)
        self._jobs = gauge("hopperd_jobs", "Open jobs by folder and stage.", "folder", "stage")
        self._oldest = gauge("hopperd_oldest_job_seconds", "Age of the oldest open job of the stage.", "stage")
        self._held = gauge("hopperd_held_jobs", "Open jobs on hold.", "folder")
        self._waiting = gauge("hopperd_waiting_for_person_jobs", "Jobs whose task waits for a person.", "folder")
        self._doubtful = gauge("hopperd_doubtful_jobs", "Open jobs that may have been paid for twice.")
        self._files = gauge("hopperd_waiting_files", "Files in in/ that are not claimed yet.", "folder")
        self._left = gauge("hopperd_left_alone_files", "What lies in in/ and will not be taken.", "folder")
        self._trouble = gauge("hopperd_folder_trouble", "1 while the hot folder cannot be worked in.", "folder")
        self._paused = gauge("hopperd_account_paused", "1 while the account is paused.", "account", "reason")
        self._flight = gauge("hopperd_tasks_in_flight", "Tasks at the service that are not finished.", "account")
        self._silence = gauge("hopperd_silence_seconds", "Since loop, ledger and sweep were last seen alive.", "fact")
        self._node_silence = gauge(
            "hopperd_node_silence_seconds", "Since the ledger last saw the node, of several that share it.", "node"
        )
        self._node_jobs = gauge("hopperd_node_jobs", "Open jobs that the node carries.", "node")
        self._readers = gauge("hopperd_event_stream_readers", "Open streams of events.")
        self._events = counter("hopperd_events_total", "Events of jobs, each durable when counted.", "folder", "event")
        self._ended = counter("hopperd_jobs_ended_total", "Jobs that ended, by outcome.", "folder", "outcome")
        self._requests = counter(
            "hopperd_requests_total",
            "Requests to the service that ended: by purpose, and status or why there was none.",
            *("account", "purpose", "outcome"),
        )
        self._throttle = histogram(
            "hopperd_throttle_wait_seconds", "How long a request waited for its token.", _WAIT_EDGES, "account"
        )
        self._doubts = counter("hopperd_doubts_total", "Runs with a doubtful outcome: perhaps paid twice.", "folder")
        self._twice = counter(
            "hopperd_perhaps_delivered_twice_total", "Deliveries that may have come a second time.", "folder"
        )
        self._sent = counter("hopperd_uploaded_bytes_total", "Bytes of originals at the service, proven.", "folder")
        self._got = counter("hopperd_exported_bytes_total", "Bytes of exports fetched.", "folder")
        self._polls = counter("hopperd_polls_total", "Looks at tasks, by whether there was news.", "folder", "news")
        self._letters = counter(
            "hopperd_letters_total", "Tries to hand over deliveries and notices, by outcome.", "channel", "outcome"
        )
        self._letters_waiting = gauge("hopperd_letters_waiting", "Deliveries or notices not handed over.", "channel")
        self._letters_oldest = gauge("hopperd_oldest_letter_seconds", "Age of the oldest of them.", "channel")
        self._perhaps = gauge(
            "hopperd_perhaps_twice_jobs",
            "Known jobs, finished ones too, that may have been paid for or delivered twice.",
            "how",
        )
        self._ledger = histogram(
            "hopperd_ledger_seconds", "What a caller waited for the ledger, queue included.", _LEDGER_EDGES, "kind"
        )
        self._export = histogram(
            "hopperd_time_to_export_seconds", "From the claim to the delivery of every export.", _EXPORT_EDGES, "folder"
        )

    # ---------------------------------------------------------------------------------------- as things happen

    def recorded(self, before: Job | None, after: Job, event: Event | Claimed, at: float) -> None:
        folder = after.folder
        self._told(self._events, folder, event.name).inc()
        if before is None:
            return
        if after.doubts > before.doubts:
            self._doubts.labels(folder).inc(after.doubts - before.doubts)
        if PERHAPS_DELIVERED_TWICE in after.notes and PERHAPS_DELIVERED_TWICE not in before.notes:
            self._twice.labels(folder).inc()
        if isinstance(event, Uploaded):
            self._told(self._sent, folder).inc(after.size_bytes)
        elif isinstance(event, Fetched):
            self._told(self._got, folder).inc(sum(export.size_bytes for export in after.exports))
        elif isinstance(event, TaskSeen):
            news = (after.stage, after.verification_url) != (before.stage, before.verification_url)
            self._told(self._polls, folder, "yes" if news else "no").inc()
        elif isinstance(event, Delivered) and after.stage is Stage.DELIVERED:
            self._told(self._export, folder).observe(max(0.0, at - after.opened_at))
        if before.is_open and not after.is_open:
            self._told(self._ended, folder, after.outcome or after.stage.value).inc()

    def answered(self, kind: Literal["write", "read"], seconds: float) -> None:
        self._told(self._ledger, kind).observe(seconds)

    def requested(self, account: str, purpose: str, outcome: str) -> None:
        self._told(self._requests, account, purpose, outcome).inc()

    def handed_over(self, channel: str, outcome: str) -> None:
        self._letters.labels(channel, outcome).inc()

    def waited(self, account: str, seconds: float) -> None:
        self._told(self._throttle, account).observe(seconds)

    def _told(self, metric: Counter | Histogram, *labels: str) -> Any:
        """`metric.labels(*labels)`, looked up once: it is told a dozen times for each invoice. Not for gauges."""
        child = self._children.get((metric, labels))
        if child is None:
            child = self._children[metric, labels] = metric.labels(*labels)
        return child

    # ---------------------------------------------------------------------------------------- when somebody asks

    def rendered(
        self,
        status: Mapping[str, Any],
        cells: Sequence[BacklogCell],
        silence: Mapping[str, float],
        readers: int,
        now: float,
    ) -> bytes:
        """`status` as the readings tell it."""
        self._set_backlog([line["folder"] for line in status["folders"]], cells, now)
        self._doubtful.set(status["doubtful"])
        doubts = status["doubts"]
        self._perhaps.labels("paid").set(doubts["open"] + doubts["finished"])
        self._perhaps.labels("delivered").set(doubts["perhaps_delivered_twice"])
        for line in status["letters"]:
            self._letters_waiting.labels(line["channel"]).set(line["waiting"])
            self._letters_oldest.labels(line["channel"]).set(line["oldest_seconds"])
        for line in status["folders"]:
            self._files.labels(line["folder"]).set(line.get("waiting_files", 0))
            self._left.labels(line["folder"]).set(line.get("left_alone_total", 0))
            self._trouble.labels(line["folder"]).set(1 if line.get("trouble") else 0)
        self._paused.clear()
        for line in status["accounts"]:
            paused = line["paused"]
            self._paused.labels(line["account"], paused["reason"] if paused else "").set(1 if paused else 0)
            self._flight.labels(line["account"]).set(line.get("tasks_in_flight", 0))
        for fact, seconds in silence.items():
            self._silence.labels(fact).set(round(seconds, 3))
        for one in (self._node_silence, self._node_jobs):
            one.clear()
        for line in status["nodes"]:  # the eldest life of a name first: the last one counts
            if line["seen_seconds"] is not None:
                self._node_silence.labels(line["node"]).set(line["seen_seconds"])
                self._node_jobs.labels(line["node"]).set(line["carries"])
        self._readers.set(readers)
        return generate_latest(self.registry)

    def _set_backlog(self, folders: Sequence[str], cells: Sequence[BacklogCell], now: float) -> None:
        for one in (self._jobs, self._held, self._waiting):
            one.clear()
        for folder in folders:
            self._held.labels(folder)
            self._waiting.labels(folder)
            for stage in OPEN_STAGES:
                self._jobs.labels(folder, stage.value)
        oldest: dict[str, float] = dict.fromkeys((stage.value for stage in OPEN_STAGES), 0.0)
        for cell in cells:
            self._jobs.labels(cell.folder, cell.stage.value).inc(cell.jobs)
            self._held.labels(cell.folder).inc(cell.held)
            self._waiting.labels(cell.folder).inc(cell.waiting_for_person)
            oldest[cell.stage.value] = max(oldest.get(cell.stage.value, 0.0), now - cell.oldest_opened_at)
        for name, seconds in oldest.items():
            self._oldest.labels(name).set(round(seconds, 3))


def listed() -> list[tuple[str, str, str, tuple[str, ...]]]:
    """Every metric: its name as Prometheus shows it, its kind, what it says, its labels."""
    metrics = Metrics()
    rows = []
    for one in vars(metrics).values():
        if isinstance(one, Counter | Gauge | Histogram):
            (family,) = one.describe()
            name = f"{family.name}_total" if family.type == "counter" else family.name
            rows.append((name, family.type, family.documentation, tuple(one._labelnames)))
    return sorted(rows)
