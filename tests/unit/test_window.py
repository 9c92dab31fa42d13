"""The window of requests at once: it finds what a service bears, alone and among nodes."""

from __future__ import annotations

from hopperd.capture.places import portion
from hopperd.capture.window import ONE_SIGN_AMONG_NODES_SECONDS, Window


def round_trip(window: Window, now: float) -> None:
    """As many requests as it allows, and all get through."""
    for _ in range(window.limit):
        window.take_anyway()
    for _ in range(window.taken):
        window.grow(now)
    while window.taken:
        window.give()


def test_it_doubles_then_grows_slowly_and_shrinks_once_per_round_trip() -> None:
    window = Window(64)
    sizes = []
    for now in range(5):
        round_trip(window, now)
        sizes.append(window.limit)
    assert sizes == [8, 16, 32, 64, 64]
    window.shrink(10.0)
    window.shrink(10.05)
    assert window.limit == 44
    for now in range(11, 14):
        round_trip(window, now)
    assert window.limit in (46, 47), "three round trips after a refusal"
    before = window.limit
    for _ in range(100):
        window.grow(20.0)
    assert window.limit == before, "an idle window grew unseen"


def test_after_a_pause_it_begins_with_one_and_comes_back_to_what_was_known() -> None:
    window = Window(64)
    round_trip(window, 0.0)
    window.shrink(1.0)
    known = window.known
    window.restart()
    sizes = []
    for now in range(2, 6):
        sizes.append(window.limit)
        round_trip(window, now)
    assert sizes == [1, 2, 4, 6] and known.careful_from == 8 * 0.7
    assert window.known.cuts == known.cuts, "another node would take it for a sign of the service"


def test_a_refusal_on_the_way_back_from_a_pause_is_believed() -> None:
    window = Window(64)
    for now in range(5):
        round_trip(window, now)
    window.restart()
    round_trip(window, 6.0)
    round_trip(window, 7.0)
    assert window.limit == 4
    window.shrink(8.0)
    assert window.limit == 2


def test_everything_is_dealt_out_and_everybody_has_one() -> None:
    for total in range(1, 40):
        for nodes in range(1, 12):
            parts = [portion(total, nodes, rank) for rank in range(nodes)]
            assert sum(parts) == max(total, nodes) and max(parts) - min(parts) <= 1


def test_a_window_of_several_nodes_is_one_window_in_parts() -> None:
    windows = [Window(64), Window(64)]
    for rank, window in enumerate(windows):
        window.divide(2, rank)
    assert [window.limit for window in windows] == [2, 2]
    for window in windows:
        round_trip(window, 0.0)
    assert [window.limit for window in windows] == [4, 4], "each adds its part"
    windows[0].shrink(1.0)
    assert [window.limit for window in windows] == [3, 4]
    windows[1].hear([windows[0].known], 1.4)
    assert [window.limit for window in windows] == [3, 2]
    windows[1].shrink(1.4 + ONE_SIGN_AMONG_NODES_SECONDS / 2)
    round_trip(windows[1], 1.4 + ONE_SIGN_AMONG_NODES_SECONDS / 2)
    assert windows[1].known == windows[0].known, "what is refused meanwhile is of the same sign"
    windows[1].shrink(3.0)
    assert windows[1].known.cuts == 2


def test_who_has_not_heard_of_the_last_cut_learns_from_who_has() -> None:
    old, new, idle = Window(64), Window(64), Window(64)
    for now in range(5):
        round_trip(old, now)
    new.shrink(1.0)
    idle.hear([old.known], 2.0)
    assert idle.known == old.known, "after the same cut, who has grown further"
    old.hear([new.known], 2.0)
    idle.hear([old.known], 2.5)
    assert old.known == idle.known == new.known, "a later cut counts more"


def test_one_that_joins_or_leaves_changes_nothing_for_the_service() -> None:
    first, second = Window(64), Window(64)
    for now in range(3):
        round_trip(first, now)
    assert first.limit == 32
    first.divide(2, 0)
    second.hear([first.known], 5.0)
    second.divide(2, 1)
    assert first.limit + second.limit == 32
    first.divide(1, 0)
    assert first.limit == 32


def test_a_larger_ceiling_lets_it_grow_fast_once_more_and_the_same_one_does_not() -> None:
    window = Window(8)
    round_trip(window, 0.0)
    window.shrink(1.0)
    careful_from = window.known.careful_from
    window.set_ceiling(8)
    assert window.known.careful_from == careful_from
    window.set_ceiling(64)
    assert window.known.careful_from == 64
    window.set_ceiling(2)
    assert window.limit == 2
