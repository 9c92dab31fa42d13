"""The sweep sees everything, takes only what is somebody's invoice, and says why it leaves the rest."""

from __future__ import annotations

import os
import socket
import tracemalloc
from pathlib import Path

import pytest

from hopperd.folders.candidates import GROUP_FILES
from hopperd.folders.layout import Layout
from hopperd.folders.mounts import mount_of, mounts, mounts_below
from hopperd.folders.selection import Selection, left_alone_by_name
from hopperd.folders.sweep import sweep
from hopperd.ports import Swept
from tests.support.hot_folder import candidates, layout_in, put


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return layout_in(tmp_path)


def names(swept: Swept) -> list[bytes]:
    return [one.name for one in swept.candidates]


def reasons(swept: Swept) -> dict[bytes, str]:
    return {left.name: left.reason for left in swept.left_alone}


@pytest.mark.parametrize(
    "name",
    [
        *(b"scan.pdf.part", b"Unconfirmed 1.crdownload", b"x.TMP", b"x.partial", b"x.pdf.filepart", b"x.download"),
        *(
            b"x.opdownload",
            b"~$letter.pdf",
            b"~x.tmp",
            b".#x.pdf",
            b".x.pdf.swp",
            b"x.pdf~",
            b"#x.pdf#",
            b".hidden.pdf",
        ),
        *(b"x.pdf.abc123.partial", b"~syncthing~x.pdf.tmp", b".syncthing.x.pdf.tmp", b".x.pdf.Ab3dEf", b"._x.pdf"),
        *(b"Thumbs.db", b"desktop.ini", b".DS_Store", b"x.pdf.sb-1a2b3c4d-AbCdEf"),
    ],
)
def test_temporary_names_are_left_alone(layout: Layout, name: bytes) -> None:
    put(layout, name)
    put(layout, b"good.pdf")
    assert names(sweep(layout, Selection(), at=0)) == [b"good.pdf"]


@pytest.mark.parametrize(
    "name", [b"partial.pdf", b"tmp", b"a.part.pdf", b"x#.pdf", b"$x.pdf", b"~x.pdf", b"-", b"\xff"]
)
def test_names_that_only_look_odd_are_taken(name: bytes) -> None:
    assert left_alone_by_name(name) is None


def test_system_folders_are_not_entered(layout: Layout) -> None:
    for folder in (b"@eaDir", b"#recycle", b".Trash-1000", b".hopperd/job", b"$RECYCLE.BIN", b"up.part", b"LOST+FOUND"):
        put(layout, folder + b"/x.pdf")
    swept = sweep(layout, Selection(), at=0)
    assert names(swept) == []
    assert reasons(swept) == {b"up.part": "temporary-name"}


def test_what_may_be_somebodys_invoice_under_a_hidden_name_is_listed(layout: Layout) -> None:
    for name in (b".hidden.PDF", b"~$lock.pdf", b"sub/.scan.tif"):
        put(layout, name)
    for name in (b"._x.pdf", b".DS_Store", b"Thumbs.db", b"~$letter.docx", b".x.pdf.Ab3dEf", b".hid/x.pdf"):
        put(layout, name)
    swept = sweep(layout, Selection(), at=0)
    assert names(swept) == []
    assert reasons(swept) == dict.fromkeys([b".hidden.PDF", b"~$lock.pdf", b"sub/.scan.tif"], "hidden-name")
    assert all("is taken" in left.what for left in swept.left_alone)


def test_what_is_no_plain_file_is_listed_with_its_reason(layout: Layout, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "x.pdf").write_bytes(b"x")
    os.mkfifo(layout.inbox + b"/fifo.pdf")
    os.symlink(b"/etc/passwd", layout.inbox + b"/link.pdf")
    os.symlink(os.fsencode(tmp_path / "elsewhere"), layout.inbox + b"/folder")
    os.symlink(b".", layout.inbox + b"/loop")
    here = os.open(layout.inbox, os.O_RDONLY)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(f"/proc/self/fd/{here}/socket.pdf")
    os.close(here)
    swept = sweep(layout, Selection(), at=0)
    assert names(swept) == []
    assert reasons(swept) == {
        b"fifo.pdf": "fifo",
        b"link.pdf": "link",
        b"folder": "link",
        b"loop": "link",
        b"socket.pdf": "socket",
    }
    assert swept.left_alone_total == 5
    assert all(left.what for left in swept.left_alone)


