"""Concurrency that finds a hidden cap by itself: `python tests/bench/adaptive.py`.

A service refuses more than so many requests at once with 429, and says nowhere how many: 12, then 4, then 12 again. To
reach: 88 % (`ratio`) of what so many places can carry, with less than 8 % of all requests refused.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

sys.path[0] = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from tests.bench import service
from tests.bench.harness import make_invoices, options, report, scratch
from tests.support.line import Line

CAPS = (12, 4, 12)


def measure(root: Path, seconds: float, latency: float) -> list[dict[str, float]]:
    ideal = sum(cap / latency * seconds for cap in CAPS)
    account = "requests_per_second = 2000\nuploads_at_once = 16\nfetches_at_once = 16\ntasks_in_flight = 1000"
    make_invoices(root / "in", round(ideal / 6), 5_000)
    found = []
    with (
        service.running(latency=latency, cap=CAPS[0]) as server,
        Line(root, account=account, folder="quiet_seconds = 0") as line,
    ):
        line.url = server.url
        line.configure()
        line.started()
        time.sleep(4.0 if seconds > 5 else 1.0)  # the start, and the first growth
        for cap in CAPS:
            server.cap(cap)
            server.forget()
            began = time.monotonic()
            time.sleep(seconds)
            took, arrivals = time.monotonic() - began, server.arrivals()
            refused = sum(1 for _, what, *_ in arrivals if what == "refused")
            passed = len(arrivals) - refused
            found.append(
                {
                    "cap": cap,
                    "share": passed * latency / (cap * took),
                    "refused": refused / max(1, len(arrivals)),
                    "passed": passed,
                    "arrived": len(arrivals),
                    "best": cap * took / latency,
                }
            )
        line.kill()
    return found


def main() -> None:
    arguments = options(__doc__)
    with scratch(arguments, "adaptive") as root:
        found = measure(root, 2.0 if arguments.short else 20.0, 0.1 if arguments.short else 0.25)
    share = sum(one["passed"] for one in found) / sum(one["best"] for one in found)
    refused = 1.0 - sum(one["passed"] for one in found) / sum(one["arrived"] for one in found)
    rows = [[one["cap"], f"{one['share']:.1%}", f"{one['refused']:.1%}"] for one in found]
    report(
        "adaptive",
        ["hidden cap", "of the ideal", "refused"],
        [*rows, ["all", f"{share:.1%}", f"{refused:.1%}"]],
        ratio=round(share, 3),
        refused=round(refused, 4),
        caps=found,
    )


if __name__ == "__main__":
    main()
