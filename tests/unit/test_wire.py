"""Their JSON and status codes: every form that the service is known to use, and those it leaves open."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from hopperd.capture import wire
from hopperd.pipeline.job import RemoteFile, TaskStatus

# The vendor's own example of an answer to Run.
EXAMPLE = json.loads(
    '{"id": "5eeb7bf728613d1e04a70782","number": "1126563","batch_id": 0,"type": "ic","is_realtime_enabled": false,'
    '"processing_priority": "Normal","is_demo": false,"properties": {"region": "US","export_format": "Xls",'
    '"verification_type": "UserVerification"},"account": "5dae591d3c66a51ae8be9896","email": "user@abbyy.com",'
    '"application": "5dae591e91375010bcd78362","created": "2020-02-02T15:36:39.441Z","progress": 0,'
    '"status": "Submitted","is_deleted": false,"is_billed": false,"documents": [{"files": {"source": '
    '{"id": "5eeb762149c6470fdc65a84c","token": "4B5A1A00E7A82C2AF31E20CADE7284DDA43DED30","name": "US_1.png"}},'
    '"data": {},"is_moved": false}],"is_extra_error": false}'
)
INFO = {
    "id": "5eeb762149c6470fdc65a84c",
    "token": "4B5A",
    "hash": "AB" * 64,
    "size": 7,
    "expiring": "2020-03-01T00:00:00Z",
}


def task(**changes: Any) -> Any:
    return wire.read_task(json.dumps(EXAMPLE | changes).encode())


def test_the_vendors_example_is_read_and_kept_whole() -> None:
    read = task()
    assert (read.id, read.number, read.status, read.is_demo) == (EXAMPLE["id"], "1126563", TaskStatus.RUNNING, False)
    assert read.raw == EXAMPLE and read.verification_id is None
    (document,) = read.documents
    assert (document.source_id, document.source_name) == ("5eeb762149c6470fdc65a84c", "US_1.png")
    assert document.results == () and not document.is_moved


@pytest.mark.parametrize(
    ("status", "meaning"),
    [
        ("New", TaskStatus.RUNNING),
        ("Submitted", TaskStatus.RUNNING),
        ("InProgress", TaskStatus.RUNNING),
        ("WaitForAction", TaskStatus.WAITS_FOR_PERSON),
        ("Done", TaskStatus.DONE),
        ("Failed", TaskStatus.FAILED),
        ("Canceled", TaskStatus.CANCELED),
        ("Rethinking", TaskStatus.RUNNING),
        ("", TaskStatus.RUNNING),
        (None, TaskStatus.RUNNING),
    ],
)
def test_statuses(status: str | None, meaning: TaskStatus) -> None:
    read = task(status=status)
    assert (read.status, read.status_text) == (meaning, status or "")
    assert read.is_known_status is (status not in ("Rethinking", "", None))


def test_results_are_every_file_whose_key_starts_with_target() -> None:
    files = {
        "source": {"id": "s", "token": "t"},
        "target": {"id": "a", "token": "b", "name": "1.xlsx"},
        "targetXls2": {"id": "c", "token": "d"},
        "target_broken": {"id": "e"},
        "thumbnail": {"id": "f", "token": "g"},
    }
    (document,) = task(documents=[{"files": files, "is_moved": True}]).documents
    assert document.results == (
        ("target", "1.xlsx", RemoteFile(id="a", token="b")),
        ("targetXls2", "", RemoteFile(id="c", token="d")),
    )
    assert document.is_moved


@pytest.mark.parametrize(
    "documents", [None, {}, [], "no", [1, None, "x"], [{}], [{"files": []}], [{"files": {"target": 1}}]]
)
def test_missing_and_odd_documents_are_no_error(documents: object) -> None:
    assert all(document.results == () for document in task(documents=documents).documents)


def test_ids_and_numbers_may_be_numbers() -> None:
    read = task(id=12, number=34, verification_id=56, progress="half")
    assert (read.id, read.number, read.verification_id) == ("12", "34", "56")


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b"null", b"{}", b'{"id": null}', b'{"id": ""}', b'{"id": ".."}', b"\xff\xfe\x00"]
)
def test_an_answer_without_a_task_is_unreadable(body: bytes) -> None:
    with pytest.raises(wire.Unreadable):
        wire.read_task(body)


def test_what_could_not_be_stored_is_mended() -> None:
    read = wire.read_task(rb'{"id": "x", "a\ud800": "\u0000b\udfff", "n": NaN, "i": 1e999, "ok": "\ud83d\ude00"}')
    json.dumps(dict(read.raw), allow_nan=False).encode()
    assert read.raw["ok"] == "\N{GRINNING FACE}" and read.raw["n"] is None
    str(read.raw).encode()


@pytest.mark.parametrize("body", [INFO, [INFO]])
def test_file_info_alone_or_in_an_array(body: object) -> None:
    info = wire.read_file_info(json.dumps(body).encode())
    assert info == wire.FileInfo(
        remote=RemoteFile(id=str(INFO["id"]), token="4B5A", expiring=1583020800.0), sha512="ab" * 64, size_bytes=7
    )


@pytest.mark.parametrize("body", [[], [INFO, INFO], {}, {"id": "x"}, "x", None])
def test_no_file_info_is_unreadable(body: object) -> None:
    with pytest.raises(wire.Unreadable):
        wire.read_file_info(json.dumps(body).encode())


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("2020-02-02T15:36:39.441Z", 1580657799.441),
        ("2020-02-02T15:36:39Z", 1580657799.0),
        ("2020-02-02T15:36:39", 1580657799.0),
        ("2020-02-02T15:36:39.4412345", 1580657799.441234),
        ("2020-02-02T17:36:39+02:00", 1580657799.0),
        ("0001-01-01T00:00:00Z", None),
        ("soon", None),
        (12, None),
        (None, None),
    ],
)
def test_dates(text: object, seconds: float | None) -> None:
    assert wire.read_date(text) == seconds


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("5", 5.0),
        (" 1.5 ", 1.5),
        ("Wed, 21 Oct 2026 07:28:00 GMT", 680.0),
        ("Wed, 21 Oct 2020 07:28:00 GMT", 0.0),
        ("99999999", 3600.0),
        ("-1", None),
        ("", None),
        ("soon", None),
        (None, None),
    ],
)
def test_retry_after(value: str | None, seconds: float | None) -> None:
    assert wire.read_retry_after(value, 1792567000.0) == seconds


FAULTS = {
    400: "file", 413: "file", 415: "file", 422: "file",
    401: "account", 403: "account",
    404: "gone", 410: "gone", 409: "unready",
    301: "weather", 402: "weather", 405: "weather", 407: "weather", 429: "weather", 503: "weather",
}  # fmt: skip
CERTAINTY = {408: "doubt", 500: "doubt", 502: "doubt", 504: "doubt", 599: "doubt"}


@pytest.mark.parametrize(("status", "fault"), FAULTS.items())
@pytest.mark.parametrize("call", ["run", "upload", "look"])
def test_whose_fault_a_refusal_is(status: int, fault: str, call: str) -> None:
    assert wire.answer_trouble(call, status, b"").fault == fault


@pytest.mark.parametrize("status", CERTAINTY)
def test_what_is_a_doubt_after_a_run_is_weather_elsewhere(status: int) -> None:
    assert wire.answer_trouble("run", status, b"").fault == "doubt"
    assert wire.answer_trouble("upload", status, b"").fault == "weather"


@pytest.mark.parametrize("status", [s for s in range(300, 500) if s != 408] + [503])
def test_a_run_is_never_in_doubt_after_a_certain_no(status: int) -> None:
    assert wire.answer_trouble("run", status, b"").fault != "doubt"


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b'{"id": "1", "error": "bad_file", "error_description": "Not an image"}', "bad_file: Not an image"),
        (b'{"id": "1", "requestId": "2", "statusCode": 500, "errorCode": "E7", "message": "Oops"}', "E7: Oops"),
        (b"plain\r\n\ttext\x00\x1b[31m", "plain text [31m"),
        (b"<!DOCTYPE html><html><title>Bad &amp; gone\n</title>", 'an HTML page "Bad & gone "'),
        (b"<html>", "an HTML page"),
        (b"[" * 3000, None),
        (b"", ""),
    ],
)
def test_error_bodies_of_every_kind_become_one_line(body: bytes, said: str | None) -> None:
    quoted = wire.quote_answer(body)
    assert said is None or quoted == said
    assert quoted.isprintable() and len(quoted) <= 200


def test_no_credential_is_quoted() -> None:
    basic = wire.authorization("id", "t0ken/+")
    text = f"t0ken/+ {basic} t0ken%2F%2B {'AB' * 20} Bearer abc.def"
    cleaned = wire.clean(text, ["t0ken/+", basic.split()[1]])
    assert "t0ken" not in cleaned and basic.split()[1] not in cleaned and "ABAB" not in cleaned and "abc" not in cleaned


def test_credentials_may_be_any_text() -> None:
    assert base64.b64decode(wire.authorization("ä:b", "ö\N{SNOWMAN}").split()[1]).decode() == "ä:b:ö\N{SNOWMAN}"


def test_ids_cannot_climb_out_of_their_place_in_a_path() -> None:
    assert wire.task_path("a/../b?c#d") == "/v2/task/a%2F..%2Fb%3Fc%23d"
    assert wire.file_path(RemoteFile(id="a/b", token="c d")) == "/v2/file/a%2Fb/c%20d"


@pytest.mark.parametrize(
    ("service", "portal"),
    [
        ("https://api-eu.flexicapture.com", "https://cloud-eu.flexicapture.com/verification/"),
        ("https://api-gateway.example.com", "https://api-gateway.example.com/verification/"),
        ("https://gateway.example.com/abbyy", "https://gateway.example.com/abbyy/verification/"),
        ("http://127.0.0.1:8765/", "http://127.0.0.1:8765/verification/"),
    ],
)
def test_where_a_person_verifies(service: str, portal: str) -> None:
    assert wire.verification_base(service) == portal


def test_a_run_asks_for_the_files_with_the_properties() -> None:
    body = json.loads(wire.run_body([RemoteFile(id="a", token="b")], {"region": "EU"}))
    assert body == {"files": [{"id": "a", "token": "b"}], "properties": {"region": "EU"}}


def test_names_in_a_multipart_head_are_escaped_like_a_browser_does() -> None:
    head = wire.multipart_head("B", 'Zoë "1"\r\nX: y.pdf').decode()
    assert 'filename="Zoë %221%22%0D%0AX: y.pdf"' in head and head.count("\r\n") == 4


@pytest.mark.parametrize(
    ("body", "is_html"),
    [
        (b"<!DOCTYPE html>", True),
        (b"\xef\xbb\xbf \n<HTML lang=en>", True),
        (b"<!-- x --><html>", True),
        (b"<?xml version='1.0'?><invoice/>", False),
        (b"<heading/>", False),
        (b"PK\x03\x04", False),
    ],
)
def test_error_pages_are_told_from_results(body: bytes, is_html: bool) -> None:
    assert wire.looks_like_html(body) is is_html


def test_a_task_that_is_very_long_is_kept_without_its_documents() -> None:
    documents = [{"files": {"source": {"id": "a" * 24, "token": "B" * 40}}, "data": "x" * 1000}] * 100
    task = wire.read_task(json.dumps({"id": "t", "number": 7, "status": "Done", "documents": documents}).encode())
    assert len(task.documents) == 100
    assert task.raw == {"id": "t", "number": 7, "status": "Done", "is_shortened": True, "documents_count": 100}
    odd = wire.read_task(json.dumps({"id": "t", "status": "Done", "note": "x" * 100_000}).encode())
    assert len(json.dumps(dict(odd.raw))) <= wire.LONGEST_TASK_BYTES
