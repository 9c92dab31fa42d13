"""When a path has settled: only looks and the monotonic clock decide."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from hopperd.pipeline.settle import Answer, Book, Decision, Look, Patience, Settling, Writing

FREE = Answer(writing=Writing.FREE)


def look(at: float, mark: object = "a", *, is_empty: bool = False, is_group: bool = False) -> Look:
    return Look(mark=mark, at=at, is_empty=is_empty, is_group=is_group)  # type: ignore[arg-type]


def test_two_equal_looks_far_enough_apart_settle() -> None:
    path = Settling(Patience(quiet_seconds=2))
    assert path.look(look(10)) is Decision.WAIT
    assert path.look(look(11.9)) is Decision.WAIT
    assert path.look(look(12)) is Decision.ASK
    assert path.judge(FREE) is Decision.SETTLED


def test_a_change_starts_all_over_again() -> None:
    path = Settling(Patience(quiet_seconds=2))
    path.look(look(10))
    assert path.look(look(12, "b")) is Decision.WAIT
    assert path.look(look(13.9, "b")) is Decision.WAIT
    assert path.look(look(14, "b")) is Decision.ASK


def test_no_quiet_period_settles_at_first_sight_unless_somebody_writes() -> None:
    path = Settling(Patience(quiet_seconds=0))
    assert path.look(look(10)) is Decision.ASK
    assert path.judge(Answer(writing=Writing.BUSY)) is Decision.WAIT
    assert path.judge(Answer(writing=Writing.FREE, looks_unfinished=True)) is Decision.SETTLED


def test_a_writer_holds_it_for_as_long_as_it_writes() -> None:
    path = Settling(Patience(quiet_seconds=2))
    path.look(look(0))
    for at in (2, 50, 1_000):
        assert path.look(look(at)) is Decision.ASK
        assert path.judge(Answer(writing=Writing.BUSY)) is Decision.WAIT
    assert "writing" in path.waits_for
    assert path.judge(Answer(writing=Writing.UNKNOWN)) is Decision.SETTLED


def test_an_unfinished_tail_waits_one_quiet_period_more_and_never_longer() -> None:
    unfinished = Answer(writing=Writing.FREE, looks_unfinished=True)
    path = Settling(Patience(quiet_seconds=2))
    path.look(look(0))
    assert path.look(look(2)) is Decision.ASK
    assert path.judge(unfinished) is Decision.WAIT
    assert path.look(look(3.9)) is Decision.WAIT
    assert path.look(look(4)) is Decision.ASK
    assert path.judge(unfinished) is Decision.SETTLED


def test_an_empty_file_is_given_time_to_grow() -> None:
    path = Settling(Patience(quiet_seconds=2, empty_seconds=60))
    path.look(look(0, is_empty=True))
    assert path.look(look(59, is_empty=True)) is Decision.WAIT
    assert path.look(look(60, is_empty=True)) is Decision.ASK
    assert path.look(look(61, "grown")) is Decision.WAIT
    assert path.look(look(63, "grown")) is Decision.ASK


@pytest.mark.parametrize("patience", [Patience(by_folder=True), Patience()])
def test_groups_wait_longer(patience: Patience) -> None:
    path = Settling(patience)
    path.look(look(0, is_group=not patience.by_folder))
    assert path.look(look(29, is_group=not patience.by_folder)) is Decision.WAIT
    assert path.look(look(30, is_group=not patience.by_folder)) is Decision.ASK


@dataclass
class Seen:
    name: bytes
    look: Look


def test_the_book_forgets_what_is_gone_and_is_bounded() -> None:
    book = Book(Patience(quiet_seconds=2), limit=2)
    assert book.quiet([Seen(b"%d" % n, look(0)) for n in range(5)]) == []
    assert len(book) == 2
    assert book.next_look() == 2
    ripe = book.quiet([Seen(b"1", look(2)), Seen(b"9", look(2))])
    assert [one.name for one in ripe] == [b"1"]
    assert book.judge(b"1", FREE)
    assert not book.judge(b"0", FREE)
    assert not book.judge(b"9", FREE)
    assert book.waiting(10) == [(b"1", "a second look"), (b"9", "a second look")]
    book.forget(b"1")
    book.quiet([])
    assert book.next_look() is None
