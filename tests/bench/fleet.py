"""Several nodes on one PostgreSQL ledger against one node on SQLite, and a bare script: `python tests/bench/fleet.py`.

Invoices of 20 kB, no limit of rate, a service of little cost with 50 ms for each request: how many a second one, two
and four nodes carry, over what a bare script (bare.py: no ledger, no folders, as many at once as one node) makes of
the same; what one costs the database (transactions, rows written, bytes of its log) and the processors; and how large
a part that is of what the database does for eight sessions that ask for nothing else (`of_the_database`).

Then four nodes with twice as much to do as 50 requests a second allow: how much of them is used, and how many the
service saw in its busiest second (51 are allowed). To reach: `ratio` (one node on PostgreSQL over one on SQLite) 0.7,
`used` 0.97, `most_over` 0.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psycopg

sys.path[0] = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from tests.bench import service
from tests.bench.harness import cost, make_invoices, move_all, options, report, run_bare, scratch, wait_until
from tests.support.budget import busiest
from tests.support.fleet import Fleet
from tests.support.line import Line
from tests.support.postgres import Server

AT_ONCE = 24
ACCOUNT = "requests_per_second = 10000\nuploads_at_once = 12\nfetches_at_once = 12\ntasks_in_flight = 5000"
FOLDER = "quiet_seconds = 0"
INVOICE_BYTES = 20_000
LATENCY_SECONDS = 0.05
RATE = 50
REQUESTS_EACH = 8
LEFT_OUT_SECONDS = 2.0
SESSIONS = 8
OF_THE_DATABASE = ("transactions", "of_the_database", "rows", "log_bytes")
STATISTICS_SECONDS = 1.5  # PostgreSQL's sessions tell theirs once a second


def carried(line: Line, lines: Sequence[Line], invoices: int) -> dict[str, float]:
    """From the moment the files are there to the last receipt; all daemons run already."""
    make_invoices(line.root / "aside-in", invoices, INVOICE_BYTES)
    pids = [one.daemon.pid for one in lines if one.daemon is not None]
    before = [cost(pid) for pid in pids]
    began = time.monotonic()
    move_all(line.root / "aside-in", line.root / "in")
    wait_until(lambda: line.ended() >= invoices, "the last receipt", 60 + invoices, every=0.1)
    seconds = time.monotonic() - began
    cpu = sum(cost(pid).since(was).cpu_seconds for pid, was in zip(pids, before, strict=True))
    return {"per_second": invoices / seconds, "cpu_ms": 1000 * cpu / invoices}


def on_sqlite(root: Path, invoices: int) -> dict[str, float]:
    with service.running(latency=LATENCY_SECONDS) as server, Line(root, account=ACCOUNT, folder=FOLDER) as line:
        line.url = server.url
        line.configure()
        line.started()
        return carried(line, [line], invoices)


def bare(root: Path, invoices: int) -> dict[str, float]:
    with service.running(latency=LATENCY_SECONDS) as server:
        make_invoices(root / "in", invoices, INVOICE_BYTES)
        (root / "out").mkdir()
        said = run_bare(root / "in", root / "out", server.url, AT_ONCE)
    return {"per_second": invoices / said["seconds"], "cpu_ms": 1000 * said["cpu_seconds"] / invoices}


def of_the_database(server: Server, seconds: float) -> float:
    """Transactions a second of sessions that do nothing but write one row and change two, each time durably."""
    url = server.database()
    made = [0] * SESSIONS
    until = time.monotonic() + seconds

    def write(mine: int) -> None:
        with psycopg.connect(url, autocommit=True) as session:
            while time.monotonic() < until:
                key = SESSIONS * (made[mine] % 100) + mine
                session.execute(
                    "WITH changed AS (UPDATE entries SET at = at + 1 WHERE job IN (%s, %s))"
                    " INSERT INTO history (job, what) VALUES (%s, %s)",
                    (key, (key + SESSIONS) % (SESSIONS * 100), key, "x" * 300),
                )
                made[mine] += 1

    with psycopg.connect(url, autocommit=True) as session:
        session.execute("CREATE TABLE entries (job int PRIMARY KEY, at int, what text)")
        session.execute("CREATE TABLE history (id bigserial PRIMARY KEY, job int, what text)")
        session.execute("INSERT INTO entries SELECT n, 0, repeat('x', 700) FROM generate_series(0, 799) AS n")
    writers = [threading.Thread(target=write, args=(one,)) for one in range(SESSIONS)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    return sum(made) / seconds


def figures(session: psycopg.Connection[Any]) -> tuple[int, int, int]:
    """Of the session's database, so far: transactions, rows written, bytes of the log."""
    time.sleep(STATISTICS_SECONDS)
    row = session.execute(
        "SELECT xact_commit, tup_inserted + tup_updated + tup_deleted, pg_current_wal_lsn() - '0/0'"
        " FROM pg_stat_database WHERE datname = current_database()"
    ).fetchone()
    assert row is not None
    return int(str(row[0])), int(str(row[1])), int(str(row[2]))


