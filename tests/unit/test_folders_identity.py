"""Promise 9: one folder, one ledger."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from hopperd.errors import ExitCode, FolderIdentityError
from hopperd.folders.identity import prepare, present, read_marker
from hopperd.folders.layout import ROLES, Layout
from hopperd.folders.probe import disk_state, full_disks, probe
from hopperd.ports import FolderMark, FolderTrouble
from tests.support.hot_folder import Died, fails_at, layout_in, quick_place, steps_of, tapped, tree

MARKER = b"/.hopperd-id"


@pytest.fixture
def quick_path() -> Iterator[Path]:
    with quick_place() as path:
        yield path


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return layout_in(tmp_path / "us", prepared=False)


def start(layout: Layout, marks: dict[str, FolderMark] | None = None, ledger: str = "L1") -> dict[str, FolderMark]:
    return {mark.key: mark for mark in prepare(layout, ledger, marks or {}).marks}


def test_the_first_start_makes_folders_and_markers(layout: Layout) -> None:
    marks = start(layout)
    assert set(marks) == {f"us/{role}" for role in ROLES}
    assert marks["us/work"].starts == 1
    for root in layout.roots.values():
        assert os.listdir(root) == [b".hopperd-id"]
    work = read_marker(layout.work)
    assert work is not None
    assert (work["ledger"], work["starts"], work["role"]) == ("L1", 1, "work")
    assert present(layout, "L1") is None


def test_each_start_is_counted(layout: Layout) -> None:
    marks = start(layout)
    marks = start(layout, marks)
    assert marks["us/work"].starts == 2
    assert json.loads(Path(os.fsdecode(layout.work + MARKER)).read_bytes())["starts"] == 2


def test_a_start_that_the_ledger_did_not_hear_of_is_done_again(layout: Layout) -> None:
    start(layout)
    marks = start(layout)
    start(layout, marks)
    start(layout, marks)
    assert start(layout, marks)["us/work"].starts == 2


def test_a_restored_ledger_is_refused(layout: Layout) -> None:
    backup = start(layout)
    start(layout, start(layout, backup))
    with pytest.raises(FolderIdentityError, match=r"3 starts.*knows of 1.*fsck --rebuild") as refused:
        start(layout, backup)
    assert refused.value.exit_code is ExitCode.LEDGER


@pytest.mark.parametrize("recorded", [True, False])
def test_a_foreign_ledger_is_refused(layout: Layout, recorded: bool) -> None:
    marks = start(layout)
    before = tree(os.path.dirname(layout.work), ours=True)
    with pytest.raises(FolderIdentityError, match="another ledger"):
        start(layout, marks if recorded else None, ledger="L2")
    assert tree(os.path.dirname(layout.work), ours=True) == before
    trouble = present(layout, "L2")
    assert trouble is not None


@pytest.mark.parametrize("recorded", [True, False])
def test_files_in_work_without_a_marker_are_refused(layout: Layout, recorded: bool) -> None:
    marks = start(layout) if recorded else None
    os.makedirs(layout.work + b"/someone", exist_ok=True)
    if recorded:
        os.unlink(layout.work + MARKER)
    with pytest.raises(FolderIdentityError, match="fsck --rebuild"):
        start(layout, marks)


@pytest.mark.parametrize("role", ROLES)
def test_a_recorded_marker_that_is_missing_means_the_folder_is_gone(layout: Layout, role: str) -> None:
    marks = start(layout)
    root = layout.roots[role]  # type: ignore[index]
    os.unlink(root + MARKER)
    before = tree(os.path.dirname(layout.work), ours=True)
    for _ in range(2):
        with pytest.raises(FolderTrouble) as gone:
            start(layout, marks)
        assert gone.value.kind == "gone"
        trouble = present(layout, "L1")
        assert trouble is not None
        assert (trouble.kind, trouble.path) == ("gone", root)
        assert tree(os.path.dirname(layout.work), ours=True) == before, "nothing is made, nothing concluded"
        shutil.rmtree(root, ignore_errors=True)
        before = tree(os.path.dirname(layout.work), ours=True)


def test_a_place_that_moved_in_the_configuration_has_its_own_first_start(layout: Layout, tmp_path: Path) -> None:
    marks = start(layout)
    moved = replace(layout, out=os.fsencode(tmp_path / "elsewhere" / "out"))
    assert start(moved, marks)["us/out"].path == moved.out
    assert present(moved, "L1") is None


def test_folders_that_changed_places_are_refused(layout: Layout) -> None:
    marks = start(layout)
    swapped = replace(layout, out=layout.done, done=layout.out)
    with pytest.raises(FolderIdentityError, match="changed places"):
        start(swapped, marks)


def test_work_inside_the_inbox(tmp_path: Path) -> None:
    layout = layout_in(tmp_path, prepared=False)
    inside = replace(layout, work=layout.inbox + b"/.hopperd")
    start(inside)
    assert present(inside, "L1") is None


def test_a_takeover_is_only_for_a_rebuild(layout: Layout) -> None:
    start(layout)
    os.makedirs(layout.work + b"/someone")
    marks = {mark.key: mark for mark in prepare(layout, "L2", {}, take_over=True).marks}
    assert present(layout, "L2") is None
    assert start(layout, marks, ledger="L2")["us/work"].starts == 2


def test_a_start_cut_short_anywhere_is_simply_done_again(quick_path: Path) -> None:
    steps = steps_of(lambda: start(layout_in(quick_path / "first", prepared=False)))
    for number, step in enumerate(steps):
        layout = layout_in(quick_path / str(number), prepared=False)
        with tapped(fails_at(number, Died())), pytest.raises(Died):
            start(layout)
            raise Died
        marks = start(layout)
        assert present(layout, "L1") is None, step
        with tapped(fails_at(number, Died())), pytest.raises(Died):
            start(layout, marks)
            raise Died
        assert start(layout, marks)["us/work"].starts == 2, step


def test_a_probe_finds_nothing_wrong_and_leaves_nothing_behind(layout: Layout) -> None:
    assert probe(layout).problems == (), "before the first start: all can be made"
    start(layout)
    before = tree(os.path.dirname(layout.work), ours=True)
    assert probe(layout).problems == ()
    assert tree(os.path.dirname(layout.work), ours=True) == before
    room, is_read_only = disk_state(layout.inbox)
    assert room > 0
    assert not is_read_only


def test_a_probe_tells_what_is_wrong(layout: Layout, tmp_path: Path, quick_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    start(layout)
    odd = replace(layout, out=os.fsencode(tmp_path / "file"), done=os.fsencode(tmp_path / "file" / "done"))
    problems = probe(odd).problems
    assert any(problem.startswith("out:") and "no folder" in problem for problem in problems)
    assert any(problem.startswith("done:") and "cannot be made" in problem for problem in problems)
    if os.stat(tmp_path).st_dev != os.stat(quick_path).st_dev:
        (quick_path / "work").mkdir()
        apart = replace(layout, work=os.fsencode(quick_path / "work"))
        (problem,) = probe(apart).problems
        assert "by rename" in problem
        with pytest.raises(FolderTrouble) as crossing:
            start(apart)
        assert crossing.value.kind == "crossing"
        assert list((quick_path / "work").iterdir()) in ([], [quick_path / "work" / ".hopperd-id"])


def test_a_probe_sees_before_the_first_start_that_work_will_lie_on_another_disk(
    layout: Layout, quick_path: Path
) -> None:
    if os.stat(os.path.dirname(os.path.dirname(layout.work))).st_dev == os.stat(quick_path).st_dev:
        pytest.skip("one file system holds both folders")
    apart = replace(layout, work=os.fsencode(quick_path / "work"))
    (problem,) = probe(apart).problems
    assert problem.startswith(f"work: {quick_path}/work cannot be reached from in/ by rename")
    with pytest.raises(FolderTrouble, match="set work to a folder beside in/") as crossing:
        start(apart)
    assert crossing.value.path == apart.work


def test_a_disk_with_less_room_than_asked_for_is_told_once(layout: Layout) -> None:
    assert full_disks(layout, 0) == []
    (told,) = full_disks(layout, 1 << 60)
    assert "nothing is taken in" in told


def test_a_probe_names_the_user_and_the_remedy(layout: Layout) -> None:
    if os.geteuid() == 0:
        pytest.skip("root may write anywhere")
    start(layout)
    os.chmod(layout.out, 0o555)
    (problem,) = probe(layout).problems
    os.chmod(layout.out, 0o755)
    assert "setfacl -m u:" in problem
    assert "mode 0555" in problem
