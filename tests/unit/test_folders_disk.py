"""The ports `Folders` and `Inbox` on a real disk: trouble is the folder's, a missing share proves nothing."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hopperd.folders import places, renaming, writers
from hopperd.folders.disk import HotFolder
from hopperd.folders.inbox import HotInbox
from hopperd.folders.layout import Layout
from hopperd.folders.places import identity_of
from hopperd.folders.sweep import sweep
from hopperd.pipeline.job import Original
from hopperd.pipeline.settle import Writing
from hopperd.ports import Folders, FolderTrouble, Inbox
from hopperd.settings import Folder
from tests.support import jobs
from tests.support.hot_folder import LEDGER, fails_at, files, job_id, job_with, layout_in, put, tapped
from tests.support.stores import original


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return layout_in(tmp_path)


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(2) as pool:
        yield pool


def settings(layout: Layout, **changes: Any) -> Folder:
    path = Path(os.fsdecode(os.path.dirname(layout.work)))
    return Folder(name="us", path=path, account="main", region="US", **changes)


def inbox_of(layout: Layout, pool: ThreadPoolExecutor, **changes: Any) -> HotInbox:
    def sniff(head: bytes) -> str | None:
        return "pdf" if head.startswith(b"%PDF-") else None

    def unfinished(kind: str | None, head: bytes, tail: bytes, size: int) -> bool:
        return kind == "pdf" and b"%%EOF" not in tail

    return HotInbox(layout, settings(layout, **changes), pool, LEDGER, sniff=sniff, looks_unfinished=unfinished)


def run(call: Awaitable[Any]) -> Any:
    async def main() -> Any:
        return await call

    return asyncio.run(main())


def test_they_are_the_ports(layout: Layout, pool: ThreadPoolExecutor) -> None:
    folders: Folders = HotFolder(layout, pool)
    inbox: Inbox = inbox_of(layout, pool)
    at_hand = run(folders.at_hand(job_id(), original(b"a/x.pdf")))
    assert at_hand == layout.work + b"/" + job_id().encode() + b"/a/x.pdf"
    assert folders.staging_path(job_id(), "0001").startswith(layout.out + b"/.hopperd/")
    run(inbox.present())


def test_the_walk_of_one_file(layout: Layout, pool: ThreadPoolExecutor) -> None:
    put(layout, b"s/x.pdf", b"%PDF- %%EOF")
    inbox, disk = inbox_of(layout, pool), HotFolder(layout, pool)

    async def walk() -> None:
        (seen,) = (await inbox.sweep(1.0, 100, {})).candidates
        answer, unwanted = await inbox.ask(seen)
        assert (answer.writing, answer.looks_unfinished, unwanted) == (Writing.FREE, False, None)
        originals = await inbox.claim(job_id(), seen)
        assert originals is not None
        assert await inbox.claim(job_id(2), seen) is None
        (leftover,) = await inbox.leftovers()
        assert leftover.names == (b"s/x.pdf",)
        assert await disk.identity(job_id(), b"s/x.pdf") == originals[0].identity
        assert await disk.digest(job_id(), b"s/x.pdf") == originals[0]
        job = job_with(originals)
        assert await disk.file_away(job, {0: b"{}"}) == []
        with pytest.raises(FileNotFoundError):
            await disk.digest(job_id(), b"s/x.pdf")
        assert await disk.identity(job_id(), b"s/x.pdf") is None

    asyncio.run(walk())
    assert set(files(layout.done)) == {b"2026/11/23/s/x.pdf", b"2026/11/23/s/x.pdf.receipt.json"}


def asked(inbox: HotInbox) -> dict[bytes, Any]:
    async def main() -> dict[bytes, Any]:
        return {one.name: await inbox.ask(one) for one in (await inbox.sweep(0.0, 100, {})).candidates}

    return asyncio.run(main())


def test_open_writers_and_unfinished_tails_are_seen(layout: Layout, pool: ThreadPoolExecutor) -> None:
    put(layout, b"free.pdf", b"%PDF- %%EOF")
    put(layout, b"half.pdf", b"%PDF- half")
    put(layout, b"empty.pdf", b"")
    writer = os.open(put(layout, b"busy.pdf", b"%PDF- %%EOF"), os.O_WRONLY)
    try:
        answers = {name: answer for name, (answer, _) in asked(inbox_of(layout, pool)).items()}
    finally:
        os.close(writer)
    assert answers[b"free.pdf"].writing is Writing.FREE
    assert answers[b"busy.pdf"].writing is Writing.BUSY
    assert [name for name, answer in answers.items() if answer.looks_unfinished] == [b"half.pdf"]
    assert asked(inbox_of(layout, pool))[b"busy.pdf"][0].writing is Writing.FREE


def test_a_writer_of_any_member_keeps_a_group_busy(layout: Layout, pool: ThreadPoolExecutor) -> None:
    put(layout, b"g/a.pdf", b"%PDF- %%EOF")
    writer = os.open(put(layout, b"g/deep/b.pdf.part"), os.O_WRONLY)
    inbox = inbox_of(layout, pool, group_by="folder")
    assert asked(inbox)[b"g"][0].writing is Writing.BUSY
    os.close(writer)
    assert asked(inbox)[b"g"][0].writing is Writing.UNKNOWN


def test_a_lease_means_nothing_on_a_share(layout: Layout) -> None:
    with open(put(layout, b"x.pdf"), "rb") as file:
        assert writers.writing(file.fileno(), lease_tells=False) is Writing.UNKNOWN


ASK = """
import sys
from hopperd.folders import writers
with open(sys.argv[1], "rb") as file:
    print(writers.writing(file.fileno(), lease_tells=True))
