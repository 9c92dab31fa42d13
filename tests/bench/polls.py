"""Few looks, little delay, and uploads that polls never starve: `python tests/bench/polls.py`.

The real runner, ledger and limits on a virtual clock. Tasks take log-normal times (σ 0.3, 0.5, 1.0) around 5 s, 30 s
and 5 min; the budget of requests is what the demand needs, and half of it. To reach: 3 looks a task; an added delay of
at most 1.15 times (`ratio`) the least that any schedule with as many looks can have, which is computed here; and
uploads at 0.85 of the pace (`upload_share`) that the budget allows.
"""

from __future__ import annotations

import asyncio
import functools
import math
import os
import random
import sys
from typing import Any

sys.path[0] = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from hopperd.pipeline.job import RemoteFile, Task
from tests.bench.harness import options, report
from tests.support.simulated_service import SimulatedService, Weather
from tests.support.world import START, World

IN_FLIGHT = 100  # tasks at the service at once where the budget is enough
EACH_WITHOUT_LOOKS = 6.0  # upload, Run, fetch, and three deletions; the simulated fetch is one request
CALL_SECONDS = 0.005
TASKS = {0.3: 800, 0.5: 800, 1.0: 3_000}
"""By σ: with the widest the mean over a few hundred tasks is one of chance, a tenth up or down."""


class Steady(SimulatedService):
    """No faults and hardly any latency; remembers when each task was done and when that was seen."""

    def __init__(self, seed: int, typical: float, spread: float, now: Any) -> None:
        super().__init__(random.Random(seed), Weather(), lambda what: None, now)
        self._typical, self._spread = typical, spread
        self.looks: dict[str, int] = {}
        self.delays: dict[str, float] = {}
        self.uploads: list[float] = []

    async def run(self, files: Any, properties: Any) -> Task:
        task = await super().run(files, properties)
        self._tasks[task.id].done_at = self._now() + self._typical * math.exp(self._rng.gauss(0.0, self._spread))
        self.looks[task.id] = 0
        return task

    async def look(self, task_id: str) -> Task:
        done_at, now = self._tasks[task_id].done_at, self._now()
        self.looks[task_id] += 1
        if now >= done_at:
            self.delays.setdefault(task_id, now - done_at)
        return await super().look(task_id)

    async def upload(self, source: Any) -> RemoteFile:
        self.uploads.append(self._now() - START)
        return await super().upload(source)

    async def _before(self, call: str) -> None:
        self.requests.append(self._now())
        await asyncio.sleep(CALL_SECONDS)

    async def _after(self, call: str) -> None:
        return


@functools.cache
def best_delay(spread: float, looks: float) -> float:
    """The least mean delay, in typical durations, of any schedule that needs `looks` looks in the mean.

    For a price of a look, dynamic programming over a grid of ages finds the schedule that is cheapest; the price is
    moved until that schedule needs as many looks as wanted. Both are convex in it, so that bisection finds it.
    """
    steps = 160
    edges = [math.exp(spread * (-4.2 + 8.4 * step / steps)) for step in range(steps + 1)]
    below = [0.5 * math.erfc(-math.log(edge) / spread / math.sqrt(2.0)) for edge in edges]
    below[0], below[-1] = 0.0, 1.0
    mean = [0.5 * math.erfc(-(math.log(edge) / spread - spread) / math.sqrt(2.0)) for edge in edges]
    total = math.exp(spread * spread / 2.0)
    first = [total * value for value in mean]  # the part of the mean duration from tasks that end before each edge
    first[0], first[-1] = 0.0, total

    def cheapest(price: float) -> tuple[float, float]:
        cost, needed, late = [0.0] * (steps + 1), [0.0] * (steps + 1), [0.0] * (steps + 1)
        for at in range(steps - 1, -1, -1):
            alive = 1.0 - below[at]
            best = math.inf
            for to in range(at + 1, steps + 1):
                waited = edges[to] * (below[to] - below[at]) - (first[to] - first[at])
                value = price * alive + waited + cost[to]
                if value < best:
                    best, choice, delay = value, to, waited
            cost[at], needed[at], late[at] = best, alive + needed[choice], delay + late[choice]
        return needed[0], late[0]

    low, high = 1e-4, 10.0
    for _ in range(18):
        price = math.sqrt(low * high)
        if cheapest(price)[0] > looks:
            low = price
        else:
            high = price
    (more, less_late), (fewer, later) = cheapest(low), cheapest(high)
    share = 0.0 if more == fewer else min(1.0, max(0.0, (looks - fewer) / (more - fewer)))
    return later + share * (less_late - later)  # a mixture of two schedules is one, too


def measure(typical: float, spread: float, budget: float, tasks: int, left_out: int) -> dict[str, float]:
    pace = IN_FLIGHT / (typical * math.exp(spread * spread / 2.0))  # tasks a second that keep so many in flight
    rate = budget * pace * (EACH_WITHOUT_LOOKS + 3.0)
    account = {
        "requests_per_second": rate,
        "tasks_in_flight": 4 * IN_FLIGHT,
        "uploads_at_once": 16,
        "fetches_at_once": 16,
    }
    with World(1, account=account, folder={"quiet_seconds": 0.0, "sweep_seconds": max(1.0, typical / 20.0)}) as world:
        service = world.service = Steady(2, typical, spread, world.clock.now)
        for number in range(tasks):
            put = functools.partial(world.put_in, f"invoice-{number:05d}.pdf", b"%%PDF-1.4 invoice %d %%%%EOF" % number)
            put() if number < 3 else world.loop.call_later(number / pace, put)
        assert world.live(seconds=100.0 * tasks / pace + 100.0 * typical), "not all ended"
    counted = list(service.looks)[left_out:]  # by when they were submitted: who ends late took long
    looks = sum(service.looks[task] for task in counted) / len(counted)
    delay = sum(service.delays.get(task, 0.0) for task in counted) / len(counted)
    least = best_delay(spread, round(looks, 2)) * typical
    some = service.uploads[len(service.uploads) // 4 : 3 * len(service.uploads) // 4]
    allowed = min(pace, rate / (EACH_WITHOUT_LOOKS + looks))
    return {
        "typical": typical, "spread": spread, "budget": budget, "looks": looks, "delay": delay, "least": least,
        "ratio": delay / least, "upload_share": (len(some) - 1) / (some[-1] - some[0]) / allowed,
    }  # fmt: skip


def main() -> None:
    arguments = options(__doc__, tasks={"type": int, "default": None})
    left_out = 75 if arguments.short else 250
    typicals, spreads = ((5.0,), (0.5,)) if arguments.short else ((5.0, 30.0, 300.0), (0.3, 0.5, 1.0))
    found = [
        measure(typical, spread, budget, arguments.tasks or (150 if arguments.short else TASKS[spread]), left_out)
        for typical in typicals
        for spread in spreads
        for budget in (1.0, 0.5)
    ]
    columns = ["typical s", "σ", "budget", "looks", "delay s", "least s", "ratio", "upload share"]
    report(
        "polls",
        columns,
        [list(one.values()) for one in found],
        ratio=round(max(one["ratio"] for one in found), 3),
        looks=round(max(one["looks"] for one in found), 2),
        upload_share=round(min(one["upload_share"] for one in found), 3),
    )


if __name__ == "__main__":
    main()
