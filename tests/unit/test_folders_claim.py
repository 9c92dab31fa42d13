"""Promise 1 at the claim: a file is in in/ or in work/, whole, and only the file that had settled is taken."""

from __future__ import annotations

import hashlib
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from hopperd.folders import claim as claiming
from hopperd.folders.candidates import Candidate
from hopperd.folders.claim import NotClaimed, claim, digest, identity, leftovers
from hopperd.folders.layout import Layout
from hopperd.folders.selection import Selection
from hopperd.pipeline.job import Identity
from tests.support.hot_folder import (
    Died,
    candidates,
    claimed,
    fails_at,
    files,
    job_id,
    layout_in,
    put,
    quick_place,
    steps_of,
    tapped,
)

ODD_NAMES = [
    b"invoice.pdf",
    b"a/b/c/invoice.pdf",
    b"Rechnung-\xfc.pdf",
    b"x" * 251 + b".pdf",
    b"line\nbreak.pdf",
    b"-rf.pdf",
    b"\xe2\x80\xaegpj.exe.pdf",
    b"quote'\"$(x)`.pdf",
    b" .pdf",
    b"con.pdf",
    b"sub folder/\xff\xfe/ x.pdf",
]


@pytest.fixture
def quick_path() -> Iterator[Path]:
    with quick_place() as path:
        yield path


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return layout_in(tmp_path)


@pytest.mark.parametrize("name", ODD_NAMES)
def test_a_claim_carries_any_name_unharmed(layout: Layout, name: bytes) -> None:
    put(layout, name, b"hello")
    (original,) = claimed(layout, name)
    assert original.name == name
    assert original.sha256 == hashlib.sha256(b"hello").hexdigest()
    assert original.sha512 == hashlib.sha512(b"hello").hexdigest()
    assert files(layout.work) == {job_id().encode() + b"/" + name: b"hello"}
    assert files(layout.inbox) == {}
    assert identity(layout, job_id(), name) == original.identity
    assert digest(layout, job_id(), name) == original


def test_subfolders_are_left_standing(layout: Layout) -> None:
    put(layout, b"a/b/x.pdf")
    claimed(layout, b"a/b/x.pdf")
    assert os.path.isdir(layout.inbox + b"/a/b")


def test_a_file_that_changed_since_it_settled_is_not_taken(layout: Layout) -> None:
    put(layout, b"x.pdf", b"one")
    seen = candidates(layout)[b"x.pdf"]
    put(layout, b"x.pdf", b"other")
    assert claim(layout, Selection(), job_id(), seen) == claiming.CHANGED
    os.unlink(layout.inbox + b"/x.pdf")
    assert claim(layout, Selection(), job_id(), seen) == claiming.VANISHED
    os.mkdir(layout.inbox + b"/x.pdf")
    assert claim(layout, Selection(), job_id(), seen) == claiming.CHANGED
    assert files(layout.work) == {}
    assert os.listdir(layout.work) == [b".hopperd-id"]


def test_a_file_that_changes_in_the_moment_of_the_claim_is_put_back(layout: Layout) -> None:
    path = put(layout, b"x.pdf", b"one")
    seen = candidates(layout)[b"x.pdf"]

    def grow(what: str) -> None:
        if what == "before rename":
            with open(path, "ab") as file:
                file.write(b"more")

    with tapped(lambda what: grow(what) if os.path.exists(path) else None):
        assert claim(layout, Selection(), job_id(), seen) == claiming.CHANGED
    assert set(files(layout.inbox)) == {b"x.pdf"}
    assert os.listdir(layout.work) == [b".hopperd-id"]


def test_a_file_whose_place_is_taken_when_put_back_is_kept_as_it_is(layout: Layout) -> None:
    path = put(layout, b"x.pdf", b"one")
    seen = candidates(layout)[b"x.pdf"]

    def meddle(what: str) -> None:
        if what == "before rename" and not list(files(layout.work)):
            put(layout, b"x.pdf", b"changed")
        elif what == "after rename" and not os.path.exists(path):
            put(layout, b"x.pdf", b"another one")

    with tapped(meddle):
        taken = claim(layout, Selection(), job_id(), seen)
    assert isinstance(taken, tuple)
    assert taken[0].sha256 == hashlib.sha256(b"changed").hexdigest()  # type: ignore[union-attr]
    assert files(layout.inbox) == {b"x.pdf": b"another one"}


