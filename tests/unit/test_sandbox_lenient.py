"""The twin's forgiving JSON parser: what is JSON reads as JSON, what people really send passes, nothing else raises."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hopperd.sandbox.lenient import DEPTH_MAX, NotJson, _Parser, loads

texts = st.text(st.characters(exclude_categories=["Cs"]))
values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**30), 10**30)
    | st.floats(allow_nan=False, allow_infinity=False)
    | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=12,
)


@given(values)
def test_json_reads_as_json_with_the_hand_written_parser_too(value: Any) -> None:
    assert loads(json.dumps(value).encode()) == value
    assert _Parser(json.dumps(value, ensure_ascii=False)).document() == value


@given(st.binary(max_size=200) | st.text(st.sampled_from("{}[],:'\"\\u0a1-.eE tfn"), max_size=60).map(str.encode))
def test_any_bytes_read_or_are_refused(body: bytes) -> None:
    try:
        json.dumps(loads(body), allow_nan=False)
    except NotJson as refusal:
        assert str(refusal)
    except ValueError:
        assert b"e" in body.lower(), "only a number beyond a double may be neither"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("{'a': 'b'}", {"a": "b"}),
        ("{'a': \"it's\", 'b': 'say \\'hi\\' \"you\"'}", {"a": "it's", "b": "say 'hi' \"you\""}),
        ("[1, 2,]", [1, 2]),
        ("{'a': [true, null,],}", {"a": [True, None]}),
        ("\ufeff {'\\u00e9\\n': -1.5e2}\r\n", {"é\n": -150.0}),
        ("{}", {}),
        ("[]", []),
    ],
)
def test_single_quotes_and_trailing_commas_pass(text: str, value: Any) -> None:
    assert loads(text.encode()) == value


@pytest.mark.parametrize(
    "text", ["", "{,}", "[,]", "[1 2]", "{'a'}", "{'a': 1 'b': 2}", "{a: 1}", "'a' x", "[1,,]", "NaN"]
)
def test_what_is_no_list_of_values_is_refused(text: str) -> None:
    with pytest.raises(NotJson):
        loads(text.encode())


@pytest.mark.parametrize("deep", ["[" * 500 + "]" * 500, "[" * 500 + "'a'," + "]" * 500, "{'a':" * 100_000])
def test_depth_is_bounded(deep: str) -> None:
    assert DEPTH_MAX < 100
    with pytest.raises(NotJson, match="deep"):
        loads(deep.encode())
