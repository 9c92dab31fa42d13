"""The stores that the conformance suite runs against: open one on a folder, and jobs to put into it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from typing import Any

from sqlalchemy import Connection, update

from hopperd.ledger.codec import to_json
from hopperd.ledger.store import Store
from hopperd.ledger.tables import jobs
from hopperd.pipeline.events import Claimed, Postponed, Weather
from hopperd.pipeline.job import Export, Hold, Identity, Job, JobId, Original, Stage, StageAt, new_job_id, replace
from hopperd.ports import Ledger
from tests.support import postgres

NOW = 1_790_000_000.0
HOLD = Hold(reason="doubt", what="nobody knows", do="look", since=NOW)
POSTPONED = Postponed(weather=Weather(kind="server", what="it rains"))


def _sqlite(state: str) -> Store:
    return Store.open_state(state)


def _sqlite_inline(state: str) -> Store:
    return Store.open_state(state, inline=True)


_databases: dict[str, str] = {}


def _postgresql(state: str) -> Store:
    """A database for each state folder, as a node has it: opened again, it is the same ledger."""
    if state not in _databases:
        _databases[state] = postgres.server().database()
    return Store.open_shared(state, _databases[state], node="a-node")


STORES: Mapping[str, Callable[[str], Store]] = {
    "postgresql": _postgresql,
    "sqlite": _sqlite,
    "sqlite-inline": _sqlite_inline,
}


def job_id(number: int, at: float = NOW) -> JobId:
    """The ids of one moment sort by number."""
    return new_job_id(at, number.to_bytes(5, "big"))


def original(name: bytes = b"invoice.pdf", content: bytes | None = None) -> Original:
    content = name if content is None else content
    return Original(
        name=name,
        identity=Identity(device=1, inode=2, size_bytes=len(content), mtime_ns=3),
        sha256=hashlib.sha256(content).hexdigest(),
        sha512=hashlib.sha512(content).hexdigest(),
    )


def new_job(number: int = 0, name: bytes | None = None, content: bytes | None = None, **fields: Any) -> Job:
    at = fields.pop("opened_at", NOW)
    name = b"invoice-%d.pdf" % number if name is None else name
    values: dict[str, Any] = {
        "id": job_id(number),
        "folder": "us",
        "account": "main",
        "stage": Stage.CLAIMED,
        "opened_at": at,
        "due_at": at,
        "originals": (original(name, content),),
        "stages": (StageAt(stage=Stage.CLAIMED, at=at),),
    }
    return Job(**(values | fields))


def moved(job: Job, stage: Stage | None = None, at: float = NOW, **fields: Any) -> Job:
    """The job one version later, without asking the rules."""
    if stage is not None and stage is not job.stage:
        fields = {"stage": stage, "stages": (*job.stages, StageAt(stage=stage, at=at))} | fields
    return replace(job, version=job.version + 1, **fields)


def export(name: bytes = b"invoice.json") -> Export:
    return Export(name=name, staged_as="0", size_bytes=1, sha256="0" * 64)


async def spoil(ledger: Store, *spoiled: Job, stage: str = "of a later version") -> None:
    """As if another version had written these jobs: their documents cannot be read."""

    def put(connection: Connection) -> None:
        for job in spoiled:
            document = to_json(job).replace(f'"stage":"{job.stage.value}"', f'"stage":"{stage}"', 1)
            assert document != to_json(job)
            connection.execute(update(jobs).where(jobs.c.id == job.id).values(document=document))

    await ledger._pump.do(put)


async def opened(ledger: Ledger, job: Job, *, twins: bool = True) -> Job:
    return await ledger.open(job, Claimed(), twins=twins)
