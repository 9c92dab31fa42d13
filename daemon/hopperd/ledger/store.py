"""The ledger as the workers see it: ports.Ledger on one SQLite file, or on a database that several nodes share.

Every method is one call to the pump and returns when what it wrote is durable.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from typing import Final, Literal, TypeVar

from sqlalchemy import Connection

from hopperd.errors import LedgerError
from hopperd.ledger import fleet, integrity, migrate, outbox, pages, prepared, queries, records, statements, twins
from hopperd.ledger.codec import to_json
from hopperd.ledger.database import Database
from hopperd.ledger.letter_book import LetterBook
from hopperd.ledger.lock import StateLock
from hopperd.ledger.opening import SQLiteDatabase
from hopperd.ledger.pump import InlinePump, Pump, ThreadPump
from hopperd.ledger.records import Record
from hopperd.ledger.state import has_ledger, prepare
from hopperd.ledger.transactor import Tap, Transactor
from hopperd.pipeline.events import Claimed, Event, Rebuilt
from hopperd.pipeline.job import Job, JobId, Stage, Twin
from hopperd.pipeline.letters import Mailing, letters_of
from hopperd.ports import (
    BacklogCell,
    Doubts,
    FolderMark,
    HistoryRow,
    JobQuery,
    LedgerTrouble,
    Node,
    Pause,
    Wanted,
)

T = TypeVar("T")

PURGE_STEP: Final = 200
SEARCH_TURN_SECONDS: Final = 0.01

StatePath = str | os.PathLike[str]


class Store(LetterBook):
    """One open ledger. Make it with `open_state` or `open_existing`, end it with `close`.

    Every record of the daemon passes here, whoever makes it: `listener` hears of all of them, and `mailing` says which
    of them are to be told outside, in letters that are written with them; `on_letters` is called when there are some.
    """

    def __init__(self, pump: Pump, ledger_id: str, lock: StateLock, node: str | None = None) -> None:
        super().__init__(pump, node)
        self._ledger_id = ledger_id
        self._lock = lock
        self.mailing = Mailing()

    @classmethod
    def open_state(cls, state: StatePath, *, tap: Tap | None = None, inline: bool = False) -> Store:
        """The ledger of this state folder, made if there never was one. Blocks: reads a ledger of up to 200 MB through.

        `tap` is told "before-commit" and "after-commit"; what it raises every caller of that batch gets. `inline` does
        without the thread. Raises LedgerInUse, LedgerTooNew, LedgerDamaged, LedgerError, LedgerTrouble.
        """
        folder = os.fspath(state)
        prepare(folder)
        lock = StateLock(folder)
        return cls._on(SQLiteDatabase(folder=folder, lock=lock), lock, tap, inline=inline)

    @classmethod
    def open_shared(
        cls,
        state: StatePath,
        url: str,
        password: str = "",
        *,
        node: str | None = None,
        makes: bool = True,
        tap: Tap | None = None,
        inline: bool = False,
    ) -> Store:
        """The ledger in PostgreSQL; `state` is this node's own folder, under its lock.

        `node`: the id of the node that works with it (ledger/link.py); None for a command. `makes`: where the database
        holds nothing, a ledger is made. Raises what `open_state` raises.
        """
        try:
            from hopperd.ledger.postgres import PostgresDatabase
        except ImportError:
            raise LedgerError("a ledger in PostgreSQL needs the extra: pip install 'hopperd[postgresql]'.") from None
        folder = os.fspath(state)
        prepare(folder)
        lock = StateLock(folder)
        database = PostgresDatabase(url=url, password=password, node=node, makes=makes)
        return cls._on(database, lock, tap, inline=inline, node=node)

    @classmethod
    def _on(
        cls, database: Database, lock: StateLock, tap: Tap | None, *, inline: bool, node: str | None = None
    ) -> Store:
        try:
            transactor = Transactor(database, tap)
            pump: Pump = InlinePump(transactor) if inline else ThreadPump(transactor)
        except BaseException:
            lock.release()
            raise
        return cls(pump, database.ledger_id, lock, node)

    @classmethod
    def open_existing(cls, state: StatePath) -> Store:
        """For commands while no daemon runs. Raises LedgerError where there is no ledger yet, and makes none."""
        folder = os.fspath(state)
        if not has_ledger(folder):
            raise LedgerError(f"there is no ledger in {folder} yet; `hopperd run` makes one.")
        return cls.open_state(folder)

    async def close(self) -> None:
        """What was asked for before is still written."""
        await self._pump.close()
        self._lock.release()

    @property
    def ledger_id(self) -> str:
        return self._ledger_id

    # ------------------------------------------------------------------------------------------------ writing

    async def open(self, job: Job, event: Claimed, *, twins: bool) -> Job:
        opened = await self._timed(self._pump.do(partial(records.open_job, job=job, event=event, with_twins=twins)))
        if self.listener is not None and opened.version == job.version:
            self._tell(self.listener.recorded, None, opened, event, opened.opened_at)
        return opened

    async def record(
        self, before: Job, after: Job, event: Event, at: float, *, most_in_flight: int | None = None
    ) -> Job:
        letters = letters_of(before, after, at, self.mailing)
        record = Record(before=before, after=after, event=event, at=at, letters=letters, most_in_flight=most_in_flight)
        job: Job = await self._timed(self._pump.do_together(records.record_many, record))
        if letters:
            self._tell(self.on_letters)
        if self.listener is not None:
            self._tell(self.listener.recorded, before, job, event, at)
        return job

    async def take_bytes(self, job: Job) -> Twin | None:
        return await self._pump.do(partial(twins.take, job=job))

    async def forget(self, job_id: JobId) -> bool:
        return await self._pump.do(partial(records.forget, job_ids=[job_id])) == 1

    async def restore(self, jobs: Sequence[Job], event: Rebuilt, at: float) -> None:
        """Jobs read back from folders and receipts; one transaction. Finished jobs of the same ids are replaced."""
        await self._pump.do(partial(records.restore, jobs=list(jobs), event=event, at=at))

    async def delivered_among(self, folder: str, digests: Collection[str]) -> set[str]:
        """Which of these bytes (pipeline.identity.bytes_digest) the ledger knows to be delivered in the folder."""
        asked = {"in_folder": folder, "of_bytes": list(digests)}
        return await self._read(lambda c: set(prepared.values(c, statements.DELIVERED_AMONG, asked)))

    async def clamp_due(self, now: float, longest_seconds: float) -> int:
        def clamp(connection: Connection) -> int:
            latest = {"latest": now + longest_seconds}
            prepared.run(connection, statements.CLAMP_UNTIDY, latest)
            outbox.clamp(connection, latest["latest"])
            return prepared.run(connection, statements.CLAMP_OPEN, latest)

        return await self._pump.do(clamp)

    async def purge(self, older_than: float, limit: int = PURGE_STEP) -> int:
        """Forget at most `limit` jobs that finished before `older_than`. Call again until it returns 0."""

        def purge(connection: Connection) -> int:
            found = prepared.values(connection, statements.FINISHED_BEFORE, {"older_than": older_than, "most": limit})
            return records.forget(connection, [JobId(job_id) for job_id in found])

        return await self._pump.do(purge)

    async def purge_digests(self, older_than: float, limit: int = PURGE_STEP) -> int:
        """Forget at most `limit` digests delivered before `older_than`. Call again until it returns 0."""

        def purge(connection: Connection) -> int:
            found = prepared.rows(connection, statements.DELIVERED_BEFORE, {"older_than": older_than, "most": limit})
            gone = [{"in_folder": folder, "of_bytes": digest} for folder, digest in found]
            if gone:
                prepared.run_many(connection, statements.DELETE_DIGEST, gone)
            return len(gone)

        return await self._pump.do(purge)

    # ----------------------------------------------------------------------------------------------- asking

    async def get(self, job_id: JobId) -> Job | None:
        return await self._read(partial(queries.job_by_id, job_id=job_id))

    async def get_many(self, job_ids: Collection[JobId]) -> dict[JobId, Job]:
        return await self._read(partial(queries.jobs_by_id, job_ids=list(job_ids)))

    async def due(
        self,
        account: str,
        stages: Sequence[Stage],
        now: float,
        limit: int,
        excluding: Collection[JobId],
        folders: Collection[str] | None = None,
    ) -> list[Job]:
        # A copy: the caller's own set may change while the question waits its turn.
        without = frozenset(excluding)
        return await self._read(lambda c: queries.due(c, account, tuple(stages), now, limit, without, folders))

    async def pick_up(
        self, wanted: Sequence[Wanted], now: float, excluding: Collection[JobId], folders: Collection[str]
    ) -> tuple[list[list[Job]], float | None]:
        without, asked, among = frozenset(excluding), tuple(wanted), tuple(folders)
        node = self._node
        if node is not None:
            return await self._timed(
                self._pump.do(lambda c: fleet.pick_up(c, node, asked, now, without, among)), "read"
            )
        return await self._read(lambda c: queries.pick_up(c, asked, now, without, among))

    async def leave_to_others(self, account: str, stages: Sequence[Stage], not_these: Collection[JobId]) -> list[JobId]:
        node, of, in_hand = self._node, tuple(stages), frozenset(not_these)
        if node is None:
            return []
        return await self._pump.do(lambda c: fleet.leave_to_others(c, node, account, of, in_hand))

    async def next_due(self, now: float) -> float | None:
        return await self._read(partial(queries.next_due, now=now))

    async def in_flight(self, account: str) -> list[JobId]:
        if self._node is not None:
            return await self._read(partial(fleet.in_flight, node=self._node, account=account))
        return await self._read(partial(queries.in_flight, account=account))

    async def open_jobs(self) -> dict[str, int]:
        return await self._read(queries.open_by_folder)

    async def unfinished(self) -> int:
        return await self._read(queries.unfinished)

    async def open_job_ids(self) -> list[JobId]:
        return await self._read(queries.open_ids)

    async def untidied(self) -> int:
        return await self._read(queries.untidied)

    async def tidy_due(self, account: str, now: float, limit: int) -> list[Job]:
        node = self._node
        if node is not None:
            return await self._pump.do(lambda c: fleet.tidy_due(c, node, account, now, limit))
        return await self._read(partial(queries.tidy_due, account=account, now=now, limit=limit))

    async def nodes(self) -> list[Node]:
        """The daemons that share this ledger, the eldest first; none where it is one daemon's own."""
        return await self._read(fleet.seen)

    async def carrier(self, job_id: JobId) -> str | None:
        """The name of the node whose job it is. None where it is nobody's now, or the ledger one daemon's own."""
        return await self._read(partial(fleet.carrier, job_id=job_id))

    async def history(self, job_id: JobId) -> list[HistoryRow]:
        return await self._read(partial(queries.history, job_id=job_id))

    async def page(self, query: JobQuery) -> list[Job]:
        if query.text is None:
            return await self._read(partial(pages.page, query=query))
        search = pages.Search(query)

        def some(connection: Connection) -> bool:
            """As many slices as fit into a short turn; between two turns others have theirs."""
            until = time.monotonic() + SEARCH_TURN_SECONDS
            while search.go_on(connection):
                if time.monotonic() >= until:
                    return True
            return False

        while await self._read(some):
            pass
        return search.jobs

    async def job_with_task(self, task_id: str) -> JobId | None:
        return await self._read(partial(queries.job_with_task, task_id=task_id))

    async def backlog(self, now: float, bucket_edges: Sequence[float]) -> list[BacklogCell]:
        return await self._read(partial(queries.backlog, now=now, bucket_edges=tuple(bucket_edges)))

    async def doubts(self) -> Doubts:
        return await self._read(queries.doubts)

    async def count_slice(self, after_id: str, limit: int) -> tuple[int, str | None]:
        """How many jobs follow `after_id`, `limit` at the most, and the last of them."""
        asked = {"after_id": after_id, "most": limit}

        def count(connection: Connection) -> tuple[int, str | None]:
            ((found, last),) = prepared.rows(connection, statements.COUNT_SLICE, asked)
            return int(found), last

        return await self._read(count)

    async def oldest_finished(self) -> float | None:
        """When the job that finished first, of those still known, did."""
        return await self._read(lambda c: c.execute(statements.OLDEST_FINISHED).scalar_one())

    async def came_in(self, since: float, until: float) -> Mapping[str, int]:
        """What became of the jobs opened in this time: delivered, failed, held, open. Every one is in one of them."""
        return await self._read(partial(queries.came_in, since=since, until=until))

    # ---------------------------------------------------------------------------------------- pauses and marks

    async def account_pauses(self) -> dict[str, Pause]:
        return await self._read(partial(queries.pauses, kind="account"))

    async def set_account_pause(self, account: str, pause: Pause | None) -> None:
        await self._set_pause("account", account, pause)

    async def folder_pauses(self) -> dict[str, Pause]:
        return await self._read(partial(queries.pauses, kind="folder"))

    async def set_folder_pause(self, folder: str, pause: Pause | None) -> None:
        await self._set_pause("folder", folder, pause)

    async def _set_pause(self, kind: Literal["account", "folder"], name: str, pause: Pause | None) -> None:
        def put(connection: Connection) -> None:
            prepared.run(connection, statements.DELETE_PAUSE[kind], {"of_name": name})
            if pause is not None:
                prepared.run(connection, statements.INSERT_PAUSE[kind], {"name": name, "document": to_json(pause)})
            fleet.notify(connection, "pauses")

        await self._pump.do(put)

    async def marks(self) -> dict[str, FolderMark]:
        return await self._read(queries.marks)

    async def set_mark(self, mark: FolderMark) -> None:
        def put(connection: Connection) -> None:
            prepared.run(connection, statements.DELETE_MARK, {"of_key": mark.key})
            prepared.run(
                connection, statements.INSERT_MARK, {"key": mark.key, "path": mark.path, "starts": mark.starts}
            )

        await self._pump.do(put)

    # ------------------------------------------------------------------------------------------------- its health

    async def prove_writable(self, now: float) -> None:
        """Write something, durably. Raises LedgerTrouble where that cannot be."""
        await self._pump.do(lambda c: migrate.set_fact(c, "proven", str(now)))

    async def ended_since(self, since: float, after_id: str, limit: int) -> list[tuple[float, str, float, bool]]:
        """Finished jobs in the order they ended: when, id, when opened, whether it ended badly. For the charts."""
        asked = {"since": since, "after_id": after_id, "most": limit}
        return await self._read(
            lambda c: [(*row[:3], bool(row[3])) for row in prepared.rows(c, statements.ENDED_SINCE, asked)]
        )

    async def integrity(self) -> list[str]:
        return await self._read(integrity.problems)

    async def backup(self, path: bytes, *, moves_on: bool = False) -> None:
        """Others are served while it is made. Raises FileExistsError, OSError, LedgerTrouble.

        `moves_on`: this ledger goes on to change, so that whoever starts with the copy would not know what was sent
        since. The copy then counts too few starts, and `run` refuses it beside folders that saw them.
        """
        target = os.fsdecode(path)

        def copy(transactor: Transactor, between: Callable[[], None]) -> None:
            def serve() -> None:
                between()
                if transactor.is_sick:
                    raise LedgerTrouble("the ledger's disk answered with an error while it was copied")

            transactor.copy(target, serve, moves_on=moves_on)

        await self._pump.alone(copy)
