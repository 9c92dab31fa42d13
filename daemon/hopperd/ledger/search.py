"""Finding jobs by part of a name among millions, in slices so short that nobody waits for them.

SQLite keeps an index of every three letters in a row (FTS5, trigram, without positions) beside the jobs. A text that
few names contain is answered from it; one that many contain is soon found by reading names from the newest job on.
One or two letters are looked for among the threes that begin with them; names have an end that lets every letter begin
one. Without that index (an SQLite without FTS5, another database), the names are read. The index only ever proposes:
what it says is compared with the names themselves.

The index names jobs by SQLite's own row numbers, which a VACUUM may change: hopperd never does one, and
`INSERT INTO search(search) VALUES('rebuild')` makes the index anew after one by hand.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import DDL, BindParameter, Connection, bindparam, event, text

from hopperd.ledger import prepared
from hopperd.ledger.rows import NAMES_END
from hopperd.ledger.tables import jobs

TRIGRAM_LETTERS: Final = 3
LAST_LETTER: Final = "\U0010ffff"
INDEX_ROWS: Final = 100_000
NAME_ROWS: Final = 10_000
PROPOSED_AT_ONCE: Final = 200
MOST_PROPOSED: Final = 4_000
MOST_THREES: Final = 6

_CREATE: Final = (
    "CREATE VIRTUAL TABLE search "
    "USING fts5(names, content='jobs', content_rowid='rowid', tokenize='trigram', detail=none)"
)

# Statements, not triggers: with an untrusted schema SQLite lets no trigger write to a virtual table.
_IDS: Final[BindParameter[Any]] = bindparam("ids", expanding=True)
_ADD: Final = text("INSERT INTO search(rowid, names) SELECT rowid, names FROM jobs WHERE id IN :ids").bindparams(_IDS)
_TAKE_OUT: Final = text(
    "INSERT INTO search(search, rowid, names) SELECT 'delete', rowid, names FROM jobs WHERE id IN :ids"
).bindparams(_IDS)

# The rows of one slice; each proposal is proven by its names. Row numbers go up: FTS5 reads its lists of rows backwards
# only by reading them forwards first, which made a text that no name contains take ten times as long.
_PROPOSED: Final = text(
    "SELECT jobs.rowid, jobs.id, instr(jobs.names, :folded) FROM search JOIN jobs ON jobs.rowid = search.rowid "
    "WHERE search MATCH :phrase AND search.rowid > :after AND search.rowid <= :last "
    "ORDER BY search.rowid LIMIT :most"
)
# The same for fewer than three letters: the jobs of every three that begins with them, once for each of these threes.
_THREES: Final = text("CREATE VIRTUAL TABLE IF NOT EXISTS temp.search_threes USING fts5vocab(main, search, instance)")
_BEGINS: Final = text(
    "SELECT jobs.id, instr(jobs.names, :folded) FROM ("
    "SELECT doc FROM temp.search_threes WHERE term >= :folded AND term < :beyond LIMIT :most"
    ") JOIN jobs ON jobs.rowid = doc"
)
_OLDEST: Final = text("SELECT names FROM jobs ORDER BY rowid LIMIT 1")
_ROWS: Final = text("SELECT (SELECT min(rowid) FROM jobs), (SELECT max(rowid) FROM jobs)")
_IS_THERE: Final = text("SELECT 1 FROM sqlite_master WHERE name = 'search'")


def _can_index(ddl: Any, target: Any, bind: Any, **_: Any) -> bool:
    if bind is None or bind.dialect.name != "sqlite" or sqlite3.sqlite_version_info < (3, 34):
        return False
    return bool(bind.exec_driver_sql("SELECT sqlite_compileoption_used('ENABLE_FTS5')").scalar())


_create = DDL(_CREATE)  # type: ignore[no-untyped-call]  # SQLAlchemy's own DDL is untyped
event.listen(jobs, "after_create", _create.execute_if(callable_=_can_index))  # type: ignore[arg-type]  # as above


def added(connection: Connection, ids: Sequence[str]) -> None:
    """These jobs are new, or have the names they shall have from now on."""
    if ids and _has_index(connection):
        prepared.run(connection, _ADD, {"ids": list(ids)})


def going(connection: Connection, ids: Sequence[str]) -> None:
    """These jobs are about to be deleted, or to have other names."""
    if ids and _has_index(connection):
        prepared.run(connection, _TAKE_OUT, {"ids": list(ids)})


class Proposals:
    """The ids of all jobs whose names contain `folded`, where they are few; `too_many` where they are not."""

    def __init__(self, folded: str) -> None:
        self._folded = folded
        self._phrase = _letters(folded)
        self._after: int | None = None
        self._newest = 0
        self._looked_at = 0
        self.ids: list[str] = []
        self.too_many = False

    def go_on(self, connection: Connection) -> bool:
        """One slice; False when there is nothing more to look at."""
        if not self._folded or not _has_index(connection):
            self.too_many = True
            return False
        if len(self._folded) < TRIGRAM_LETTERS:
            self._look_at_beginnings(connection)
            return False
        if self._after is None:
            oldest, newest = connection.execute(_ROWS).one()
            self._after, self._newest = int(oldest or 1) - 1, int(newest or 0)
        last = self._after + INDEX_ROWS
        asked = {"folded": self._folded, "phrase": self._phrase, "after": self._after, "last": last}
        rows: Sequence[Any] = connection.execute(_PROPOSED, asked | {"most": PROPOSED_AT_ONCE}).all()
        self.ids += [row[1] for row in rows if row[2]]
        self._after = int(rows[-1][0]) if len(rows) == PROPOSED_AT_ONCE else last
        self._looked_at += len(rows)
        self.too_many = self._looked_at > MOST_PROPOSED
        return self._after < self._newest and not self.too_many

    def _look_at_beginnings(self, connection: Connection) -> None:
        """The whole answer: a text of one or two letters that is not rare is found by reading."""
        oldest = connection.execute(_OLDEST).scalar()
        if oldest is not None and not oldest.endswith(NAMES_END):
            self.too_many = True  # written by a version whose names had no end
            return
        connection.execute(_THREES)
        asked = {"folded": self._folded, "beyond": self._folded + LAST_LETTER, "most": MOST_PROPOSED}
        rows: Sequence[Any] = connection.execute(_BEGINS, asked).all()
        self.too_many = len(rows) == MOST_PROPOSED
        self.ids = [row[0] for row in rows if row[1]]


def _letters(folded: str) -> str:
    """A query for names that have these letters in threes, in any order: some of them, spread over the text."""
    threes = [folded[at : at + TRIGRAM_LETTERS] for at in range(len(folded) - TRIGRAM_LETTERS + 1)]
    step = max(1, -(-len(threes) // MOST_THREES))
    some = dict.fromkeys([*threes[::-1][::step], *threes[:1]])
    return " AND ".join('"' + three.replace('"', '""') + '"' for three in some)


def _has_index(connection: Connection) -> bool:
    known: bool | None = connection.info.get("search")
    if known is None:
        is_sqlite = connection.dialect.name == "sqlite"
        known = connection.info["search"] = is_sqlite and connection.execute(_IS_THERE).first() is not None
    return known
