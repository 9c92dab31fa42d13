"""Makes deploy/grafana/hopperd.json: `python -m tests.support.dashboard`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

FILE: Final = Path(__file__).resolve().parents[2] / "deploy" / "grafana" / "hopperd.json"
WIDE, HALF, TILE = 24, 12, 4
IN_FOLDER: Final = '{folder=~"$folder"}'

# Title, kind, width, unit, and (query, legend) of each line. {*} stands for the folders that were chosen.
PANELS: Final[list[tuple[str, str, int, str, list[tuple[str, str]]]]] = [
    ("Open invoices", "stat", TILE, "short", [("sum(hopperd_jobs{*})", "")]),
    ("Oldest", "stat", TILE, "s", [("max(hopperd_oldest_job_seconds)", "")]),
    ("Held", "stat", TILE, "short", [("sum(hopperd_held_jobs{*})", "")]),
    ("Waiting for a person", "stat", TILE, "short", [("sum(hopperd_waiting_for_person_jobs{*})", "")]),
    ("Perhaps twice", "stat", TILE, "short", [("sum(hopperd_perhaps_twice_jobs)", "")]),
    ("In trouble", "stat", TILE, "short", [("sum(hopperd_folder_trouble) + sum(hopperd_account_paused)", "")]),
    ("Invoices by outcome, per minute", "timeseries", HALF, "short",
     [("60 * sum by (outcome) (rate(hopperd_jobs_ended_total{*}[5m]))", "{{outcome}}")]),
    ("From claim to export", "timeseries", HALF, "s",
     [(f"histogram_quantile({q}, sum by (le) (rate(hopperd_time_to_export_seconds_bucket{{*}}[15m])))",
       name) for q, name in ((0.5, "half within"), (0.9, "nine of ten within"))]),
    ("Open invoices by stage", "timeseries", HALF, "short",
     [("sum by (stage) (hopperd_jobs{*})", "{{stage}}")]),
    ("Oldest by stage", "timeseries", HALF, "s", [("max by (stage) (hopperd_oldest_job_seconds)", "{{stage}}")]),
    ("Files waiting in in/, and left alone", "timeseries", HALF, "short",
     [("hopperd_waiting_files{*}", "{{folder}} waiting"),
      ("hopperd_left_alone_files{*}", "{{folder}} left alone")]),
    ("Doubts, and perhaps delivered twice, per hour", "timeseries", HALF, "short",
     [("sum by (folder) (increase(hopperd_doubts_total[1h]))", "{{folder}} doubts"),
      ("sum by (folder) (increase(hopperd_perhaps_delivered_twice_total[1h]))", "{{folder}} delivered twice")]),
    ("Requests to the service", "timeseries", HALF, "reqps",
     [("sum by (account, purpose, outcome) (rate(hopperd_requests_total[5m]))",
       "{{account}} {{purpose}} {{outcome}}")]),
    ("Waits for the request rate", "timeseries", HALF, "s",
     [("histogram_quantile(0.9, sum by (le, account) (rate(hopperd_throttle_wait_seconds_bucket[5m])))",
       "{{account}} nine of ten")]),
    ("Tasks in flight", "timeseries", HALF, "short", [("hopperd_tasks_in_flight", "{{account}}")]),
    ("Looks at tasks that brought news", "timeseries", HALF, "percentunit",
     [("sum(rate(hopperd_polls_total{news=\"yes\"}[15m])) / sum(rate(hopperd_polls_total[15m]))", "with news")]),
    ("Bytes", "timeseries", HALF, "Bps",
     [("sum(rate(hopperd_uploaded_bytes_total[5m]))", "uploaded"),
      ("sum(rate(hopperd_exported_bytes_total[5m]))", "exported")]),
    ("Ledger", "timeseries", HALF, "s",
     [("histogram_quantile(0.99, sum by (le, kind) (rate(hopperd_ledger_seconds_bucket[5m])))", "{{kind}} 99 %")]),
    ("Deliveries and notices not handed over", "timeseries", HALF, "short",
     [("hopperd_letters_waiting", "{{channel}}"),
      ("sum by (channel) (increase(hopperd_letters_total{outcome=\"not-taken\"}[15m]))", "{{channel}} refused")]),
    ("Silence of the clockwork", "timeseries", HALF, "s", [("hopperd_silence_seconds", "{{fact}}")]),
    ("Open invoices by node", "timeseries", HALF, "short", [("hopperd_node_jobs", "{{node}}")]),
    ("Nodes: last seen", "timeseries", HALF, "s", [("hopperd_node_silence_seconds", "{{node}}")]),
]  # fmt: skip


def dashboard() -> dict[str, Any]:
    return {
        "title": "hopperd",
        "uid": "hopperd",
        "tags": ["hopperd"],
        "schemaVersion": 39,
        "editable": True,
        "refresh": "30s",
        "time": {"from": "now-24h", "to": "now"},
        "templating": {
            "list": [
                {"name": "source", "label": "Prometheus", "type": "datasource", "query": "prometheus"},
                {
                    "name": "folder",
                    "label": "Hot folder",
                    "type": "query",
                    "datasource": _SOURCE,
                    "query": "label_values(hopperd_jobs, folder)",
                    "refresh": 2,
                    "includeAll": True,
                    "multi": True,
                    "allValue": ".*",
                    "current": {"text": "All", "value": "$__all"},
                },
            ]
        },
        "panels": _placed(),
    }


_SOURCE: Final = {"type": "prometheus", "uid": "${source}"}


def _placed() -> list[dict[str, Any]]:
    panels: list[dict[str, Any]] = []
    x = y = tallest = 0
    for number, (title, kind, width, unit, queries) in enumerate(PANELS, 1):
        height = 4 if kind == "stat" else 8
        if x + width > WIDE:
            x, y, tallest = 0, y + tallest, 0
        panels.append(
            {
                "id": number,
                "title": title,
                "type": kind,
                "datasource": _SOURCE,
                "gridPos": {"x": x, "y": y, "w": width, "h": height},
                "fieldConfig": {"defaults": {"unit": unit, "min": 0}, "overrides": []},
                "targets": [
                    {
                        "refId": chr(ord("A") + place),
                        "datasource": _SOURCE,
                        "expr": query.replace("{*}", IN_FOLDER),
                        "legendFormat": legend,
                    }
                    for place, (query, legend) in enumerate(queries)
                ],
            }
        )
        x, tallest = x + width, max(tallest, height)
    return panels


def text() -> str:
    return json.dumps(dashboard(), indent=1) + "\n"


if __name__ == "__main__":
    FILE.parent.mkdir(parents=True, exist_ok=True)
    FILE.write_text(text())
