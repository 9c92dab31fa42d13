"""Several daemons on one set of hot folders, one PostgreSQL and one sandbox; each with a state folder of its own."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Any

from tests.support import postgres
from tests.support.line import Line


class Node(Line):
    """One daemon of a fleet: shares everything with `first` but its state, its configuration and its log."""

    def __init__(self, first: Line, name: str, ledger: str, **options: Any) -> None:
        self._own_top = f'{options.pop("top", "")}\nnode = "{name}"'
        super().__init__(first.root, **options)
        place = first.root / "nodes" / name
        place.mkdir(parents=True)
        self.name = name
        self.state, self.logs, self.config = place / "state", place, place / "hopperd.toml"
        self.put, self.url = first.put, first.url
        self.reaches_ledger_at(ledger)

    def reaches_ledger_at(self, url: str) -> None:
        self._top = f'{self._own_top}\nledger = "{url}"'
        self.configure()

    def send(self, what: signal.Signals) -> None:
        assert self.daemon is not None
        self.daemon.send_signal(what)

    def nodes(self) -> dict[str, dict[str, Any]]:
        """What this node says of all, by name."""
        return {line["node"]: line for line in self.asked("/v1/status")["nodes"]}


class Fleet:
    """`first` has the sandbox and the folders, and runs no daemon of its own."""

    def __init__(
        self,
        root: Path,
        names: Iterable[str],
        *,
        server: postgres.Server | None = None,
        sandbox: Iterable[str] = (),
        processing_seconds: str = "0-0.2",
        faults: str | None = None,
        url: str | None = None,
        **options: Any,
    ) -> None:
        """`url`: of another service than the sandbox, which is not started then."""
        self.server = server or postgres.server()
        self.ledger = self.server.database()
        self.first = Line(root, sandbox=sandbox, processing_seconds=processing_seconds, faults=faults, **options)
        if url is None:
            self.first.start_sandbox()
        else:
            self.first.url = url
        self.nodes = {name: Node(self.first, name, self.ledger, **options) for name in names}

    def __getitem__(self, name: str) -> Node:
        return self.nodes[name]

    def __enter__(self) -> Fleet:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        with contextlib.ExitStack() as ends:
            for line in (self.first, *self.nodes.values()):
                ends.push(line)

    def started(self) -> None:
        for node in self.nodes.values():
            node.start()
        for node in self.nodes.values():
            node.wait_for(lambda node=node: (node.state / "control.sock").exists(), f"the start of {node.name}")

    def stop(self) -> None:
        for node in self.nodes.values():
            if node.daemon is not None and node.daemon.poll() is None:
                assert node.stop() == 0, node.tail()

    def history(self, event: str) -> list[tuple[str, str]]:
        """Job and detail of every such row, from the database itself."""
        with self.server.admin(self.ledger.rpartition("/")[2]) as admin:
            rows = admin.execute("SELECT job, detail FROM history WHERE event = %s ORDER BY job", (event,)).fetchall()
        return [(str(job), str(detail)) for job, detail in rows]

    def tails(self) -> str:
        return "\n".join(f"--- {node.name}\n{node.tail(15)}" for node in self.nodes.values())