"""
NOBODY = ["--reuid=65534", "--regid=65534", "--clear-groups"]
WITH_LEASE = ["--inh-caps=+lease", "--ambient-caps=+lease"]


@pytest.mark.skipif(os.geteuid() != 0 or shutil.which("setpriv") is None, reason="needs root and setpriv")
@pytest.mark.parametrize(
    ("rights", "owner", "told_busy", "told_free"),
    [
        pytest.param(
            [*NOBODY, *WITH_LEASE], 0, Writing.BUSY, Writing.FREE, id="as the unit: CAP_LEASE, another's file"
        ),
        pytest.param(NOBODY, 0, Writing.UNKNOWN, Writing.UNKNOWN, id="without the capability: another's file"),
        pytest.param(NOBODY, 65534, Writing.BUSY, Writing.FREE, id="without the capability: a file of its own"),
        pytest.param(["--bounding-set=-lease"], 65534, Writing.UNKNOWN, Writing.UNKNOWN, id="root that has lost it"),
    ],
)
def test_who_may_see_an_open_writer(
    rights: list[str], owner: int, told_busy: Writing, told_free: Writing, tmp_path: Path
) -> None:
    """BUSY must never be told without knowing it: such a file would wait for ever."""
    path = Path(tempfile.mkdtemp(dir="/tmp")) / "scan.pdf"  # pytest's own folders are closed to others
    try:
        path.parent.chmod(0o755)
        path.write_bytes(b"%PDF- %%EOF")
        path.chmod(0o644)
        os.chown(path, owner, owner)

        def ask() -> str:
            command = ["setpriv", *rights, sys.executable, "-c", ASK, str(path)]
            done = subprocess.run(command, capture_output=True, text=True)
            if done.returncode:
                pytest.skip(f"such rights cannot be had here: {done.stderr.strip()[-200:]}")
            return done.stdout.strip()

        with path.open("ab"):
            assert ask() == told_busy
        assert ask() == told_free
    finally:
        shutil.rmtree(path.parent)


def test_other_content_can_be_left_in_place(layout: Layout, pool: ThreadPoolExecutor) -> None:
    put(layout, b"x.txt", b"hello")
    assert asked(inbox_of(layout, pool))[b"x.txt"][1] is None
    unwanted = asked(inbox_of(layout, pool, on_other="leave"))[b"x.txt"][1]
    assert unwanted.reason == "wrong-type"
    put(layout, b"x.txt", b"")
    assert asked(inbox_of(layout, pool, on_other="leave"))[b"x.txt"][1] is None, "an empty one fails as empty"


def test_a_reload_changes_what_is_taken(layout: Layout, pool: ThreadPoolExecutor) -> None:
    put(layout, b"x.txt", b"hello")
    inbox = inbox_of(layout, pool)
    assert set(asked(inbox)) == {b"x.txt"}
    inbox.reload(settings(layout, exclude=("*.txt",)))
    assert set(asked(inbox)) == set()


def listed(inbox: HotInbox, skip: dict[bytes, Any], monkeypatch: pytest.MonkeyPatch, *, quick: bool = True) -> bool:
    """Whether a sweep read what its folders hold; it must tell the same in either case."""
    asked: list[bool] = []

    def noted(*values: Any, **named: Any) -> Any:
        asked.append(True)
        return sweep(*values, **named)

    monkeypatch.setattr("hopperd.folders.inbox.sweep", noted)
    swept = run(inbox.sweep(0.0, 100, skip, quick=quick))
    assert {one.name for one in swept.candidates} == set(names(inbox)) - skip.keys()
    return bool(asked)


def names(inbox: HotInbox) -> list[bytes]:
    top = inbox._layout.inbox
    below = [os.path.join(where, name) for where, _, found in os.walk(top) for name in found]
    return [path[len(top) + 1 :] for path in below if not path.endswith(b".hopperd-id")]


def test_folders_in_which_nothing_is_wanted_are_listed_again_when_their_time_has_changed(
    layout: Layout, pool: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    inbox = inbox_of(layout, pool)
    skip = {}
    for name in (b"a.pdf", b"sub/b.pdf"):
        skip[name] = identity_of(os.stat(put(layout, name)))

    def age(seconds: float) -> None:
        for folder in (layout.inbox, layout.inbox + b"/sub"):
            os.utime(folder, (time.time() - seconds, time.time() - seconds))

    assert listed(inbox, skip, monkeypatch)
    assert listed(inbox, skip, monkeypatch), "changed a moment ago: something may have come since, at the same time"
    age(10)
    assert listed(inbox, skip, monkeypatch)
    assert not listed(inbox, skip, monkeypatch)
    assert listed(inbox, skip, monkeypatch, quick=False), "not what is written into a file in place"
    put(layout, b"sub/c.pdf")
    assert listed(inbox, skip, monkeypatch)
    age(10)
    assert listed(inbox, skip, monkeypatch), "a file waits: its next look must come"
    assert listed(inbox, skip, monkeypatch)
    os.unlink(layout.inbox + b"/sub/c.pdf")
    age(10)
    assert listed(inbox, skip, monkeypatch)
    assert not listed(inbox, skip, monkeypatch)
    shutil.rmtree(layout.inbox + b"/sub")
    assert listed(inbox, skip, monkeypatch)
    age_of_root = time.time() - 10
    os.utime(layout.inbox, (age_of_root, age_of_root))
    assert listed(inbox, skip, monkeypatch)
    assert not listed(inbox, skip, monkeypatch)
    inbox.reload(settings(layout))
    assert listed(inbox, skip, monkeypatch)


def test_a_nearly_full_disk_pauses_intake(layout: Layout, pool: ThreadPoolExecutor) -> None:
    inbox = HotInbox(layout, settings(layout), pool, LEDGER, 1 << 60)
    with pytest.raises(FolderTrouble, match="free_space_bytes") as full:
        run(inbox.present())
    assert full.value.kind == "disk"


def calls(disk: HotFolder) -> dict[str, tuple[str, Callable[[], Awaitable[Any]]]]:
    """Each call of the port, and the place without which it must do nothing."""
    original = Original(name=b"x.pdf", identity=jobs.original().identity, sha256="", sha512="", filed_as=b"x.pdf")
    job = jobs.job(id=job_id(), originals=(original,))
    return {
        "digest": ("work", lambda: disk.digest(job.id, b"x.pdf")),
        "identity": ("work", lambda: disk.identity(job.id, b"x.pdf")),
        "open_staging": ("out", lambda: disk.open_staging(job)),
        "seal_staging": ("out", lambda: disk.seal_staging(job, ())),
        "deliver": ("out", lambda: disk.deliver(job)),
        "close_staging": ("out", lambda: disk.close_staging(job.id)),
        "staging_jobs": ("out", lambda: disk.staging_jobs()),
        "file_away": ("done", lambda: disk.file_away(replace(job, outcome="delivered"), {0: b"{}"})),
        "reclaim": ("failed", lambda: disk.reclaim(job)),
    }


CALLS = ("digest", "identity", "open_staging", "seal_staging", "deliver", "close_staging", "staging_jobs")


@pytest.mark.parametrize("name", [*CALLS, "file_away", "reclaim"])
def test_nothing_is_concluded_or_made_where_a_share_is_not_mounted(
    layout: Layout, pool: ThreadPoolExecutor, name: str
) -> None:
    role, call = calls(HotFolder(layout, pool))[name]
    root = layout.roots[role]  # type: ignore[index]
    os.unlink(root + b"/.hopperd-id")
    with pytest.raises(FolderTrouble) as gone:
        run(call())
    assert (gone.value.kind, gone.value.path) == ("gone", root)
    assert os.listdir(root) == []


@pytest.mark.parametrize(
    ("number", "kind"),
    [(28, "disk"), (122, "disk"), (30, "disk"), (5, "disk"), (13, "denied"), (18, "crossing"), (116, "gone")],
)
def test_errors_of_the_disk_are_trouble_of_the_folder(
    layout: Layout, pool: ThreadPoolExecutor, number: int, kind: str
) -> None:
    disk = HotFolder(layout, pool)
    job = jobs.job(id=job_id())
    with tapped(fails_at(0, OSError(number, os.strerror(number)))), pytest.raises(FolderTrouble) as trouble:
        run(disk.seal_staging(job, ())) if run(disk.open_staging(job)) else None
    assert trouble.value.kind == kind
    assert os.strerror(number) in trouble.value.what


def test_unreadable_files_are_listed_and_tried_again(
    layout: Layout, pool: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(layout, b"x.pdf")
    inbox = inbox_of(layout, pool)

    def refuse(file: int, *, lease_tells: bool) -> Writing:
        raise PermissionError(13, "Permission denied")

    with monkeypatch.context() as patched:
        patched.setattr(writers, "writing", refuse)
        assert asked(inbox)[b"x.pdf"][0].writing is Writing.BUSY
    (left,) = run(inbox.sweep(0.0, 10, {})).left_alone
    assert left.reason == "unreadable"
    assert asked(inbox)[b"x.pdf"][0].writing is Writing.FREE


def test_whole_or_not_at_all_without_nameless_files(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a file system knows no O_TMPFILE, a dot-name is used, and used again after a crash."""
    monkeypatch.setattr(os, "O_TMPFILE", os.O_DIRECTORY | os.O_CREAT | os.O_EXCL)
    with places.root_folder(layout.done) as fd:
        for content in (b"one", b"two"):
            with open(layout.done + b"/.scratch", "wb") as old:
                old.write(b"left by a crash")
            with renaming.new_file(fd, content, b".scratch") as file:
                places.write_all(file, content)
        with pytest.raises(FileExistsError), renaming.new_file(fd, b"one", b".scratch") as file:
            places.write_all(file, b"another")
    assert files(layout.done) == {b"one": b"one", b"two": b"two"}
