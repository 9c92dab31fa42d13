"""Kinds told by content, and tails that only hint."""

import pytest

from hopperd.invoices import sample_pages
from hopperd.invoices.content import HEAD_BYTES, describe, sniff, tail_looks_unfinished
from hopperd.invoices.sample_invoices import GB, US, make_fields
from hopperd.invoices.small_pdf import small_pdf

WHOLE = {
    "pdf": small_pdf("1"),
    "png": sample_pages.png(make_fields(0, US), US),
    "jpeg": sample_pages.jpeg(make_fields(0, US), US),
    "tiff": sample_pages.two_page_tiff(make_fields(0, GB), GB),
    "xml": b"<?xml version='1.0'?>\n<a>" + b"x" * 100 + b"</a>\n",
}


@pytest.mark.parametrize("kind", WHOLE)
def test_a_whole_file_looks_finished_and_its_first_half_does_not(kind: str) -> None:
    data = WHOLE[kind]
    assert sniff(data[:HEAD_BYTES]) == kind
    assert not tail_looks_unfinished(kind, data[:HEAD_BYTES], data[-HEAD_BYTES:], len(data))
    half = data[: len(data) // 2]
    assert tail_looks_unfinished(kind, half[:HEAD_BYTES], half[-HEAD_BYTES:], len(half))


def test_an_unknown_kind_never_looks_unfinished() -> None:
    assert not tail_looks_unfinished(None, b"abc", b"abc", 3)


def test_a_pdf_mark_counts_within_the_first_kilobyte_only() -> None:
    assert sniff(b"x" * 1019 + b"%PDF-1.4") == "pdf"
    assert sniff(b"x" * 1100 + b"%PDF-1.4") is None


def test_a_page_that_a_web_server_put_before_a_pdf_does_not_hide_it() -> None:
    assert sniff(b"<br />\n<b>Notice</b>\n%PDF-1.4") == "pdf"
    assert sniff(b"<br />\n<b>Notice</b>\n") is None


@pytest.mark.parametrize("head", [b"", b"\x00", b"\xff\xfe", b"\xff", b"<", b"%", b"\xef\xbb\xbf", b"\xfe\xff\x00"])
def test_a_few_odd_bytes_are_nothing_known_and_never_raise(head: bytes) -> None:
    assert sniff(head) is None
    assert describe(head)
