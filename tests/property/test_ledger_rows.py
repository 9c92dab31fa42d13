"""Whatever a job holds comes back from the ledger as it went in."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from hopperd.ledger.codec import from_json, to_json
from hopperd.ledger.rows import NAMES_END, changed_columns, changing_columns, folded, searchable
from hopperd.pipeline.events import RunIntended
from hopperd.pipeline.job import (
    Export,
    Failure,
    Hold,
    Identity,
    Job,
    JobId,
    Original,
    Policy,
    RemoteFile,
    Stage,
    StageAt,
    Twin,
)
from hopperd.pipeline.machine import advance
from hopperd.pipeline.moves import PERHAPS_DELIVERED_TWICE
from tests.support import jobs

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
TIMES = st.floats(min_value=0, max_value=1e11)
COUNTS = st.integers(min_value=0, max_value=2**63)
NAMES = st.binary(min_size=1, max_size=255)
PLAIN = st.recursive(
    st.none() | st.booleans() | COUNTS | TIMES | TEXT,
    lambda inner: st.lists(inner) | st.dictionaries(TEXT, inner),
    max_leaves=8,
)
REMOTES = st.builds(RemoteFile, id=TEXT, token=TEXT, expiring=st.none() | TIMES)
ORIGINALS = st.builds(
    Original,
    name=NAMES,
    identity=st.builds(Identity, device=COUNTS, inode=COUNTS, size_bytes=COUNTS, mtime_ns=st.integers(-(2**62), 2**62)),
    sha256=TEXT,
    sha512=TEXT,
    remote=st.none() | REMOTES,
    filed_as=st.none() | NAMES,
    note=st.none() | TEXT,
)
JOBS = st.builds(
    Job,
    id=st.builds(JobId, TEXT),
    version=COUNTS,
    folder=TEXT,
    account=TEXT,
    stage=st.sampled_from(Stage),
    opened_at=TIMES,
    due_at=TIMES,
    originals=st.lists(ORIGINALS, min_size=1, max_size=3).map(tuple),
    stages=st.lists(st.builds(StageAt, stage=st.sampled_from(Stage), at=TIMES), max_size=3).map(tuple),
    group=st.none() | NAMES,
    hold=st.none() | st.builds(Hold, reason=TEXT, what=TEXT, do=TEXT, since=TIMES),
    task=st.none() | st.dictionaries(TEXT, PLAIN, max_size=3),
    exports=st.lists(st.builds(Export, name=NAMES, staged_as=TEXT, size_bytes=COUNTS, sha256=TEXT), max_size=2).map(
        tuple
    ),
    outcome=st.sampled_from([None, "delivered", "duplicate", "removed", "failed"]),
    failure=st.none() | st.builds(Failure, reason=TEXT, fault=st.sampled_from(["file", "us"]), what=TEXT, do=TEXT),
    twin=st.none()
    | st.builds(Twin, job=st.builds(JobId, TEXT), delivered=st.booleans(), exports=st.lists(TEXT).map(tuple)),
    notes=st.lists(TEXT, max_size=3).map(tuple),
    tidy_remote=st.booleans(),
)


@given(JOBS)
def test_a_job_comes_back_as_it_went_in(job: Job) -> None:
    text = to_json(job)
    text.encode()
    assert from_json(Job, text) == job


@given(JOBS, st.text(max_size=20))
def test_text_that_is_no_unicode_never_keeps_a_job_from_being_written(job: Job, text: str) -> None:
    written = to_json(replace(job, task={"text": text, text: [text]}, waiting=text))
    waiting = from_json(Job, written).waiting
    assert waiting is not None
    assert len(waiting) == len(text)
    assert waiting == text or not _is_unicode(text)


def _is_unicode(text: str) -> bool:
    return not any("\ud800" <= letter <= "\udfff" for letter in text)


@given(JOBS)
def test_names_are_searched_one_a_line(job: Job) -> None:
    names = searchable(job)
    assert names.endswith(NAMES_END)
    lines = names.removesuffix(NAMES_END).split("\n")
    assert len(lines) == len(job.originals) + (job.group is not None)
    assert all(folded(line) == line for line in lines)


CHANGES = st.fixed_dictionaries(
    {},
    optional={
        "stage": st.sampled_from(Stage),
        "due_at": TIMES,
        "originals": st.lists(ORIGINALS, min_size=1, max_size=3).map(tuple),
        "stages": st.lists(st.builds(StageAt, stage=st.sampled_from(Stage), at=TIMES), max_size=3).map(tuple),
        "priority": COUNTS,
        "doubts": COUNTS,
        "hold": st.none() | st.builds(Hold, reason=TEXT, what=TEXT, do=TEXT, since=TIMES),
        "verification_url": st.none() | TEXT,
        "twin": st.none() | st.builds(Twin, job=st.builds(JobId, TEXT), delivered=st.booleans()),
        "notes": st.lists(st.sampled_from(["a note", PERHAPS_DELIVERED_TWICE]), max_size=2).map(tuple),
        "tidy_remote": st.booleans(),
    },
)


@given(JOBS, CHANGES)
def test_what_is_written_of_a_change_makes_the_whole_row(job: Job, changes: dict[str, Any]) -> None:
    after = replace(job, version=job.version + 1, **changes)
    assert changing_columns(job) | changed_columns(job, after) == changing_columns(after)


def test_an_ordinary_step_writes_to_few_indexes() -> None:
    job = jobs.job(Stage.UPLOADED)
    after = advance(job, RunIntended(), jobs.NOW, Policy())
    assert set(changed_columns(job, after)) == {"version", "due_at", "document", "stage", "entered_at"}
