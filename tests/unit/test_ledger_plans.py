"""Promise: a million finished jobs cost the daemon nothing. How SQLite means to answer each of its questions."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, create_engine
from sqlalchemy.pool import StaticPool

from hopperd.ledger import pages, prepared, queries, records, statements, twins
from hopperd.ledger.tables import metadata
from hopperd.pipeline.events import Claimed, Delivered
from hopperd.pipeline.job import OPEN_STAGES, Stage
from hopperd.ports import JobQuery
from tests.support.stores import NOW, job_id, moved, new_job

OVER_OPEN_JOBS = {"jobs_due", "jobs_next_due", "jobs_open", "jobs_open_by_id", "jobs_twin"}
TABLES = {"jobs", "history", "digests", "tasks", "holder"}
SMALL = {"jobs_untidy", "jobs_ended_badly", "jobs_perhaps_twice"}


class Explained:
    """An empty ledger in memory that notes every statement it runs, and tells their plans."""

    def __init__(self) -> None:
        engine = create_engine("sqlite://", poolclass=StaticPool)
        self.connection = engine.connect()
        metadata.create_all(self.connection)
        driver = self.connection.connection.driver_connection
        assert isinstance(driver, sqlite3.Connection)
        self._driver = driver
        self._ran: list[str] = []
        driver.set_trace_callback(self._ran.append)

    def forget(self) -> None:
        self._ran.clear()

    @property
    def plans(self) -> list[str]:
        """Of what ran since. What SQLite runs by itself, within a statement, begins with two dashes."""
        ran = [sql for sql in self._ran if sql.split()[0] in ("SELECT", "INSERT", "UPDATE", "DELETE")]
        return [row[3] for sql in ran for row in self._explain(sql)]

    def _explain(self, sql: str) -> list[Any]:
        self._driver.set_trace_callback(None)
        rows = self._driver.execute(f"EXPLAIN QUERY PLAN {sql}").fetchall()
        self._driver.set_trace_callback(self._ran.append)
        return rows

    def wide(self) -> list[str]:
        """The steps that may read as much as there ever was, and not only what is open, small, or asked for by id."""
        return [plan for plan in self.plans if plan.split()[1] in TABLES and _is_wide(plan)]


def _is_wide(plan: str) -> bool:
    if any(f"{name} " in f"{plan} " for name in ("jobs_folder", "jobs_account")):
        return True
    return plan.startswith("SCAN ") and not any(f"{name} " in f"{plan} " for name in OVER_OPEN_JOBS | SMALL)


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Explained]:
    explained = Explained()
    yield explained
    explained.connection.close()
    explained.connection.engine.dispose()


JOB = new_job(1)

QUESTIONS: dict[str, Callable[[Connection], object]] = {
    "open": lambda c: records.open_job(c, JOB, Claimed(), True),
    "record": lambda c: records.record_many(
        c,
        [
            records.Record(
                before=JOB,
                after=moved(JOB, Stage.DELIVERED, outcome="delivered", task_id="t"),
                event=Delivered(),
                at=NOW,
            )
        ],
    ),
    "take": lambda c: twins.take(c, JOB),
    "free": lambda c: twins.free(c, JOB, NOW),
    "wake": lambda c: twins.wake(c, ["a"], NOW),
    "get": lambda c: queries.jobs_by_id(c, [job_id(n) for n in range(9)]),
    "due": lambda c: queries.due(c, "main", [Stage.CLAIMED, Stage.UPLOADED], NOW, 9, (), None),
    "due in folders": lambda c: queries.due(c, "main", [Stage.CLAIMED], NOW, 9, (), ["us", "eu"]),
    "next due": lambda c: queries.next_due(c, NOW),
    "in flight": lambda c: queries.in_flight(c, "main"),
    "open by folder": queries.open_by_folder,
    "unfinished": queries.unfinished,
    "untidied": queries.untidied,
    "doubts": queries.doubts,
    "page perhaps twice": lambda c: pages.page(c, JobQuery(perhaps_twice=True)),
    "came in": lambda c: queries.came_in(c, NOW, NOW + 1),
    "count slice": lambda c: prepared.rows(c, statements.COUNT_SLICE, {"after_id": "", "most": 9}),
    "oldest finished": lambda c: prepared.rows(c, statements.OLDEST_FINISHED),
    "tidy due": lambda c: queries.tidy_due(c, "main", NOW, 9),
    "open ids": queries.open_ids,
    "history": lambda c: queries.history(c, JOB.id),
    "task": lambda c: queries.job_with_task(c, "t"),
    "backlog": lambda c: queries.backlog(c, NOW, (1, 2)),
    "page open": lambda c: pages.page(c, JobQuery(stages=OPEN_STAGES, held=False, waiting_for_person=False)),
    "page movable": lambda c: pages.page(c, JobQuery(stages=OPEN_STAGES, held=False, waiting_for_twin=False)),
    "page waiting": lambda c: pages.page(c, JobQuery(stages=OPEN_STAGES, held=False, waiting_for_twin=True)),
    "page stuck": lambda c: pages.page(c, JobQuery(folder="us", stages=[Stage.CLAIMED], in_stage_since=NOW)),
    "page held": lambda c: pages.page(c, JobQuery(held=True)),
    "page failed": lambda c: pages.page(c, JobQuery(failed=True)),
    "page failed of a folder": lambda c: pages.page(c, JobQuery(failed=True, folder="us", account="main")),
    "page failed since": lambda c: pages.page(c, JobQuery(failed=True, entered_since=NOW)),
    "clamp open": lambda c: prepared.run(c, statements.CLAMP_OPEN, {"latest": NOW}),
    "clamp untidy": lambda c: prepared.run(c, statements.CLAMP_UNTIDY, {"latest": NOW}),
    "purge": lambda c: prepared.rows(c, statements.FINISHED_BEFORE, {"older_than": NOW, "most": 9}),
    "purge digests": lambda c: prepared.rows(c, statements.DELIVERED_BEFORE, {"older_than": NOW, "most": 9}),
    "forget": lambda c: records.forget(c, [JOB.id]),
}


@pytest.mark.parametrize("name", QUESTIONS)
def test_no_question_of_the_daemon_reads_finished_jobs(ledger: Explained, name: str) -> None:
    QUESTIONS[name](ledger.connection)
    assert ledger.plans
    assert not ledger.wide(), f"{name} reads everything there ever was"


@pytest.mark.parametrize("name", ["in flight", "page open", "page stuck", "page held", "open ids", "backlog"])
def test_questions_about_open_jobs_are_answered_from_an_index_over_open_jobs(ledger: Explained, name: str) -> None:
    QUESTIONS[name](ledger.connection)
    over_jobs = [plan for plan in ledger.plans if plan.split()[1] == "jobs"]
    first = over_jobs[0]
    assert any(index in first for index in OVER_OPEN_JOBS), first


def test_a_search_reads_names_and_not_documents(ledger: Explained) -> None:
    pages.page(ledger.connection, JobQuery(text="x", folder="us"))
    reads = [plan for plan in ledger.wide() if "jobs" in plan]
    assert reads
    assert all("USING COVERING INDEX" in plan for plan in reads), reads


def test_what_few_names_contain_is_found_in_an_index_of_letters(ledger: Explained) -> None:
    pages.page(ledger.connection, JobQuery(text="xyz"))
    search = pages.Proposals("xyz")
    ledger.forget()
    while search.go_on(ledger.connection):
        pass
    assert not search.too_many
    assert any(plan.startswith("SCAN search VIRTUAL TABLE") for plan in ledger.plans), ledger.plans
    assert not ledger.wide(), ledger.plans