def test_depth(layout: Layout) -> None:
    for name in (b"0.pdf", b"a/1.pdf", b"a/b/2.pdf"):
        put(layout, name)
    assert set(candidates(layout)) == {b"0.pdf", b"a/1.pdf", b"a/b/2.pdf"}
    swept = sweep(layout, Selection(depth=1), at=0)
    assert sorted(names(swept)) == [b"0.pdf", b"a/1.pdf"]
    assert reasons(swept) == {b"a/b": "too-deep"}
    assert names(sweep(layout, Selection(depth=0), at=0)) == [b"0.pdf"]


@pytest.mark.parametrize(
    ("include", "exclude", "taken"),
    [
        (("*.pdf",), (), {b"a.PDF", b"s/b.pdf", b"s/t/c.pdf", "Grüße.pdf".encode()}),
        ((), ("s/*",), {b"a.PDF", b"s/t/c.pdf", b"d.tif", "Grüße.pdf".encode()}),
        ((), ("s/**",), {b"a.PDF", b"d.tif", "Grüße.pdf".encode()}),
        (("**/c.pdf",), (), {b"s/t/c.pdf"}),
        (("s/**/*.pdf",), ("c*",), {b"s/b.pdf"}),
        (("[a-b].pdf",), (), {b"a.PDF", b"s/b.pdf"}),
        (("gr\u0075\u0308ße.*",), (), {"Grüße.pdf".encode()}),
        (("[z-a].pdf", "[", "d.t?f"), (), {b"d.tif"}),
        (("*.pdf",), ("*",), set()),
    ],
)
def test_patterns(layout: Layout, include: tuple[str, ...], exclude: tuple[str, ...], taken: set[bytes]) -> None:
    for name in (b"a.PDF", b"s/b.pdf", b"s/t/c.pdf", b"d.tif", "Grüße.pdf".encode()):
        put(layout, name)
    swept = sweep(layout, Selection(8, include, exclude), at=0)
    assert set(names(swept)) == taken
    assert set(reasons(swept).values()) <= {"excluded"}


def test_order_and_limit(layout: Layout) -> None:
    for number, name in enumerate((b"c.pdf", b"a.pdf", b"d.pdf", b"b.pdf")):
        os.utime(put(layout, name), (number, number))
    assert names(sweep(layout, Selection(), at=0)) == [b"c.pdf", b"a.pdf", b"d.pdf", b"b.pdf"]
    assert names(sweep(layout, Selection(), at=0, order="newest", limit=3)) == [b"b.pdf", b"d.pdf", b"a.pdf"]
    assert names(sweep(layout, Selection(), at=0, order="name", limit=2)) == [b"a.pdf", b"b.pdf"]


@pytest.mark.parametrize("order", ["oldest", "name", "newest"])
def test_the_first_of_many_are_found_in_bounded_memory(layout: Layout, order: str) -> None:
    count = 3_000
    for number in range(count):
        path = layout.inbox + b"/%05d.pdf" % (number * 7919 % count)
        os.close(os.open(path, os.O_CREAT | os.O_WRONLY))
        os.utime(path, (number, number))
    tracemalloc.start()
    swept = sweep(layout, Selection(), at=0, order=order, limit=20)  # type: ignore[arg-type]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert swept.waiting == count
    if order == "name":
        assert names(swept) == [b"%05d.pdf" % number for number in range(20)]
    else:
        first = range(20) if order == "oldest" else range(count - 1, count - 21, -1)
        assert names(swept) == [b"%05d.pdf" % (number * 7919 % count) for number in first]
    assert peak < 300_000


def test_what_is_known_to_be_unwanted_does_not_count_until_it_changes(layout: Layout) -> None:
    put(layout, b"x.txt")
    put(layout, b"y.pdf")
    known = {b"x.txt": candidates(layout)[b"x.txt"].identity}
    assert names(sweep(layout, Selection(), at=0, skip=known)) == [b"y.pdf"]
    put(layout, b"x.txt", b"now something else")
    assert set(names(sweep(layout, Selection(), at=0, skip=known))) == {b"x.txt", b"y.pdf"}


def test_left_alone_is_counted_in_full_and_listed_in_part(layout: Layout) -> None:
    for number in range(300):
        os.symlink(b"x", layout.inbox + b"/%d" % number)
    swept = sweep(layout, Selection(), at=0)
    assert (len(swept.left_alone), swept.left_alone_total) == (200, 300)


