"""Many files that wait in in/ when the daemon starts: `python tests/bench/backlog.py [--most N]`.

10,000, 100,000 and 1,000,000 files, a thousand to a subfolder and all in one. To reach: a sweep at most 3 times a bare
scandir with stat of the same tree (`ratio`); the first upload within 3 s of the start at 100,000 and 10 s at a million;
the event loop never blocked for more than 50 ms.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

sys.path[0] = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from hopperd.folders.layout import Layout
from hopperd.folders.selection import Selection
from hopperd.folders.sweep import sweep
from hopperd.settings import Folder
from tests.bench import service
from tests.bench.harness import fill_inbox, median, options, report, rss, scratch, wait_until
from tests.support.line import Line

WATCHED = str(Path(__file__).parent / "watched.py")


def bare_scan(folder: str) -> int:
    """What any sweep has to do at the least: each name, and what stat says of it."""
    found = 0
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                found += bare_scan(entry.path)
            else:
                entry.stat(follow_symlinks=False)
                found += 1
    return found


def sweeps(root: Path, files: int, runs: int) -> tuple[float, float]:
    """Median seconds of a sweep and of a bare scan, taken in turn, warm."""
    folder = Folder(name="us", path=root, account="main", region="US")  # type: ignore[call-arg]
    layout, ours, bare = Layout.of(folder), [], []
    for _ in range(runs):
        began = time.perf_counter()
        assert bare_scan(str(root / "in")) == files
        bare.append(time.perf_counter() - began)
        began = time.perf_counter()
        assert sweep(layout, Selection(), at=0.0).waiting == files
        ours.append(time.perf_counter() - began)
    return median(ours), median(bare)


def first_upload(root: Path, files: int) -> dict[str, float]:
    """Start the daemon; seconds until the first upload, and what its loop and memory did in the seconds after."""
    account = "requests_per_second = 100\nuploads_at_once = 8"
    with (
        service.running() as server,
        Line(root, account=account, folder="quiet_seconds = 0.2\nsweep_seconds = 30") as line,
    ):
        line.url = server.url
        line.configure()
        line.launcher = [sys.executable, WATCHED, str(root / "loop.json")]
        began = time.monotonic()
        line.start()

        def uploaded() -> bool:
            assert line.daemon is not None and line.daemon.poll() is None, line.tail()
            return any(what == "upload" for _, what, *_ in server.arrivals())

        wait_until(uploaded, "the first upload", 120, every=0.1)
        at = min(at for at, what, *_ in server.arrivals() if what == "upload")
        time.sleep(4.0)
        loop = json.loads((root / "loop.json").read_text())
        assert line.daemon is not None
        memory = rss(line.daemon.pid)
        line.kill()
    return {"first_upload_seconds": at - began, "rss_mib": memory / 2**20, **loop}


def main() -> None:
    arguments = options(__doc__, most={"type": int, "default": None})
    most = arguments.most or (2_000 if arguments.short else 1_000_000)
    sizes = [size for size in (2_000, 10_000, 100_000, 1_000_000) if size <= most and (arguments.short or size > 2_000)]
    found = []
    for size in sizes:
        for per_folder in (None, 1000):
            with scratch(arguments, "backlog") as root:
                fill_inbox(root / "in", size, per_folder=per_folder)
                ours, bare = sweeps(root, size, 5 if size < 1_000_000 else 3)
                one = {
                    "files": size,
                    "per_folder": per_folder,
                    "sweep_seconds": ours,
                    "bare_seconds": bare,
                    "ratio": ours / bare,
                }
                found.append(one | first_upload(root, size))
    columns = [
        "files",
        "in subfolders",
        "sweep s",
        "bare scan s",
        "ratio",
        "first upload s",
        "loop late ms",
        "callback CPU ms",
        "RSS MiB",
    ]
    keys = ("sweep_seconds", "bare_seconds", "ratio", "first_upload_seconds", "late_ms", "callback_cpu_ms", "rss_mib")
    rows = [[one["files"], bool(one["per_folder"]), *(one[key] for key in keys)] for one in found]
    report("backlog", columns, rows, ratio=round(max(one["ratio"] for one in found), 2), sizes=found)


if __name__ == "__main__":
    main()