class Database:
    """What a ledger's database was asked to do so far."""

    def __init__(self, server: Server, name: str) -> None:
        self._server, self._name = server, name

    def figures(self) -> tuple[int, int, int]:
        with self._server.admin(self._name) as admin:
            return figures(admin)


def on_postgresql(root: Path, nodes: int, invoices: int, server: Server) -> dict[str, float]:
    names = [f"node-{number}" for number in range(nodes)]
    with (
        service.running(latency=LATENCY_SECONDS) as running,
        Fleet(root, names, server=server, url=running.url, account=ACCOUNT, folder=FOLDER) as fleet,
    ):
        fleet.started()
        database = Database(server, fleet.ledger.rpartition("/")[2])
        before = database.figures()
        found = carried(fleet.first, list(fleet.nodes.values()), invoices)
        transactions, rows, log_bytes = (now - was for now, was in zip(database.figures(), before, strict=True))
    return found | {
        "transactions": transactions / invoices,
        "rows": rows / invoices,
        "log_bytes": log_bytes / invoices,
    }


def budget(root: Path, nodes: int, seconds: float, server: Server) -> dict[str, float]:
    account = f"requests_per_second = {RATE}\nuploads_at_once = 16\nfetches_at_once = 16\ntasks_in_flight = 5000"
    names = [f"node-{number}" for number in range(nodes)]
    with (
        service.running() as running,
        Fleet(root, names, server=server, url=running.url, account=account, folder=FOLDER) as fleet,
    ):
        fleet.started()
        make_invoices(root / "aside-in", round(2 * RATE * (seconds + LEFT_OUT_SECONDS) / REQUESTS_EACH), INVOICE_BYTES)
        move_all(root / "aside-in", root / "in")
        wait_until(lambda: bool(running.arrivals()), "the first request", 30)
        time.sleep(seconds + LEFT_OUT_SECONDS)
        arrivals = sorted(at for at, *_ in running.arrivals())
    began = arrivals[0] + LEFT_OUT_SECONDS
    counted = [at for at in arrivals if began <= at < began + seconds]
    return {"used": len(counted) / (RATE * seconds), "busiest": busiest(arrivals)}


def main() -> None:
    arguments = options(__doc__, invoices={"type": int, "default": None}, seconds={"type": float, "default": None})
    invoices = arguments.invoices or (20 if arguments.short else 400)
    seconds = arguments.seconds or (3.0 if arguments.short else 20.0)
    counts = (1, 2) if arguments.short else (1, 2, 4)
    server = Server()
    limit = of_the_database(server, min(5.0, seconds))
    with scratch(arguments, "fleet") as root:
        script = bare(root, invoices)
    with scratch(arguments, "fleet") as root:
        alone = on_sqlite(root, invoices)
    found = {}
    for count in counts:
        with scratch(arguments, "fleet") as root:
            found[count] = on_postgresql(root, count, invoices, server)
    with scratch(arguments, "fleet") as root:
        kept = budget(root, counts[-1], seconds, server)
    server.remove()
    for one in (alone, *found.values()):
        one["of_bare"] = one["per_second"] / script["per_second"]
    for one in found.values():
        one["of_the_database"] = one["transactions"] * one["per_second"] / limit
    rows = [
        [name, *(one.get(key, "") for key in ("per_second", "of_bare", "cpu_ms", *OF_THE_DATABASE))]
        for name, one in [
            ("bare script", script),
            ("SQLite", alone),
            *((f"{count} on PostgreSQL", one) for count, one in found.items()),
        ]
    ]
    most = RATE + max(1.0, 0.01 * RATE)
    columns = [
        "",
        "invoices/s",
        "of bare",
        "CPU ms each",
        "transactions each",
        "of the database",
        "rows each",
        "log each",
    ]
    told = f"{kept['used']:.1%} used, {kept['busiest']} in the busiest second"
    rows.append([f"{counts[-1]} nodes at {RATE} requests/s: {told}", *[""] * (len(columns) - 1)])
    report(
        "fleet",
        columns,
        rows,
        ratio=round(found[1]["per_second"] / alone["per_second"], 3),
        used=round(kept["used"], 4),
        most_over=max(0.0, kept["busiest"] - most),
        nodes={str(count): one for count, one in found.items()},
        alone=alone,
        bare=script,
        database_transactions_per_second=round(limit),
    )


if __name__ == "__main__":
    main()
