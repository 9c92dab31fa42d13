"""What two poisonous files in a hundred cost the others: `python tests/bench/poison.py [GOOD] [ROUNDS]`.

Prints the throughput of the good files without and with poison among them, each the median of its rounds, and the share
that is left; the figure to beat is 95 %. A machine that does other things measures those as well: hence also what a
good file costs in processor time of ordinary priority, and the share that is left by that count, as on a full machine.
Files that a child has died over are looked into at the lowest priority, with what nobody else wants.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

sys.path[0] = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from tests.bench.harness import alternating, cost, tree
from tests.support.line import Line, invoice
from tests.support.specimens import cpu_hog

EVERY = 50


def carried(good: int, *, with_poison: bool) -> dict[str, float]:
    """From the start of a daemon that finds them all to the last good one's receipt."""
    account = "requests_per_second = 2000\nuploads_at_once = 16"
    options = ["--max-files", str(10 * good)]
    with (
        tempfile.TemporaryDirectory() as folder,
        Line(Path(folder), account=account, folder='export_format = "Csv"', sandbox=options) as line,
    ):
        line.start_sandbox()
        for number in range(good):
            line.put_in(f"{number}.pdf", invoice(f"poison-{number}"))
            if with_poison and number % EVERY == 0:
                line.put_in(f"{number}-hog.pdf", cpu_hog(number))
        daemon = line.start()
        line.wait_for(lambda: (line.state / "control.sock").exists(), "the start")
        started, before = time.monotonic(), ordinary_cpu_seconds(daemon.pid)
        done = line.root / "done"
        line.wait_for(lambda: sum(1 for _ in done.rglob("*.receipt.json")) >= good, "the good ones", 600 + good)
        seconds, cpu_seconds = time.monotonic() - started, ordinary_cpu_seconds(daemon.pid) - before
        line.kill()
    return {"per_second": good / seconds, "cpu_milliseconds": 1000 * cpu_seconds / good}


def ordinary_cpu_seconds(pid: int) -> float:
    """Of the daemon and its children, but for those of low priority."""
    ours = os.getpriority(os.PRIO_PROCESS, pid)
    return sum(cost(one, alone=True).cpu_seconds for one in tree(pid) if os.getpriority(os.PRIO_PROCESS, one) <= ours)


def measure(good: int = 2000, rounds: int = 1) -> dict[str, float]:
    clean, poisoned = alternating(
        rounds, partial(carried, good, with_poison=False), partial(carried, good, with_poison=True)
    )
    return {
        "good_files": good,
        "rounds": rounds,
        "clean_per_second": round(clean["per_second"], 1),
        "with_poison_per_second": round(poisoned["per_second"], 1),
        "share": round(poisoned["per_second"] / clean["per_second"], 3),
        "clean_cpu_milliseconds": round(clean["cpu_milliseconds"], 2),
        "with_poison_cpu_milliseconds": round(poisoned["cpu_milliseconds"], 2),
        "cpu_share": round(clean["cpu_milliseconds"] / poisoned["cpu_milliseconds"], 3),
        "load": round(os.getloadavg()[1], 1),
    }


if __name__ == "__main__":
    print(json.dumps(measure(*(int(argument) for argument in sys.argv[1:]))))
