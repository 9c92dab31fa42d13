"""docs/reference/control-api.json and metrics.md from the code: `python -m tests.support.web_pages` writes both."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

from hopperd.web.metrics import listed
from hopperd.web.openapi import document

REFERENCE: Final = Path(__file__).resolve().parents[2] / "docs" / "reference"
CONTROL_API: Final = REFERENCE / "control-api.json"
METRICS: Final = REFERENCE / "metrics.md"

_HEAD: Final = """# Metrics

`/metrics` on `[web] listen` and on the control socket, for Prometheus. With a read token set, the scrape shows it
(`authorization: {credentials_file: …}`). Each daemon has a registry of its own; counters begin at 0 with each start.
This page is generated from `daemon/hopperd/web/metrics.py`.

| metric | kind | labels | what |
|---|---|---|---|
"""


def control_api() -> str:
    return json.dumps(document(), indent=1) + "\n"


def metrics() -> str:
    rows = (
        f"| `{name}` | {kind} | {', '.join(f'`{label}`' for label in labels)} | {what} |\n"
        for name, kind, what, labels in listed()
    )
    return _HEAD + "".join(rows)


if __name__ == "__main__":
    CONTROL_API.write_text(control_api())
    METRICS.write_text(metrics())
