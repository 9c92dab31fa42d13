"""What other people's clients send, each in its own habit, works as it does at the real service."""

from __future__ import annotations

import base64
from collections.abc import Iterator

import pytest

from tests.support.sandbox_process import SandboxProcess, Service, multipart, tiny_pdf

ODD = ("ÿ?>~", ">>>???~~~:ÿ!")
"""Credentials whose Base64 has every letter in which the variants differ."""


@pytest.fixture(scope="module")
def sandbox() -> Iterator[SandboxProcess]:
    with SandboxProcess("--reader", "none", applications=(ODD,)) as process:
        yield process


@pytest.fixture
def service(sandbox: SandboxProcess) -> Service:
    return sandbox.service(ODD)


def variants() -> list[str]:
    plain = ":".join(ODD).encode()
    standard, url_safe = base64.b64encode(plain).decode(), base64.urlsafe_b64encode(plain).decode()
    assert {"+", "/", "="} <= set(standard) and {"-", "_", "="} <= set(url_safe)
    return [standard, standard.rstrip("="), url_safe, url_safe.rstrip("=")]


@pytest.mark.parametrize("encoded", variants())
@pytest.mark.parametrize("scheme", ["Basic", "basic", "BASIC"])
def test_credentials_in_any_variant_of_base64_pass(service: Service, encoded: str, scheme: str) -> None:
    answer = service.request("GET", "/v2/task/" + "0" * 24, headers={"Authorization": f"{scheme} {encoded}"})
    assert answer.status == 404


@pytest.mark.parametrize("part_name", ["file", "Filedata", "files[]", "", "model"])
def test_a_part_may_have_any_name(service: Service, part_name: str) -> None:
    answer = service.upload(("a.pdf", tiny_pdf()), part_name=part_name)
    assert (answer.status, answer.json[0]["name"]) == (200, "a.pdf")


def test_several_parts_in_one_upload_become_several_files(service: Service) -> None:
    infos = service.upload(*[(f"{number}.pdf", tiny_pdf(str(number))) for number in range(7)]).json
    assert [each["name"] for each in infos] == [f"{number}.pdf" for number in range(7)]
    task = service.look_until(service.run(*infos, export_format="Json").json["id"], "Done")
    assert len(task["documents"]) == 7


def test_a_part_without_a_file_name_or_type_is_a_file(service: Service) -> None:
    body = b'--x\r\nContent-Disposition: form-data; name="invoice"\r\n\r\n%PDF-1.7\r\n--x--\r\n'
    answer = service.request("POST", "/v2/file", body, {"Content-Type": "multipart/form-data; boundary=x"})
    assert (answer.status, answer.json[0]["name"], answer.json[0]["mime"]) == (200, "invoice", "application/pdf")


def test_a_body_may_come_in_chunks(service: Service) -> None:
    body, content_type = multipart(("a.pdf", tiny_pdf()))
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(each), each) for each in (body[:100], body[100:])) + b"0\r\n\r\n"
    headers = {"Content-Type": content_type, "Transfer-Encoding": "chunked"}
    assert service.request("POST", "/v2/file", chunks, headers).status == 200


@pytest.mark.parametrize("path", ["invoices", "documents"])
@pytest.mark.parametrize(
    "body",
    [
        "{'files': [{'id': 'ID', 'token': 'TOKEN'}], 'properties': {'region': 'us', 'export_format': 'json'}}",
        '{"files": [{"id": "ID", "token": "TOKEN",},], "properties": {"export_format": "json",},}',
        '{"files": [{"id": "ID", "token": "TOKEN", "name": "a.pdf"}], "properties": {"export_format": "JSON"}, "x": 1}',
        "{'files': [{\"id\": 'ID', 'token': \"TOKEN\"}], \"properties\": {'export_format': 'Json', 'note': 'it\\'s'}}",
    ],
)
def test_pseudo_json_runs_a_task(service: Service, path: str, body: str) -> None:
    info = service.uploaded()
    body = body.replace("ID", info["id"]).replace("TOKEN", info["token"])
    answer = service.request("POST", f"/v2/task/capture/{path}", body.encode())
    assert (answer.status, answer.json["type"]) == (200, {"invoices": "ic", "documents": "dc"}[path])
    assert service.look_until(answer.json["id"], "Done")["documents"][0]["files"]["target"]


@pytest.mark.parametrize("asked", ["csv", "xml", "xls", "json", "CSV", "xLs"])
def test_the_name_of_a_format_may_have_any_case(service: Service, asked: str) -> None:
    run = service.run(service.uploaded(), export_format=asked).json
    assert run["properties"]["export_format"] == asked, "properties are echoed as they were sent"
    (name,) = {each["files"]["target"]["name"] for each in service.look_until(run["id"], "Done")["documents"]}
    assert name == "invoice." + {"xls": "xlsx"}.get(asked.lower(), asked.lower())


@pytest.mark.parametrize("rest", ["", "/info"])
def test_a_get_may_say_that_it_carries_json(service: Service, rest: str) -> None:
    info = service.uploaded()
    path = f"/v2/file/{info['id']}/{info['token']}{rest}"
    for headers in ({"Content-Type": "application/json"}, {"Content-Type": "application/json", "Accept": "*/*"}):
        assert service.request("GET", path, headers=headers).status == 200
    assert service.request("GET", path, b"{}", {"Content-Type": "application/json"}).status == 200
