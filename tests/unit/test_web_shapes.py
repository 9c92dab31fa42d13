"""Promise: one job's story says where its files lie, and names no place where they do not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from hopperd.folders.file_away import CHANGED, KEPT, TAKEN_AWAY
from hopperd.pipeline.job import Job, Stage, Twin
from hopperd.settings import Folder
from hopperd.web.shapes import job_story
from tests.support.jobs import NOW, job, original


def story(one: Job, root: Path, **settings: Any) -> dict[str, Any]:
    return job_story(one, [], NOW, Folder(name="us", path=root, account="main", region="US", **settings))


def filed(*notes: str | None, **changes: Any) -> Job:
    originals = tuple(original(filed_as=b"%d.pdf" % place, note=note) for place, note in enumerate(notes))
    return job(Stage.DONE, originals=originals, **changes)


def test_an_original_that_was_taken_away_is_offered_nowhere(tmp_path: Path) -> None:
    told = story(filed(TAKEN_AWAY, CHANGED, None), tmp_path)
    assert told["filed"] == ["1.pdf", "2.pdf"]
    assert told["paths"]["originals"] == [f"{tmp_path}/done/1.pdf", f"{tmp_path}/done/2.pdf"]
    assert [one.get("note") for one in told["originals"]] == [TAKEN_AWAY, CHANGED, None]


@pytest.mark.parametrize(("outcome", "there"), [("delivered", ["1.pdf"]), ("removed", ["0.pdf", "1.pdf"])])
def test_an_original_deleted_once_delivered_is_offered_nowhere(tmp_path: Path, outcome: str, there: list[str]) -> None:
    assert story(filed(None, KEPT, outcome=outcome), tmp_path, after="delete")["filed"] == there


def test_a_duplicate_names_the_first_job_and_where_its_exports_lie(tmp_path: Path) -> None:
    twin = Twin(job=job().id, delivered=True, exports=("sub/first.xlsx",))
    told = story(job(Stage.DONE, outcome="duplicate", twin=twin), tmp_path)
    assert told["duplicate_of"] == {"job": twin.job, "exports": ["sub/first.xlsx"]}
    assert told["paths"]["exports"] == [], "its own are none"
    assert told["paths"]["delivered_before"] == [f"{tmp_path}/out/sub/first.xlsx"]


def test_who_waits_for_the_end_of_a_job_with_the_same_bytes_is_no_duplicate_yet(tmp_path: Path) -> None:
    told = story(job(Stage.CLAIMED, twin=Twin(job=job().id)), tmp_path)
    assert "duplicate_of" not in told
    assert "delivered_before" not in told["paths"]


def test_where_the_folder_is_not_configured_any_more_there_are_no_paths() -> None:
    assert "paths" not in job_story(job(Stage.DONE), [], NOW, None)
