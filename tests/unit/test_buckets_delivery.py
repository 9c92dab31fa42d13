"""Promises 1 and 2 in a bucket: exports come once and whole, and what may be a second one says so; originals are filed.

Whoever picks exports up takes each away in the moment in which it appears, and counts.
"""

from __future__ import annotations

import itertools
import json
import os
import uuid
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from hopperd.buckets import deliver as delivering
from hopperd.buckets import file_away as filing
from hopperd.buckets.disk import Bucket
from hopperd.folders import deliver as staging
from hopperd.folders.file_away import CHANGED, KEPT, TAKEN_AWAY
from hopperd.pipeline.job import Job, Stage
from hopperd.pipeline.naming import next_free
from hopperd.ports import FolderTrouble, NameTaken
from tests.support.bucket import InBucket, InFront, StoreProcess, needs_store
from tests.support.dying_store import dying, meddled_with
from tests.support.hot_folder import Died, job_id, job_with, staged_job

pytestmark = needs_store
EXPORTS = {b"sub/x.xlsx": b"first", b"x-2.xlsx": b"second"}
PDF = b"%PDF an invoice %%EOF"
_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StoreProcess]:
    with StoreProcess(tmp_path_factory.mktemp("store") / "log") as process:
        yield process


@pytest.fixture
def place(server: StoreProcess, tmp_path: Path) -> InBucket:
    return InBucket(server, tmp_path / "state")


def staged(bucket: Bucket, exports: dict[bytes, bytes] = EXPORTS) -> Job:
    job, files = staged_job(bucket.layout, exports, next(_numbers))
    staging.open_staging(bucket.layout, job)
    for one, content in zip(files, exports.values(), strict=True):
        with open(bucket.layout.staging_path(job.id, one.staged_as), "wb") as file:
            file.write(content)
    staging.seal_staging(bucket.layout, job, files)
    return job


def picked_up(place: InBucket) -> Counter[bytes]:
    found = place.files("out")
    for name in found:
        place.hand.remove(f"{place.prefix}/out/{name}")
    return Counter(found.values())


def test_exports_come_whole_and_tell_whose_they_are(place: InBucket) -> None:
    bucket = place.bucket()
    job = staged(bucket)
    assert bucket.deliveries.deliver(job) == "delivered"
    assert place.files("out") == {name.decode(): content for name, content in EXPORTS.items()}
    told = place.hand.told(f"{place.prefix}/out/sub/x.xlsx")
    assert told["x-amz-meta-hopperd-job"] == job.id
    assert told["x-amz-meta-hopperd-sha256"] == job.exports[0].sha256
    picked_up(place)
    assert bucket.deliveries.deliver(job) == "delivered"
    assert place.files("out") == {}, "promise 2: delivered twice"


def test_an_export_is_read_back_from_its_key(place: InBucket) -> None:
    bucket = place.bucket()
    job = staged(bucket)
    bucket.deliveries.deliver(job)
    assert [bucket.deliveries.read(export) for export in job.exports] == [b"first", b"second"]
    place.hand.put(f"{place.prefix}/out/sub/x.xlsx", b"somebody else's")
    assert bucket.deliveries.read(job.exports[0]) == b"somebo"
    picked_up(place)
    assert bucket.deliveries.read(job.exports[0]) == b""


def test_a_name_that_is_taken_is_left_alone_and_the_next_ones_are_told(place: InBucket) -> None:
    bucket = place.bucket()
    job = staged(bucket)
    for name in ("x-2.xlsx", "x-2 (2).xlsx"):
        place.hand.put(f"{place.prefix}/out/{name}", b"somebody else's")
    taken = bucket.deliveries.deliver(job)
    assert taken == NameTaken(position=1, taken=frozenset({b"x-2.xlsx", b"x-2 (2).xlsx"}), delivered=(0,))
    free = next_free(b"x-2.xlsx", taken.taken, on_taken="number", date="")
    again = replace(job, exports=(job.exports[0], replace(job.exports[1], name=free)))
    assert bucket.deliveries.deliver(again) == "delivered"
    assert place.files("out")["x-2 (3).xlsx"] == b"second"
    assert place.files("out")["x-2.xlsx"] == b"somebody else's"


