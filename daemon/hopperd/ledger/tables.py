"""The tables, the same for SQLite and PostgreSQL. Whoever changes one adds a migration to migrate.py.

A job is one row: what is asked for by a statement stands in columns, everything else in `document`. Where both have
it (`version`, `due_at`), the column is right. Every index that a worker's question needs is partial, over open jobs:
a million finished ones cost it nothing.

Who moves a job out of its stage (what may happen stands in pipeline/transitions.py, as a table):

    claimed      the runner: uploads the originals; or sees that a twin has delivered the same bytes
    uploaded     the runner: writes the intent, then asks for the Run
    submitting   the runner, with the answer of the Run; after a crash, by `on_doubt`; a person, where it is held
    submitted    the runner, by looking at the task; while it waits for a person, a person at the service
    captured     the runner: fetches the results into staging
    fetched      the runner: delivers
    delivered    the runner: files the originals away
    done         nobody; upkeep deletes task and files at the service (`tidy`), and later the row
    abandoned    the runner: files the originals away into failed/; or a person, who orders a retry
    failed       nobody, unless a person orders a retry; upkeep deletes the row
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import (
    Boolean,
    Column,
    ColumnElement,
    Float,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    and_,
    false,
    or_,
    text,
    true,
)

metadata: Final = MetaData()

# Compared by their bytes everywhere, so that ids sort by their time whatever the language of a database.
WORD: Final = String().with_variant(String(collation="C"), "postgresql")

# "ledger_id", "schema_version", "oldest_reader", "created": pairs, so that every version can read every other's.
meta: Final = Table(
    "meta",
    metadata,
    Column("name", WORD, primary_key=True),
    Column("value", Text, nullable=False),
)

jobs: Final = Table(
    "jobs",
    metadata,
    Column("id", WORD, primary_key=True),
    Column("version", Integer, nullable=False),
    Column("folder", WORD, nullable=False),
    Column("account", WORD, nullable=False),
    Column("stage", WORD, nullable=False),
    Column("is_open", Boolean, nullable=False),
    Column("held", Boolean, nullable=False),
    Column("waiting_for_person", Boolean, nullable=False),
    Column("doubtful", Boolean, nullable=False),  # nobody knows whether a Run of it was paid for
    Column("ended_badly", Boolean, nullable=False),  # abandoned or failed
    Column("tidy", Boolean, nullable=False),  # task and files still to be deleted at the service
    Column("priority", Integer, nullable=False),
    Column("due_at", Float, nullable=False),
    Column("opened_at", Float, nullable=False),
    Column("entered_at", Float, nullable=False),  # its stage
    Column("digest", WORD, nullable=False),
    Column("twin", WORD),  # the job whose end this one waits for
    Column("perhaps_twice", Boolean, nullable=False, server_default=text("FALSE")),  # delivered twice, perhaps
    Column("owner", WORD),  # the node that carries it, where several share the ledger
    Column("names", Text, nullable=False),  # of its originals, folded for search; one a line
    Column("document", Text, nullable=False),  # last: the other columns are found without reading past it
)

history: Final = Table(
    "history",
    metadata,
    Column("job", WORD, primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("at", Float, nullable=False),
    Column("event", WORD, nullable=False),
    Column("stage", WORD, nullable=False),
    Column("detail", Text, nullable=False),
)

# Every task a job ever had, so that the ones given up are found as well.
tasks: Final = Table(
    "tasks",
    metadata,
    Column("task", WORD, primary_key=True),
    Column("job", WORD, primary_key=True),
    Column("number", WORD),
)

# Which job has these bytes in this folder. Not delivered, and that job finished or gone: free for the next one.
digests: Final = Table(
    "digests",
    metadata,
    Column("folder", WORD, primary_key=True),
    Column("digest", WORD, primary_key=True),
    Column("job", WORD, nullable=False),
    Column("delivered", Boolean, nullable=False),
    Column("at", Float, nullable=False),  # delivered; before that, taken
    Column("exports", Text, nullable=False),
)


def _pauses(name: str) -> Table:
    return Table(
        name,
        metadata,
        Column("name", WORD, primary_key=True),
        Column("document", Text, nullable=False),
    )


account_pauses: Final = _pauses("account_pauses")
folder_pauses: Final = _pauses("folder_pauses")

marks: Final = Table(
    "marks",
    metadata,
    Column("key", WORD, primary_key=True),
    Column("path", LargeBinary, nullable=False),
    Column("starts", Integer, nullable=False),
)

# What is to be told outside: an integrator's hook, or notices. Written with what it tells, gone when it was taken.
outbox: Final = Table(
    "outbox",
    metadata,
    Column("id", WORD, primary_key=True),
    Column("channel", WORD, nullable=False),
    Column("at", Float, nullable=False),
    Column("due_at", Float, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("trouble", Text),  # why it was not taken the last time
    Column("in_hand_until", Float, nullable=False, server_default=text("0")),  # by a node; until then no other's
    Column("document", Text, nullable=False),
)

# The daemons that share this ledger, one row for each life of one; times are the database's. On SQLite it is empty.
nodes: Final = Table(
    "nodes",
    metadata,
    Column("id", WORD, primary_key=True),
    Column("name", WORD, nullable=False),
    Column("version", WORD, nullable=False),
    Column("started", Float, nullable=False),
    Column("since", Float, nullable=False),  # it was seen again and again, without a gap
    Column("seen", Float, nullable=False),  # 0: it has left in order
    Column("in_hand", Integer, nullable=False),
)

# What people were told last of an account, a folder, the backlog, so that a restart tells nothing twice.
told: Final = Table(
    "told",
    metadata,
    Column("name", WORD, primary_key=True),
    Column("document", Text, nullable=False),
)

# Conditions as literals, not as parameters: only so does SQLite see that a partial index answers a question.
OPEN: Final[ColumnElement[bool]] = jobs.c.is_open.is_(true())
FINISHED: Final[ColumnElement[bool]] = jobs.c.is_open.is_(false())
MOVING: Final[ColumnElement[bool]] = and_(OPEN, jobs.c.held.is_(false()))
UNTIDY: Final[ColumnElement[bool]] = and_(FINISHED, jobs.c.tidy.is_(true()))
WAITING_FOR_TWIN: Final[ColumnElement[bool]] = and_(OPEN, jobs.c.twin.is_not(None))
ENDED_BADLY: Final[ColumnElement[bool]] = jobs.c.ended_badly.is_(true())
PERHAPS_TWICE: Final[ColumnElement[bool]] = or_(jobs.c.doubtful.is_(true()), jobs.c.perhaps_twice.is_(true()))


def _partial(name: str, condition: ColumnElement[bool], *columns: str) -> Index:
    return Index(name, *(jobs.c[column] for column in columns), sqlite_where=condition, postgresql_where=condition)


# The columns after the first few save a look at the rows.
_partial("jobs_due", MOVING, "account", "due_at", "priority", "stage", "folder", "id")
_partial("jobs_next_due", OPEN, "due_at", "held")
_partial(
    "jobs_open",
    OPEN,
    "folder",
    "account",
    "stage",
    "held",
    "waiting_for_person",
    "doubtful",
    "opened_at",
    "twin",
    "id",
)
_partial("jobs_open_by_id", OPEN, "id")
_partial("jobs_ended_badly", ENDED_BADLY, "id")
_partial("jobs_perhaps_twice", PERHAPS_TWICE, "id", "is_open", "doubtful", "perhaps_twice")
_partial("jobs_twin", WAITING_FOR_TWIN, "twin")
_partial("jobs_untidy", UNTIDY, "due_at", "account")
_partial("jobs_finished", FINISHED, "entered_at", "id", "opened_at", "ended_badly")
Index("jobs_folder", jobs.c.folder, jobs.c.id)
Index("jobs_account", jobs.c.account, jobs.c.id)
# A search reads this, not the documents. PostgreSQL keeps long documents apart by itself, and long names fit no index.
Index("jobs_names", jobs.c.id, jobs.c.names).ddl_if(dialect="sqlite")
Index("tasks_job", tasks.c.job)
Index("tasks_number", tasks.c.number)
Index("digests_at", digests.c.at)
Index("outbox_due", outbox.c.channel, outbox.c.due_at, outbox.c.at)
