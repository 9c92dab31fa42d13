"""What each event means once results are ours: exports, names that are taken, filing, tidying up."""

from __future__ import annotations

import pytest

from hopperd.errors import TransitionError
from hopperd.pipeline import events as e
from hopperd.pipeline.delivering import DELIVERED_IN_PART
from hopperd.pipeline.job import Job, Policy, Stage
from hopperd.pipeline.machine import advance
from hopperd.pipeline.moves import PERHAPS_DELIVERED_TWICE
from tests.support.jobs import NOW, in_stage, job, original, result, staged

S = Stage
POLICY = Policy()


def fetched(policy: Policy = POLICY, results: int = 1) -> Job:
    one = job(S.CAPTURED, results=tuple(result(place) for place in range(results)))
    return advance(one, e.Fetched(staged=tuple(staged(place) for place in range(results))), NOW, policy)


def test_exports_are_named_after_their_original_in_the_same_subfolder() -> None:
    assert [export.name for export in fetched(results=2).exports] == [b"sub/invoice.xlsx", b"sub/invoice-2.xlsx"]


def test_two_originals_with_one_stem_never_share_an_export_name() -> None:
    originals = (original(b"g/a.pdf"), original(b"g/a.png"))
    one = job(S.CAPTURED, originals=originals, results=(result(0, of=0), result(1, of=1)))
    one = advance(one, e.Fetched(staged=(staged(0), staged(1))), NOW, POLICY)
    assert [export.name for export in one.exports] == [b"g/a.xlsx", b"g/a (2).xlsx"]


def test_a_taken_name_is_numbered_and_recorded_before_it_is_tried() -> None:
    one = advance(fetched(), e.ExportNameTaken(position=0, taken=frozenset({b"sub/invoice (2).xlsx"})), NOW, POLICY)
    assert (one.stage, one.exports[0].name) == (S.FETCHED, b"sub/invoice (3).xlsx")


def test_a_taken_name_fails_the_job_where_that_is_wanted() -> None:
    policy = Policy(on_taken="fail")
    one = advance(fetched(policy), e.ExportNameTaken(position=0, taken=frozenset()), NOW, policy)
    assert one.failure is not None
    assert one.failure.reason == "name-taken"


def test_what_was_delivered_before_a_name_was_found_taken_stays_told() -> None:
    policy = Policy(on_taken="fail")
    event = e.ExportNameTaken(position=1, taken=frozenset(), delivered=(0,))
    one = advance(fetched(policy, results=2), event, NOW, policy)
    assert [export.name for export in one.delivered_exports] == [b"sub/invoice.xlsx"]
    assert DELIVERED_IN_PART in one.notes


def test_nobody_gives_up_a_job_whose_exports_may_stand_in_out_already() -> None:
    for stage in (S.FETCHED, S.DELIVERED):
        with pytest.raises(TransitionError):
            advance(in_stage(stage), e.Forgotten(), NOW, POLICY)


def test_lost_staging_is_fetched_again_and_marked() -> None:
    one = advance(fetched(), e.StagingLost(), NOW, POLICY)
    assert one.stage is S.CAPTURED
    assert PERHAPS_DELIVERED_TWICE in one.notes


def test_delivered_originals_are_filed_by_the_day_failed_ones_are_not() -> None:
    done = advance(fetched(), e.Delivered(), NOW, POLICY)
    assert done.originals[0].filed_as == b"2026/05/28/sub/invoice.pdf"
    failed = advance(job(S.CLAIMED), e.Refused(failure=job(S.FAILED).failure), NOW, POLICY)  # type: ignore[arg-type]
    assert failed.originals[0].filed_as == b"sub/invoice.pdf"


def test_a_taken_place_in_done_is_numbered() -> None:
    one = advance(fetched(), e.Delivered(), NOW, POLICY)
    one = advance(one, e.FilingNameTaken(position=0, taken=frozenset()), NOW, POLICY)
    assert one.originals[0].filed_as == b"2026/05/28/sub/invoice (2).pdf"


def test_remote_clean_up_is_a_mark_on_a_done_job() -> None:
    done = advance(job(S.DELIVERED), e.FiledAway(), NOW, POLICY)
    assert (done.stage, done.tidy_remote) == (S.DONE, True)
    assert not advance(done, e.RemoteTidied(), NOW, POLICY).tidy_remote
    assert not advance(job(S.DELIVERED), e.FiledAway(), NOW, Policy(keep_remote=True)).tidy_remote
    assert not advance(job(S.ABANDONED), e.FiledAway(), NOW, POLICY).tidy_remote