def test_where_all_are_wanted_or_none_nothing_is_sent_beside_a_name_that_is_taken(place: InBucket) -> None:
    bucket = place.bucket()
    job = staged(bucket)
    place.hand.put(f"{place.prefix}/out/x-2.xlsx", b"somebody else's")
    taken = bucket.deliveries.deliver(job, all_or_none=True)
    assert taken == NameTaken(position=1, taken=frozenset({b"x-2.xlsx"}))
    assert place.files("out") == {"x-2.xlsx": b"somebody else's"}


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("is_large", [False, True], ids=["whole", "in parts"])
def test_a_death_at_any_call_of_a_delivery_brings_each_export_once_or_says_that_it_may_be_twice(
    place: InBucket, after: bool, is_large: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if is_large:
        monkeypatch.setattr(delivering, "WHOLE_BYTES", 1)
    marked = deaths = 0
    for at in itertools.count(1):
        place.prefix = f"t/{uuid.uuid4().hex}"
        bucket = place.bucket()
        job = staged(bucket)
        store, _ = dying(place.server.store(), at, after=after)
        try:
            place.bucket(store).deliveries.deliver(job)
        except Died:
            deaths += 1
        else:
            break
        got = picked_up(place)
        outcome = place.bucket().deliveries.deliver(job)
        got += picked_up(place)
        assert outcome in ("delivered", "perhaps-twice")
        assert set(got) == set(EXPORTS.values()), f"promise 2: an export is missing after a death at call {at}"
        if outcome == "delivered":
            assert max(got.values()) == 1, f"promise 2: delivered twice and not so marked, after a death at call {at}"
        marked += outcome == "perhaps-twice"
    assert deaths >= 3
    assert marked, "no death left a doubt: then the note is not needed, or this test tries nothing"
    assert after or marked < deaths, "a death before anything was sent left a doubt"


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_another_machine_without_the_staging_knows_whether_anything_was_sent(
    place: InBucket, after: bool, tmp_path: Path
) -> None:
    seen = set()
    for at in itertools.count(1):
        place.prefix = f"t/{uuid.uuid4().hex}"
        job = staged(place.bucket())
        store, _ = dying(place.server.store(), at, after=after)
        is_dead = False
        try:
            place.bucket(store).deliveries.deliver(job)
        except Died:
            is_dead = True
        sent = place.files("out")
        other = InBucket(place.server, tmp_path / "another")
        other.prefix = place.prefix
        outcome = other.bucket().deliveries.deliver(job)
        seen.add(outcome)
        if outcome == "never-sent":
            assert sent == {}, "promise 2: fetched again without a doubt, and exports had been sent"
        if outcome == "delivered":
            assert set(sent.values()) == set(EXPORTS.values())
        if not is_dead:
            break
    assert seen == {"lost", "delivered"} | (set() if after else {"never-sent"})


def test_a_store_that_refuses_leaves_no_doubt_about_what_it_refused(place: InBucket) -> None:
    """403 is a certain no; 503 is not, since nobody knows what was done before it came."""
    for answer, outcome in ((403, "delivered"), (503, "perhaps-twice")):
        place.prefix = f"t/{uuid.uuid4().hex}"
        job = staged(place.bucket())
        with InFront(place.server.url) as front:
            store, _ = meddled_with(place.server.store(front.url), 2, lambda: front.answer(answer), after=False)  # noqa: B023
            bucket = place.bucket(store)
            with pytest.raises(FolderTrouble, match=str(answer)):
                bucket.deliveries.deliver(job)
            front.answer(None)
            assert bucket.deliveries.deliver(job) == outcome
        assert set(place.files("out").values()) == set(EXPORTS.values())


# ------------------------------------------------------------------------------------------------------ filing away


def claimed(place: InBucket, name: str = "a/x.pdf", content: bytes = PDF, **changes: object) -> Job:
    number = next(_numbers)
    of = job_id(number)
    place.hand.put(place.key("work", of, name), content)
    original = place.bucket().filing.digest(of, name.encode())
    return job_with((original,), number, **changes)


def receipts(job: Job, **more: object) -> dict[int, bytes]:
    return dict.fromkeys(range(len(job.originals)), json.dumps({"job": job.id, **more}).encode())


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("is_large", [False, True], ids=["whole", "in parts"])
def test_a_death_at_any_call_of_filing_loses_nothing_and_ends_with_the_receipt(
    place: InBucket, after: bool, is_large: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if is_large:
        monkeypatch.setattr(filing, "WHOLE_BYTES", 1)
    deaths = 0
    for at in itertools.count(1):
        place.prefix = f"t/{uuid.uuid4().hex}"
        job = claimed(place)
        place.hand.put(place.key("work", job.id, ".hopperd-delivering"), b"")
        store, _ = dying(place.server.store(), at, after=after)
        try:
            place.bucket(store).filing.file_away(job, receipts(job), delete_delivered=False)
        except Died:
            deaths += 1
        else:
            break
        lies = [*place.originals().values(), *place.files("done").values()]
        assert PDF in lies, f"promise 1: gone after a death at call {at}"
        assert place.bucket().filing.file_away(job, receipts(job), delete_delivered=False) == []
        assert place.files("done") == {
            "2026/11/23/a/x.pdf": PDF,
            "2026/11/23/a/x.pdf.receipt.json": receipts(job)[0],
        }
        assert place.files("work") == {}
    assert deaths >= 5


def test_a_name_that_another_has_in_done_is_told_and_nothing_is_overwritten(place: InBucket) -> None:
    first, second = claimed(place), claimed(place)
    bucket = place.bucket()
    assert bucket.filing.file_away(first, receipts(first), delete_delivered=False) == []
    taken = bucket.filing.file_away(second, receipts(second), delete_delivered=False)
    assert taken == NameTaken(position=0, taken=frozenset({b"2026/11/23/a/x.pdf"}))
    assert place.originals() == {f"{second.id}/a/x.pdf": PDF}
    again = replace(second, originals=(replace(second.originals[0], filed_as=b"2026/11/23/a/x (2).pdf"),))
    assert bucket.filing.file_away(again, receipts(again), delete_delivered=False) == []
    assert len(place.files("done")) == 4 and place.files("work") == {}


def test_a_receipt_is_replaced_only_by_its_own_job(place: InBucket) -> None:
    job = claimed(place)
    bucket = place.bucket()
    place.hand.put(f"{place.prefix}/done/2026/11/23/a/x.pdf.receipt.json", b'{"job": "of a person"}')
    bucket.filing.file_away(job, receipts(job), delete_delivered=False)
    bucket.filing.file_away(job, receipts(job, now="more"), delete_delivered=False)
    done = place.files("done")
    assert done["2026/11/23/a/x.pdf.receipt.json"] == b'{"job": "of a person"}'
    assert json.loads(done["2026/11/23/a/x.pdf.receipt (2).json"]) == {"job": job.id, "now": "more"}
    assert bucket.filing.has_receipt("done", b"2026/11/23/a/x.pdf", job.id)
    assert not bucket.filing.has_receipt("done", b"2026/11/23/a/x.pdf", job_id(9_999))


def test_what_was_changed_or_taken_from_work_is_noted(place: InBucket) -> None:
    bucket, changed, kept, gone, deleted = place.bucket(), *(claimed(place, f"{n}.pdf") for n in "abcd")
    place.hand.put(place.key("work", changed.id, "a.pdf"), b"other bytes")
    place.hand.put(place.key("work", kept.id, "b.pdf"), b"other bytes")
    place.hand.remove(place.key("work", gone.id, "c.pdf"))
    assert bucket.filing.file_away(changed, receipts(changed), delete_delivered=False) == [(0, CHANGED)]
    assert bucket.filing.file_away(changed, receipts(changed), delete_delivered=False) == [(0, CHANGED)]
    assert bucket.filing.file_away(kept, receipts(kept), delete_delivered=True) == [(0, KEPT)]
    assert bucket.filing.file_away(gone, receipts(gone), delete_delivered=False) == [(0, TAKEN_AWAY)]
    assert bucket.filing.file_away(deleted, receipts(deleted), delete_delivered=True) == []
    done = place.files("done")
    assert done["2026/11/23/a.pdf"] == done["2026/11/23/b.pdf"] == b"other bytes"
    assert "2026/11/23/c.pdf" not in done and "2026/11/23/d.pdf" not in done
    assert place.files("work") == {}


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_a_death_at_any_call_of_bringing_back_loses_nothing(place: InBucket, after: bool) -> None:
    deaths = 0
    for at in itertools.count(1):
        place.prefix = f"t/{uuid.uuid4().hex}"
        job = claimed(place, stage=Stage.ABANDONED, outcome="failed")
        bucket = place.bucket()
        bucket.filing.file_away(job, receipts(job), delete_delivered=False)
        place.hand.put(f"{place.prefix}/failed/2026/11/23/a/x.pdf", b"repaired")
        store, _ = dying(place.server.store(), at, after=after)
        try:
            place.bucket(store).filing.reclaim(job)
        except Died:
            deaths += 1
        else:
            break
        lies = [*place.originals().values(), *place.files("failed").values()]
        assert b"repaired" in lies, f"promise 1: gone after a death at call {at}"
        (original,) = place.bucket().filing.reclaim(job)
        assert original.size_bytes == len(b"repaired")
        assert place.originals() == {f"{job.id}/a/x.pdf": b"repaired"} and place.files("failed") == {}
    assert deaths >= 5


@pytest.mark.parametrize("is_large", [False, True], ids=["whole", "in parts"])
def test_a_retry_takes_no_other_jobs_original(place: InBucket, is_large: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """A large object, as one that somebody repaired, has no metadata that tells whose it is."""
    if is_large:
        monkeypatch.setattr(filing, "WHOLE_BYTES", 1)
    place.prefix = f"t/{uuid.uuid4().hex}"
    bucket, jobs = place.bucket(), []
    for content in (b"the first", b"the second"):
        job = claimed(place, "x.pdf", content, stage=Stage.ABANDONED, outcome="failed")
        bucket.filing.file_away(job, receipts(job), delete_delivered=False)
        jobs.append(job)
        if content == b"the first":
            place.hand.remove(f"{place.prefix}/failed/2026/11/23/x.pdf")
            place.hand.remove(f"{place.prefix}/failed/2026/11/23/x.pdf.receipt.json")
    with pytest.raises(FileNotFoundError):
        bucket.filing.reclaim(jobs[0])
    assert place.files("failed")["2026/11/23/x.pdf"] == b"the second", "promise 1: it took that of another job"
    bucket.filing.reclaim(jobs[1])
    assert place.originals() == {f"{jobs[1].id}/x.pdf": b"the second"}


def test_without_metadata_and_receipt_a_retry_takes_what_holds_the_same_bytes(place: InBucket) -> None:
    place.prefix = f"t/{uuid.uuid4().hex}"
    bucket = place.bucket()
    job = claimed(place, "x.pdf", stage=Stage.ABANDONED, outcome="failed")
    bucket.filing.file_away(job, receipts(job), delete_delivered=False)
    place.hand.remove(f"{place.prefix}/failed/2026/11/23/x.pdf.receipt.json")
    place.hand.put(f"{place.prefix}/failed/2026/11/23/x.pdf", b"of somebody else")
    with pytest.raises(FileNotFoundError):
        bucket.filing.reclaim(job)
    place.hand.put(f"{place.prefix}/failed/2026/11/23/x.pdf", PDF)
    bucket.filing.reclaim(job)
    assert place.originals() == {f"{job.id}/x.pdf": PDF}


def test_copies_to_read_are_bounded_and_fetched_again(place: InBucket, tmp_path: Path) -> None:
    bucket = place.bucket()
    bucket.scratch._kept_bytes = 3 * len(PDF)
    jobs = [claimed(place, f"{n}.pdf") for n in range(6)]
    for job in jobs:
        bucket.filing.digest(job.id, job.originals[0].name)
    kept = [job for job in jobs if bucket.scratch.has(job.id, job.originals[0])]
    assert 1 <= len(kept) <= 3
    bucket.filing.digest(jobs[0].id, jobs[0].originals[0].name)
    assert bucket.scratch.has(jobs[0].id, jobs[0].originals[0])
    bucket.scratch.drop(jobs[0].id)
    assert not os.path.exists(bucket.scratch.path(jobs[0].id, jobs[0].originals[0].name))
