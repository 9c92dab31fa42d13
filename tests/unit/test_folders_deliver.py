"""Promise 2: each export whole, under a name that overwrites nothing, exactly once, however often we die."""

from __future__ import annotations

import os
import stat
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from hopperd.folders import deliver as delivering
from hopperd.folders import places, renaming
from hopperd.folders.deliver import (
    close_staging,
    deliver,
    mark_exports,
    open_staging,
    read_export,
    seal_staging,
    staging_jobs,
)
from hopperd.folders.layout import Layout
from hopperd.pipeline.job import Export, Job
from hopperd.pipeline.naming import next_free
from hopperd.ports import FolderTrouble, NameTaken
from tests.support.hot_folder import Died, fails_at, files, layout_in, quick_place, staged_job, steps_of, tapped

EXPORTS = {b"sub/invoice.xlsx": b"first", b"sub/invoice-2.xlsx": b"second", b"other.xlsx": b""}


@pytest.fixture
def quick_path() -> Iterator[Path]:
    with quick_place() as path:
        yield path


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return layout_in(tmp_path)


def stage(layout: Layout, exports: dict[bytes, bytes], number: int = 1) -> Job:
    job, staged = staged_job(layout, exports, number)
    open_staging(layout, job)
    for one, content in zip(staged, exports.values(), strict=True):
        with open(layout.staging_path(job.id, one.staged_as), "wb") as file:
            file.write(content)
    seal_staging(layout, job, staged)
    return job


def put_out(layout: Layout, name: bytes, content: bytes = b"somebody else's") -> None:
    os.makedirs(os.path.dirname(layout.out + b"/" + name), exist_ok=True)
    with open(layout.out + b"/" + name, "wb") as file:
        file.write(content)


def test_exports_come_whole_under_their_names(layout: Layout) -> None:
    job = stage(layout, EXPORTS)
    staging = os.path.dirname(layout.staging_path(job.id, "x"))
    assert stat.S_IMODE(os.stat(staging).st_mode) == 0o700
    assert files(layout.out) == {}
    assert deliver(layout, job) == "delivered"
    assert files(layout.out) == EXPORTS
    assert stat.S_IMODE(os.stat(layout.out + b"/other.xlsx").st_mode) & 0o400
    assert staging_jobs(layout) == [job.id]
    close_staging(layout, job.id)
    close_staging(layout, job.id)
    assert staging_jobs(layout) == []
    assert os.listdir(layout.out + b"/.hopperd") == []


def test_an_export_taken_away_at_once_is_not_delivered_again(layout: Layout) -> None:
    job = stage(layout, EXPORTS)
    assert deliver(layout, job) == "delivered"
    for name in EXPORTS:
        os.unlink(layout.out + b"/" + name)
    assert deliver(layout, job) == "delivered"
    assert files(layout.out) == {}


def test_a_cleaned_staging_is_lost(layout: Layout) -> None:
    job = stage(layout, EXPORTS)
    close_staging(layout, job.id)
    assert deliver(layout, job) == "lost"
    job = stage(layout, EXPORTS)
    os.unlink(layout.staging_path(job.id, "manifest.json"))
    assert deliver(layout, job) == "lost"


def test_staging_of_an_earlier_try_is_cleared(layout: Layout) -> None:
    job = stage(layout, EXPORTS)
    open_staging(layout, job)
    assert os.listdir(os.path.dirname(layout.staging_path(job.id, "x"))) == []


def test_a_name_that_is_taken_is_never_overwritten(layout: Layout) -> None:
    taken = [b"sub/invoice-2.xlsx", *(b"sub/invoice-2 (%d).xlsx" % number for number in range(2, 1_500))]
    for name in taken:
        put_out(layout, name)
    job = stage(layout, EXPORTS)
    rounds = 0
    while isinstance(outcome := deliver(layout, job), NameTaken):
        rounds += 1
        assert outcome.position == 1
        export = job.exports[1]
        free = next_free(export.name, outcome.taken | {export.name}, on_taken="number", date="")
        job = replace(job, exports=(job.exports[0], replace(export, name=free), job.exports[2]))
    assert outcome == "delivered"
    assert rounds == 2, "a thousand same-named files must not cost a thousand records"
    found = files(layout.out)
    assert found[b"sub/invoice-2 (1500).xlsx"] == b"second"
    assert all(found[name] == b"somebody else's" for name in taken)


def test_all_or_none_leaves_everything_in_staging_where_a_name_is_taken(layout: Layout) -> None:
    put_out(layout, b"sub/invoice-2.xlsx")
    job = stage(layout, EXPORTS)
    outcome = deliver(layout, job, all_or_none=True)
    assert isinstance(outcome, NameTaken)
    assert (outcome.position, outcome.delivered) == (1, ())
    assert set(files(layout.out)) == {b"sub/invoice-2.xlsx"}
    assert isinstance(outcome := deliver(layout, job), NameTaken), "without it the first is delivered"
    assert outcome.delivered == (0,)


