"""Runs hopperd and watches its event loop: `python tests/bench/watched.py REPORT python -m hopperd run …`.

A tick every 10 ms tells how late it came; each callback is timed. REPORT is written anew every second: the latest tick,
the longest callback, its own CPU time, and what it was.
"""

from __future__ import annotations

import asyncio
import json
import os
import runpy
import sys
import time
from asyncio import events
from typing import Any

TICK_SECONDS = 0.01


def watch(report: str) -> None:
    from hopperd import startup

    longest: dict[str, Any] = {
        "late_ms": 0.0,
        "callback_ms": 0.0,
        "callback_cpu_ms": 0.0,
        "callback": "",
        "late_over_50": 0,
    }
    run_handle, run_daemon = events.Handle._run, startup.run_daemon

    def timed(handle: events.Handle) -> None:
        began, cpu = time.perf_counter(), time.thread_time()
        run_handle(handle)
        took = (time.perf_counter() - began) * 1000
        if took > longest["callback_ms"]:
            longest.update(callback_ms=took, callback=repr(handle)[:300])
        longest["callback_cpu_ms"] = max(longest["callback_cpu_ms"], (time.thread_time() - cpu) * 1000)

    async def tick() -> None:
        written = 0.0
        while True:
            began = time.perf_counter()
            await asyncio.sleep(TICK_SECONDS)
            late = (time.perf_counter() - began - TICK_SECONDS) * 1000
            longest["late_ms"] = max(longest["late_ms"], late)
            longest["late_over_50"] += late > 50
            if time.perf_counter() - written > 1.0:
                written = time.perf_counter()
                with open(report + ".new", "w") as file:
                    json.dump(longest, file)
                os.replace(report + ".new", report)

    async def watched(*arguments: Any, **named: Any) -> Any:
        ticking = asyncio.create_task(tick())
        try:
            return await run_daemon(*arguments, **named)
        finally:
            ticking.cancel()

    events.Handle._run = timed  # type: ignore[method-assign]
    startup.run_daemon = watched


if __name__ == "__main__":
    report, _, _, module, *arguments = sys.argv[1:]
    sys.path.pop(0)
    watch(report)
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)
