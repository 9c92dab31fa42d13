"""Several nodes on one ledger: who is alive, and whose each job is. PostgreSQL alone; times are the database's own.

A node carries the jobs it owns. It takes what nobody owns, and what a node has left behind that is gone: its lease is
over, or it ended in order. A job taken over gets a version more and a row of history, so that whatever its owner before
still means to record is stale. A node judges others only when it was itself seen for a whole lease: after a pause of
the database everybody has the time to be seen again.

Rows of the dead stay as long as jobs name them: that a node is not among those a snapshot saw proves nothing.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

import structlog
from sqlalchemy import (
    Connection,
    Float,
    String,
    and_,
    bindparam,
    case,
    cast,
    delete,
    exists,
    extract,
    func,
    insert,
    or_,
    select,
    update,
)

from hopperd.ledger import prepared, statements
from hopperd.ledger.queries import first_readable, jobs_by_id
from hopperd.ledger.rows import history_row
from hopperd.ledger.tables import MOVING, OPEN, UNTIDY, jobs, nodes, outbox
from hopperd.pipeline.events import TakenOver
from hopperd.pipeline.job import Job, JobId, Stage
from hopperd.ports import LEASE_SECONDS, Node, WaitingLetter, Wanted

log = structlog.get_logger("ledger")

CHANNEL: Final = "hopperd"
LETTER_SECONDS: Final = 300.0  # how long a letter that a node has in hand is no other's
GAP_SECONDS: Final = LEASE_SECONDS / 2  # a node unseen for longer has begun anew
LEFT_SHOWN_SECONDS: Final = 60.0
GONE_SHOWN_SECONDS: Final = 3600.0
NOTICES_SECONDS: Final = 0.2  # between two about new jobs: each costs every commit of the fleet a moment

_CLOCK: Final = cast(extract("epoch", func.statement_timestamp()), Float)

_me = bindparam("me", type_=String)
_judge = select(nodes.c.since).where(nodes.c.id == _me, nodes.c.seen >= _CLOCK - GAP_SECONDS).scalar_subquery()
_GONE: Final = select(nodes.c.id).where(
    or_(nodes.c.seen == 0, and_(nodes.c.seen < _CLOCK - LEASE_SECONDS, _judge < _CLOCK - LEASE_SECONDS))
)
_FREE: Final = and_(jobs.c.owner.is_distinct_from(_me), or_(jobs.c.owner.is_(None), jobs.c.owner.in_(_GONE)))
_MINE: Final = jobs.c.owner == _me

_WANTED: Final = (
    jobs.c.account == bindparam("of_account"),
    jobs.c.stage.in_(bindparam("in_stages", expanding=True)),
    jobs.c.due_at <= bindparam("now"),
    jobs.c.folder.in_(bindparam("in_folders", expanding=True)),
)
_ORDER: Final = (jobs.c.priority.desc(), jobs.c.due_at)
_FOUND: Final = (jobs.c.id, jobs.c.owner, jobs.c.priority, jobs.c.due_at)

DUE_OF_MINE: Final = select(*_FOUND).where(MOVING, *_WANTED, _MINE).order_by(*_ORDER).limit(bindparam("most"))
DUE_AND_FREE: Final = (
    select(*_FOUND)
    .where(MOVING, *_WANTED, _FREE)
    .order_by(*_ORDER)
    .limit(bindparam("most"))
    .with_for_update(skip_locked=True, of=jobs)
)
DUE_AT_ALL: Final = select(jobs.c.id).where(MOVING, jobs.c.due_at <= bindparam("now"), or_(_MINE, _FREE)).limit(1)
NEXT_DUE: Final = select(func.min(jobs.c.due_at)).where(
    OPEN, jobs.c.held.is_(False), jobs.c.due_at > bindparam("now"), or_(_MINE, jobs.c.owner.is_(None))
)
IN_FLIGHT: Final = statements.IN_FLIGHT.where(_MINE)
UNTIDY_DUE: Final = (
    select(jobs.c.id, jobs.c.owner)
    .where(UNTIDY, jobs.c.account == bindparam("of_account"), jobs.c.due_at <= bindparam("now"), or_(_MINE, _FREE))
    .order_by(jobs.c.due_at)
    .limit(bindparam("most"))
    .with_for_update(skip_locked=True, of=jobs)
)
LEAVE_TO_OTHERS: Final = (
    update(jobs)
    .where(
        MOVING,
        _MINE,
        jobs.c.account == bindparam("of_account"),
        jobs.c.stage.in_(bindparam("in_stages", expanding=True)),
        jobs.c.id.not_in(bindparam("in_hand", expanding=True)),
    )
    .values(owner=None)
    .returning(jobs.c.id)
)
OWN: Final = update(jobs).where(jobs.c.id.in_(bindparam("ids", expanding=True))).values(owner=_me)
RAISE: Final = (
    update(jobs).where(jobs.c.id.in_(bindparam("ids", expanding=True))).values(owner=_me, version=jobs.c.version + 1)
)
NAMES: Final = select(nodes.c.id, nodes.c.name).where(nodes.c.id.in_(bindparam("ids", expanding=True)))

BEAT: Final = (
    update(nodes)
    .where(nodes.c.id == _me)
    .values(
        seen=_CLOCK,
        since=case((nodes.c.seen < _CLOCK - GAP_SECONDS, _CLOCK), else_=nodes.c.since),
        in_hand=bindparam("busy"),
    )
)
ENTER: Final = insert(nodes).values(
    id=_me,
    name=bindparam("name", type_=String),
    version=bindparam("version", type_=String),
    started=_CLOCK,
    since=_CLOCK,
    seen=_CLOCK,
    in_hand=0,
)
SEEN: Final = select(nodes, _CLOCK.label("clock")).order_by(nodes.c.started, nodes.c.id)
CARRIED: Final = (
    select(jobs.c.owner, func.count().label("jobs")).where(OPEN, jobs.c.owner.is_not(None)).group_by(jobs.c.owner)
)
CARRIER: Final = select(nodes.c.name).join(jobs, jobs.c.owner == nodes.c.id).where(jobs.c.id == bindparam("job_id"))
LEAVE: Final = update(nodes).where(nodes.c.id == _me).values(seen=0.0, in_hand=0)
FORGET: Final = delete(nodes).where(
    or_(
        and_(nodes.c.seen == 0, nodes.c.since < _CLOCK - LEFT_SHOWN_SECONDS),
        and_(nodes.c.seen > 0, nodes.c.seen < _CLOCK - GONE_SHOWN_SECONDS),
    ),
    ~exists().where(jobs.c.owner == nodes.c.id, or_(OPEN, UNTIDY)),
)

LETTERS_FREE: Final = (
    select(outbox)
    .where(
        outbox.c.channel == bindparam("of_channel"),
        outbox.c.due_at <= bindparam("now"),
        outbox.c.in_hand_until <= _CLOCK,
    )
    .order_by(outbox.c.due_at, outbox.c.at)
    .limit(bindparam("most"))
    .with_for_update(skip_locked=True)
)
TAKE_LETTERS: Final = (
    update(outbox)
    .where(outbox.c.id.in_(bindparam("ids", expanding=True)))
    .values(in_hand_until=_CLOCK + LETTER_SECONDS)
)
NOTIFY: Final = select(func.pg_notify(CHANNEL, bindparam("what", type_=String)))


def me(connection: Connection) -> str | None:
    """The node that this session works for; None on SQLite, and for a command."""
    node: str | None = connection.info.get("node")
    return node


def notify(connection: Connection, what: str, *, now_and_then: bool = False) -> None:
    """Tell the other nodes when this transaction is durable: "jobs" or "pauses" are not what they were."""
    if connection.dialect.name == "sqlite":
        return
    moment = time.monotonic()
    if now_and_then and moment - connection.info.get("notified", -1.0) < NOTICES_SECONDS:
        return
    connection.info["notified"] = moment
    prepared.rows(connection, NOTIFY, {"what": what})


# --------------------------------------------------------------------------------------------------------- whose jobs


def pick_up(
    connection: Connection,
    node: str,
    wanted: Sequence[Wanted],
    now: float,
    excluding: Collection[JobId],
    folders: Collection[str],
) -> tuple[list[list[Job]], float | None]:
    """As queries.pick_up, and from then on they are this node's."""
    found: list[list[Job]] = [[] for _ in wanted]
    if prepared.rows(connection, DUE_AT_ALL, {"now": now, "me": node}):
        found = [_due(connection, node, one, now, excluding, folders) for one in wanted]
    earliest: float | None = prepared.value(connection, NEXT_DUE, {"now": now, "me": node})
    return found, earliest


