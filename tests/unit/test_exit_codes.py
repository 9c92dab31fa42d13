"""The page of exit codes is fresh."""

from __future__ import annotations

from tests.support.exit_codes_page import PAGE, page


def test_the_page_of_exit_codes_is_fresh() -> None:
    stale = "stale: python -m tests.support.exit_codes_page"
    assert PAGE.read_text(encoding="utf-8") == page(), stale