def test_groups_are_first_level_subfolders_and_single_files_of_the_root(layout: Layout) -> None:
    for name in (b"g/a.pdf", b"g/deep/b.pdf", b"h/.hidden", b"single.pdf"):
        put(layout, name)
    os.mkdir(layout.inbox + b"/empty")
    found = candidates(layout, by_folder=True)
    assert set(found) == {b"g", b"single.pdf"}
    assert (found[b"g"].is_group, found[b"g"].members) == (True, 2)
    assert not found[b"single.pdf"].is_group


def test_any_change_below_a_group_changes_its_mark(layout: Layout) -> None:
    put(layout, b"g/a.pdf")
    marks = {candidates(layout, by_folder=True)[b"g"].look.mark}
    put(layout, b"g/deep/b.pdf")
    marks.add(candidates(layout, by_folder=True)[b"g"].look.mark)
    put(layout, b"g/c.pdf.part", b"half")
    marks.add(candidates(layout, by_folder=True)[b"g"].look.mark)
    put(layout, b"g/c.pdf.part", b"half and more")
    marks.add(candidates(layout, by_folder=True)[b"g"].look.mark)
    os.rename(layout.inbox + b"/g/a.pdf", layout.inbox + b"/g/z.pdf")
    marks.add(candidates(layout, by_folder=True)[b"g"].look.mark)
    assert len(marks) == 5
    assert candidates(layout, by_folder=True)[b"g"].look.mark in marks


def test_too_large_a_group_is_said(layout: Layout) -> None:
    for number in range(GROUP_FILES + 1):
        put(layout, b"g/%d.pdf" % number)
    swept = sweep(layout, Selection(), at=0, by_folder=True)
    assert reasons(swept) == {b"g": "group-too-large"}
    os.unlink(layout.inbox + b"/g/0.pdf")
    assert names(sweep(layout, Selection(), at=0, by_folder=True)) == [b"g"]


def test_an_unreadable_subfolder_stops_nothing(layout: Layout) -> None:
    put(layout, b"closed/x.pdf")
    put(layout, b"open/y.pdf")
    os.chmod(layout.inbox + b"/closed", 0)
    try:
        swept = sweep(layout, Selection(), at=0)
    finally:
        os.chmod(layout.inbox + b"/closed", 0o755)
    if os.geteuid() == 0:
        pytest.skip("root may enter any folder")
    assert names(swept) == [b"open/y.pdf"]
    assert reasons(swept) == {b"closed": "unreadable"}


def test_a_path_that_is_too_long_is_said(layout: Layout) -> None:
    here = os.open(layout.inbox, os.O_RDONLY)
    for _ in range(20):
        os.mkdir(b"d" * 200, dir_fd=here)
        inner = os.open(b"d" * 200, os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = inner
    os.close(os.open(b"x.pdf", os.O_CREAT | os.O_WRONLY, dir_fd=here))
    os.close(here)
    swept = sweep(layout, Selection(depth=100), at=0)
    assert list(reasons(swept).values()) == ["path-too-long"]
    assert names(swept) == []


def test_a_missing_inbox_is_an_error_and_not_an_empty_one(layout: Layout) -> None:
    os.rename(layout.inbox, layout.inbox + b".gone")
    with pytest.raises(FileNotFoundError):
        sweep(layout, Selection(), at=0)


def test_mounts_are_told() -> None:
    table = mounts()
    assert mount_of(b"/", table) is not None
    assert b"proc" in mounts_below(b"/", table)
    proc = mount_of(b"/proc/self", table)
    assert proc is not None
    assert (proc.kind, proc.is_local) == ("proc", False)


def test_a_quick_sweep_passes_over_what_is_known_by_its_inode(layout: Layout) -> None:
    put(layout, b"sub/known.txt", b"1")
    put(layout, b"other.txt", b"2")
    known = {one.name: one.identity for one in sweep(layout, Selection(), at=0).candidates if b"known" in one.name}
    path = os.path.join(layout.inbox, b"sub/known.txt")
    with open(path, "ab") as file:
        file.write(b"more")
    assert names(sweep(layout, Selection(), at=0, skip=known, quick=True)) == [b"other.txt"]
    assert set(names(sweep(layout, Selection(), at=0, skip=known))) == {b"sub/known.txt", b"other.txt"}
    with open(path + b".new", "wb") as file:
        file.write(b"replaced")
    os.rename(path + b".new", path)
    assert set(names(sweep(layout, Selection(), at=0, skip=known, quick=True))) == {b"sub/known.txt", b"other.txt"}
