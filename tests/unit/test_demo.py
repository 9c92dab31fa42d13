"""`hopperd demo` in a folder that somebody uses already: nothing there is replaced, and a mistake is a sentence."""

from __future__ import annotations

from pathlib import Path

import pytest

from hopperd.cli.demo import _put_in
from tests.support.command import run_here


def test_a_file_that_waits_under_the_name_of_a_sample_is_not_replaced(tmp_path: Path) -> None:
    aside, inbox = tmp_path / "aside", tmp_path / "in"
    for folder in (aside, inbox):
        (folder / "branch").mkdir(parents=True)
    (inbox / "branch" / "a.pdf").write_bytes(b"somebody's own")
    (aside / "branch" / "a.pdf").write_bytes(b"a sample")
    _put_in(aside, b"branch/a.pdf", inbox)
    assert (inbox / "branch" / "a.pdf").read_bytes() == b"somebody's own"
    assert (inbox / "branch" / "a (2).pdf").read_bytes() == b"a sample"
    assert not (aside / "branch" / "a.pdf").exists()


def test_a_subfolder_that_is_missing_is_made(tmp_path: Path) -> None:
    aside, inbox = tmp_path / "aside", tmp_path / "in"
    (aside / "branch").mkdir(parents=True)
    inbox.mkdir()
    (aside / "branch" / "a.pdf").write_bytes(b"a sample")
    _put_in(aside, b"branch/a.pdf", inbox)
    assert (inbox / "branch" / "a.pdf").read_bytes() == b"a sample"


def test_a_file_in_place_of_the_folder_is_told_in_a_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    assert run_here("demo", "--dir", str(tmp_path / "file")) == 2
    assert f"{tmp_path / 'file'}" in capsys.readouterr().err