@pytest.mark.parametrize("blocker", ["file", "link"])
def test_what_stands_in_the_place_of_a_subfolder_is_walked_round(layout: Layout, tmp_path: Path, blocker: str) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    if blocker == "file":
        put_out(layout, b"sub")
    else:
        os.symlink(os.fsencode(elsewhere), layout.out + b"/sub")
    job = stage(layout, {b"sub/x.csv": b"x"})
    outcome = deliver(layout, job)
    assert outcome == NameTaken(position=0, taken=frozenset({b"sub"}))
    free = next_free(b"sub/x.csv", outcome.taken | {b"sub/x.csv"}, on_taken="number", date="")
    job = replace(job, exports=(replace(job.exports[0], name=free),))
    assert deliver(layout, job) == "delivered"
    assert files(layout.out)[b"sub (2)/x.csv"] == b"x"
    assert list(elsewhere.iterdir()) == []


@pytest.mark.parametrize("name", [b"../escape.csv", b"a/../../escape.csv"])
def test_no_name_leads_out_of_out(layout: Layout, name: bytes) -> None:
    job = stage(layout, {b"x.csv": b"x"})
    job = replace(job, exports=(replace(job.exports[0], name=name),))
    assert isinstance(deliver(layout, job), NameTaken)
    assert not os.path.exists(os.path.dirname(layout.out) + b"/escape.csv")


def test_odd_names_are_delivered(layout: Layout) -> None:
    names = [b"R-\xfc.xlsx", b"x" * 250 + b".xlsx", b"a\nb.xlsx", b"-x", b"\xff/\xfe/.. .csv"]
    job = stage(layout, {name: name for name in names})
    assert deliver(layout, job) == "delivered"
    assert files(layout.out) == {name: name for name in names}


def test_a_staged_file_that_is_not_whole_is_never_sealed(layout: Layout) -> None:
    job, staged = staged_job(layout, {b"x.csv": b"whole"})
    open_staging(layout, job)
    with open(layout.staging_path(job.id, "0000"), "wb") as file:
        file.write(b"who")
    with pytest.raises(OSError, match="holds 3 bytes"):
        seal_staging(layout, job, staged)
    assert deliver(layout, job) == "lost"


