"""What a command prints for a person: sentences, not data, and never so many lines that the table is out of sight."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from hopperd import cli
from hopperd.cli import reading, tail, terminal
from hopperd.cli.terminal import typed
from hopperd.pipeline.events import TaskSeen
from hopperd.pipeline.job import Stage, Twin
from hopperd.web.shapes import job_story
from hopperd.web.stream import happening
from tests.support.command import run_here
from tests.support.jobs import NOW, job, original, task
from tests.support.line import hopperd


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


def test_a_newline_in_a_name_or_a_reason_forges_no_line(capsys: pytest.CaptureFixture[str]) -> None:
    job = held(1) | {"file": "a\nhopperd is running; 0 open jobs.pdf"}
    job["hold"]["what"] = "why\nnot"
    reading._show_jobs("Held:", [job], 1, "hopperd list --held")
    assert len(capsys.readouterr().out.splitlines()) == 2


@pytest.mark.parametrize(
    ("argument", "named"),
    [
        ("a.pdf", "a.pdf"),
        ("🧾", "🧾"),
        (b"\xf0\x9f\xa7\xbe".decode("ascii", "surrogateescape"), "🧾"),  # what Python makes of it with LC_ALL=C
        ("lat\udce9 %.pdf", "lat%E9 %25.pdf"),
    ],
)
def test_a_name_is_what_its_bytes_are_whatever_the_locale(argument: str, named: str) -> None:
    assert typed(argument) == named


def test_output_that_cannot_be_written_is_a_sentence(tmp_path: Path) -> None:
    with Path("/dev/full").open("w") as full:
        told = hopperd("config", stdout=full, stderr=subprocess.PIPE, capture_output=False)
    assert told.returncode == 1
    assert told.stderr == "hopperd: the output cannot be written: No space left on device.\n"


def test_whoever_asks_for_json_gets_json_where_nothing_can_be_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "hopperd.toml"
    config.write_text(f'state = "{tmp_path}/state"\n[accounts.main]\nlocation = "us"\napplication_id = "a"\n')
    config.write_text(config.read_text() + '[[folders]]\nname = "us"\npath = "us"\naccount = "main"\nregion = "US"\n')
    assert run_here("status", "--json", "--config", str(config)) == 3
    told = json.loads(capsys.readouterr().out)
    assert told["exit_code"] == 3
    assert "there is no ledger" in told["error"]
    config.write_text(config.read_text().replace('"US"', '"XX"'))
    assert run_here("check", "--json", "--config", str(config)) == 2
    told = json.loads(capsys.readouterr().out)
    assert (told["configuration"], told["fine"], told["remarks"]) == (str(config), False, [])
    assert any("region" in problem for problem in told["problems"])


def test_one_long_name_makes_no_row_wider_than_the_terminal() -> None:
    rows = [["job", "file", "why"], ["1" * 18, "a" * 251 + ".pdf", "wrong-type: " * 9], ["2" * 18, "b.pdf", ""]]
    fitting = terminal.fitted(rows, 100)
    assert max(len(row[1]) for row in fitting) == 100 - 18 - 30 - 4
    assert fitting[1][1].endswith("a.pdf")
    assert [fitting[1][0], fitting[1][2], fitting[2]] == [rows[1][0], rows[1][2], rows[2]], "the others stay whole"
    assert terminal.fitted(rows, 500) == rows


def test_the_watched_status_shows_its_beginning() -> None:
    assert terminal.how_many_fit(["headline", "x" * 80, "y" * 81, "z"], 80, 4) == 3
    assert terminal.how_many_fit(["headline", "", "y" * 161], 80, 4) == 2
    assert terminal.how_many_fit(["a", "b"], 80, 24) == 2


def test_help_calls_values_by_names_and_not_by_types_of_python(capsys: pytest.CaptureFixture[str]) -> None:
    for command in cli.COMMANDS:
        run_here(command, "--help")
        assert not re.search(r"<\w|list\[|\{", capsys.readouterr().out), command
