"""Promise 1 at the end: originals reach done/ or failed/ beside their receipts, whole, over no other file."""

from __future__ import annotations

import hashlib
import json
import os
import resource
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from hopperd.folders.file_away import CHANGED, KEPT, TAKEN_AWAY, file_away, reclaim
from hopperd.folders.layout import Layout
from hopperd.pipeline.job import Job, Stage
from hopperd.pipeline.naming import next_free
from hopperd.ports import NameTaken
from tests.support.hot_folder import (
    Died,
    claimed,
    fails_at,
    files,
    job_with,
    layout_in,
    put,
    quick_place,
    steps_of,
    tapped,
)

DAY = b"2026/11/23/"


@pytest.fixture
def quick_path() -> Iterator[Path]:
    with quick_place() as path:
        yield path


@pytest.fixture(params=["one disk", "two disks"])
def layout(request: pytest.FixtureRequest, tmp_path: Path, quick_path: Path) -> Layout:
    """All on one file system, or done/ and failed/ on another one."""
    if request.param == "one disk":
        return layout_in(tmp_path)
    if os.stat(tmp_path).st_dev == os.stat(quick_path).st_dev:
        pytest.skip("there is no second file system to write to")
    return replace_failed(layout_in(tmp_path, done=quick_path / "done"), quick_path)


def replace_failed(layout: Layout, root: Path) -> Layout:
    os.makedirs(root / "failed", exist_ok=True)
    return replace(layout, failed=os.fsencode(root / "failed"))


def receipts(job: Job, **more: object) -> dict[int, bytes]:
    content = json.dumps({"job": job.id, **more}).encode()
    return dict.fromkeys(range(len(job.originals)), content)


def is_clean(layout: Layout) -> bool:
    return os.listdir(layout.work) == [b".hopperd-id"]


@pytest.mark.parametrize("name", [b"x.pdf", b"a/b/R-\xfc\n.pdf", b"n" * 251 + b".pdf"])
def test_a_delivered_original_lies_beside_its_receipt(layout: Layout, name: bytes) -> None:
    put(layout, name, b"bytes")
    os.utime(layout.inbox + b"/" + name, ns=(1_234_567_890_123_456_789, 1_234_567_890_123_456_789))
    job = job_with(claimed(layout, name))
    assert file_away(layout, job, receipts(job)) == []
    found = files(layout.done)
    assert found.pop(DAY + name) == b"bytes"
    (receipt,) = found
    assert receipt.endswith(b".receipt.json")
    assert json.loads(found[receipt]) == {"job": job.id}
    assert os.stat(layout.done + b"/" + DAY + name).st_mtime_ns == 1_234_567_890_123_456_789
    assert is_clean(layout)
    assert file_away(layout, job, receipts(job)) == [], "again, after a crash before it was recorded"
    assert len(files(layout.done)) == 2


def test_an_abandoned_one_goes_to_failed(layout: Layout) -> None:
    put(layout, b"s/x.pdf")
    job = job_with(claimed(layout, b"s/x.pdf"), stage=Stage.ABANDONED, outcome="failed")
    job = replace(job, originals=(replace(job.originals[0], filed_as=b"s/x.pdf"),))
    assert file_away(layout, job, receipts(job)) == []
    assert set(files(layout.failed)) == {b"s/x.pdf", b"s/x.pdf.receipt.json"}


def test_originals_never_overwrite_each_other(layout: Layout) -> None:
    jobs = []
    for number in range(3):
        put(layout, b"x.pdf", b"%d" % number)
        job = job_with(claimed(layout, b"x.pdf", number), number)
        while isinstance(taken := file_away(layout, job, receipts(job)), NameTaken):
            planned = job.originals[taken.position].filed_as or b""
            free = next_free(planned, taken.taken | {planned}, on_taken="number", date="")
            job = replace(job, originals=(replace(job.originals[0], filed_as=free),))
        jobs.append(job)
    assert files(layout.done) == {
        DAY + b"x.pdf": b"0",
        DAY + b"x (2).pdf": b"1",
        DAY + b"x (3).pdf": b"2",
        DAY + b"x.pdf.receipt.json": receipts(jobs[0])[0],
        DAY + b"x (2).pdf.receipt.json": receipts(jobs[1])[0],
        DAY + b"x (3).pdf.receipt.json": receipts(jobs[2])[0],
    }


