"""From the moment a file is whole to the first byte of its upload: `python tests/bench/latency.py`.

An idle daemon, one file after the other, half of them renamed in and half written in place and closed. To reach: with
events p99 of quiet period + 0.5 s, by the sweep alone its interval more; with `quiet_seconds = 0` (the open writer is
then told by the file system) a median of 150 ms.
"""

from __future__ import annotations

import os
import random
import sys
import time
from pathlib import Path

sys.path[0] = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from tests.bench import service
from tests.bench.harness import options, pdf, quantile, report, scratch, wait_until
from tests.support.line import Line


def measure(root: Path, files: int, quiet: float, sweep: float, events: str, gap: float) -> list[float]:
    folder = f'quiet_seconds = {quiet}\nsweep_seconds = {sweep}\nevents = "{events}"'
    dice = random.Random(1)
    whole_at: dict[str, float] = {}
    with service.running() as server, Line(root, account="requests_per_second = 500", folder=folder) as line:
        line.url = server.url
        line.configure()
        line.started()
        time.sleep(2.5)
        for number in range(files):
            name, content = f"{events}-{number}.pdf", pdf(number, 20_000)
            if number % 2:
                (root / "aside").write_bytes(content)
                os.rename(root / "aside", root / "in" / name)
            else:
                (root / "in" / name).write_bytes(content)
            whole_at[name] = time.monotonic()
            time.sleep(gap * dice.uniform(0.7, 1.3))
        wait_until(lambda: len(_uploads(server)) >= files, "the last upload", 60, every=0.3)
        uploads = _uploads(server)
        line.kill()
    return [uploads[name] - at for name, at in whole_at.items()]


def _uploads(server: service.Running) -> dict[str, float]:
    return {name: at for at, what, _, name in server.arrivals() if what == "upload"}


def main() -> None:
    arguments = options(__doc__, files={"type": int, "default": None})
    files = arguments.files or (6 if arguments.short else 100)
    quiet, sweep = (0.3, 1.0) if arguments.short else (2.0, 5.0)
    forms = [
        ("events", quiet, 30.0, "auto", 0.7),
        ("sweep alone", quiet, sweep, "off", 0.9),
        ("quiet 0", 0.0, 30.0, "auto", 0.6),
    ]
    rows, figures = [], {}
    for name, quiet_seconds, sweep_seconds, events, gap in forms:
        with scratch(arguments, "latency") as root:
            found = measure(root, files, quiet_seconds, sweep_seconds, events, gap)
        allowed = 0.15 if not quiet_seconds else quiet_seconds + 0.5 + (sweep_seconds if events == "off" else 0.0)
        reached = quantile(found, 0.5) if not quiet_seconds else quantile(found, 0.99)
        rows.append([name, quiet_seconds, quantile(found, 0.5), quantile(found, 0.99), max(found), allowed])
        figures[name.replace(" ", "_")] = {
            "median": quantile(found, 0.5),
            "p99": quantile(found, 0.99),
            "of_allowed": reached / allowed,
        }
    columns = ["", "quiet seconds", "median s", "p99 s", "longest s", "to reach (p99; median for quiet 0)"]
    report(
        "latency",
        columns,
        rows,
        ratio=round(max(one["of_allowed"] for one in figures.values()), 3),
        files=files,
        **figures,
    )


if __name__ == "__main__":
    main()
