"""The service as its documentation describes it: Run, the CaptureTask, statuses, results, verification, data sets."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import pytest

from tests.support.sandbox_process import APPLICATION, SandboxProcess, Service, tiny_pdf

AT_CREATION = {
    "id", "number", "batch_id", "type", "is_realtime_enabled", "processing_priority", "is_demo", "properties",
    "account", "email", "application", "created", "progress", "status", "is_deleted", "is_billed", "documents",
    "is_extra_error",
}  # fmt: skip
"""Exactly the fields of the vendor's own example of a Run's answer."""

OCR_SECONDS = 120.0
"""An OCR engine may look at a page without text for long."""


@pytest.fixture(scope="module")
def sandbox() -> Iterator[SandboxProcess]:
    with SandboxProcess() as process:
        yield process


@pytest.fixture
def service(sandbox: SandboxProcess) -> Service:
    return sandbox.service()


def targets(task: dict, at: int = 0) -> list[dict]:
    files = task["documents"][at]["files"]
    return [files[key] for key in sorted(files) if key.startswith("target")]


def test_run_answers_a_task_with_the_fields_of_the_vendors_example(service: Service) -> None:
    info = service.uploaded("US_1.png")
    answer = service.run(info, region="US", export_format="Xls", verification_type="UserVerification", ours="kept")
    task = answer.json
    assert answer.status == 200
    assert set(task) == AT_CREATION, "optional fields that are unset are left out, not null"
    assert re.fullmatch("[0-9a-f]{24}", task["id"])
    assert task["number"].isdigit()
    assert (task["type"], task["status"], task["progress"]) == ("ic", "Submitted", 0)
    assert (task["is_deleted"], task["is_billed"], task["is_demo"]) == (False, False, False)
    assert task["properties"]["ours"] == "kept"
    assert task["application"] == APPLICATION[0]
    source = {key: info[key] for key in ("id", "token", "name")}
    assert task["documents"] == [{"files": {"source": source}, "data": {}, "is_moved": False}]


def test_a_done_task_tells_its_dates_counts_and_results(service: Service) -> None:
    run = service.run(service.uploaded("invoice.pdf"), region="US", export_format="Json").json
    task = service.look_until(run["id"], "Done")
    assert set(task) - {"pages_count"} == AT_CREATION | {"started", "billed", "delivered", "documents_count"}
    assert task["created"] <= task["started"] <= task["billed"] <= task["delivered"]
    assert (task["progress"], task["is_billed"], task["documents_count"]) == (1, True, 1)
    (target,) = targets(task)
    assert set(target) == {"id", "token", "name"}
    assert target["name"] == "invoice.json"
    assert service.file("GET", target, "/info").json["size"] == len(service.file("GET", target).body)


@pytest.mark.parametrize(
    ("asked", "extension", "start"),
    [("Xls", "xlsx", b"PK"), ("xml", "xml", b"<?xml"), ("csv", "csv", b""), ("JSON", "json", b"{")],
)
def test_every_export_format_passes_in_any_case(service: Service, asked: str, extension: str, start: bytes) -> None:
    run = service.run(service.uploaded("a.b.pdf"), export_format=asked).json
    (target,) = targets(service.look_until(run["id"], "Done"))
    assert target["name"] == f"a.b.{extension}"
    body = service.file("GET", target).body
    assert body and body.lstrip(b"\xef\xbb\xbf").startswith(start)


def test_each_uploaded_file_becomes_one_document_of_the_task(service: Service) -> None:
    infos = [service.uploaded(f"{number}.pdf", tiny_pdf(f"N-{number}")) for number in range(3)]
    task = service.look_until(service.run(*infos, export_format="Json").json["id"], "Done")
    assert [each["files"]["source"]["id"] for each in task["documents"]] == [each["id"] for each in infos]
    assert [targets(task, at)[0]["name"] for at in range(3)] == ["0.json", "1.json", "2.json"]
    assert task["documents_count"] == 3


def test_custom_document_projects_run_as_type_dc(service: Service) -> None:
    answer = service.run(service.uploaded(), path="documents", export_format="Csv")
    assert (answer.status, answer.json["type"]) == (200, "dc")
    service.look_until(answer.json["id"], "Done")


@pytest.mark.parametrize(
    "body",
    [
        "{'files': [{'id': 'ID', 'token': 'TOKEN'}], 'properties': {'export_format': 'csv'}}",
        '{"files": [{"id": "ID", "token": "TOKEN",},], "properties": {"region": "US",},}',
        '\ufeff{"files":[{"id":"ID","token":"TOKEN"}]}',
    ],
)
def test_pseudo_json_passes(service: Service, body: str) -> None:
    info = service.uploaded()
    body = body.replace("ID", info["id"]).replace("TOKEN", info["token"])
    for content_type in ("application/json", "text/plain", "application/x-www-form-urlencoded"):
        answer = service.request("POST", "/v2/task/capture/invoices", body.encode(), {"Content-Type": content_type})
        assert answer.status == 200


def test_a_get_with_a_json_content_type_passes(service: Service) -> None:
    run = service.run(service.uploaded()).json
    answer = service.request("GET", f"/v2/task/{run['id']}", headers={"Content-Type": "application/json"})
    assert answer.status == 200


@pytest.mark.parametrize("remove", [False, True])
def test_user_verification_waits_for_a_person_then_goes_on(service: Service, remove: bool) -> None:
    run = service.run(service.uploaded(), export_format="Json", verification_type="UserVerification").json
    waiting = service.look_until(run["id"], "WaitForAction")
    assert re.fullmatch("[0-9a-f]{32}", waiting["verification_id"])
    assert waiting["action_required"] >= waiting["started"]
    assert "delivered" not in waiting
    assert list(waiting["documents"][0]["files"]) == ["source"]
    assert service.look(run["id"])["verification_id"] == waiting["verification_id"]
    body = json.dumps({"remove": True}) if remove else None
    assert service.request("POST", f"/sandbox/verify/{run['id']}", body).status == 200
    done = service.look(run["id"])
    assert (done["status"], done["documents"][0]["is_moved"]) == ("Done", remove)
    assert len(targets(done)) == (0 if remove else 1)
    assert service.request("POST", f"/sandbox/verify/{run['id']}").status == 409


def test_a_deleted_task_is_gone_and_its_files_stay(service: Service) -> None:
    info = service.uploaded()
    run = service.run(info, export_format="Json").json
    (target,) = targets(service.look_until(run["id"], "Done"))
    assert service.request("DELETE", f"/v2/task/{run['id']}").status == 204
    for method in ("GET", "DELETE"):
        assert service.request(method, f"/v2/task/{run['id']}").status == 404
    assert service.file("GET", info, "/info").status == service.file("GET", target, "/info").status == 200


@pytest.mark.parametrize("name", ["vendors", "businessunits"])
@pytest.mark.parametrize("method", ["POST", "PUT"])
def test_catalog_entries_are_created_and_updated_with_204(service: Service, method: str, name: str) -> None:
    for body in ({"ExternalId": "7", "Name": "Acme"}, [{"Name": "Acme"}, {"Name": "Other"}]):
        answer = service.request(method, f"/v2/dataset/{name}", json.dumps(body))
        assert (answer.status, answer.body) == (204, b"")
    for body in ("[]", "3", "[1]", "{}"):
        assert service.request(method, f"/v2/dataset/{name}", body).status == 400


def test_a_layout_is_there_once_the_task_is_processed(service: Service) -> None:
    info = service.uploaded()
    run = service.run(info, export_format="Json").json
    service.look_until(run["id"], "Done")
    assert service.request("GET", f"/v2/training/layout/{run['id']}/{info['id']}").status == 200
    assert service.request("GET", f"/v2/training/layout/{run['id']}/{'0' * 24}").status == 404
    assert service.request("POST", "/v2/training", "{}").status == 204


def test_the_ledger_tells_what_was_billed(service: Service) -> None:
    def documents() -> int:
        known = service.request("GET", "/sandbox/ledger").json["applications"]
        return next(each["documents"] for each in known if each["application"] == APPLICATION[0])

    before = documents()
    service.run(service.uploaded(), service.uploaded())
    assert documents() == before + 2


ENTITIES = b'<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b "c">]><Invoice>&b;</Invoice>'


@pytest.mark.parametrize(
    "data",
    [b"", b"no document", b"%PDF-1.7\n", tiny_pdf()[:400], b"\xff\xd8\xff", b"<?xml version='1.0'?><a>", ENTITIES],
)
def test_what_cannot_be_opened_ends_failed_with_no_result(service: Service, data: bytes) -> None:
    run = service.run(service.uploaded("bad.pdf", data), export_format="Json").json
    task = service.look_until(run["id"], "Failed")
    assert targets(task) == [] and "delivered" not in task


def test_a_page_without_readable_text_ends_done_with_unknown_fields_left_out(service: Service) -> None:
    info = service.uploaded("blank.pdf", tiny_pdf().replace(b"Tj", b"Tw"))
    run = service.run(info, export_format="Json").json
    (target,) = targets(service.look_until(run["id"], "Done", seconds=OCR_SECONDS))
    (document,) = service.file("GET", target).json["Documents"]
    assert (document["FileName"], document["Fields"]) == ("blank.pdf", {})


def test_troubleshooting_asks_a_person_only_when_the_reader_is_unsure(service: Service) -> None:
    info = service.uploaded("blank.pdf", tiny_pdf().replace(b"Tj", b"Tw"))
    run = service.run(info, export_format="Json", verification_type="Troubleshooting").json
    service.look_until(run["id"], "WaitForAction", seconds=OCR_SECONDS)