def _due(
    connection: Connection,
    node: str,
    wanted: Wanted,
    now: float,
    excluding: Collection[JobId],
    folders: Collection[str],
) -> list[Job]:
    asked: dict[str, Any] = {
        "of_account": wanted.account,
        "in_stages": [stage.value for stage in wanted.stages],
        "now": now,
        "in_folders": list(folders),
        "me": node,
    }
    owners: dict[str, str | None] = {}

    def ids(most: int) -> list[str]:
        rows = prepared.rows(connection, DUE_OF_MINE, asked | {"most": most + len(excluding)})
        rows += prepared.rows(connection, DUE_AND_FREE, asked | {"most": most})
        rows = [row for row in rows if row.id not in excluding]
        owners.update((row.id, row.owner) for row in rows)
        return [row.id for row in sorted(rows, key=lambda row: (-row.priority, row.due_at))]

    return _own(connection, node, first_readable(connection, wanted.limit, ids), owners, now)


def _own(
    connection: Connection, node: str, found: Sequence[Job], owners: Mapping[str, str | None], now: float
) -> list[Job]:
    """Only what this node can read is its own: a newer one may know what to do with the others."""
    unowned = [job.id for job in found if owners[job.id] is None]
    left = {job.id: owner for job in found if (owner := owners[job.id]) not in (None, node)}
    if unowned:
        prepared.run(connection, OWN, {"ids": unowned, "me": node})
    if not left:
        return list(found)
    prepared.run(connection, RAISE, {"ids": list(left), "me": node})
    names = dict(prepared.rows(connection, NAMES, {"ids": [*set(left.values()), node]}))
    taken = jobs_by_id(connection, left)
    events = {
        job.id: TakenOver(by=names.get(node, node), left_by=names.get(left[job.id], "")) for job in taken.values()
    }
    prepared.run_many(
        connection, statements.INSERT_HISTORY, [history_row(job, events[job.id], now) for job in taken.values()]
    )
    for job in taken.values():
        log.warning("taken-over", job=job.id, folder=job.folder, stage=job.stage.value, left_by=events[job.id].left_by)
    return [taken.get(job.id, job) for job in found]


