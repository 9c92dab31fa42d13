"""What every benchmark shares: its options, its table, its last line of JSON, and what a process has cost.

A figure of one machine means little; each benchmark compares two things on the same machine in the same run and says
the ratio. Nothing here judges: the figures to reach stand beside those measured.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.line import APPLICATION, TOKEN

TICKS = os.sysconf("SC_CLK_TCK")
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
INVOICE_BYTES = 200_000


# ------------------------------------------------------------------------------------------------- the programs


def options(description: str | None, **more: Mapping[str, Any]) -> argparse.Namespace:
    """The options of a benchmark: `--short`, `--dir`, and those named in `more` (with an underscore for each dash)."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--short", action="store_true", help="a small one: shows that it runs, measures little")
    parser.add_argument("--dir", type=Path, default=None, help="where its folders are made (default: the system's)")
    for name, settings in more.items():
        parser.add_argument(f"--{name.replace('_', '-')}", **settings)
    return parser.parse_args()


def report(name: str, columns: Sequence[str], rows: Iterable[Sequence[object]], **figures: object) -> None:
    """The table for people, then one line of JSON."""
    cells = [[_cell(value) for value in row] for row in rows]
    widths = [max(len(row[place]) for row in [list(columns), *cells]) for place in range(len(columns))]
    for row in [list(columns), *cells]:
        first, *others = (
            text.ljust(w) if not p else text.rjust(w) for p, (text, w) in enumerate(zip(row, widths, strict=True))
        )
        print("  ".join([first, *others]).rstrip())
    print(json.dumps({"bench": name, **figures, "cores": os.cpu_count(), "python": platform.python_version()}))


def _cell(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.1f}" if abs(value) >= 20 else f"{value:.3g}"
    return f"{value:,}" if isinstance(value, int) else str(value)


@contextlib.contextmanager
def scratch(arguments: argparse.Namespace, name: str) -> Iterator[Path]:
    """A folder for one run, removed at its end."""
    with tempfile.TemporaryDirectory(prefix=f"hopperd-{name}-", dir=arguments.dir, ignore_cleanup_errors=True) as made:
        yield Path(made)


def median(values: Iterable[float]) -> float:
    return statistics.median(values)


def quantile(values: Sequence[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, round(share * (len(ordered) - 1)))]


def run_bare(inbox: Path, out: Path, url: str, at_once: int) -> dict[str, float]:
    """The bare script over the files in `inbox`: its seconds, and those of a processor."""
    command = [sys.executable, str(Path(__file__).parent / "bare.py"), str(inbox), str(out), "--url", url]
    command += ["--application", APPLICATION, "--token", TOKEN, "--at-once", str(at_once)]
    said = subprocess.run(command, capture_output=True, check=True, text=True, timeout=900).stdout
    found: dict[str, float] = json.loads(said)
    return found


def wait_until(happened: Callable[[], bool], what: str, seconds: float, every: float = 0.02) -> None:
    deadline = time.monotonic() + seconds
    while not happened():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what} did not happen within {seconds:.0f} s")
        time.sleep(every)


# ------------------------------------------------------------------------------------------------- the invoices


