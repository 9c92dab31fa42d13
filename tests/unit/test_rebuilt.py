"""Jobs read back from receipts are the jobs that wrote them; what was open is a doubt, and starts from its original."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hopperd.pipeline import events as e
from hopperd.pipeline.job import Export, Job, Policy, Stage, Twin, made_at, new_job_id
from hopperd.pipeline.machine import advance
from hopperd.pipeline.moves import PERHAPS_PAID_TWICE
from hopperd.pipeline.naming import shown
from hopperd.pipeline.rebuilt import NOT_STAGED, doubtful_job, fetched_job, finished_job, unshown
from hopperd.pipeline.receipt import receipt
from tests.support.jobs import NOW, job, original

EXPORT = Export(name=b"sub/invoice-\xfc.xlsx", staged_as="", size_bytes=10, sha256="ab" * 32)


@given(st.binary(min_size=1).filter(lambda name: b"\0" not in name))
def test_a_name_that_is_shown_can_be_read_back_to_what_shows_the_same(name: bytes) -> None:
    assert shown(unshown(shown(name))) == shown(name)
    if b"%" not in name:
        assert unshown(shown(name)) == name


@pytest.mark.parametrize(
    "before",
    [
        job(Stage.DONE, exports=(EXPORT,), doubts=2, notes=(PERHAPS_PAID_TWICE,), tasks_before=("t0",)),
        job(Stage.FAILED),
        job(Stage.DONE, outcome="duplicate", twin=Twin(job=new_job_id(NOW, b"12345"), delivered=True, exports=("a",))),
    ],
    ids=lambda one: str(one.outcome),
)
def test_a_receipt_says_all_that_it_says_after_a_rebuild(before: Job) -> None:
    document = json.loads(json.dumps(receipt(before)))
    filed = {one.filed_as: one.identity for one in before.originals if one.filed_as}
    after = finished_job(document, folder="us", account="main", by_folder=False, filed=filed)
    assert after is not None
    assert receipt(after) == receipt(before)
    assert [one.filed_as for one in after.originals] == [one.filed_as for one in before.originals]
    assert after.stage is before.stage


@pytest.mark.parametrize("broken", [{}, {"outcome": "delivered"}, {"outcome": "eaten"}, {"job": 1, "stages": "x"}])
def test_what_is_no_receipt_of_ours_is_no_job(broken: dict[str, Any]) -> None:
    assert finished_job(broken, folder="us", account="main", by_folder=False, filed={}) is None


def test_a_doubtful_job_that_is_released_starts_from_its_original_and_says_that_it_may_be_paid_for_twice() -> None:
    one = doubt()
    released = advance(one, e.Released(), NOW, Policy())
    assert released.stage is Stage.CLAIMED
    assert PERHAPS_PAID_TWICE in released.notes
    assert released.doubts == 1
    named = advance(one, e.Released(task_id="t1"), NOW, Policy())
    assert (named.stage, named.task_id) == (Stage.SUBMITTED, "t1")
    retried = advance(one, e.Retried(), NOW, Policy())
    assert retried.stage is Stage.CLAIMED


def test_staging_is_read_back_only_where_it_says_what_its_exports_are_called() -> None:
    listed = {"name": "0001", "size_bytes": 3, "sha256": "cd" * 32, "result": "Result.xlsx", "original": 0}
    manifest = {"task": "t1", "number": "7", "files": [listed, {**listed, "name": "0002"}]}
    made = fetched_job(doubt(), manifest, policy=Policy(), at=NOW, date="2026-05-28")
    assert made is not None
    assert [export.name for export in made.exports] == [b"sub/invoice.xlsx", b"sub/invoice-2.xlsx"]
    assert advance(made, e.Released(), NOW, Policy()).stage is Stage.FETCHED
    older: list[dict[str, Any]] = [
        {"task": "t1", "files": [{"name": "0001", "size_bytes": 3, "sha256": "cd" * 32}]},
        {"files": [listed]},
        {},
    ]
    for manifest in older:
        assert fetched_job(doubt(), manifest, policy=Policy(), at=NOW, date="2026-05-28") is None


def test_an_original_of_which_nothing_is_staged_says_so() -> None:
    listed = {"name": "0001", "size_bytes": 3, "sha256": "cd" * 32, "result": "Result.xlsx", "original": 1}
    group = replace(doubt(), originals=(original(b"g/a.pdf"), original(b"g/b.pdf")))
    made = fetched_job(group, {"task": "t1", "files": [listed]}, policy=Policy(), at=NOW, date="2026-05-28")
    assert made is not None
    assert [one.note for one in made.originals] == [NOT_STAGED, None]


def doubt() -> Job:
    job_id = new_job_id(NOW - 100, b"12345")
    assert made_at(job_id) == NOW - 100
    one = replace(original(), sha512="")
    return doubtful_job(job_id, (one,), folder="us", account="main", priority=0, group=None, at=NOW)
