"""How near to what the service allows: `python tests/bench/ceiling.py`.

Every call takes 300 ms, a task 5 s, 64 tasks may be in flight. No client can do better than 64 tasks in the time that
one needs: its Run, its processing, one look that comes in the very moment it is done. To reach: `ratio` 0.90.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

sys.path[0] = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from tests.bench import service
from tests.bench.harness import make_invoices, options, report, scratch, wait_until
from tests.support.line import Line

IN_FLIGHT = 64
LEFT_OUT = 2 * IN_FLIGHT  # until the durations are learned


def measure(root: Path, invoices: int, latency: float, processing: float) -> dict[str, float]:
    account = f"requests_per_second = 1000\nuploads_at_once = 16\nfetches_at_once = 16\ntasks_in_flight = {IN_FLIGHT}"
    make_invoices(root / "in", invoices)
    with (
        service.running(latency=latency, processing=processing) as server,
        Line(root, account=account, folder="quiet_seconds = 0") as line,
    ):
        line.url = server.url
        line.configure()
        line.started()
        wait_until(lambda: _runs(server) >= invoices, "the last Run", 60 + invoices, every=1.0)
        arrivals = server.arrivals()
        line.kill()
    runs = sorted(at for at, what, *_ in arrivals if what == "run")
    looks = sum(1 for _, what, *_ in arrivals if what == "look")
    best = IN_FLIGHT / (latency + processing + latency)
    reached = (len(runs) - 1 - LEFT_OUT) / (runs[-1] - runs[LEFT_OUT])
    return {"per_second": reached, "best_per_second": best, "looks_each": looks / invoices}


def _runs(server: service.Running) -> int:
    return sum(1 for _, what, *_ in server.arrivals() if what == "run")


def main() -> None:
    arguments = options(__doc__, invoices={"type": int, "default": None})
    invoices = arguments.invoices or (3 * IN_FLIGHT if arguments.short else 700)
    latency, processing = (0.05, 0.5) if arguments.short else (0.3, 5.0)
    with scratch(arguments, "ceiling") as root:
        found = measure(root, invoices, latency, processing)
    report(
        "ceiling",
        ["invoices/s", "at best", "share", "looks each"],
        [
            [
                found["per_second"],
                found["best_per_second"],
                f"{found['per_second'] / found['best_per_second']:.1%}",
                found["looks_each"],
            ]
        ],
        ratio=round(found["per_second"] / found["best_per_second"], 3),
        **found,
    )


if __name__ == "__main__":
    main()
