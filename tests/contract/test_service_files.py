"""The service as its documentation describes it: credentials, uploads, FileInfo, downloads, deletion, isolation."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterator
from datetime import datetime

import pytest

from tests.support.sandbox_process import APPLICATION, OTHER_APPLICATION, SandboxProcess, Service, tiny_pdf

FILE_INFO_KEYS = {
    "id", "token", "name", "extension", "hash", "size", "mime", "is_recognizable",
    "account", "application", "email", "created", "expiring",
}  # fmt: skip


@pytest.fixture(scope="module")
def sandbox() -> Iterator[SandboxProcess]:
    with SandboxProcess() as process:
        yield process


@pytest.fixture
def service(sandbox: SandboxProcess) -> Service:
    return sandbox.service()


def basic(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def credentials_in_every_variant() -> list[str]:
    plain = f"{APPLICATION[0]}:{APPLICATION[1]}"
    padded = next(basic(plain) for _ in "1")
    url_safe = base64.urlsafe_b64encode(plain.encode()).decode()
    return [padded, padded.rstrip("="), url_safe, url_safe.rstrip("="), padded + "=="]


@pytest.mark.parametrize("encoded", credentials_in_every_variant())
def test_basic_credentials_pass_in_any_base64_variant(service: Service, encoded: str) -> None:
    answer = service.request("GET", "/v2/task/" + "0" * 24, headers={"Authorization": f"Basic {encoded}"})
    assert answer.status == 404


@pytest.mark.parametrize(
    "header", ["", "Basic", "Basic !!!", "Bearer abc", "Basic " + basic("nobody:nothing"), "Basic ="]
)
@pytest.mark.parametrize("path", ["/v2/task/" + "0" * 24, "/v2/file/" + "0" * 24 + "/" + "0" * 40])
def test_wrong_credentials_are_401_whatever_is_asked(service: Service, header: str, path: str) -> None:
    answer = service.request("GET", path, headers={"Authorization": header})
    assert answer.status == 401
    assert set(answer.json) == {"id", "error", "error_description"}


def test_an_upload_answers_an_array_of_file_infos_in_the_order_of_its_parts(service: Service) -> None:
    data = tiny_pdf()
    answer = service.upload(
        ("a.pdf", data), ("b.xml", b"<?xml version='1.0'?><a/>"), ("c", b"\x00\x01"), part_name="any"
    )
    assert answer.status == 200
    assert [each["name"] for each in answer.json] == ["a.pdf", "b.xml", "c"]
    for info in answer.json:
        assert set(info) == FILE_INFO_KEYS
        assert re.fullmatch("[0-9a-f]{24}", info["id"])
        assert re.fullmatch("[0-9A-F]{40}", info["token"])
        assert info["application"] == APPLICATION[0]
        assert datetime.fromisoformat(info["created"]) < datetime.fromisoformat(info["expiring"])
    first = answer.json[0]
    assert first["hash"].lower() == hashlib.sha512(data).hexdigest()
    assert (first["size"], first["extension"], first["mime"]) == (len(data), ".pdf", "application/pdf")
    assert [each["is_recognizable"] for each in answer.json] == [True, False, False]
    assert len({each["id"] for each in answer.json}) == 3


def test_odd_names_come_back_as_they_were_sent_without_folders(service: Service) -> None:
    names = ["Rechnung Müller №7.pdf", "../../up.pdf", "/etc/passwd", ".pdf", "a.tar.gz"]
    infos = service.upload(*[(name, b"x") for name in names]).json
    assert [each["name"] for each in infos] == ["Rechnung Müller №7.pdf", "up.pdf", "passwd", ".pdf", "a.tar.gz"]
    assert [each["extension"] for each in infos] == [".pdf", ".pdf", "", "", ".gz"]


def test_info_is_what_the_upload_answered(service: Service) -> None:
    info = service.uploaded()
    answer = service.file("GET", info, "/info")
    assert (answer.status, answer.json) == (200, info)


@pytest.mark.parametrize("size", [0, 1, 65_536, 5_000_000])
def test_a_download_is_byte_for_byte_the_upload(service: Service, size: int) -> None:
    data = (b"0123456789abcdef" * (size // 16 + 1))[:size]
    info = service.uploaded("big.bin", data)
    answer = service.file("GET", info)
    assert (answer.status, answer.body) == (200, data)
    assert answer.headers["content-length"] == str(size)


def test_a_deleted_file_is_404_for_every_method(service: Service) -> None:
    info = service.uploaded()
    assert service.file("DELETE", info).status == 204
    for method, rest in (("GET", ""), ("GET", "/info"), ("DELETE", "")):
        assert service.file(method, info, rest).status == 404
    assert service.run(info, export_format="Json").status == 404


def test_an_application_sees_only_its_own_files_and_tasks(sandbox: SandboxProcess) -> None:
    ours, theirs = sandbox.service(), sandbox.service(OTHER_APPLICATION)
    info = ours.uploaded()
    task = ours.run(info, export_format="Json").json
    for method, rest in (("GET", ""), ("GET", "/info"), ("DELETE", "")):
        assert theirs.file(method, info, rest).status == 404
    assert theirs.run(info, export_format="Json").status == 404
    assert theirs.request("GET", f"/v2/task/{task['id']}").status == 404
    assert theirs.request("DELETE", f"/v2/task/{task['id']}").status == 404
    assert ours.look(task["id"])["id"] == task["id"]


def test_the_wrong_token_or_an_id_of_the_wrong_form_is_404(service: Service) -> None:
    info = service.uploaded()
    for file_id, token in ((info["id"], "0" * 40), ("0" * 24, info["token"]), ("x", "y"), ("%00", "%ff"), ("é", "é")):
        path = f"/v2/file/{file_id}/{token}".encode().decode("latin-1")
        assert service.request("GET", path.encode("ascii", "replace").decode()).status in (400, 404)


def test_ids_pass_in_either_case(service: Service) -> None:
    info = service.uploaded()
    assert service.file("GET", {"id": info["id"].upper(), "token": info["token"].lower()}, "/info").status == 200
