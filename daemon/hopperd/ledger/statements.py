"""Every statement of fixed shape, by name; the same for SQLite and PostgreSQL.

Parameters that are not columns have names of their own (`job_id`, `at_version`, ...), so that no statement mistakes one
for a column to set. Times come from the caller: the ledger has no clock.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import (
    String,
    bindparam,
    case,
    delete,
    exists,
    false,
    func,
    insert,
    literal_column,
    or_,
    select,
    true,
    update,
)

from hopperd.ledger.tables import (
    FINISHED,
    MOVING,
    OPEN,
    PERHAPS_TWICE,
    UNTIDY,
    WAITING_FOR_TWIN,
    account_pauses,
    digests,
    folder_pauses,
    history,
    jobs,
    marks,
    meta,
    outbox,
    tasks,
    told,
)

# Put so, no index over accounts, finished jobs and all, looks better than the partial one that is meant.
_account = jobs.c.account.concat("")

_JOB = (jobs.c.document, jobs.c.version, jobs.c.due_at)

# ------------------------------------------------------------------------------------------------- writing a job

INSERT_JOB: Final = insert(jobs)
INSERT_HISTORY: Final = insert(history)

# Locked in one order everywhere, so that two nodes never wait for each other here.
VERSIONS: Final = (
    select(jobs.c.id, jobs.c.version, jobs.c.owner)
    .where(jobs.c.id.in_(bindparam("ids", expanding=True)))
    .order_by(jobs.c.id)
    .with_for_update()
)

UPDATE_JOB: Final = update(jobs).where(jobs.c.id == bindparam("job_id"), jobs.c.version == bindparam("at_version"))

UPDATE_NAMES: Final = update(jobs).where(jobs.c.id == bindparam("job_id"))

WAKE_TWINS: Final = (
    update(jobs)
    .where(WAITING_FOR_TWIN, jobs.c.twin.in_(bindparam("holders", expanding=True)), jobs.c.due_at > bindparam("at"))
    .values(due_at=bindparam("at"))
)

CLAMP_OPEN: Final = update(jobs).where(OPEN, jobs.c.due_at > bindparam("latest")).values(due_at=bindparam("latest"))
CLAMP_UNTIDY: Final = update(jobs).where(UNTIDY, jobs.c.due_at > bindparam("latest")).values(due_at=bindparam("latest"))

INSERT_TASK: Final = insert(tasks)
DELETE_TASK: Final = delete(tasks).where(tasks.c.task == bindparam("task_id"), tasks.c.job == bindparam("job_id"))

# -------------------------------------------------------------------------------------------------- whose bytes

# Between nodes: who asks about some bytes keeps others from asking until its transaction ends. PostgreSQL alone.
LOCK_BYTES: Final = select(
    func.pg_advisory_xact_lock(
        func.hashtextextended(bindparam("in_folder", type_=String).concat("/").concat(bindparam("of_bytes")), 0)
    )
)

HOLDER: Final = (
    select(digests, jobs.c.is_open, jobs.c.ended_badly)
    .select_from(digests.outerjoin(jobs, jobs.c.id == digests.c.job))
    .where(digests.c.folder == bindparam("in_folder"), digests.c.digest == bindparam("of_bytes"))
)

DELIVERED_AMONG: Final = select(digests.c.digest).where(
    digests.c.folder == bindparam("in_folder"),
    digests.c.digest.in_(bindparam("of_bytes", expanding=True)),
    digests.c.delivered.is_(true()),
)

INSERT_DIGEST: Final = insert(digests)
UPDATE_DIGEST: Final = update(digests).where(
    digests.c.folder == bindparam("in_folder"), digests.c.digest == bindparam("of_bytes")
)

FREE_DIGEST: Final = delete(digests).where(
    digests.c.folder == bindparam("in_folder"),
    digests.c.digest == bindparam("of_bytes"),
    digests.c.job == bindparam("job_id"),
    digests.c.delivered.is_not(true()),
)

# -------------------------------------------------------------------------------------------------- asking for jobs

JOBS_BY_ID: Final = select(jobs.c.id, *_JOB).where(jobs.c.id.in_(bindparam("ids", expanding=True)))

DUE: Final = (
    select(jobs.c.id)
    .where(
        MOVING,
        jobs.c.account == bindparam("of_account"),
        jobs.c.stage.in_(bindparam("in_stages", expanding=True)),
        jobs.c.due_at <= bindparam("now"),
    )
    .order_by(jobs.c.priority.desc(), jobs.c.due_at)
    .limit(bindparam("most"))
)

DUE_IN_FOLDERS: Final = DUE.where(jobs.c.folder.in_(bindparam("in_folders", expanding=True)))

DUE_AT_ALL: Final = select(jobs.c.id).where(MOVING, jobs.c.due_at <= bindparam("now")).limit(1)

NEXT_DUE: Final = select(func.min(jobs.c.due_at)).where(
    OPEN, jobs.c.held.is_(false()), jobs.c.due_at > bindparam("now")
)

_IN_FLIGHT = (
    OPEN,
    _account == bindparam("of_account"),
    or_(jobs.c.stage == literal_column("'submitting'"), jobs.c.stage == literal_column("'submitted'")),
    jobs.c.waiting_for_person.is_not(true()),
    or_(jobs.c.stage == "submitted", jobs.c.held.is_not(true())),  # a doubt on hold has no task that is known of
)

IN_FLIGHT: Final = select(jobs.c.id).where(*_IN_FLIGHT)

COUNT_IN_FLIGHT: Final = select(func.count()).select_from(jobs).where(*_IN_FLIGHT)

# Held until the transaction ends: between the count and the intent nobody else counts. PostgreSQL's alone; SQLite has
# one writer.
LOCK_PLACES: Final = select(func.pg_advisory_xact_lock(func.hashtext(bindparam("of_places"))))

_COUNTED = (OPEN, jobs.c.held.is_(false()), jobs.c.waiting_for_person.is_(false()))

OPEN_BY_FOLDER: Final = select(jobs.c.folder, func.count()).where(*_COUNTED).group_by(jobs.c.folder)

_holder = jobs.alias("holder")

# A job whose twin is held or waits for a person cannot move by itself either.
UNFINISHED: Final = (
    select(func.count())
    .select_from(jobs)
    .where(
        *_COUNTED,
        or_(
            jobs.c.twin.is_(None),
            ~exists().where(
                _holder.c.id == jobs.c.twin,
                _holder.c.is_open.is_(true()),
                or_(_holder.c.held.is_(true()), _holder.c.waiting_for_person.is_(true())),
            ),
        ),
    )
)

UNTIDIED: Final = select(func.count()).select_from(jobs).where(UNTIDY, jobs.c.due_at > 0)

# Open, finished and perhaps paid for twice; and perhaps delivered twice.
DOUBTS: Final = select(
    func.sum(case((jobs.c.is_open.is_(true()) & jobs.c.doubtful.is_(true()), 1), else_=0)).label("open"),
    func.sum(case((jobs.c.is_open.is_(false()) & jobs.c.doubtful.is_(true()), 1), else_=0)).label("finished"),
    func.sum(case((jobs.c.perhaps_twice.is_(true()), 1), else_=0)).label("delivered"),
).where(PERHAPS_TWICE)

TIDY_DUE: Final = (
    select(jobs.c.id)
    .where(UNTIDY, _account == bindparam("of_account"), jobs.c.due_at <= bindparam("now"))
    .order_by(jobs.c.due_at)
    .limit(bindparam("most"))
)

ENDED_SINCE: Final = (
    select(jobs.c.entered_at, jobs.c.id, jobs.c.opened_at, jobs.c.ended_badly)
    .where(
        FINISHED,
        jobs.c.entered_at >= bindparam("since"),
        or_(jobs.c.entered_at > bindparam("since"), jobs.c.id > bindparam("after_id")),
    )
    .order_by(jobs.c.entered_at, jobs.c.id)
    .limit(bindparam("most"))
)

OPEN_IDS: Final = select(jobs.c.id).where(OPEN).order_by(jobs.c.id)

HISTORY: Final = select(history).where(history.c.job == bindparam("job_id")).order_by(history.c.version)

# The latest job first: a task named for a second job by mistake belongs to the one that has it now.
JOBS_WITH_TASK: Final = (
    select(tasks.c.job).where(tasks.c.task == bindparam("task_id")).order_by(tasks.c.job.desc()).limit(10)
)

# -------------------------------------------------------------------------------------------------- letting go of jobs

FINISHED_BEFORE: Final = (
    select(jobs.c.id)
    .where(FINISHED, jobs.c.entered_at < bindparam("older_than"), jobs.c.tidy.is_(false()))
    .order_by(jobs.c.entered_at)
    .limit(bindparam("most"))
)
FINISHED_AMONG: Final = (
    select(jobs.c.id, jobs.c.folder, jobs.c.digest, jobs.c.due_at)
    .where(FINISHED, jobs.c.id.in_(bindparam("ids", expanding=True)))
    .order_by(jobs.c.id)
)
DELETE_JOBS: Final = delete(jobs).where(FINISHED, jobs.c.id.in_(bindparam("ids", expanding=True)))
DELETE_HISTORY: Final = delete(history).where(history.c.job.in_(bindparam("ids", expanding=True)))
DELETE_TASKS: Final = delete(tasks).where(tasks.c.job.in_(bindparam("ids", expanding=True)))

DELIVERED_BEFORE: Final = (
    select(digests.c.folder, digests.c.digest)
    .where(digests.c.at < bindparam("older_than"), digests.c.delivered.is_(true()))
    .order_by(digests.c.at)
    .limit(bindparam("most"))
)
DELETE_DIGEST: Final = delete(digests).where(
    digests.c.folder == bindparam("in_folder"), digests.c.digest == bindparam("of_bytes")
)

# Each finished one counts towards the limit of rows; counted in slices, by id.
COUNTED_AFTER: Final = (
    select(jobs.c.id).where(jobs.c.id > bindparam("after_id")).order_by(jobs.c.id).limit(bindparam("most")).subquery()
)
COUNT_SLICE: Final = select(func.count(), func.max(COUNTED_AFTER.c.id)).select_from(COUNTED_AFTER)
OLDEST_FINISHED: Final = select(func.min(jobs.c.entered_at)).where(FINISHED)

# ---------------------------------------------------------------------------------------------------------- letters

INSERT_LETTER: Final = insert(outbox)
DELETE_LETTERS: Final = delete(outbox).where(outbox.c.id.in_(bindparam("ids", expanding=True)))
POSTPONE_LETTER: Final = (
    update(outbox)
    .where(outbox.c.id == bindparam("letter_id"))
    .values(due_at=bindparam("due_at"), trouble=bindparam("trouble"), attempts=outbox.c.attempts + 1, in_hand_until=0.0)
)
PUT_BACK_LETTERS: Final = (
    update(outbox).where(outbox.c.id.in_(bindparam("ids", expanding=True))).values(in_hand_until=0.0)
)
CLAMP_LETTERS: Final = update(outbox).where(outbox.c.due_at > bindparam("latest")).values(due_at=bindparam("latest"))
HASTEN_LETTERS: Final = (
    update(outbox)
    .where(outbox.c.channel == bindparam("of_channel"), outbox.c.due_at > bindparam("now"))
    .values(due_at=bindparam("now"))
)
LETTERS_DUE: Final = (
    select(outbox)
    .where(outbox.c.channel == bindparam("of_channel"), outbox.c.due_at <= bindparam("now"))
    .order_by(outbox.c.due_at, outbox.c.at)
    .limit(bindparam("most"))
)
LETTERS_WAITING: Final = select(
    outbox.c.channel,
    func.count().label("letters"),
    func.min(outbox.c.at).label("oldest"),
    func.min(outbox.c.due_at).label("next_due"),
).group_by(outbox.c.channel)
TRIM_LETTERS: Final = delete(outbox).where(
    outbox.c.id.in_(
        select(outbox.c.id)
        .where(outbox.c.channel == bindparam("of_channel"))
        .order_by(outbox.c.at.desc())
        .limit(1 << 30)
        .offset(bindparam("keep"))
    )
)
TOLD: Final = select(told.c.name, told.c.document)
INSERT_TOLD: Final = insert(told)
DELETE_TOLD: Final = delete(told).where(told.c.name == bindparam("of_name"))

MARK_PERHAPS_TWICE: Final = update(jobs).where(jobs.c.document.contains(bindparam("note"))).values(perhaps_twice=true())

# ---------------------------------------------------------------------------------------------- pauses, marks, meta

PAUSE_TABLES: Final = {"account": account_pauses, "folder": folder_pauses}
PAUSES: Final = {kind: select(table) for kind, table in PAUSE_TABLES.items()}
INSERT_PAUSE: Final = {kind: insert(table) for kind, table in PAUSE_TABLES.items()}
DELETE_PAUSE: Final = {
    kind: delete(table).where(table.c.name == bindparam("of_name")) for kind, table in PAUSE_TABLES.items()
}

MARKS: Final = select(marks)
INSERT_MARK: Final = insert(marks)
DELETE_MARK: Final = delete(marks).where(marks.c.key == bindparam("of_key"))

# A copy of a ledger that moves on: no start may take it for the ledger itself (folders/identity.py compares).
OLDEN_MARKS: Final = "UPDATE marks SET starts = starts - 2"

META: Final = select(meta)
INSERT_META: Final = insert(meta)
DELETE_META: Final = delete(meta).where(meta.c.name == bindparam("of_name"))