def test_the_same_bytes_under_the_same_name_are_two_originals(layout: Layout) -> None:
    for number in (1, 2):
        put(layout, b"x.pdf", b"twins")
        os.utime(layout.inbox + b"/x.pdf", ns=(5, 5))
        job = job_with(claimed(layout, b"x.pdf", number), number)
        filed = file_away(layout, job, receipts(job))
    assert filed == NameTaken(position=0, taken=frozenset({DAY + b"x.pdf"}))
    assert list(files(layout.work).values()) == [b"twins"], "the second is filed under another name, not dropped"


def test_a_receipt_never_takes_the_place_of_another_file(layout: Layout) -> None:
    put(layout, b"x.pdf.receipt.json", b"[1]")
    job = job_with(claimed(layout, b"x.pdf.receipt.json", 1), 1)
    file_away(layout, job, receipts(job))
    put(layout, b"x.pdf", b"x")
    job = job_with(claimed(layout, b"x.pdf", 2), 2)
    assert file_away(layout, job, receipts(job)) == []
    assert file_away(layout, job, receipts(job, doubts=1)) == []
    found = files(layout.done)
    assert found[DAY + b"x.pdf.receipt.json"] == b"[1]"
    assert found[DAY + b"x.pdf.receipt (2).json"] == receipts(job, doubts=1)[0]
    assert len(found) == 4


def test_a_group_has_a_receipt_for_each_member(layout: Layout) -> None:
    for name in (b"g/a.pdf", b"g/deep/b.pdf", b"g/Thumbs.db"):
        put(layout, name, name)
    job = job_with(claimed(layout, b"g", by_folder=True))
    assert file_away(layout, job, receipts(job)) == []
    assert set(files(layout.done)) == {
        DAY + name for one in (b"g/a.pdf", b"g/deep/b.pdf") for name in (one, one + b".receipt.json")
    }
    assert files(layout.inbox) == {b"g/Thumbs.db": b"g/Thumbs.db"}
    assert is_clean(layout)


def test_a_group_of_many_subfolders_needs_few_open_files(layout: Layout) -> None:
    for number in range(100):
        put(layout, b"g/%03d/a.pdf" % number, b"%d" % number)
    job = job_with(claimed(layout, b"g", by_folder=True))
    allowed = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (len(os.listdir("/proc/self/fd")) + 30, allowed[1]))
    try:
        assert file_away(layout, job, receipts(job)) == []
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, allowed)
    assert len(files(layout.done)) == 200
    assert is_clean(layout)


def test_what_came_along_and_could_not_be_put_back_goes_back_at_last(layout: Layout) -> None:
    put(layout, b"g/a.pdf")
    job = job_with(claimed(layout, b"g", by_folder=True))
    os.symlink(b"/nowhere", layout.work_path(job.id, b"g/link"))
    file_away(layout, job, receipts(job))
    assert os.readlink(layout.inbox + b"/g/link") == b"/nowhere"
    assert is_clean(layout)


def test_changed_and_taken_away_originals_are_noticed(layout: Layout) -> None:
    for name in (b"g/a.pdf", b"g/b.pdf", b"g/c.pdf"):
        put(layout, name)
    job = job_with(claimed(layout, b"g", by_folder=True))
    with open(layout.work_path(job.id, b"g/a.pdf"), "ab") as file:
        file.write(b"more")
    os.unlink(layout.work_path(job.id, b"g/b.pdf"))
    assert file_away(layout, job, receipts(job)) == [(0, CHANGED), (1, TAKEN_AWAY)]
    assert set(files(layout.done)) == {
        DAY + name
        for name in (b"g/a.pdf", b"g/c.pdf", b"g/a.pdf.receipt.json", b"g/b.pdf.receipt.json", b"g/c.pdf.receipt.json")
    }


