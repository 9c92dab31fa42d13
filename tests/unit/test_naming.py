"""Names as product.md promises them."""

from __future__ import annotations

import pytest

from hopperd.pipeline.naming import (
    clamped,
    cut,
    export_name,
    filed_name,
    next_free,
    printable,
    receipt_name,
    shown,
    split_extension,
    upload_name,
)

DATE = "2026-11-23T101500Z"


def export(original: bytes, result: str = "Result.xlsx", ordinal: int = 1, template: str = "{stem}") -> bytes:
    return export_name(original, result, ordinal, template=template, job="j0b", task_number="77", date=DATE)


def test_an_export_is_named_after_its_original_in_the_same_subfolder() -> None:
    assert export(b"invoice.pdf") == b"invoice.xlsx"
    assert export(b"a/b/invoice.pdf") == b"a/b/invoice.xlsx"
    assert export(b"invoice.pdf", ordinal=2) == b"invoice-2.xlsx"
    assert export(b"archive.tar.gz") == b"archive.tar.xlsx"
    assert export(b"noextension") == b"noextension.xlsx"


@pytest.mark.parametrize(
    ("result", "extension"),
    [
        ("x.XML", b".XML"),
        ("x", b""),
        ("", b""),
        ("x.a/b", b""),
        ("x." + "y" * 17, b""),
        ("x.é", b""),
        ("../../etc/x.json", b".json"),
        ("x.csv\n", b""),
    ],
)
def test_the_extension_comes_from_the_service_and_is_harmless(result: str, extension: bytes) -> None:
    assert export(b"i.pdf", result) == b"i" + extension


@pytest.mark.parametrize(
    ("template", "name"),
    [
        ("{name}", b"i{job}.pdf.xlsx"),
        ("{stem}", b"i{job}.xlsx"),
        ("{task_number}-{stem}", b"77-i{job}.xlsx"),
        ("{job} {date}", b"j0b 2026-11-23T101500Z.xlsx"),
        (".{stem}", b"_i{job}.xlsx"),
        ("{{x}}{stem}", b"{x}i{job}.xlsx"),
    ],
)
def test_templates(template: str, name: bytes) -> None:
    assert export(b"i{job}.pdf", template=template) == name


def test_an_unknown_task_number_alone_falls_back_to_the_stem() -> None:
    assert export_name(b"i.pdf", "r.csv", 1, template="{task_number}", job="j", task_number=None, date="") == b"i.csv"


def test_an_export_never_looks_like_our_own_staging() -> None:
    assert export(b".hopperd", "x") == b"_hopperd"


def test_odd_bytes_are_carried() -> None:
    assert export(b"Rechnung-\xfc\n.pdf") == b"Rechnung-\xfc\n.xlsx"


def test_a_long_name_is_cut_by_bytes_and_keeps_its_tail() -> None:
    name = export("ü".encode() * 125 + b"abc.pdf", ordinal=2)
    assert len(name) <= 255
    assert name.endswith(b"-2.xlsx")
    assert name.decode().startswith("üü")


def test_taken_names_are_counted_on() -> None:
    taken = {b"a/x.pdf", b"a/x (2).pdf"}
    assert next_free(b"a/y.pdf", taken, on_taken="number", date=DATE) == b"a/y.pdf"
    assert next_free(b"a/x.pdf", taken, on_taken="number", date=DATE) == b"a/x (3).pdf"
    assert next_free(b"a/x (2).pdf", taken, on_taken="number", date=DATE) == b"a/x (3).pdf"
    assert next_free(b"a/x.pdf", taken, on_taken="date", date=DATE) == b"a/x 2026-11-23T101500Z.pdf"
    dated = taken | {b"a/x 2026-11-23T101500Z.pdf"}
    assert next_free(b"a/x.pdf", dated, on_taken="date", date=DATE) == b"a/x 2026-11-23T101500Z (2).pdf"
    assert next_free(b"a/x 2026-11-23T101500Z.pdf", dated, on_taken="date", date="2027-01-01T000000Z") == (
        b"a/x 2026-11-23T101500Z (2).pdf"
    )
    with pytest.raises(LookupError):
        next_free(b"a/x.pdf", taken, on_taken="fail", date=DATE)


def test_a_file_in_the_place_of_a_subfolder_is_walked_round() -> None:
    assert next_free(b"a/x.pdf", {b"a", b"a/x.pdf"}, on_taken="number", date=DATE) == b"a (2)/x.pdf"
    assert next_free(b"a/b/x.pdf", {b"a/b", b"a/b (2)"}, on_taken="fail", date=DATE) == b"a/b (3)/x.pdf"


def test_long_taken_names_stay_apart() -> None:
    name = b"n" * 251 + b".pdf"
    second = next_free(name, {name}, on_taken="number", date=DATE)
    third = next_free(name, {name, second}, on_taken="number", date=DATE)
    assert len({name, second, third}) == 3
    assert max(map(len, (second, third))) <= 255


def test_originals_are_filed_under_the_day_of_filing() -> None:
    assert filed_name(b"a/x.pdf", 1_795_428_900.0) == b"2026/11/23/a/x.pdf"
    assert filed_name(b"a/x.pdf", None) == b"a/x.pdf"


def test_receipts_of_long_names_are_cut_and_stay_apart() -> None:
    assert receipt_name(b"d/x.pdf") == b"d/x.pdf.receipt.json"
    first, second = b"d/" + b"x" * 250 + b"1.pdf", b"d/" + b"x" * 250 + b"2.pdf"
    names = {receipt_name(first), receipt_name(second)}
    assert len(names) == 2
    assert all(len(name) <= 2 + 255 and name.endswith(b".receipt.json") for name in names)


def test_names_are_shown() -> None:
    assert shown("Grüße %41\n.pdf".encode()) == "Grüße %41\n.pdf"
    assert shown(b"R-\xfc%41.pdf") == "R-%FC%2541.pdf"
    assert printable("a\nb\u202egpj.exe\x1b[2J") == "a\\x0ab\\u202egpj.exe\\x1b[2J"
    assert printable("Grüße 文.pdf".encode()) == "Grüße 文.pdf"


def test_upload_names_are_the_originals_own_as_browsers_send_them() -> None:
    assert upload_name("a/Größe Ünder.pdf".encode()) == "Größe Ünder.pdf"
    assert upload_name(b'q"u\r\no\\te\xfc.pdf') == 'q"u%0D%0Ao\\te%FC.pdf'
    assert upload_name(b"x" * 251 + b".pdf") == "x" * 251 + ".pdf"
    assert upload_name(b"...") == "..."


def test_pieces() -> None:
    assert split_extension(b".bashrc") == (b".bashrc", b"")
    assert split_extension(b"a.b.pdf") == (b"a.b", b".pdf")
    assert split_extension(b"a. pdf") == (b"a. pdf", b"")
    assert cut("aé".encode(), 2) == b"a"
    assert cut(b"a\xff\xff", 2) == b"a\xff"
    assert clamped("é".encode() * 200, b".pdf") == "é".encode() * 125 + b".pdf"
