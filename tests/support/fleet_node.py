"""One node of a fleet, no more than its tokens: `python -m tests.support.fleet_node URL RATE SECONDS`.

Sends as fast as it is let, and prints the moment of each on the machine's own monotonic clock.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time

import structlog

from hopperd.capture.fleet_rate import FleetRate
from hopperd.ledger.budget import PostgresBudget

WORKERS = 3


async def send(url: str, rate: float, seconds: float) -> None:
    budget = PostgresBudget(url, "", str(os.getpid()))
    tokens = FleetRate("main", rate, budget=budget, behind=lambda: 100)
    until = time.monotonic() + seconds

    async def work() -> None:
        while time.monotonic() < until:
            await tokens.token()
            print(time.monotonic(), flush=True)

    await asyncio.gather(*(work() for _ in range(WORKERS)))
    await budget.close()


if __name__ == "__main__":
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))  # what is printed are the moments
    asyncio.run(send(sys.argv[1], float(sys.argv[2]), float(sys.argv[3])))
