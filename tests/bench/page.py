"""What an update of the page costs over a large ledger, daemon and browser: `python tests/bench/page.py`.

A ledger of 100,000 jobs with 1,000 in flight, 50 of them held and 50 waiting for a person, under the real daemon,
beside one of a hundredth of that. Each update is a real one: a job is held or released. To reach: 50 ms an update on
either side, a page of less than 100 kB. The browser's share needs playwright and /usr/bin/chromium; without them it is
left out.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

sys.path[0] = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from sqlalchemy import Connection

from hopperd.ledger import prepared, search, statements
from hopperd.ledger.rows import job_row
from hopperd.ledger.store import Store
from hopperd.pipeline.job import Failure, Hold, Job, Stage, new_job_id
from tests.bench.harness import cost, median, options, report, scratch
from tests.support.stores import moved, new_job
from tests.support.web_line import ACT, WebLine

CHROMIUM = "/usr/bin/chromium"
ALLOWED_SECONDS = 0.050
ALLOWED_BYTES = 100_000
STATED = 50
FAILED = 20
AT_ONCE = 10_000
MOST_BROWSER_UPDATES = 20
UPDATE_SECONDS = 1.5  # the daemon shows what is new once a second
COUNT_UPDATES = """() => {
  window.updates = 0;
  const count = new MutationObserver(() => { window.updates += 1; });
  count.observe(document.querySelector("#needs > .needs"), { childList: true });
}"""


def jobs(count: int, open_jobs: int, now: float) -> Iterator[Job]:
    """The last `open_jobs` of `count` are on their way; nothing of them is due while the benchmark runs."""
    for number in range(count):
        age = (count - number) * 86400 / count
        entered = now - age * 0.9
        plain = new_job(number, b"batch-%d/invoice-%06d.pdf" % (number // 500, number), opened_at=now - age)
        job = Job(**_fields(plain) | {"id": new_job_id(now - age, number.to_bytes(5, "big")), "due_at": now + 1e6})
        place = number - (count - open_jobs)
        if place < 0:
            is_bad = number % max(1, count // FAILED) == 0
            failure = Failure(reason="damaged", fault="file", what="The file cannot be opened", do="Scan it again")
            stage = Stage.FAILED if is_bad else Stage.DONE
            outcome = "failed" if is_bad else "delivered"
            yield moved(job, stage, entered, outcome=outcome, failure=failure if is_bad else None)
        elif place < STATED:
            hold = Hold(reason="person", what="Held by a person", do="Release it", since=entered)
            yield moved(job, Stage.SUBMITTED, entered, task_id=f"t{number}", hold=hold)
        elif place < 2 * STATED:
            url = f"https://service.example/verification/{number}"
            yield moved(job, Stage.SUBMITTED, entered, task_id=f"t{number}", verification_url=url)
        else:
            stage = (Stage.SUBMITTED, Stage.SUBMITTED, Stage.CLAIMED, Stage.UPLOADED, Stage.CAPTURED)[place % 5]
            yield moved(job, stage, entered, task_id=f"t{number}" if stage is Stage.SUBMITTED else None)


def _fields(job: Job) -> dict[str, Any]:
    return {name: getattr(job, name) for name in job.__dataclass_fields__}


async def fill(state: Path, count: int, open_jobs: int) -> None:
    def write(connection: Connection, what: list[dict[str, Any]]) -> None:
        prepared.run_many(connection, statements.INSERT_JOB, what)
        for start in range(0, len(what), 500):
            search.added(connection, [row["id"] for row in what[start : start + 500]])

    state.mkdir(mode=0o700, parents=True)
    store = Store.open_state(str(state))
    rows = [job_row(job) for job in jobs(count, open_jobs, time.time())]
    for start in range(0, count, AT_ONCE):
        await store._pump.do(partial(write, what=rows[start : start + AT_ONCE]))
    await store.close()


def measure(root: Path, count: int, open_jobs: int, updates: int) -> dict[str, float]:
    root.mkdir()
    with WebLine(root) as line:
        asyncio.run(fill(line.state, count, open_jobs))
        line.serve(act=True)
        found = of_the_daemon(line, updates) | of_the_browser(line, updates)
        line.kill()
    return found


def of_the_daemon(line: WebLine, updates: int) -> dict[str, float]:
    assert line.daemon is not None
    line.ask("/v1/overview")
    before, took = cost(line.daemon.pid, alone=True), []
    for _ in range(updates):
        began = time.perf_counter()
        answer = line.ask("/v1/overview")
        took.append(time.perf_counter() - began)
    used = cost(line.daemon.pid, alone=True).since(before)
    return {
        "server_ms": 1e3 * median(took),
        "server_cpu_ms": 1e3 * used.cpu_seconds / updates,
        "state_kilobytes": len(answer.body) / 1e3,
    }


def of_the_browser(line: WebLine, updates: int) -> dict[str, float]:
    """Processor time of the tab's main thread, all it does: script, style, layout, paint, its own clocks."""
    if not os.path.exists(CHROMIUM):
        return {}
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        return {}
    held = [job["job"] for job in line.ask("/v1/overview").json["held"]]
    with (
        sync_playwright() as started,
        contextlib.closing(
            started.chromium.launch(executable_path=CHROMIUM, args=["--headless", "--no-sandbox", "--disable-gpu"])
        ) as browser,
    ):
        page = browser.new_page()
        weights: list[int] = []
        page.on("response", lambda answer: weights.append(0 if "/v1/" in answer.url else len(answer.body())))
        page.goto(line.address)
        page.get_by_text("Live", exact=True).wait_for()
        page.locator(f'[data-key="link {held[0]}"]').wait_for()
        tools = page.context.new_cdp_session(page)
        tools.send("Performance.enable", {"timeDomain": "threadTicks"})

        def busy() -> float:
            metrics = {one["name"]: one["value"] for one in tools.send("Performance.getMetrics")["metrics"]}
            return float(metrics["TaskDuration"])

        # Nothing is asked of the tab while it is measured: an expectation would look at it in every frame.
        page.evaluate(COUNT_UPDATES)
        before = busy()
        for number in range(min(updates, MOST_BROWSER_UPDATES)):
            body = {"order": ("release", "hold")[number % 2], "jobs": [held[0]]}
            said = line.ask("/v1/orders", method="POST", token=ACT, body=body)
            assert said.status == 200, said
            time.sleep(UPDATE_SECONDS)
        used, count = busy() - before, page.evaluate("window.updates")
        assert count, "nothing was shown"
        return {"browser_cpu_ms": 1e3 * used / count, "page_kilobytes": sum(weights) / 1e3}


def main() -> None:
    arguments = options(__doc__)
    sizes = ((200, 20), (2_000, 200)) if arguments.short else ((1_000, 10), (100_000, 1_000))
    updates = 5 if arguments.short else 40
    with scratch(arguments, "page") as root:
        small, large = (measure(root / str(count), count, open_jobs, updates) for count, open_jobs in sizes)
    columns = ["", "server ms", "server CPU ms", "state kB", "browser CPU ms", "page kB"]
    rows = [
        [f"{count:,} jobs, {open_jobs:,} in flight", *found.values()]
        for (count, open_jobs), found in zip(sizes, (small, large), strict=True)
    ]
    allowed = {"allowed_ms": 1e3 * ALLOWED_SECONDS, "allowed_kilobytes": ALLOWED_BYTES / 1e3}
    report(
        "page",
        columns,
        rows,
        ratio=round(large["server_cpu_ms"] / max(0.1, small["server_cpu_ms"]), 2),
        **large,
        **allowed,
    )


if __name__ == "__main__":
    main()
