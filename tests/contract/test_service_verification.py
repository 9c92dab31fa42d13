"""The verification page's own requests: who may, when, one window at a time, and whom Troubleshooting asks."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.sandbox_process import Answer, SandboxProcess, Service, tiny_pdf, tiny_ubl


@pytest.fixture(scope="module")
def sandbox() -> Iterator[SandboxProcess]:
    with SandboxProcess("--window-seconds", "0.5") as process:
        yield process


@pytest.fixture
def service(sandbox: SandboxProcess) -> Service:
    return sandbox.service()


class Window:
    """A window of a person who knows the id, and no credentials."""

    def __init__(self, service: Service, verification_id: str) -> None:
        self.service = service
        self.path = f"/verification/{verification_id}/windows/{secrets.token_hex(16)}"

    def ask(self, method: str, rest: str = "", body: Any = None) -> Answer:
        sent = None if body is None else json.dumps(body)
        return self.service.request(method, self.path + rest, sent, {"Authorization": ""})


def waiting(service: Service, *files: tuple[str, bytes], kind: str = "UserVerification") -> Any:
    infos = [service.uploaded(*each) for each in files or (("a.pdf", tiny_pdf()),)]
    run = service.run(*infos, export_format="Json", verification_type=kind).json
    return service.look_until(run["id"], "WaitForAction")


def test_the_page_needs_no_credentials_and_loads_nothing_from_outside(service: Service) -> None:
    task = waiting(service)
    answer = service.request("GET", f"/verification/{task['verification_id']}", headers={"Authorization": ""})
    assert (answer.status, answer.headers["content-type"]) == (200, "text/html; charset=utf-8")
    policy = answer.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'") and "unsafe" not in policy and "http" not in policy
    assert answer.headers["referrer-policy"] == "no-referrer"
    for name in ("verification.css", "verification.js", "form.js", "icon.svg"):
        static = service.request("GET", f"/sandbox/static/{name}")
        assert static.status == 200 and b"https://" not in static.body
    assert service.request("GET", "/sandbox/static/..%2fserver.py").status == 404


def test_what_was_read_is_told_and_the_decisions_reach_the_export(service: Service) -> None:
    task = waiting(service, ("a.pdf", tiny_pdf()), ("b.xml", tiny_ubl()))
    window = Window(service, task["verification_id"])
    assert window.ask("PUT").json == {"heartbeat_seconds": 0.1}
    first, second = window.ask("GET", "/task").json["documents"]
    assert (first["name"], first["pages"]) == ("a.pdf", 1)
    assert first["invoices"][0]["fields"]["InvoiceNumber"] == "INV-1001"
    picture = window.ask("GET", "/documents/0/pages/0")
    assert picture.status == 200 and picture.headers["content-type"].startswith("image/")
    for rest in ("/documents/0/pages/1", "/documents/1/pages/0", "/documents/2/pages/0", "/documents/x/pages/-1"):
        assert window.ask("GET", rest).status == 404
    fields = second["invoices"][0]["fields"] | {"Total": "122.5", "OrderNumber": " PO-1 ", "DueDate": ""}
    body = {"documents": [{"removed": True}, {"removed": False, "invoices": [fields]}]}
    assert window.ask("POST", "/close", body).json == {"status": "Done"}
    done = service.look(task["id"])
    assert [each["is_moved"] for each in done["documents"]] == [True, False]
    export = service.file("GET", done["documents"][1]["files"]["target"]).json["Documents"][0]
    assert (export["Fields"]["Total"], export["Fields"]["OrderNumber"]) == ("122.5", "PO-1")
    assert export["Fields"]["Vendor"]["Name"] == "Zeebrand NV" and "DueDate" not in export["Fields"]
    for method, rest in (("PUT", ""), ("GET", "/task"), ("GET", "/documents/0/pages/0"), ("POST", "/close")):
        assert window.ask(method, rest, body if method == "POST" else None).status == 410


@pytest.mark.parametrize(
    ("fields", "where"),
    [
        ({"Total": "1,5"}, "0.0.Total"),
        ({"Total": "1e9"}, "0.0.Total"),
        ({"Total": 5}, "0.0.Total"),
        ({"InvoiceDate": "2026-02-30"}, "0.0.InvoiceDate"),
        ({"InvoiceDate": "20260201"}, "0.0.InvoiceDate"),
        ({"Vendor": {"Nmae": "x"}}, "0.0.Vendor.Nmae"),
        ({"Vendor": []}, "0.0.Vendor"),
        ({"LineItems": [{}, {"Quantity": "NaN"}]}, "0.0.LineItems.1.Quantity"),
        ({"LineItems": [{}] * 501}, "0.0.LineItems"),
        ({"Surprise": "x"}, "0.0.Surprise"),
        ({"InvoiceNumber": "x" * 10_001}, "0.0.InvoiceNumber"),
        ([], "0.0."),
    ],
)
def test_a_correction_that_cannot_be_meant_is_400_and_says_where(service: Service, fields: Any, where: str) -> None:
    task = waiting(service)
    window = Window(service, task["verification_id"])
    answer = window.ask("POST", "/close", {"documents": [{"invoices": [fields]}]})
    assert (answer.status, answer.json["where"]) == (400, where)
    assert service.look(task["id"])["status"] == "WaitForAction"


@pytest.mark.parametrize(
    "body", [None, [], {}, {"documents": []}, {"documents": [{}]}, {"documents": [{"removed": "yes"}]}]
)
def test_decisions_that_are_not_complete_are_400(service: Service, body: Any) -> None:
    window = Window(service, waiting(service)["verification_id"])
    assert window.ask("POST", "/close", body).status == 400


def test_one_window_at_a_time_and_a_silent_one_loses_the_task(service: Service) -> None:
    verification_id = waiting(service)["verification_id"]
    first, second = Window(service, verification_id), Window(service, verification_id)
    assert first.ask("PUT").status == 200
    for method, rest in (("PUT", ""), ("GET", "/task"), ("GET", "/documents/0/pages/0"), ("POST", "/close")):
        first.ask("PUT")
        assert second.ask(method, rest).status == 409
    assert second.ask("DELETE").status == 204, "one that has nothing gives nothing back"
    first.ask("PUT")
    assert second.ask("PUT").status == 409
    assert first.ask("DELETE").status == 204
    assert second.ask("PUT").status == 200
    while first.ask("PUT").status == 409:
        pass  # until the second has been silent for long enough
    assert first.ask("GET", "/task").status == 200


def test_an_id_that_nobody_was_given_is_404(service: Service) -> None:
    for verification_id in ("0" * 32, "x", "0" * 31, "%2e%2e"):
        assert service.request("GET", f"/verification/{verification_id}").status == 404
        assert Window(service, verification_id).ask("PUT").status == 404
    task = waiting(service)
    assert service.request("PUT", f"/verification/{task['verification_id']}/windows/short").status == 404
    assert service.request("DELETE", f"/v2/task/{task['id']}").status == 204
    assert Window(service, task["verification_id"]).ask("PUT").status == 404


@pytest.mark.parametrize(
    ("name", "data", "status"),
    [
        ("sure.xml", tiny_ubl(), "Done"),
        ("sums.xml", tiny_ubl(total="140.00"), "WaitForAction"),
        ("doubt.pdf", tiny_pdf().replace(b"Total: $ 119.00", b"Weighs 119.00 g"), "WaitForAction"),
    ],
)
def test_troubleshooting_asks_only_about_doubt_or_sums_that_do_not_agree(
    service: Service, name: str, data: bytes, status: str
) -> None:
    run = service.run(service.uploaded(name, data), export_format="Json", verification_type="Troubleshooting").json
    assert "verification_id" in service.look_until(run["id"], status) or status == "Done"
