"""What every store of the ledger must answer to who looks: pages, searches, counts."""

from __future__ import annotations

import pytest

from hopperd.ledger import queries
from hopperd.ledger.store import Store
from hopperd.pipeline.job import OPEN_STAGES, Stage
from hopperd.ports import JobQuery
from tests.support.stores import HOLD, NOW, POSTPONED, job_id, moved, new_job, opened

pytestmark = pytest.mark.asyncio


async def ids(ledger: Store, **query: object) -> list[int]:
    page = await ledger.page(JobQuery(**query))  # type: ignore[arg-type]
    return [next(n for n in range(1_000) if job_id(n) == job.id) for job in page]


async def test_a_page_is_newest_first_and_goes_on_from_its_cursor(ledger: Store) -> None:
    for number in range(5):
        await opened(ledger, new_job(number))
    assert await ids(ledger, limit=2) == [4, 3]
    assert await ids(ledger, limit=2, before=job_id(3)) == [2, 1]
    assert await ids(ledger, limit=0) == []


async def test_a_page_keeps_to_what_was_asked_for(ledger: Store) -> None:
    await opened(ledger, new_job(0))
    await opened(ledger, new_job(1, folder="eu", account="other", opened_at=NOW - 100))
    await opened(ledger, new_job(2, hold=HOLD))
    await opened(ledger, new_job(3, stage=Stage.SUBMITTED, verification_url="u"))
    await opened(ledger, new_job(4, stage=Stage.ABANDONED))
    await opened(ledger, new_job(5, stage=Stage.FAILED, opened_at=NOW + 100))
    await opened(ledger, new_job(6, stage=Stage.DONE))
    assert await ids(ledger, folder="eu") == [1]
    assert await ids(ledger, account="other") == [1]
    assert await ids(ledger, held=True) == [2]
    assert await ids(ledger, held=False, stages=[Stage.CLAIMED]) == [1, 0]
    assert await ids(ledger, waiting_for_person=True) == [3]
    assert await ids(ledger, failed=True) == [5, 4]
    assert await ids(ledger, failed=False) == [6, 3, 2, 1, 0]
    assert await ids(ledger, failed=False, stages=[Stage.FAILED]) == []
    assert await ids(ledger, stages=[Stage.DONE, Stage.FAILED]) == [6, 5]
    assert await ids(ledger, stages=OPEN_STAGES) == [4, 3, 2, 1, 0]
    assert await ids(ledger, stages=[]) == []
    assert await ids(ledger, opened_before=NOW) == [1]
    assert await ids(ledger, in_stage_since=NOW) == [1]
    assert await ids(ledger, entered_since=NOW + 1) == [5]
    assert await ids(ledger, stages=[Stage.FAILED], entered_since=NOW + 1, limit=1) == [5]


async def test_text_finds_ids_numbers_tasks_and_parts_of_names(ledger: Store) -> None:
    job = await opened(ledger, new_job(0, name="Straße/RÉCHNUNG 100%.pdf".encode()))
    await ledger.record(job, moved(job, Stage.SUBMITTED, task_id="t-77", task_number="4711"), POSTPONED, NOW)
    await opened(ledger, new_job(1, name=b"odd\nname_\xff.PDF"))
    await opened(ledger, new_job(2, name="re\u0301chnung.pdf".encode(), folder="eu"))
    assert await ids(ledger, text=job.id) == [0]
    assert await ids(ledger, text=f" {job.id.upper()} ") == [0]
    assert await ids(ledger, text="t-77") == [0]
    assert await ids(ledger, text="4711") == [0]
    assert await ids(ledger, text="471") == []
    assert await ids(ledger, text="STRASSE") == [0]
    assert await ids(ledger, text="réchnung") == [2, 0]
    assert await ids(ledger, text="réchnung", folder="eu") == [2]
    assert await ids(ledger, text="réchnung", limit=1) == [2]
    assert await ids(ledger, text="0%.") == [0]
    assert await ids(ledger, text="odd name_%ff.pdf") == [1]
    assert await ids(ledger, text="o_d") == []
    assert await ids(ledger, text="x" * 100_000) == []


async def test_a_search_goes_on_past_many_names_that_are_not_asked_for(ledger: Store) -> None:
    await opened(ledger, new_job(0, folder="eu"))
    for number in range(1, queries.IDS_AT_ONCE + 5):
        await opened(ledger, new_job(number))
    assert await ids(ledger, text="invoice", folder="eu") == [0]
    assert len(await ids(ledger, text="invoice-1", limit=3)) == 3


async def test_a_task_is_known_to_be_its_jobs_after_it_was_given_up(ledger: Store) -> None:
    job = await opened(ledger, new_job(1))
    one = await ledger.record(job, moved(job, Stage.SUBMITTED, task_id="first", task_number="1"), POSTPONED, NOW)
    two = await ledger.record(one, moved(one, Stage.UPLOADED, task_id=None, tasks_before=("first",)), POSTPONED, NOW)
    three = await ledger.record(two, moved(two, Stage.SUBMITTED, task_id="second"), POSTPONED, NOW)
    await ledger.record(three, moved(three, task_number="2"), POSTPONED, NOW)
    assert await ledger.job_with_task("first") == job.id
    assert await ledger.job_with_task("second") == job.id
    assert await ledger.job_with_task("third") is None
    assert await ids(ledger, text="2") == [1]


async def test_the_backlog_counts_open_jobs_by_folder_stage_and_age(ledger: Store) -> None:
    assert await ledger.backlog(NOW, (10, 100)) == []
    await opened(ledger, new_job(1, opened_at=NOW - 5))
    await opened(ledger, new_job(2, opened_at=NOW - 50))
    await opened(ledger, new_job(3, opened_at=NOW - 10, hold=HOLD))
    await opened(ledger, new_job(4, opened_at=NOW - 500, stage=Stage.SUBMITTED, verification_url="u", folder="eu"))
    await opened(ledger, new_job(5, stage=Stage.DONE))
    cells = {(c.folder, c.stage, c.age_bucket): c for c in await ledger.backlog(NOW, (10, 100))}
    assert set(cells) == {("us", Stage.CLAIMED, 0), ("us", Stage.CLAIMED, 1), ("eu", Stage.SUBMITTED, 2)}
    middle = cells["us", Stage.CLAIMED, 1]
    assert (middle.account, middle.jobs, middle.held, middle.oldest_opened_at) == ("main", 2, 1, NOW - 50)
    assert cells["eu", Stage.SUBMITTED, 2].waiting_for_person == 1
    (one, two) = await ledger.backlog(NOW, ())
    assert {one.age_bucket, two.age_bucket} == {0}


async def test_open_job_ids_are_all_of_them(ledger: Store) -> None:
    for number, stage in enumerate(Stage):
        await opened(ledger, new_job(number, stage=stage))
    stages = list(Stage)
    assert await ledger.open_job_ids() == [job_id(stages.index(stage)) for stage in OPEN_STAGES]
