"""Whatever the service sends: it is read, or it is Unreadable; and no text that comes out holds a secret."""

from __future__ import annotations

import contextlib
import json

from hypothesis import given
from hypothesis import strategies as st

from hopperd.capture import wire

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)
task_like = st.fixed_dictionaries(
    {"id": json_values},
    optional={
        "status": json_values,
        "number": json_values,
        "documents": json_values
        | st.lists(
            st.fixed_dictionaries(
                {"files": st.dictionaries(st.sampled_from(["source", "target", "targetX"]), json_values)}
            )
        ),
        "is_demo": json_values,
        "verification_id": json_values,
    },
)


@given(st.binary() | (task_like | json_values).map(lambda value: json.dumps(value).encode()))
def test_any_answer_is_read_or_unreadable(body: bytes) -> None:
    with contextlib.suppress(wire.Unreadable):
        task = wire.read_task(body)
        assert task.id and "/" not in wire.task_path(task.id).removeprefix("/v2/task/")
        json.dumps(dict(task.raw), allow_nan=False, ensure_ascii=False).encode()
    with contextlib.suppress(wire.Unreadable):
        wire.read_file_info(body)


@given(st.sampled_from(["upload", "run", "look", "fetch"]), st.integers(300, 599), st.binary(), st.text())
def test_any_refusal_is_somebodys_fault(call: str, status: int, body: bytes, retry_after: str) -> None:
    trouble = wire.answer_trouble(call, status, body, retry_after=retry_after, now=1e9)
    assert (trouble.fault == "doubt") <= (call == "run" and (status == 408 or (status >= 500 and status != 503)))
    assert trouble.what.isprintable() and len(trouble.what) < 300
    assert trouble.retry_after_seconds is None or 0 <= trouble.retry_after_seconds <= 3600


@given(
    st.text(min_size=6).filter(lambda text: text.isprintable() and " " not in text and "…" not in text),
    st.text(),
    st.text(),
)
def test_no_secret_survives_cleaning(secret: str, before: str, after: str) -> None:
    assert secret not in wire.clean(before + secret + after, [secret])


@given(st.text(), st.text(min_size=1))
def test_an_odd_name_cannot_end_its_header(before: str, after: str) -> None:
    head = wire.multipart_head("B", before + '"\r\n' + after)
    assert head.count(b"\r\n") == 4 and head.count(b'"') == 4
