"""Promise: the dashboard and the alert rules ask for metrics and labels that there are."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from hopperd.web.metrics import listed
from tests.support import dashboard

yaml = pytest.importorskip("yaml")

RULES = Path(__file__).resolve().parents[2] / "deploy" / "prometheus" / "hopperd.rules.yaml"
KNOWN = {name: (kind, set(labels)) for name, kind, _, labels in listed()}


def _rules() -> list[dict[str, Any]]:
    (group,) = yaml.safe_load(RULES.read_text())["groups"]
    rules: list[dict[str, Any]] = group["rules"]
    return rules


def _queries() -> list[str]:
    panels = json.loads(dashboard.FILE.read_text())["panels"]
    return [target["expr"] for panel in panels for target in panel["targets"]] + [rule["expr"] for rule in _rules()]


def test_the_dashboard_is_not_stale() -> None:
    assert dashboard.FILE.read_text() == dashboard.text(), "run python -m tests.support.dashboard"


@pytest.mark.parametrize("query", _queries())
def test_every_query_asks_for_a_metric_and_labels_that_exist(query: str) -> None:
    asked = re.findall(r"(hopperd_\w+)(?:\{([^}]*)\})?", query)
    assert asked
    for name, selected in asked:
        base = name.removesuffix("_bucket")
        assert base in KNOWN, name
        kind, labels = KNOWN[base]
        assert (kind == "histogram") == name.endswith("_bucket"), f"{name} is a {kind}"
        assert set(re.findall(r"(\w+)\s*[=!]", selected)) <= labels, query
        rated = re.search(rf"(rate|increase)\({name}", query) is not None
        assert rated == (kind in ("counter", "histogram")), f"{name} is a {kind}"
    for grouped in re.findall(r"by \(([^)]*)\)", query):
        there = set().union(*(KNOWN[name.removesuffix("_bucket")][1] for name, _ in asked)) | {"le"}
        assert {label.strip() for label in grouped.split(",")} <= there, query


def test_every_metric_that_tells_of_trouble_has_an_alert_or_a_panel() -> None:
    asked = " ".join(_queries())
    unseen = [name for name in KNOWN if name not in asked]
    assert set(unseen) <= {"hopperd_event_stream_readers", "hopperd_events_total", "hopperd_doubtful_jobs"}, unseen


def test_every_alert_says_what_is_wrong_and_what_tells_more() -> None:
    for rule in _rules():
        assert rule["alert"].startswith("Hopperd")
        assert rule["labels"]["severity"] in ("warning", "critical")
        assert rule["annotations"].keys() == {"summary", "description"}, rule["alert"]
        for label in re.findall(r"\$labels\.(\w+)", json.dumps(rule["annotations"])):
            names = re.findall(r"hopperd_\w+", rule["expr"])
            assert any(label in KNOWN[name.removesuffix("_bucket")][1] for name in names), (rule["alert"], label)