def pdf(number: int | str, size_bytes: int = INVOICE_BYTES) -> bytes:
    """A one-page PDF of its own, as long as wanted: like a scan, most of it is one stream that no reader need open."""
    from hopperd.invoices.small_pdf import small_pdf

    small = small_pdf(f"BENCH-{number}")
    if size_bytes <= len(small):
        return small
    at = small.rindex(b"xref\n0 6\n")
    filler = b"6 0 obj\n<</Length %d>>stream\n%b\nendstream\nendobj\n"
    wanted = size_bytes - len(small) - len(filler % (10**6, b"")) - 20
    unit = b"%s " % str(number).encode()
    stream = (unit * (wanted // len(unit) + 1))[:wanted]
    added = filler % (len(stream), stream)
    table = small[at:].replace(b"xref\n0 6\n", b"xref\n0 7\n").replace(b"/Size 6", b"/Size 7")
    trailer = table.index(b"trailer")
    table = table[:trailer] + b"%010d 00000 n \n" % at + table[trailer:]
    return small[:at] + added + table.replace(b"startxref\n%d\n" % at, b"startxref\n%d\n" % (at + len(added)))


def make_invoices(folder: Path, count: int, size_bytes: int = INVOICE_BYTES, *, first: int = 0) -> list[Path]:
    """`count` different invoices in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    made = []
    for number in range(first, first + count):
        path = folder / f"invoice-{number:07d}.pdf"
        path.write_bytes(pdf(number, size_bytes))
        made.append(path)
    return made


def fill_inbox(inbox: Path, count: int, *, per_folder: int | None = None) -> None:
    """`count` files that differ in their first bytes only: for backlogs of a million, at 20 µs each."""
    inbox.mkdir(parents=True, exist_ok=True)
    small = pdf(0, 0)
    for numbers in _chunked(range(count), per_folder or count or 1):
        folder = inbox if per_folder is None else inbox / f"{numbers[0]:07d}"
        folder.mkdir(exist_ok=True)
        fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            for number in numbers:
                file = os.open(f"invoice-{number:07d}.pdf", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644, dir_fd=fd)
                os.write(file, small.replace(b"BENCH-0", b"B%06d" % number))
                os.close(file)
        finally:
            os.close(fd)


def _chunked(numbers: range, size: int) -> Iterator[range]:
    for start in range(0, len(numbers), size):
        yield numbers[start : start + size]


def move_all(source: Path, target: Path) -> None:
    """Rename every file of a folder into another of the same file system, as fast as renames go."""
    for entry in sorted(os.scandir(source), key=lambda entry: entry.name):
        os.rename(entry.path, target / entry.name)


# ------------------------------------------------------------------------------------------------ what it costs


@dataclass(frozen=True, slots=True)
class Cost:
    """What a process and its living descendants have used so far."""

    cpu_seconds: float
    rss_bytes: int
    written_bytes: int
    switches: int

    def since(self, before: Cost) -> Cost:
        return Cost(
            self.cpu_seconds - before.cpu_seconds,
            self.rss_bytes,
            self.written_bytes - before.written_bytes,
            self.switches - before.switches,
        )


def tree(pid: int) -> list[int]:
    """A process and all below it that live."""
    found = [pid]
    for one in found:
        with contextlib.suppress(OSError):
            for task in os.listdir(f"/proc/{one}/task"):
                with open(f"/proc/{one}/task/{task}/children") as file:
                    found += [int(child) for child in file.read().split()]
    return found


def cost(pid: int, *, alone: bool = False) -> Cost:
    """CPU of the tree including children that have ended; memory of the process alone."""
    cpu = written = switches = 0.0
    for one in [pid] if alone else tree(pid):
        with contextlib.suppress(OSError, ValueError, IndexError):
            with open(f"/proc/{one}/stat", "rb") as file:
                fields = file.read().rpartition(b")")[2].split()
            cpu += sum(int(field) for field in fields[11:15]) / TICKS
            with open(f"/proc/{one}/io") as file:
                written += int(next(line for line in file if line.startswith("write_bytes")).split()[1])
            with open(f"/proc/{one}/status") as file:
                switches += sum(int(line.split()[1]) for line in file if "ctxt_switches" in line)
    return Cost(cpu, rss(pid), int(written), int(switches))


def rss(pid: int) -> int:
    """Resident memory of one process, in bytes."""
    with open(f"/proc/{pid}/statm") as file:
        return int(file.read().split()[1]) * PAGE_BYTES


def alternating(runs: int, *contestants: Callable[[], Mapping[str, float]]) -> list[dict[str, float]]:
    """Each contestant `runs` times in turn, so that a busy minute hurts all; medians of what they say."""
    said: list[list[Mapping[str, float]]] = [[] for _ in contestants]
    for turn in range(runs):
        order = list(enumerate(contestants))
        for place, contestant in order if turn % 2 == 0 else reversed(order):
            said[place].append(contestant())
    return [{key: median(one[key] for one in runs_said) for key in runs_said[0]} for runs_said in said]


counter = itertools.count()