def leave_to_others(
    connection: Connection, node: str, account: str, stages: Sequence[Stage], in_hand: Collection[JobId]
) -> list[JobId]:
    asked = {
        "me": node,
        "of_account": account,
        "in_stages": [stage.value for stage in stages],
        "in_hand": list(in_hand) or [JobId("")],
    }
    left = [JobId(i) for i in prepared.values(connection, LEAVE_TO_OTHERS, asked)]
    if left:
        notify(connection, "jobs")
    return left


def in_flight(connection: Connection, node: str, account: str) -> list[JobId]:
    return [JobId(i) for i in prepared.values(connection, IN_FLIGHT, {"of_account": account, "me": node})]


def tidy_due(connection: Connection, node: str, account: str, now: float, limit: int) -> list[Job]:
    asked = {"of_account": account, "now": now, "me": node}
    owners: dict[str, str | None] = {}

    def ids(most: int) -> list[str]:
        rows = prepared.rows(connection, UNTIDY_DUE, asked | {"most": most})
        owners.update((row.id, row.owner) for row in rows)
        return [row.id for row in rows]

    found = first_readable(connection, limit, ids)
    others = [job.id for job in found if owners[job.id] != node]
    if others:
        prepared.run(connection, OWN, {"ids": others, "me": node})
    return found


def letters_due(connection: Connection, channel: str, now: float, limit: int) -> list[WaitingLetter]:
    """The oldest first; for LETTER_SECONDS they are this node's alone."""
    rows = prepared.rows(connection, LETTERS_FREE, {"of_channel": channel, "now": now, "most": limit})
    if rows:
        prepared.run(connection, TAKE_LETTERS, {"ids": [row.id for row in rows]})
    return [
        WaitingLetter(id=row.id, at=row.at, attempts=row.attempts, trouble=row.trouble, document=row.document)
        for row in rows
    ]


# -------------------------------------------------------------------------------------------------------- who is alive


def seen(connection: Connection) -> list[Node]:
    """The eldest first. A ledger that is one daemon's own has none."""
    if connection.dialect.name == "sqlite":
        return []
    carried = {row.owner: row.jobs for row in prepared.rows(connection, CARRIED)}
    return [
        Node(
            id=row.id,
            name=row.name,
            version=row.version,
            started=row.started,
            seen_seconds=max(0.0, row.clock - row.seen) if row.seen else None,
            in_hand=row.in_hand,
            carries=carried.get(row.id, 0),
        )
        for row in prepared.rows(connection, SEEN)
    ]


def carrier(connection: Connection, job_id: JobId) -> str | None:
    """The name of the node whose job it is. None where it is nobody's now, or the ledger one daemon's own."""
    if connection.dialect.name == "sqlite":
        return None
    return next((row.name for row in prepared.rows(connection, CARRIER, {"job_id": job_id})), None)
