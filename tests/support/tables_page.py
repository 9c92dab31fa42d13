"""Pages of docs/reference that are drawn from tables of the source: stages and history events.

`python -m tests.support.tables_page` writes them; a test says when they are stale.
"""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import get_args

from hopperd.pipeline.events import Claimed, Event
from hopperd.pipeline.job import Stage
from hopperd.pipeline.transitions import TRANSITIONS

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "stages.md"

_MOVES = (
    (Stage.CLAIMED, "original in `work/`, digest known"),
    (Stage.UPLOADED, "the service holds the bytes, hash proven"),
    (Stage.SUBMITTING, "we are about to ask for a Run, or asked and heard nothing certain"),
    (Stage.SUBMITTED, "task id known"),
    (Stage.CAPTURED, "results ready at the service"),
    (Stage.FETCHED, "every export whole and durable in staging, final names recorded"),
    (Stage.DELIVERED, "every export at its destination"),
    (Stage.DONE, "original in `done/` beside its receipt"),
    (Stage.ABANDONED, "will not be tried again; the reason is recorded"),
    (Stage.FAILED, "original in `failed/` beside its receipt"),
)
_BY_HAND = ("held", "released", "retried", "forgotten")


def page() -> str:
    lines = [
        "# Stages and events",
        "",
        "Drawn from the table in `daemon/hopperd/pipeline/transitions.py` by `python -m tests.support.tables_page`.",
        "",
        "## Stages",
        "",
        "| stage | durable fact |",
        "|---|---|",
        *(f"| `{stage}` | {fact} |" for stage, fact in _MOVES),
        "",
        "## From stage to stage",
        "",
        "```mermaid",
        "stateDiagram-v2",
        "    [*] --> claimed",
        *_arrows(),
        "    done --> [*]",
        "    failed --> [*]",
        "```",
        "",
        "Orders of a person (hold, release, retry, forget) and weather (postponed) are left out of the picture: they",
        "are possible in every open stage, but for `submitting` while a Run is being asked for. A job can be given up",
        "(forget) until its results are fetched: from then on they may stand in `out/` already.",
        "",
        "## Events of a job's history",
        "",
        "The names are stable: they are what `hopperd show` lists and the log writes.",
        "",
        "| event | means | may happen in |",
        "|---|---|---|",
        *_events(),
        "",
    ]
    return "\n".join(lines)


def _arrows() -> list[str]:
    arrows: dict[tuple[Stage, Stage], list[str]] = {}
    for (stage, event), targets in TRANSITIONS.items():
        if event.name in _BY_HAND:
            continue
        for target in targets:
            if target is not stage:
                arrows.setdefault((stage, target), []).append(event.name)
    order = list(Stage)
    return [
        f"    {stage} --> {target}: {', '.join(sorted(names))}"
        for (stage, target), names in sorted(arrows.items(), key=lambda item: tuple(map(order.index, item[0])))
    ]


def _events() -> list[str]:
    rows = []
    for event in (Claimed, *get_args(Event)):
        stages = [stage.value for stage in Stage if (stage, event) in TRANSITIONS] or ["(opens a job)"]
        meaning = " ".join((inspect.getdoc(event) or "").split("\n\n")[0].split())
        rows.append(f"| `{event.name}` | {meaning} | {', '.join(stages)} |")
    return rows


if __name__ == "__main__":
    PAGE.write_text(page())
