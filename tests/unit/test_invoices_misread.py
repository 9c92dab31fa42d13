"""What an OCR engine misread is caught by arithmetic and by what is printed twice; what stays in doubt stays out."""

from decimal import Decimal

import pytest

from hopperd.invoices.document import Fields
from hopperd.invoices.pdf_text import Word
from hopperd.invoices.reader import is_misread
from hopperd.invoices.text_fields import read_fields


def scanned(*rows: tuple[str, ...]) -> Fields:
    """The fields of a scan whose rows hold cells 130 points apart."""
    words = [
        Word(text, 40 + 130 * column, 20.0 * number, 40 + 130 * column + 5 * len(text), 20.0 * number + 10)
        for number, row in enumerate(rows)
        for column, text in enumerate(row)
    ]
    return read_fields([words], is_scan=True)


def test_a_total_one_digit_off_is_set_right_by_what_is_printed_more_often() -> None:
    fields = scanned(("Total", "33.53"), ("Mastercard", "33.59"), ("AMOUNT", "33.59"))
    assert fields.total == Decimal("33.59")


def test_a_total_printed_once_stands_where_nothing_contradicts_it() -> None:
    assert scanned(("Coffee", "3.50"), ("Total", "33.53"), ("Cash", "40.00")).total == Decimal("33.53")


def test_a_total_below_a_larger_amount_is_left_out() -> None:
    assert scanned(("Alignment", "423.74"), ("Balancing", "1104.70"), ("Total", "274.58")).total is None


def test_sums_that_agree_bear_a_total_out_whatever_stands_above() -> None:
    rows = (("List price", "500.00"), ("Net amount", "100.00"), ("VAT", "20.00"), ("Total", "120.00"))
    assert scanned(*rows).total == Decimal("120.00")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Total due 770.00 EUR", False),
        ("\u0e23\u0e1e \u0e23\u0e23 Tallinn", False),
        ("To\u0627al d\u0665e T\u0430x \u041eder Net", True),
        ("\u0391\u03c1\u03b9\u03b8\u03bc\u03cc\u03c2 12", False),
    ],
)
def test_text_over_a_scan_that_mixes_scripts_within_words_is_not_trusted(text: str, expected: bool) -> None:
    assert is_misread([Word(word, 0, 0, 1, 1) for word in text.split()]) is expected
