"""hopperd against a bare script that makes the same requests for the same files: `python tests/bench/throughput.py`.

The twin, with no processing time, in a process of its own; 200 kB files; both have as many requests at once and no
limit of rate. The bare script (bare.py) has no ledger, no folders, no fsync and looks into nothing. Each run of either
has a twin and folders of its own and ends with its last request, the deleting of what it left at the service included.
To reach: `ratio` (invoices/s of hopperd over the script's) 0.85 or more, `cpu_ratio` (CPU per invoice) 1.5 or less.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

sys.path[0] = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from tests.bench.harness import (
    alternating,
    cost,
    make_invoices,
    move_all,
    options,
    report,
    run_bare,
    scratch,
    wait_until,
)
from tests.support.line import Line

AT_ONCE = 24
ACCOUNT = "requests_per_second = 10000\nuploads_at_once = 12\nfetches_at_once = 12"
FOLDER = 'quiet_seconds = 0\nexport_format = "Csv"'


class Deeds:
    """How many requests of a kind the twin has written down: read on from where the last question ended."""

    def __init__(self, log: Path) -> None:
        self._log, self._at, self.deleted = log, 0, 0

    def count(self) -> int:
        with self._log.open("rb") as file:
            file.seek(self._at)
            piece = file.read()
        whole = piece[: piece.rfind(b"\n") + 1]
        self._at += len(whole)
        self.deleted += whole.count(b'"delete_task"') + whole.count(b'"delete_file"')
        return self.deleted


def _line(root: Path, invoices: int) -> Line:
    twin = ["--max-files", str(20 * invoices)]
    return Line(root, account=ACCOUNT, folder=FOLDER, sandbox=twin, processing_seconds="0-0")


def with_hopperd(root: Path, invoices: int) -> dict[str, float]:
    with _line(root, invoices) as line:
        line.start_sandbox()
        line.started()
        make_invoices(root / "aside-in", invoices)
        time.sleep(1.0)
        assert line.daemon is not None and line.sandbox is not None
        deeds, before, twin = Deeds(line.log), cost(line.daemon.pid), cost(line.sandbox.pid)
        began = time.monotonic()
        move_all(root / "aside-in", root / "in")
        wait_until(lambda: deeds.count() >= 3 * invoices, "the last deletion", 60 + invoices)
        seconds = time.monotonic() - began
        used, theirs = cost(line.daemon.pid).since(before), cost(line.sandbox.pid).since(twin)
        line.wait_ended(invoices, 30)
        requests = line.command("status", "--json") and _requests(line)
        assert line.stop() == 0, line.tail()
    return _figures(invoices, seconds, used.cpu_seconds) | {
        "twin_cpu_ms": 1000 * theirs.cpu_seconds / invoices,
        "requests": requests / invoices,
    }


def _requests(line: Line) -> int:
    """All requests that did something; FileInfo is not written down, so that one per export is added."""
    deeds = line.deeds()
    return len(deeds) + sum(1 for deed in deeds if deed["event"] == "download")


def with_bare(root: Path, invoices: int) -> dict[str, float]:
    with _line(root, invoices) as line:
        url = line.start_sandbox()
        make_invoices(root / "in", invoices)
        (root / "out").mkdir()
        assert line.sandbox is not None
        twin = cost(line.sandbox.pid)
        ended = run_bare(root / "in", root / "out", url, AT_ONCE)
        theirs = cost(line.sandbox.pid).since(twin)
        requests = _requests(line)
        assert len(os.listdir(root / "out")) == invoices
    return _figures(invoices, ended["seconds"], ended["cpu_seconds"]) | {
        "twin_cpu_ms": 1000 * theirs.cpu_seconds / invoices,
        "requests": requests / invoices,
    }


def _figures(invoices: int, seconds: float, cpu_seconds: float) -> dict[str, float]:
    return {"per_second": invoices / seconds, "cpu_ms": 1000 * cpu_seconds / invoices}


def main() -> None:
    arguments = options(__doc__, invoices={"type": int, "default": None}, runs={"type": int, "default": None})
    invoices = arguments.invoices or (60 if arguments.short else 1500)
    runs = arguments.runs or (1 if arguments.short else 5)

    def fresh(contestant):  # type: ignore[no-untyped-def]
        def run() -> dict[str, float]:
            with scratch(arguments, "throughput") as root:
                return contestant(root, invoices)

        return run

    ours, bare = alternating(runs, fresh(with_hopperd), fresh(with_bare))
    columns = ["", "invoices/s", "CPU ms each", "twin's CPU ms each", "requests each"]
    keys = ("per_second", "cpu_ms", "twin_cpu_ms", "requests")
    rows = [[name, *(said[key] for key in keys)] for name, said in (("hopperd", ours), ("bare script", bare))]
    rows.append(["ratio", ours["per_second"] / bare["per_second"], ours["cpu_ms"] / bare["cpu_ms"], "", ""])
    report(
        "throughput",
        columns,
        rows,
        ratio=round(ours["per_second"] / bare["per_second"], 3),
        cpu_ratio=round(ours["cpu_ms"] / bare["cpu_ms"], 3),
        invoices=invoices,
        runs=runs,
        hopperd=ours,
        bare=bare,
    )


if __name__ == "__main__":
    main()
