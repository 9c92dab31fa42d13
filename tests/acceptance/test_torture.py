"""Real processes, killed at random moments, with faults on; judged from the outside by an oracle of its own.

The short form runs with every change; the long form (`python -m pytest -m long tests/acceptance/test_torture.py -s`,
with `--kills N --files N` a smaller one) is the one whose figures stand in docs/explanation/promises.md.
"""

from __future__ import annotations

import json
import os
import random
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.line import Line, invoice

pytestmark = pytest.mark.timeout(0)

MEASURED_EVERY = 5

FAULTS = """
seed = 17
[[fault]]
on = "any"
kind = "status"
status = 429
probability = 0.05
[[fault]]
on = "any"
kind = "status"
status = 503
probability = 0.02
[[fault]]
on = "run"
kind = "reset-after"
probability = 0.03
[[fault]]
on = "upload"
kind = "reset-before"
probability = 0.02
[[fault]]
on = "download"
kind = "short-body"
probability = 0.02
[[fault]]
on = "download"
kind = "wrong-hash"
probability = 0.01
[[fault]]
on = "look"
kind = "html"
probability = 0.01
"""


def puts(line: Line, count: int, rng: random.Random) -> Iterator[None]:
    """Puts invoices in, one at a time, in odd places; every 40th carries the bytes of an earlier one."""
    for number in range(count):
        same = number and number % 40 == 0
        content = invoice(f"torture-{rng.randrange(number) if same else number}")
        line.put_in(f"{rng.choice(['', 'a/', 'b/c/'])}{number}.pdf", content)
        yield
    while True:
        yield


