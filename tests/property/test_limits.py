"""The weather of an account under any sequence of events: it never hangs closed without a probe, a time or a person."""

from __future__ import annotations

import math
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from hopperd.capture.weather import AccountWeather
from hopperd.ports import Pause, ServiceTrouble

troubles = st.builds(
    ServiceTrouble,
    st.sampled_from(["weather", "account", "file", "gone", "unready", "doubt"]),
    st.just("trouble"),
    kind=st.sampled_from(["rate", "server", "network", "credentials", "disk"]),
    status=st.sampled_from([None, 301, 400, 401, 404, 409, 429, 500, 503]),
    retry_after_seconds=st.none() | st.floats(0, 3600),
)
pauses = st.builds(
    Pause,
    reason=st.sampled_from(["network", "credentials", "ceiling", "person"]),
    what=st.just(""),
    do=st.just(""),
    since=st.just(0.0),
    by_person=st.booleans(),
    scope=st.sampled_from(["all", "runs"]),
)
events = st.lists(
    st.tuples(
        st.sampled_from(["trouble", "success", "probe", "probe-failed", "pause", "resume", "reload"]),
        troubles,
        pauses,
        st.floats(0, 1),
        st.floats(0, 100),
    ),
    max_size=60,
)


@given(events)
def test_a_closed_account_always_has_a_way_out(given_events: list[Any]) -> None:
    state, now = AccountWeather(), 0.0
    for name, trouble, pause, jitter, later in given_events:
        now += later
        match name:
            case "trouble":
                state.troubled(trouble, now, now, jitter)
            case "success":
                state.succeeded()
            case "probe" if state.probe_seconds(now) == 0.0:
                state.probed(None, now, now, jitter)
            case "probe-failed" if state.probe_seconds(now) == 0.0:
                state.probed(trouble, now, now, jitter)
                assert state.probe_seconds(now) > 0.0, "a failed probe is repeated at once"
            case "pause":
                state.pause(pause, now)
            case "resume":
                state.resume()
                assert state.closed_seconds("run", now) == 0.0 and state.pause_now is None
            case "reload":
                state.probe_now(now)
        closed = state.closed_seconds("look", now)
        if math.isinf(closed):
            shown = state.pause_now
            assert shown is not None, "closed in silence"
            assert shown.by_person or shown.reason in ("ceiling", "person") or state.probe_seconds(now) <= 3600.0
        else:
            assert closed <= 3600.0 * 1.1 + 1.0
            assert math.isinf(state.probe_seconds(now)), "a probe without a pause"
