"""One folder's flood and another's single file: `python tests/bench/fairness.py`.

Two folders share an account. How long does one file in the second take from being put in to its receipt, in an empty
system, and while the first has 100,000 files waiting? To reach: at most 2 times as long (`ratio`).
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

sys.path[0] = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from tests.bench import service
from tests.bench.harness import fill_inbox, median, options, pdf, quantile, report, scratch, wait_until
from tests.support.line import Line


def singles(root: Path, flood: int, singles_: int, latency: float, processing: float) -> list[float]:
    """Seconds of each single file, one after the other."""
    small = root / "small"
    fill_inbox(root / "in", flood)
    folder = (
        f'quiet_seconds = 0.5\nsweep_seconds = 30\n[[folders]]\nname = "small"\npath = "{small}"\naccount = "main"\n'
    )
    folder += 'region = "US"\nquiet_seconds = 0.5\nsweep_seconds = 30'
    account = "requests_per_second = 100\nuploads_at_once = 8\ntasks_in_flight = 200"
    took = []
    with (
        service.running(latency=latency, processing=processing) as server,
        Line(root, account=account, folder=folder) as line,
    ):
        line.url = server.url
        line.configure()
        line.started()
        if flood:
            wait_until(lambda: len(server.arrivals()) > 500, "the flood", 120, every=0.5)
            time.sleep(10.0 if flood > 1000 else 1.0)
        else:
            time.sleep(2.0)
        for number in range(singles_):
            (root / "aside").write_bytes(pdf(f"single-{number}", 20_000))
            began = time.monotonic()
            os.rename(root / "aside", small / "in" / f"single-{number}.pdf")
            done = small / "done"
            wait_until(lambda: _receipts(done) > number, "the single file's receipt", 300)  # noqa: B023
            took.append(time.monotonic() - began)
        line.kill()
    return took


def _receipts(done: Path) -> int:
    return sum(1 for _ in done.rglob("*.receipt.json"))


def main() -> None:
    arguments = options(__doc__, flood={"type": int, "default": None})
    flood, count = (arguments.flood or 100_000, 15) if not arguments.short else (500, 2)
    latency, processing = (0.05, 2.0) if not arguments.short else (0.01, 0.2)
    found = {}
    for size in (0, flood):
        with scratch(arguments, "fairness") as root:
            # The first ones teach how long tasks take; in both systems they are left out.
            found[size] = singles(root, size, count + (5 if count > 2 else 0), latency, processing)[-count:]
    ratio = median(found[flood]) / median(found[0])
    rows = [[f"{size:,} files beside it", median(took), quantile(took, 0.9), max(took)] for size, took in found.items()]
    report(
        "fairness",
        ["", "median s", "p90 s", "longest s"],
        rows,
        ratio=round(ratio, 3),
        worst_ratio=round(max(found[flood]) / median(found[0]), 3),
        flood=flood,
    )


if __name__ == "__main__":
    main()