def torture(line: Line, *, files: int, kills: int, seed: int) -> dict[str, object]:
    """Kill `kills` times over `files` invoices, then let it end; the figures.

    Every few lives begin as a system starts a program, and how long they take to do useful work is measured before they
    end. The others are forked from what has imported it already, and half of them end within a second of their start,
    half within a second of their first useful work: so the moments are those of work, however slow the machine is.
    """
    rng = random.Random(seed)
    putting = puts(line, files, rng)
    recoveries: list[float] = []
    started = time.monotonic()
    share = max(1, round(files / kills * 1.05))
    while line.kills < kills:
        is_measured = line.kills % MEASURED_EVERY == 0
        deeds = line.log.stat().st_size
        begun = time.monotonic()
        line.start(fork=not is_measured)
        for _ in range(share):
            next(putting)
        if is_measured or line.kills % 2:
            line.wait_for(lambda before=deeds: line.log.stat().st_size > before, "useful work after a kill", 120)
        if is_measured:
            recoveries.append(time.monotonic() - begun)
        time.sleep(rng.uniform(0.0, 1.0))
        line.kill()
    for _ in range(files):
        next(putting)
    code = line.once("--wait", "300", seconds=600 + files)
    while line.json("list", "--held")["jobs"]:
        line.command("release", "--folder", "us")
        code = line.once("--wait", "300", seconds=600 + files)
    verdict = line.judge()
    measured = sorted(recoveries)
    figures: dict[str, object] = {
        "kills": line.kills,
        "recoveries_measured": len(measured),
        **verdict.figures(),
        "lost": sum("promise 1" in sentence for sentence in verdict.broken),
        "delivered_twice": sum("promise 2" in sentence for sentence in verdict.broken),
        "recovery_p50_seconds": round(measured[len(measured) // 2], 2),
        "recovery_p99_seconds": round(measured[min(len(measured) - 1, int(len(measured) * 0.99))], 2),
        "load": os.getloadavg()[2],  # of the last quarter of an hour: what the times were measured under
        "minutes": round((time.monotonic() - started) / 60, 1),
        "exit_code": code,
    }
    print(json.dumps(figures))
    assert not verdict.broken, "\n".join([*verdict.broken[:20], line.tail(40)])
    return figures


@pytest.mark.parametrize("form", ["short", pytest.param("long", marks=pytest.mark.long)])
def test_kills_and_faults_lose_nothing_and_deliver_nothing_twice(
    tmp_path: Path, form: str, request: pytest.FixtureRequest
) -> None:
    files, kills = 1000, 50
    if form == "long":
        files, kills = request.config.getoption("--files"), request.config.getoption("--kills")
    account = "requests_per_second = 2000\nuploads_at_once = 16"
    options = ["--max-files", str(20 * files)]
    folder = 'quiet_seconds = 0.1\nexport_format = "Json"'
    with Line(tmp_path, folder=folder, account=account, sandbox=options, faults=FAULTS) as line:
        line.start_sandbox()
        figures = torture(line, files=files, kills=kills, seed=23)
        assert figures["kills"] == kills
        assert figures["failed"] == 0
        assert figures["extra_runs"] <= figures["doubts"]  # type: ignore[operator]


def test_hold_makes_no_extra_run_before_it_is_released(tmp_path: Path) -> None:
    account = "requests_per_second = 2000\nuploads_at_once = 16"
    folder = 'quiet_seconds = 0.1\non_doubt = "hold"\nexport_format = "Json"'
    with Line(tmp_path, folder=folder, account=account, faults=FAULTS) as line:
        line.start_sandbox()
        rng = random.Random(29)
        putting = puts(line, 150, rng)
        for _ in range(10):
            line.start()
            for _ in range(15):
                next(putting)
            time.sleep(rng.uniform(0.6, 1.4))
            line.kill()
        line.once("--wait", "60", seconds=300)
        assert line.keeps_every_promise(finished=False).extra_runs == 0, "hold paid twice without being asked"


def test_a_night_of_bad_service_ends_well(tmp_path: Path) -> None:
    """20 % 429, half of them without Retry-After; 10 % 503, stalls, cuts after the request, short and wrong downloads,
    HTML, a blackout and a spell of 401 in real seconds: the simulation goes through the long ones. What met five errors
    of the service while others passed is held, and in the morning it is released."""
    plan = """
seed = 31
[[fault]]
on = "any"
kind = "status"
status = 401
from_seconds = 8
first = 3
[[fault]]
on = "any"
kind = "status"
status = 429
probability = 0.1
[[fault]]
on = "any"
kind = "status"
status = 429
retry_after_seconds = 1
probability = 0.1
[[fault]]
on = "any"
kind = "status"
status = 503
probability = 0.1
[[fault]]
on = "any"
kind = "stall"
probability = 0.01
[[fault]]
on = "any"
kind = "reset-after"
probability = 0.05
[[fault]]
on = "download"
kind = "short-body"
probability = 0.02
[[fault]]
on = "download"
kind = "wrong-hash"
probability = 0.01
[[fault]]
on = "any"
kind = "html"
probability = 0.01
"""
    rate = 40
    account = f"requests_per_second = {rate}\nanswer_seconds = 3\nstall_seconds = 3"
    folder = 'export_format = "Json"\ndoubts_allowed = 20'
    with Line(tmp_path, folder=folder, account=account, faults=plan) as line:
        line.start_sandbox()
        for number in range(8):
            line.put_in(f"{number}.pdf", invoice(f"night-{number}"))
        line.started()

        def refused() -> list[dict[str, object]]:
            return [event for event in line.events("account-paused") if event["reason"] == "credentials"]

        line.wait_for(refused, "the pause after a 401")
        assert len(refused()) == 1

        def is_open() -> bool:
            assert line.daemon is not None
            line.daemon.send_signal(signal.SIGHUP)  # as an operator who has put the credentials right
            return line.account()["paused"] is None

        line.wait_for(is_open, "the end of the pause")

        def is_morning() -> bool:
            for job in line.json("list", "--held")["jobs"]:
                assert job["hold"]["reason"] == "server-errors"
                line.command("release", job["job"])
            return line.ended() == 8

        line.wait_for(is_morning, "the end of 8 jobs", 1200)  # from the eighth failure in a row on: five minutes each
        line.wait_ended(8)
        assert line.stop() == 0
        assert line.keeps_every_promise().delivered == 8
