"""Whatever a name holds, what is made of it stays in its folder, fits, and is carried byte for byte."""

from __future__ import annotations

from urllib.parse import unquote_to_bytes

from hypothesis import given
from hypothesis import strategies as st

from hopperd.pipeline.naming import cut, export_name, filed_name, next_free, printable, receipt_name, shown, upload_name

BASES = (
    st.binary(min_size=1, max_size=255)
    .map(lambda raw: raw.replace(b"/", b"_").replace(b"\0", b"_"))
    .filter(lambda name: name not in (b".", b".."))
)
NAMES = st.lists(BASES, min_size=1, max_size=4).map(b"/".join)
TEXTS = st.text(max_size=300)


def is_harmless(path: bytes) -> bool:
    return all(part not in (b"", b".", b"..") and len(part) <= 255 and b"\0" not in part for part in path.split(b"/"))


@given(NAMES, TEXTS, st.integers(1, 10_000), TEXTS.map(lambda text: text.replace("{", "").replace("}", "")))
def test_export_names_are_harmless_and_stay_beside_their_original(
    original: bytes, result: str, ordinal: int, template: str
) -> None:
    made = export_name(original, result, ordinal, template=template + "{stem}", job="j", task_number="7/../x", date="d")
    assert is_harmless(made)
    assert made.rpartition(b"/")[0] == original.rpartition(b"/")[0]
    assert not made.rpartition(b"/")[2].startswith(b".")


@given(BASES.filter(lambda name: not name.startswith(b".") and len(name) < 200))
def test_a_stem_is_carried_byte_for_byte(name: bytes) -> None:
    made = export_name(name + b".pdf", "r.xlsx", 1, template="{stem}", job="j", task_number=None, date="d")
    assert made == name + b".xlsx"


@given(NAMES, st.integers(0, 12), st.sampled_from(["number", "date"]))
def test_a_free_name_is_always_found_and_never_a_taken_one(name: bytes, rounds: int, on_taken: str) -> None:
    taken: set[bytes] = set()
    free = name
    for _ in range(rounds):
        taken.add(free)
        free = next_free(free, taken, on_taken=on_taken, date="2026-11-23T101500Z")  # type: ignore[arg-type]
    assert free not in taken
    assert is_harmless(free)
    assert free.count(b"/") == name.count(b"/")


@given(NAMES, NAMES)
def test_no_two_originals_share_a_receipt(one: bytes, other: bytes) -> None:
    assert is_harmless(receipt_name(one))
    assert (receipt_name(one) == receipt_name(other)) == (one == other)


@given(NAMES, st.one_of(st.none(), st.floats(allow_nan=False, allow_infinity=False)))
def test_filing_keeps_the_name(name: bytes, at: float | None) -> None:
    assert filed_name(name, at).endswith(name)
    assert is_harmless(filed_name(name, at))


@given(st.binary(max_size=300))
def test_shown_names_can_be_read_back(name: bytes) -> None:
    text = shown(name)
    text.encode()
    assert text.encode() == name or unquote_to_bytes(text) == name


@given(st.one_of(TEXTS, st.binary(max_size=300)))
def test_printable_names_move_no_cursor(name: bytes | str) -> None:
    assert all(letter.isprintable() or letter == " " for letter in printable(name))


@given(st.binary(min_size=1, max_size=300))
def test_upload_names_fit_into_a_header(name: bytes) -> None:
    made = upload_name(name)
    made.encode()
    assert not any(letter < " " or letter in "/\x7f" for letter in made)


@given(st.text(max_size=200), st.integers(0, 400))
def test_no_character_is_cut_in_two(text: str, size: int) -> None:
    made = cut(text.encode(), size)
    assert len(made) <= size
    assert text.startswith(made.decode())
    assert len(made) == len(text.encode()) or len(made) > size - 4