def test_sealed_before_the_machine_last_started_may_be_delivered_twice(
    layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = stage(layout, EXPORTS)
    monkeypatch.setattr(delivering, "boot_id", lambda: "another boot")
    assert deliver(layout, job) == "perhaps-twice"
    assert deliver(layout, job) == "delivered", "nothing was left in staging, so nothing was done again"


def test_a_file_system_that_cannot_rename_without_replacing(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(renaming, "_renameat2", lambda: None)
    put_out(layout, b"other.xlsx")
    job = stage(layout, EXPORTS)
    outcome = deliver(layout, job)
    assert isinstance(outcome, NameTaken)
    assert outcome.position == 2
    job = replace(job, exports=(*job.exports[:2], replace(job.exports[2], name=b"other (2).xlsx")))
    assert deliver(layout, job) == "delivered"
    assert files(layout.out) == {**EXPORTS, b"other.xlsx": b"somebody else's", b"other (2).xlsx": b""}


def test_a_share_that_hangs_in_a_rename_keeps_no_other_from_renaming(
    tmp_path: Path, quick_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if os.stat(tmp_path).st_dev == os.stat(quick_path).st_dev:
        pytest.skip("there is no second file system to write to")
    monkeypatch.setattr(renaming, "_renameat2", lambda: None)
    hangs, goes_on = threading.Event(), threading.Event()

    def rename(path: Path) -> None:
        (path / "old").touch()
        with places.root_folder(os.fsencode(path)) as fd:
            renaming.rename_new(fd, b"old", fd, b"new")

    def tap(what: str) -> None:
        if threading.current_thread() is not hung:
            return
        tries.append(what)
        if tries.count("before rename") == 2:  # the first was to rename in one step
            hangs.set()
            goes_on.wait()

    tries: list[str] = []
    hung, other = (threading.Thread(target=rename, args=(path,)) for path in (tmp_path, quick_path))
    with tapped(tap):
        hung.start()
        assert hangs.wait(30)
        other.start()
        try:
            other.join(30)
            assert (quick_path / "new").exists(), "it waits for a share that has nothing to do with it"
        finally:
            goes_on.set()
            hung.join()
            other.join()
    assert (tmp_path / "new").exists()


def test_staging_that_is_no_folder_is_said(layout: Layout) -> None:
    put_out(layout, b".hopperd")
    with pytest.raises(FolderTrouble, match="no folder"):
        open_staging(layout, staged_job(layout, EXPORTS)[0])


def deliver_with_renames(layout: Layout, job: Job, picked: list[bytes]) -> str:
    """What the workers do: deliver, number what is taken, and somebody picks up each export at once."""
    while True:
        outcome = deliver(layout, job)
        for name, content in files(layout.out).items():
            if content != b"somebody else's":
                picked.append(content)
                os.unlink(layout.out + b"/" + name)
        if not isinstance(outcome, NameTaken):
            return outcome
        export: Export = job.exports[outcome.position]
        free = next_free(export.name, outcome.taken | {export.name}, on_taken="number", date="")
        listed = list(job.exports)
        listed[outcome.position] = replace(export, name=free)
        job = replace(job, exports=tuple(listed))


@pytest.mark.parametrize("error", [Died(), OSError(28, "No space left on device"), OSError(5, "Input/output error")])
@pytest.mark.parametrize("is_atomic", [True, False])
def test_delivered_once_whole_however_it_is_cut_short(
    quick_path: Path, error: BaseException, is_atomic: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not is_atomic:
        monkeypatch.setattr(renaming, "_renameat2", lambda: None)
    contents = sorted(EXPORTS.values())

    def fresh(number: int) -> tuple[Layout, Job]:
        layout = layout_in(quick_path / str(number))
        put_out(layout, b"sub/invoice-2.xlsx")
        return layout, stage(layout, EXPORTS)

    layout, job = fresh(0)
    steps = steps_of(lambda: deliver_with_renames(layout, job, []))
    for number, step in enumerate(steps):
        layout, job = fresh(number + 1)
        picked: list[bytes] = []
        with tapped(fails_at(number, error)), pytest.raises((Died, OSError)):
            deliver_with_renames(layout, job, picked)
            raise Died
        assert deliver_with_renames(layout, job, picked) == "delivered"
        assert sorted(picked) == contents, f"cut short at step {number}, {step}"
        assert files(layout.out) == {b"sub/invoice-2.xlsx": b"somebody else's"}
        close_staging(layout, job.id)


def test_closing_staging_cut_short_anywhere_leaves_the_manifest_to_the_last(quick_path: Path) -> None:
    layout = layout_in(quick_path)
    steps = steps_of(lambda: close_staging(layout, stage(layout, EXPORTS).id))
    for number in range(len(steps)):
        job = stage(layout, EXPORTS)
        with open(layout.staging_path(job.id, "stray"), "wb"):
            pass
        with tapped(fails_at(number, Died())), pytest.raises(Died):
            close_staging(layout, job.id)
            raise Died
        left = os.path.dirname(layout.staging_path(job.id, "x"))
        if os.path.exists(left) and os.listdir(left):
            assert b"manifest.json" in os.listdir(left)
        close_staging(layout, job.id)
        assert not os.path.exists(left)


# ---------------------------------------------------------------------------------------------------- marker files


def test_a_marker_stands_beside_each_export_and_none_comes_for_one_that_was_taken(layout: Layout) -> None:
    job = stage(layout, {b"sub/a.xlsx": b"1", b"b.xlsx": b"2"})
    assert deliver(layout, job) == "delivered"
    mark_exports(layout, job)
    out = Path(os.fsdecode(layout.out))
    assert (out / "sub/a.xlsx.done").read_bytes() == b""
    assert (out / "b.xlsx.done").exists()
    for name in ("b.xlsx", "b.xlsx.done"):
        (out / name).unlink()
    mark_exports(layout, job)  # after a crash, once more
    assert not (out / "b.xlsx.done").exists(), "whoever took the export is told nothing again"
    assert (out / "sub/a.xlsx.done").exists()


def test_an_export_is_read_back_from_its_place_and_nothing_else_is(layout: Layout, tmp_path: Path) -> None:
    job = stage(layout, {b"sub/a.xlsx": b"one"})
    deliver(layout, job)
    export, place = job.exports[0], Path(os.fsdecode(layout.out)) / "sub/a.xlsx"
    assert read_export(layout, export) == b"one"
    place.write_bytes(b"x" * 1000)
    assert read_export(layout, export) == b"xxxx", "one byte more tells that it is another file"
    secret = tmp_path / "secret"
    secret.write_bytes(b"one")
    place.unlink()
    place.symlink_to(secret)
    assert read_export(layout, export) == b""
    place.unlink()
    os.mkfifo(place)
    assert read_export(layout, export) == b""
    place.unlink()
    assert read_export(layout, export) == b""
    place.parent.rmdir()
    place.parent.symlink_to(tmp_path)
    (tmp_path / "a.xlsx").write_bytes(b"one")
    assert read_export(layout, export) == b"", "nor through a link on the way"


def test_a_marker_replaces_nothing_and_its_name_is_never_too_long(layout: Layout) -> None:
    long = b"x" * 250 + b".xls"
    job = stage(layout, {b"a.xlsx": b"1", long: b"2"})
    put_out(layout, b"a.xlsx.done")
    assert deliver(layout, job) == "delivered"
    mark_exports(layout, job)
    out = os.fsdecode(layout.out)
    assert (Path(out) / "a.xlsx.done").read_bytes() == b"somebody else's"
    assert (Path(out) / ("x" * 250 + ".done")).exists()
