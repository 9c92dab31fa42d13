"""Pages that are drawn from tables say when they are stale."""

from __future__ import annotations

from tests.support import commands_page, events_page
from tests.support.tables_page import PAGE, page


def test_the_page_of_stages_and_events_is_drawn_from_the_table_as_it_stands() -> None:
    assert PAGE.read_text() == page(), "run python -m tests.support.tables_page"


def test_the_page_of_commands_says_what_the_command_line_says() -> None:
    assert commands_page.PAGE.read_text() == commands_page.page(), "run python -m tests.support.commands_page"


def test_the_page_of_events_lists_every_event_that_the_source_logs() -> None:
    assert events_page.PAGE.read_text() == events_page.page(), "run python -m tests.support.events_page"


def test_every_event_of_the_log_has_its_meaning_and_every_meaning_its_event() -> None:
    assert events_page.MEANINGS.keys() == events_page.logged().keys(), "MEANINGS in tests/support/events_page.py"
