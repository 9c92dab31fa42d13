"""Whatever the name and the subfolders: claimed, delivered and filed away byte for byte, nothing outside touched."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hopperd.folders.deliver import close_staging, deliver, open_staging, seal_staging
from hopperd.folders.file_away import file_away
from hopperd.folders.layout import Layout
from hopperd.folders.selection import Selection, left_alone_by_name
from hopperd.pipeline.naming import export_name, filed_name, next_free
from hopperd.ports import NameTaken
from tests.support.hot_folder import candidates, claimed, files, job_with, layout_in, put, quick_place, staged_job

PARTS = (
    st.binary(min_size=1, max_size=60)
    .map(lambda raw: raw.replace(b"/", b"_").replace(b"\0", b"_"))
    .filter(lambda part: part not in (b".", b"..") and left_alone_by_name(part) is None)
)
NAMES = st.lists(PARTS, min_size=1, max_size=4).map(b"/".join)


@pytest.fixture(scope="module")
def layout() -> Iterator[Layout]:
    with quick_place() as path:
        yield layout_in(path)


@given(name=NAMES, number=st.integers(1, 1 << 30), rivals=st.integers(0, 3))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_any_name_goes_all_the_way(layout: Layout, name: bytes, number: int, rivals: int) -> None:
    top = os.path.dirname(layout.inbox)
    around = set(os.listdir(top))
    put(layout, name, b"bytes of it")
    assert set(candidates(layout)) == {name}
    originals = claimed(layout, name, number)
    wanted = export_name(name, "r.csv", 1, template="{stem}", job="j", task_number=None, date="d")
    for rival in range(rivals):
        taken = next_free(wanted, files(layout.out), on_taken="number", date="d")
        os.makedirs(os.path.dirname(layout.out + b"/" + taken), exist_ok=True)
        Path(os.fsdecode(layout.out + b"/" + taken)).write_bytes(b"rival %d" % rival)
    job, staged = staged_job(layout, {wanted: b"export"}, number)
    open_staging(layout, job)
    Path(os.fsdecode(layout.staging_path(job.id, "0000"))).write_bytes(b"export")
    seal_staging(layout, job, staged)
    while isinstance(outcome := deliver(layout, job), NameTaken):
        free = next_free(job.exports[0].name, outcome.taken, on_taken="number", date="d")
        job = replace(job, exports=(replace(job.exports[0], name=free),))
    assert outcome == "delivered"
    close_staging(layout, job.id)
    out = files(layout.out)
    assert out.pop(job.exports[0].name) == b"export"
    assert sorted(out.values()) == [b"rival %d" % rival for rival in range(rivals)]
    filed = filed_name(name, 0.0)
    done = job_with((replace(originals[0], filed_as=filed),), number)
    assert file_away(layout, done, {0: b'{"job": "x"}'}) == []
    assert files(layout.done).pop(filed) == b"bytes of it"
    assert len(files(layout.done)) == 2
    assert os.listdir(layout.work) == [b".hopperd-id"]
    assert set(os.listdir(top)) == around
    for root in (layout.out, layout.done):
        for path in files(root):
            os.unlink(root + b"/" + path)
    clear_folders(layout)


def clear_folders(layout: Layout) -> None:
    for root in (layout.inbox, layout.out, layout.done):
        for folder, _, _ in sorted(os.walk(root), reverse=True):
            if folder != root and not os.listdir(folder) and not folder.startswith(layout.out + b"/.hopperd"):
                os.rmdir(folder)


def test_selection_knows_no_pattern_that_breaks_it() -> None:
    @given(st.text(min_size=1, max_size=30), PARTS)
    def any_pattern(pattern: str, name: bytes) -> None:
        Selection(8, (pattern,), (pattern,)).why_not(name)

    any_pattern()


@given(PARTS)
def test_a_name_fits_the_pattern_that_is_its_own_text(name: bytes) -> None:
    text = os.fsdecode(name)
    plain = "".join(f"[{letter}]" if letter in "*?[" else letter for letter in text)
    assert Selection(8, (plain,)).why_not(name) is None
