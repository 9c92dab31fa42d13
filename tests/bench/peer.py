"""hopperd beside its peers: `python tests/bench/peer.py`.

The script that a user would write in an afternoon (afternoon.py: watchdog, requests, eight threads, looks each second),
and rclone, an installed tool that pushes a folder to an HTTP server, in a loop. Half of the files lie there at the
start, a third comes renamed in, the others are written slowly while the program runs; all within the same time. How
many are handled whole, and how fast? To reach: `ratio` 3 over the script, ahead of the tool, and every file handled.
A peer that is not installed is left out, and said so.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

sys.path[0] = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from tests.bench import service
from tests.bench.harness import make_invoices, options, pdf, report, scratch, wait_until
from tests.support.line import Line

REQUESTS_PER_SECOND = 100
SIZE = 50_000
SLOW_SECONDS = 1.0
HERE = Path(__file__).parent


@contextmanager
def with_hopperd(root: Path, server: service.Running) -> Iterator[None]:
    account = f"requests_per_second = {REQUESTS_PER_SECOND}\nuploads_at_once = 8\ntasks_in_flight = 1000"
    with Line(root, account=account, folder="quiet_seconds = 2") as line:
        line.url = server.url
        line.configure()
        line.started()
        yield
        line.kill()


@contextmanager
def with_script(root: Path, server: service.Running) -> Iterator[None]:
    command = [sys.executable, str(HERE / "afternoon.py"), str(root / "in"), str(root / "out"), "--url", server.url]
    with _running(command, root):
        yield


@contextmanager
def with_rclone(root: Path, server: service.Running) -> Iterator[None]:
    loop = f"while true; do rclone move --config /dev/null --min-age 2s --transfers 8 --tpslimit {REQUESTS_PER_SECOND} "
    loop += f"{root / 'in'} ':webdav,url=\"{server.url}/dav\",vendor=other:'; sleep 1; done"
    with _running(["sh", "-c", loop], root):
        yield


@contextmanager
def _running(command: list[str], root: Path) -> Iterator[None]:
    with (root / "peer.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
        try:
            if "--url" in command:  # the script says when it watches
                wait_until(lambda: b"watching" in (root / "peer.log").read_bytes(), "the script's start", 60)
            yield
        finally:
            os.killpg(process.pid, 9)
            process.wait()


def measure(root: Path, contestant: Any, files: int, seconds: float, processing: float) -> dict[str, float]:
    """Files handled whole within `seconds`, and how fast: exports of whole uploads, for rclone whole uploads."""
    for name in ("in", "out"):
        (root / name).mkdir()
    make_invoices(root / "in", files // 2, SIZE)
    with service.running(processing=processing) as server, contestant(root, server):
        began = time.monotonic()
        comers = [threading.Thread(target=_rename_in, args=(root, files // 2, files // 3)),
                  threading.Thread(target=_write_slowly, args=(root, files // 2 + files // 3, files))]  # fmt: skip
        time.sleep(1.0)
        for comer in comers:
            comer.start()
        for comer in comers:
            comer.join()
        while time.monotonic() - began < seconds and len(_handled(server)) < files:
            time.sleep(0.5)
        handled = _handled(server)
    last = max(handled.values(), default=began) - began
    return {"handled": len(handled), "share": len(handled) / files, "per_second": len(handled) / max(last, 0.1)}


def _handled(server: service.Running) -> dict[str, float]:
    """Whole uploads by name; where there are Runs, of those whose result was fetched."""
    arrivals = server.arrivals()
    whole = server.whole()
    fetched = {name: at for at, what, _, name in arrivals if what == "download"}
    if any(what == "run" for _, what, *_ in arrivals):
        return {name: at for name, at in fetched.items() if name in whole}
    return whole


def _rename_in(root: Path, first: int, count: int) -> None:
    for path in make_invoices(root / "aside-in", count, SIZE, first=first):
        os.rename(path, root / "in" / path.name)
        time.sleep(0.01)


def _write_slowly(root: Path, first: int, end: int) -> None:
    """As a scanner does: in pieces, all files at once."""
    contents = {root / "in" / f"invoice-{number:07d}.pdf": pdf(number, SIZE) for number in range(first, end)}
    pieces = 5
    for piece in range(pieces):
        for path, content in contents.items():
            with path.open("ab") as file:
                file.write(
                    content[piece * SIZE // pieces : (piece + 1) * SIZE // pieces if piece < pieces - 1 else None]
                )
        time.sleep(SLOW_SECONDS / pieces)


def contestants() -> dict[str, Callable[..., Any] | str]:
    """By name; a sentence where it cannot be had."""
    missing = [name for name in ("watchdog", "requests") if importlib.util.find_spec(name) is None]
    return {
        "hopperd": with_hopperd,
        "script": f"{' and '.join(missing)} not installed" if missing else with_script,
        "rclone": with_rclone if shutil.which("rclone") else "rclone is not installed (apt install rclone)",
    }


def main() -> None:
    arguments = options(__doc__, files={"type": int, "default": None}, seconds={"type": float, "default": None})
    files = arguments.files or (12 if arguments.short else 300)
    seconds, processing = (15.0, 0.3) if arguments.short else (180.0, 3.0)
    found: dict[str, dict[str, float]] = {}
    rows: list[list[object]] = []
    for name, contestant in contestants().items():
        if isinstance(contestant, str):
            rows.append([name, contestant, "", ""])
            continue
        with scratch(arguments, "peer") as root:
            one = found[name] = measure(root, contestant, files, arguments.seconds or seconds, processing)
        rows.append([name, int(one["handled"]), f"{one['share']:.0%}", one["per_second"]])
    ratios = {
        f"over_{name}": round(found["hopperd"]["per_second"] / one["per_second"], 2)
        for name, one in found.items()
        if name != "hopperd" and one["per_second"]
    }
    report(
        "peer",
        ["", f"of {files} files", "handled", "files/s"],
        rows,
        ratio=ratios.get("over_script"),
        **ratios,
        completeness={name: round(one["share"], 4) for name, one in found.items()},
    )


if __name__ == "__main__":
    main()
