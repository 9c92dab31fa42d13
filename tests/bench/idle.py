"""What a daemon costs when nothing happens: `python tests/bench/idle.py`.

Ten folders with 10,000 files each, known and left alone. To reach: 1 % of a core (`cpu_share` 0.01), and nothing
written to the disk but one probe for each folder and minute.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

sys.path[0] = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from tests.bench import service
from tests.bench.harness import cost, options, report, scratch, wait_until
from tests.support.line import Line

ALLOWED_CPU = 0.01


def fill(root: Path, folders: int, files: int) -> str:
    """The folders with files that are none of ours by their content; the settings of all but the first."""
    more = []
    for number in range(folders):
        place = root / f"f{number}"
        (place / "in").mkdir(parents=True)
        fd = os.open(place / "in", os.O_RDONLY)
        for file in range(files):
            made = os.open(f"note-{file:06d}.txt", os.O_WRONLY | os.O_CREAT, 0o644, dir_fd=fd)
            os.write(made, b"hello %d\n" % file)
            os.close(made)
        os.close(fd)
        if number:
            more.append(
                f'[[folders]]\nname = "f{number}"\npath = "{place}"\n'
                'account = "main"\nregion = "US"\non_other = "leave"'
            )
    return "\n".join(more)


def measure(root: Path, folders: int, files: int, seconds: float) -> dict[str, float]:
    more = fill(root, folders, files)
    first = 'quiet_seconds = 2\nsweep_seconds = 30\non_other = "leave"'
    with (
        service.running() as server,
        Line(root / "f0", folder=f"{first}\n{more}", account="requests_per_second = 10") as line,
    ):
        line.url = server.url
        line.configure()
        line.started()
        assert line.daemon is not None

        def all_known() -> bool:
            return sum(folder["left_alone_total"] for folder in line.asked("/v1/status")["folders"]) >= folders * files

        wait_until(all_known, "knowing all files", 300, every=1.0)
        time.sleep(5.0)
        before, began = cost(line.daemon.pid), time.monotonic()
        time.sleep(seconds)
        used, took = cost(line.daemon.pid).since(before), time.monotonic() - began
        line.kill()
    return {
        "cpu_share": used.cpu_seconds / took,
        "written_bytes_per_minute": used.written_bytes * 60 / took,
        "switches_per_second": used.switches / took,
        "rss_mib": used.rss_bytes / 2**20,
    }


def main() -> None:
    arguments = options(__doc__, seconds={"type": float, "default": None})
    folders, files = (2, 100) if arguments.short else (10, 10_000)
    with scratch(arguments, "idle") as root:
        found = measure(root, folders, files, arguments.seconds or (3.0 if arguments.short else 90.0))
    rows = [[f"{folders} folders, {folders * files:,} files", f"{found['cpu_share']:.2%}", *list(found.values())[1:]]]
    columns = ["", "of a core", "bytes written a minute", "context switches/s", "RSS MiB"]
    report("idle", columns, rows, ratio=round(found["cpu_share"] / ALLOWED_CPU, 2), **found)


if __name__ == "__main__":
    main()