def test_deleting_what_is_delivered_spares_what_was_changed_or_is_a_duplicate(layout: Layout) -> None:
    for number, (outcome, change) in enumerate([("delivered", b""), ("delivered", b"!"), ("duplicate", b"")]):
        name = b"%d.pdf" % number
        put(layout, name)
        job = job_with(claimed(layout, name, number), number, outcome=outcome)
        if change:
            with open(layout.work_path(job.id, name), "ab") as file:
                file.write(change)
        notes = file_away(layout, job, receipts(job), delete_delivered=True)
        assert notes == ([(0, KEPT)] if change else [])
    assert {name for name in files(layout.done) if name.endswith(b".pdf")} == {DAY + b"1.pdf", DAY + b"2.pdf"}
    assert DAY + b"0.pdf.receipt.json" in files(layout.done)
    assert is_clean(layout)


def test_a_retried_job_gets_its_original_back_even_a_repaired_one(layout: Layout) -> None:
    put(layout, b"s/x.pdf", b"broken")
    before = claimed(layout, b"s/x.pdf")
    job = job_with(before, stage=Stage.ABANDONED, outcome="failed")
    job = replace(job, originals=(replace(job.originals[0], filed_as=b"s/x.pdf"),))
    file_away(layout, job, receipts(job))
    with open(layout.failed + b"/s/x.pdf", "wb") as file:
        file.write(b"repaired")
    (again,) = reclaim(layout, replace(job, stage=Stage.CLAIMED, outcome=None))
    assert again.sha256 == hashlib.sha256(b"repaired").hexdigest()
    assert again.name == b"s/x.pdf"
    assert files(layout.failed) == {}
    assert reclaim(layout, job) == (again,)
    os.unlink(layout.work_path(job.id, b"s/x.pdf"))
    with pytest.raises(FileNotFoundError):
        reclaim(layout, job)
    assert is_clean(layout)


def test_a_retried_job_takes_its_receipt_back_though_the_one_before_it_is_gone(layout: Layout) -> None:
    put(layout, b"x.pdf")
    with open(layout.failed + b"/x.pdf.receipt.json", "wb") as file:
        file.write(b"not ours")
    job = job_with(claimed(layout, b"x.pdf"), stage=Stage.ABANDONED, outcome="failed")
    job = replace(job, originals=(replace(job.originals[0], filed_as=b"x.pdf"),))
    file_away(layout, job, receipts(job))
    assert len(files(layout.failed)) == 3
    os.unlink(layout.failed + b"/x.pdf.receipt.json")
    reclaim(layout, replace(job, stage=Stage.CLAIMED, outcome=None))
    assert files(layout.failed) == {}


def failed(layout: Layout, number: int, content: bytes) -> Job:
    """A job that has failed and is filed as x.pdf."""
    put(layout, b"x.pdf", content)
    job = job_with(claimed(layout, b"x.pdf", number), number, stage=Stage.ABANDONED, outcome="failed")
    job = replace(job, originals=(replace(job.originals[0], filed_as=b"x.pdf"),))
    assert file_away(layout, job, receipts(job)) == []
    return job


def retried(layout: Layout, job: Job) -> bytes | None:
    """What a retry takes into work/; None where it finds nothing that is the job's."""
    try:
        reclaim(layout, replace(job, stage=Stage.CLAIMED, outcome=None))
    except FileNotFoundError:
        return None
    return files(layout.work)[job.id.encode() + b"/x.pdf"]


def take_away(layout: Layout, *names: bytes) -> None:
    for name in names:
        os.unlink(layout.failed + b"/" + name)


def test_a_retry_takes_no_other_jobs_original(layout: Layout) -> None:
    one = failed(layout, 1, b"the first")
    take_away(layout, b"x.pdf", b"x.pdf.receipt.json")
    two = failed(layout, 2, b"the second")
    assert retried(layout, one) is None, "promise 1: it took the original of another job"
    assert files(layout.failed) == {b"x.pdf": b"the second", b"x.pdf.receipt.json": receipts(two)[0]}
    assert retried(layout, two) == b"the second"


def test_a_retry_takes_no_other_jobs_original_that_lies_beside_both_receipts(layout: Layout) -> None:
    one = failed(layout, 1, b"the first")
    take_away(layout, b"x.pdf")
    two = failed(layout, 2, b"the second")
    assert files(layout.failed)[b"x.pdf.receipt (2).json"] == receipts(two)[0]
    assert retried(layout, one) is None, "promise 1: it took the original of another job"
    assert retried(layout, two) == b"the second"
    assert files(layout.failed) == {b"x.pdf.receipt.json": receipts(one)[0]}


