"""Ten million invoices a day on several nodes, on the virtual clock: `python tests/bench/fleet_day.py`.

The real runners, intakes and limits of as many nodes as asked for, on one budget, one hot folder and a real PostgreSQL,
at 116 invoices a second. What the account's rate and the tasks in flight have to be, how evenly the nodes share, how
long an invoice takes, and what the database is asked for. Calls to disk and ledger take no time here, so this says what
the scheduler needs and not what a machine can do: that is `fleet.py`. `ratio`: looks at a task, 3 or fewer to reach.
"""

from __future__ import annotations

import functools
import os
import sys
from collections import Counter
from typing import Any

sys.path[0] = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from tests.bench.fleet import figures
from tests.bench.harness import options, quantile, report
from tests.bench.polls import Steady
from tests.support.budget import busiest
from tests.support.fleet_world import Fate, FleetWorld

A_DAY = 86_400.0
INVOICES_A_DAY = 10_000_000.0
REQUESTS_EACH = 9.0  # of the simulated service, whose fetch is one request and not two
SPARE = 1.2
TASK_SECONDS, TASK_SPREAD = 30.0, 0.5
SWEEP_SECONDS = 2.0  # no events come from other machines


def day(nodes: int, invoices: int) -> dict[str, Any]:
    """A piece of it."""
    pace = INVOICES_A_DAY / A_DAY
    rate = pace * REQUESTS_EACH * SPARE
    account = {"requests_per_second": rate, "tasks_in_flight": 10_000, "uploads_at_once": 64, "fetches_at_once": 64}
    folder = {"quiet_seconds": 2.0, "sweep_seconds": SWEEP_SECONDS}
    with FleetWorld(1, [Fate() for _ in range(nodes)], account=account, folder=folder) as world:
        service = world.service = Steady(2, TASK_SECONDS, TASK_SPREAD, world.clock.now)
        before = figures(world._server)
        for number in range(invoices):
            put = functools.partial(world.put_in, f"invoice-{number:05d}.pdf", b"%%PDF-1.4 invoice %d %%%%EOF" % number)
            world.loop.call_later(number / pace, put)
        assert world.work(), "not all ended"
        transactions, rows, log_bytes = (now - was for now, was in zip(figures(world._server), before, strict=True))
        verdict = world.judge()
        assert not verdict.broken, verdict.broken[:5]
        carried = Counter(str(row[0]) for row in world._server.execute("SELECT owner FROM jobs"))
    uploads = [at - number / pace for number, at in enumerate(sorted(service.uploads))]
    moments = sorted(service.requests)
    steady = list(service.looks.values())[invoices // 4 :]
    return {
        "invoices": invoices,
        "rate": rate,
        "looks": sum(steady) / len(steady),
        "requests each": len(moments) / invoices,
        "busiest second": busiest(moments),
        "upload wait median s": quantile(uploads, 0.5),
        "upload wait p99 s": quantile(uploads, 0.99),
        "fewest carried of a node": min(carried.values()) / invoices if len(carried) == nodes else 0.0,
        "most carried of a node": max(carried.values()) / invoices,
        "transactions each": transactions / invoices,
        "rows each": rows / invoices,
        "kB of log each": log_bytes / invoices / 1000.0,
    }


def main() -> None:
    arguments = options(__doc__, invoices={"type": int, "default": None}, nodes={"type": int, "default": 4})
    invoices = arguments.invoices or (60 if arguments.short else 6000)
    nodes = 2 if arguments.short else arguments.nodes
    found = day(nodes, invoices)
    rows: list[list[object]] = [[name, value] for name, value in found.items()]
    report("fleet_day", [f"{nodes} nodes", ""], rows, ratio=round(found["looks"], 3), nodes=nodes, day=found)


if __name__ == "__main__":
    main()
