"""What a command prints for a person: sentences, not data, and never so many lines that the table is out of sight."""

from __future__ import annotations

from typing import Any

import pytest

from hopperd.cli import reading, tail
from hopperd.pipeline.events import TaskSeen
from hopperd.pipeline.job import Stage, Twin
from hopperd.web.shapes import job_story
from hopperd.web.stream import happening
from tests.support.jobs import NOW, job, original, task


def held(number: int) -> dict[str, Any]:
    return {
        "job": f"job-{number}",
        "folder": "us",
        "file": "a.pdf",
        "age_seconds": 60.0,
        "in_stage_seconds": 5.0,
        "hold": {"reason": "person", "what": "a person holds it", "do": "Release it when it may go on."},
    }


def test_what_keeps_a_job_and_what_to_do_are_two_sentences(capsys: pytest.CaptureFixture[str]) -> None:
    reading._show_jobs("Held:", [held(1)], 1, "hopperd list --held")
    assert "us/a.pdf: a person holds it. Release it when it may go on.\n" in capsys.readouterr().out


def test_only_the_first_ten_are_named_and_the_rest_counted(capsys: pytest.CaptureFixture[str]) -> None:
    reading._show_jobs("Held:", [held(number) for number in range(50)], 1_200, "hopperd list --held")
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 12
    assert lines[-1] == "  ... and 1190 more: hopperd list --held"
    reading._show_jobs("Held:", [held(number) for number in range(10)], 10, "hopperd list --held")
    assert "more" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("detail", "said"),
    [
        ({"adopted": False, "notes": []}, ""),
        ({"adopted": True}, "adopted"),
        ({"failure": {"reason": "empty", "fault": "file", "what": "Empty.", "do": "Scan it."}}, "empty: Empty."),
        ({"task": {"id": "6b", "number": "7", "status": "done", "status_text": "Done"}, "jitter": 0.5}, "task 7: Done"),
        ({"staged": [{"result": 0}, {"result": 1}]}, "2 exports"),
        ({"twin": {"job": "7", "delivered": True, "exports": ["a.xlsx"]}}, "duplicate of 7"),
        ({"twin": {"job": "7", "delivered": False, "exports": []}}, "same bytes as 7, still open"),
        ({"notes": [[0, "it was changed"], [1, "it was changed"]]}, "it was changed"),
        ({"pages": 2, "why": "x" * 200}, f"pages=2 why={'x' * 117}..."),
    ],
)
def test_a_history_row_says_what_a_person_can_use(detail: dict[str, Any], said: str) -> None:
    assert reading._detail(detail) == said


def test_a_duplicate_is_said_to_be_one_and_of_what(capsys: pytest.CaptureFixture[str]) -> None:
    one = job(Stage.DONE, outcome="duplicate", twin=Twin(job=job().id, delivered=True, exports=("first.xlsx",)))
    reading._show_story(job_story(one, [], NOW, None))
    assert f"Duplicate of job {one.twin and one.twin.job}, which has delivered" in capsys.readouterr().out


def test_what_was_noticed_of_originals_is_told_and_not_without_end(capsys: pytest.CaptureFixture[str]) -> None:
    originals = tuple(original(b"%d.pdf" % number, note="it was changed") for number in range(50))
    reading._show_story(job_story(job(Stage.DONE, originals=originals), [], NOW, None))
    told = capsys.readouterr().out
    assert "Note on 0.pdf: it was changed.\n" in told
    assert told.count("Note on") == 10
    assert "... and 40 more" in told


def test_times_of_events_have_a_date_and_a_zone() -> None:
    line = tail.line("event", happening(job(), TaskSeen(task=task()), NOW))
    assert line.startswith("2026-05-28T20:26:40.000Z  task-seen"), "as `show` prints them"