@pytest.mark.parametrize(("content", "is_taken"), [(b"the first", True), (b"of somebody else", False)])
def test_without_a_receipt_a_retry_takes_what_holds_the_same_bytes(
    layout: Layout, content: bytes, is_taken: bool
) -> None:
    job = failed(layout, 1, b"the first")
    take_away(layout, b"x.pdf", b"x.pdf.receipt.json")
    with open(layout.failed + b"/x.pdf", "wb") as file:
        file.write(content)
    assert retried(layout, job) == (content if is_taken else None)
    assert files(layout.failed) == ({} if is_taken else {b"x.pdf": content})


def copies(layout: Layout, content: bytes) -> list[bytes]:
    places = [files(root) for root in (layout.work, layout.done, layout.failed, layout.inbox)]
    return [name for found in places for name, held in found.items() if held == content]


@pytest.mark.parametrize("error", [Died(), OSError(28, "No space left on device"), OSError(5, "Input/output error")])
@pytest.mark.parametrize("disks", [1, 2])
def test_filing_cut_short_anywhere_loses_nothing_and_ends_well(
    tmp_path: Path, quick_path: Path, error: BaseException, disks: int
) -> None:
    if disks == 2 and os.stat(tmp_path).st_dev == os.stat(quick_path).st_dev:
        pytest.skip("there is no second file system to write to")

    def fresh(number: int) -> tuple[Layout, Job]:
        done = tmp_path / f"done{number}" if disks == 2 else None
        layout = layout_in(quick_path / str(number), done=done)
        put(layout, b"s/x.pdf", b"precious")
        return layout, job_with(claimed(layout, b"s/x.pdf"))

    layout, job = fresh(0)
    steps = steps_of(lambda: file_away(layout, job, receipts(job)))
    assert len(steps) > 10
    for number, step in enumerate(steps):
        layout, job = fresh(number + 1)
        with tapped(fails_at(number, error)), pytest.raises((Died, OSError)):
            file_away(layout, job, receipts(job))
            raise Died
        left = copies(layout, b"precious")
        assert 1 <= len(left) <= disks, f"{left} after step {number}, {step}"
        assert file_away(layout, job, receipts(job)) == [], f"after step {number}, {step}"
        assert files(layout.done) == {DAY + b"s/x.pdf": b"precious", DAY + b"s/x.pdf.receipt.json": receipts(job)[0]}
        assert is_clean(layout), f"after step {number}, {step}"


@pytest.mark.parametrize("disks", [1, 2])
def test_reclaiming_cut_short_anywhere_loses_nothing(tmp_path: Path, quick_path: Path, disks: int) -> None:
    if disks == 2 and os.stat(tmp_path).st_dev == os.stat(quick_path).st_dev:
        pytest.skip("there is no second file system to write to")

    def fresh(number: int) -> tuple[Layout, Job]:
        layout = layout_in(quick_path / str(number))
        if disks == 2:
            layout = replace_failed(layout, tmp_path / str(number))
        put(layout, b"s/x.pdf", b"precious")
        job = job_with(claimed(layout, b"s/x.pdf"), stage=Stage.ABANDONED, outcome="failed")
        file_away(layout, job, receipts(job))
        return layout, job

    layout, job = fresh(0)
    steps = steps_of(lambda: reclaim(layout, job))
    for number, step in enumerate(steps):
        layout, job = fresh(number + 1)
        with tapped(fails_at(number, Died())), pytest.raises(Died):
            reclaim(layout, job)
            raise Died
        assert 1 <= len(copies(layout, b"precious")) <= disks, step
        (again,) = reclaim(layout, job)
        assert again.sha256 == hashlib.sha256(b"precious").hexdigest()
        assert files(layout.failed) == {}, step
        job = replace(job, originals=(replace(again, filed_as=b"s/x.pdf"),))
        assert file_away(layout, job, receipts(job)) == []
        assert is_clean(layout), f"after step {number}, {step}"
