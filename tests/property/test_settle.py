"""Settling, against a plain model: settled means the last looks were equal over the whole quiet period."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from hopperd.pipeline.settle import Answer, Decision, Look, Patience, Settling, Writing

LOOKS = st.lists(
    st.tuples(st.floats(0, 5), st.integers(0, 2), st.sampled_from(Writing), st.booleans()), min_size=1, max_size=40
)


@given(LOOKS, st.floats(0, 6))
def test_nothing_settles_that_changed_within_the_quiet_period_or_is_written_to(
    looks: list[tuple[float, int, Writing, bool]], quiet: float
) -> None:
    path = Settling(Patience(quiet_seconds=quiet))
    at, seen = 100.0, []
    for gap, mark, writing, unfinished in looks:
        at += gap
        seen.append((at, mark))
        asked = path.look(Look(mark=mark, at=at)) is Decision.ASK
        since = at
        for earlier, other in reversed(seen):
            if other != mark:
                break
            since = earlier
        if asked:
            assert at >= since + quiet
            if path.judge(Answer(writing=writing, looks_unfinished=unfinished)) is Decision.SETTLED:
                assert writing is not Writing.BUSY
        else:
            assert at < since + 2 * quiet


@given(st.floats(0, 60), st.booleans(), st.booleans())
def test_whatever_stops_changing_settles(quiet: float, is_empty: bool, unfinished: bool) -> None:
    patience = Patience(quiet_seconds=quiet)
    path = Settling(patience)
    answer = Answer(looks_unfinished=unfinished)
    at, settled = 0.0, False
    for _ in range(4):
        decision = path.look(Look(mark=1, at=at, is_empty=is_empty))
        settled = decision is Decision.ASK and path.judge(answer) is Decision.SETTLED
        if settled:
            break
        at = max(at, path.next_look)
    assert settled
    assert at <= 2 * max(quiet, 60 if is_empty else 0) + 1e-6