def test_links_and_what_is_no_plain_file_are_never_claimed(layout: Layout, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.mkdir()
    (secret / "x.pdf").write_bytes(b"secret")
    put(layout, b"sub/x.pdf")
    seen = candidates(layout)[b"sub/x.pdf"]
    os.rename(layout.inbox + b"/sub", layout.inbox + b"/old")
    os.symlink(os.fsencode(secret), layout.inbox + b"/sub")
    elsewhere = Candidate(name=seen.name, identity=_identity(secret / "x.pdf"), look=seen.look)
    assert claim(layout, Selection(), job_id(), elsewhere) == claiming.VANISHED
    assert (secret / "x.pdf").exists()


def _identity(path: Path) -> Identity:
    found = path.stat()
    return Identity(device=0, inode=found.st_ino, size_bytes=found.st_size, mtime_ns=found.st_mtime_ns)


def test_a_group_is_claimed_by_one_rename(layout: Layout) -> None:
    for name in (b"g/a.pdf", b"g/deep/b.pdf", b"g/.DS_Store", b"g/c.pdf.part"):
        put(layout, name, name)
    os.mkfifo(layout.inbox + b"/g/fifo")
    os.symlink(b"/etc/passwd", layout.inbox + b"/g/link")
    renames = []
    with tapped(lambda what: renames.append(what) if what == "before rename" else None):
        originals = claimed(layout, b"g", by_folder=True)
    assert [one.name for one in originals] == [b"g/a.pdf", b"g/deep/b.pdf"]
    work = files(layout.work)
    assert set(work) == {job_id().encode() + b"/" + one.name for one in originals}
    back = set(os.listdir(layout.inbox + b"/g"))
    assert back == {b".DS_Store", b"c.pdf.part", b"fifo", b"link"}, "what is nobody's invoice stays in in/"
    assert len(renames) == 1 + len(back)
    assert leftovers(layout, Selection(), by_folder=True)[0][0].group == b"g"


def test_a_group_that_changed_is_put_back_whole(layout: Layout) -> None:
    put(layout, b"g/a.pdf")
    put(layout, b"g/b.pdf")
    seen = candidates(layout, by_folder=True)[b"g"]
    put(layout, b"g/c.pdf")
    assert claim(layout, Selection(), job_id(), seen) == claiming.CHANGED
    assert set(files(layout.inbox)) == {b"g/a.pdf", b"g/b.pdf", b"g/c.pdf"}
    assert os.listdir(layout.work) == [b".hopperd-id"]


def test_a_single_file_in_the_root_is_a_group_of_one(layout: Layout) -> None:
    put(layout, b"x.pdf")
    (original,) = claimed(layout, b"x.pdf", by_folder=True)
    assert original.name == b"x.pdf"
    (leftover,), strays = leftovers(layout, Selection(), by_folder=True)
    assert (leftover.group, strays) == (None, [])


def test_leftovers_are_told_from_strays(layout: Layout) -> None:
    put(layout, b"sub/x.pdf")
    claimed(layout, b"sub/x.pdf", 1)
    put(layout, b"y.pdf")
    claimed(layout, b"y.pdf", 2)
    os.makedirs(layout.work + b"/" + job_id(3).encode() + b"/empty/deeper")
    os.mkdir(layout.work + b"/lost+found")
    with open(layout.work + b"/stray.pdf", "wb"):
        pass
    listener = socket.socket(socket.AF_UNIX)
    here = os.open(layout.work + b"/" + job_id(2).encode(), os.O_RDONLY)
    listener.bind(f"/proc/self/fd/{here}/socket")
    os.close(here)
    listener.close()
    found, strays = leftovers(layout, Selection(), by_folder=False)
    assert [(one.job_id, one.names, one.group) for one in found] == [
        (job_id(1), (b"sub/x.pdf",), None),
        (job_id(2), (b"y.pdf",), None),
    ]
    assert sorted(strays) == sorted([job_id(2).encode() + b"/socket", b"lost+found", b"stray.pdf"])
    assert not os.path.exists(layout.work + b"/" + job_id(3).encode())


@pytest.mark.parametrize("by_folder", [False, True])
def test_a_claim_cut_short_anywhere_loses_nothing(quick_path: Path, by_folder: bool) -> None:
    name, members = (b"g", [b"g/a.pdf", b"g/b.pdf"]) if by_folder else (b"s/a.pdf", [b"s/a.pdf"])

    def fresh(number: int) -> Layout:
        layout = layout_in(quick_path / str(number))
        for member in members:
            put(layout, member, member)
        return layout

    first = fresh(0)
    steps = steps_of(lambda: claimed(first, name, by_folder=by_folder))
    assert len(steps) > 8
    for number in range(len(steps)):
        for error in (Died(), OSError(28, "No space left on device")):
            layout = fresh(number * 2 + 1 + isinstance(error, Died) * 1_000)
            seen = candidates(layout, by_folder=by_folder)[name]
            with tapped(fails_at(number, error)), pytest.raises((Died, OSError)):
                result = claim(layout, Selection(), job_id(), seen)
                assert not isinstance(result, NotClaimed)
                raise Died
            there = files(layout.inbox)
            job = job_id().encode() + b"/"
            there |= {path.removeprefix(job): content for path, content in files(layout.work).items()}
            assert there == {member: member for member in members}, f"lost at step {number}, {steps[number]}"
            adopted, strays = leftovers(layout, Selection(), by_folder=by_folder)
            assert strays == []
            for one in adopted:
                assert {digest(layout, one.job_id, each).name for each in one.names} == set(members)


def test_what_the_patterns_do_not_take_is_no_original_when_a_group_is_found_in_work(layout: Layout) -> None:
    for name in (b"g/a.pdf", b"g/notes.txt", b"g/deep/b.pdf", b"g/Thumbs.db"):
        put(layout, name)
    os.mkdir(layout.work + b"/" + job_id().encode())
    os.rename(layout.inbox + b"/g", layout.work + b"/" + job_id().encode() + b"/g")
    (leftover,), strays = leftovers(layout, Selection(depth=1, exclude=("*.txt",)), by_folder=True)
    assert leftover.names == (b"g/a.pdf",)
    assert leftover.others == (b"g/Thumbs.db", b"g/deep/b.pdf", b"g/notes.txt")
    assert strays == []
