"""How much of the allowed rate is used, and whether it is ever exceeded: `python tests/bench/limit.py`.

10, 50 and 500 requests per second configured, twice as much to do, as the server saw each request arrive. To reach:
`used` 97 to 100 %, and in no second more than rate + max(1, 1 %): `most_over` 0.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

sys.path[0] = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from tests.bench import service
from tests.bench.harness import make_invoices, move_all, options, report, scratch
from tests.support.line import Line

REQUESTS_EACH = 8
LEFT_OUT_SECONDS = 2.0


def busiest(arrivals: Sequence[float]) -> int:
    """The most requests within any second, wherever it begins."""
    most = first = 0
    for place, at in enumerate(arrivals):
        while arrivals[first] <= at - 1.0:
            first += 1
        most = max(most, place - first + 1)
    return most


def measure(root: Path, rate: int, seconds: float) -> dict[str, float]:
    account = f"requests_per_second = {rate}\nuploads_at_once = 16\nfetches_at_once = 16\ntasks_in_flight = 5000"
    with service.running() as server, Line(root, account=account, folder="quiet_seconds = 0") as line:
        line.url = server.url
        line.configure()
        line.started()
        make_invoices(root / "aside-in", round(2 * rate * (seconds + LEFT_OUT_SECONDS) / REQUESTS_EACH) + 8, 20_000)
        move_all(root / "aside-in", root / "in")
        time.sleep(seconds + LEFT_OUT_SECONDS + 1.0)
        arrivals = sorted(at for at, *_ in server.arrivals())
        line.kill()
    began = arrivals[0] + LEFT_OUT_SECONDS
    counted = [at for at in arrivals if began <= at < began + seconds]
    return {
        "rate": rate,
        "used": len(counted) / (rate * seconds),
        "busiest": busiest(arrivals),
        "requests": len(arrivals),
    }


def main() -> None:
    arguments = options(__doc__, seconds={"type": float, "default": None})
    rates = (50,) if arguments.short else (10, 50, 500)
    seconds = arguments.seconds or (2.0 if arguments.short else 20.0)
    found = []
    for rate in rates:
        with scratch(arguments, "limit") as root:
            found.append(measure(root, rate, seconds))
    rows = [
        [one["rate"], f"{one['used']:.1%}", one["busiest"], one["rate"] + max(1.0, 0.01 * one["rate"])] for one in found
    ]
    report(
        "limit",
        ["requests/s allowed", "used", "busiest second", "most it may be"],
        rows,
        ratio=round(min(one["used"] for one in found), 4),
        most_over=max(0.0, max(one["busiest"] - one["rate"] - max(1.0, 0.01 * one["rate"]) for one in found)),
        rates=found,
    )


if __name__ == "__main__":
    main()
