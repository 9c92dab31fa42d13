"""Throughput of the real daemon with many readers of its event stream, against the same without any.

`python tests/bench/readers.py [FILES] [READERS]`; 60 files are the short form, and 500 readers the figure to keep.

The account's rate is what bounds the line, as it does in real use. Both ways run in turn, each on a line of its own.
The readers are one process of their own that reads all streams and throws away what they say.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

sys.path[0] = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from tests.support.line import invoice
from tests.support.web_line import WebLine

ROUNDS = 2
RATE = 120
KEPT = 0.95

_READ = """
import asyncio, sys

async def read(host, port, told):
    reader, writer = await asyncio.open_connection(host, port)
    writer.write(f"GET /v1/events HTTP/1.1\\r\\nHost: {host}:{port}\\r\\n\\r\\n".encode())
    while data := await reader.read(65536):
        if not told.is_set():
            told.set()
        read.bytes += len(data)

read.bytes = 0

async def main(host, port, readers):
    told = [asyncio.Event() for _ in range(readers)]
    tasks = [asyncio.ensure_future(read(host, port, one)) for one in told]
    for one in told:
        await one.wait()
    print("reading", flush=True)
    await asyncio.gather(*tasks, return_exceptions=True)
    print(read.bytes, flush=True)

asyncio.run(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
"""


@contextmanager
def reading(address: str, readers: int) -> Iterator[subprocess.Popen[str] | None]:
    if not readers:
        yield None
        return
    place = urlsplit(address)
    command = [sys.executable, "-c", _READ, place.hostname or "", str(place.port), str(readers)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        assert process.stdout.readline() == "reading\n"
        yield process
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def cpu_seconds(pid: int) -> float:
    """What a process has used so far: says more than the clock where the machine is busy with other things."""
    with open(f"/proc/{pid}/stat") as stat:
        fields = stat.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def per_second(files: int, readers: int) -> tuple[float, float, int]:
    """Invoices per second, processor time for each in ms, and bytes that the readers got (0 without readers)."""
    with (
        tempfile.TemporaryDirectory() as root,
        WebLine(Path(root), account=f"requests_per_second = {RATE}", processing_seconds="0") as line,
    ):
        line.serve()
        with reading(line.address, readers) as process:
            for number in range(files):
                line.put_in(f"{number}.pdf", invoice(number))
            line.wait_ended(1)
            assert line.daemon is not None
            began, ended, used = time.monotonic(), line.ended(), cpu_seconds(line.daemon.pid)
            line.wait_ended(files, 600)
            took, used = time.monotonic() - began, cpu_seconds(line.daemon.pid) - used
            heard = 0
            assert line.stop() == 0
            if process is not None and process.stdout is not None:
                heard = int(process.stdout.readline() or 0)
        return (files - ended) / took, used / (files - ended) * 1e3, heard


def share(files: int, readers: int) -> float:
    """What is left of the throughput with `readers`, in the middle of some rounds of both."""
    alone, read = [], []
    for _ in range(ROUNDS):
        without, cpu_alone, _ = per_second(files, 0)
        with_readers, cpu_read, heard = per_second(files, readers)
        alone.append(without)
        assert heard > readers * files * 100, "every reader hears of every invoice"
        read.append(with_readers)
        print(
            f"{alone[-1]:.2f} invoices/s alone ({cpu_alone:.0f} ms CPU each), {read[-1]:.2f} with {readers} readers "
            f"({cpu_read:.0f} ms), who got {heard / 1e6:.1f} MB",
            flush=True,
        )
    return statistics.median(read) / statistics.median(alone)


if __name__ == "__main__":
    kept = share(int(sys.argv[1]) if len(sys.argv) > 1 else 300, int(sys.argv[2]) if len(sys.argv) > 2 else 500)
    print(f"{kept:.1%} of the throughput is kept; {KEPT:.0%} is asked for")
    sys.exit(0 if kept >= KEPT else 1)
