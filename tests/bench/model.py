"""What one invoice costs, counted, and a million a day on the virtual clock: `python tests/bench/model.py`.

Counted at the places where the daemon reaches outside, as more invoices need more of each: requests, fsyncs, renames,
ledger commits (an upper bound: alone each record has its own, together they share). Then the real runner, ledger and
limits at 11.6 invoices a second, as many as make a million a day: what the account's rate has to be, and how long an
invoice takes from its claim to its receipt. docs/explanation/performance.md is made of this.
"""

from __future__ import annotations

import functools
import os
import sys
from collections import Counter

sys.path[0] = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from tests.bench.harness import options, quantile, report
from tests.bench.polls import Steady
from tests.support.world import START, World

A_DAY = 86_400.0
REQUESTS_EACH = 9.0  # of the simulated service, whose fetch is one request and not two
KINDS = {
    "requests": ("before service",),
    "fsyncs of files": ("before fsync disk",),
    "fsyncs of folders": ("before fsync-folder disk",),
    "renames and links": ("before rename disk", "before rename-over disk", "before link disk"),
    "folders made and removed": ("before mkdir disk", "before rmdir disk"),
    "ledger commits": ("before-commit",),
}


def counted(invoices: int) -> Counter[str]:
    with World(3) as world:
        world.service = Steady(2, 5.0, 0.3, world.clock.now)
        tell = world.service.__class__._before
        asked: Counter[str] = Counter()

        async def told(self: Steady, call: str) -> None:
            asked[call] += 1
            await tell(self, call)

        world.service._before = functools.partial(told, world.service)  # type: ignore[method-assign]
        for number in range(invoices):
            world.put_in(f"{number}.pdf", b"%%PDF-1.4 %d\n%%%%EOF" % number)
        assert world.live()
        names = Counter(name for name in world.taps.names if name.startswith("before"))
        return names + Counter({f"before service {call}": times for call, times in asked.items()})


def costs(few: int, many: int) -> dict[str, float]:
    """Of each kind, how many more a further invoice needs."""
    first, second = counted(few), counted(many)
    more = {name: (second[name] - first[name]) / (many - few) for name in second}
    return {kind: sum(n for name, n in more.items() if name.startswith(starts)) for kind, starts in KINDS.items()}


def busy_day(invoices: int, a_day: float, rate: float) -> dict[str, float]:
    """A piece of a day at the pace of `a_day` invoices."""
    pace = a_day / A_DAY
    account = {"requests_per_second": rate, "tasks_in_flight": 5000, "uploads_at_once": 16, "fetches_at_once": 16}
    with World(1, account=account, folder={"quiet_seconds": 2.0, "sweep_seconds": 5.0}) as world:
        service = world.service = Steady(2, 30.0, 0.5, world.clock.now)
        for number in range(invoices):
            put = functools.partial(world.put_in, f"invoice-{number:05d}.pdf", b"%%PDF-1.4 invoice %d %%%%EOF" % number)
            put() if number < 3 else world.loop.call_later(number / pace, put)
        assert world.live(seconds=20.0 * invoices / pace + 3600.0), "not all ended"
        names = Counter(name for name in world.taps.names if "before-commit" in name)
        uploads = [at - number / pace for number, at in enumerate(sorted(service.uploads))]
        ended = world.loop.time()
    counted_ = list(service.looks.values())[invoices // 4 :]
    return {
        "invoices": invoices,
        "rate": rate,
        "looks": sum(counted_) / len(counted_),
        "commits_per_second": sum(names.values()) * pace / invoices,
        "upload_wait_median": quantile(uploads, 0.5),
        "upload_wait_p99": quantile(uploads, 0.99),
        "over_seconds": ended - invoices / pace,
        "busiest_second": world.busiest_second,
    }


def main() -> None:
    arguments = options(__doc__, invoices={"type": int, "default": None})
    each = costs(5, 15 if arguments.short else 45)
    invoices = arguments.invoices or (60 if arguments.short else 4000)
    day = busy_day(invoices, 1_000_000.0, REQUESTS_EACH * 1_000_000.0 / A_DAY * 1.2)
    rows: list[list[object]] = [[f"{kind} each", number] for kind, number in each.items()]
    rows += [[f"a million a day: {name.replace('_', ' ')}", value] for name, value in day.items()]
    report("model", ["", "counted"], rows, ratio=round(day["looks"], 3), each=each, day=day, start=START)


if __name__ == "__main__":
    main()
