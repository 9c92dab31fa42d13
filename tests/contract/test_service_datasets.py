"""Data sets are used: a party of an invoice that stands in them gets its `external_id` in the export."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.sandbox_process import OTHER_APPLICATION, SandboxProcess, Service, tiny_ubl


@pytest.fixture
def sandbox() -> Iterator[SandboxProcess]:
    with SandboxProcess() as process:
        yield process


@pytest.fixture
def service(sandbox: SandboxProcess) -> Service:
    return sandbox.service()


def put(service: Service, name: str, body: Any, method: str = "POST") -> None:
    assert service.request(method, f"/v2/dataset/{name}", json.dumps(body)).status == 204


def read(service: Service, data: bytes, **properties: str) -> Any:
    run = service.run(service.uploaded("a.xml", data), export_format="Json", **properties).json
    target = service.look_until(run["id"], "Done")["documents"][0]["files"]["target"]
    return service.file("GET", target).json["Documents"][0]["Fields"]


def vendor(external_id: str, **fields: Any) -> dict[str, Any]:
    return {"external_id": external_id, "business_unit_id": "1", "name": ["Somebody Else"], **fields}


@pytest.mark.parametrize(
    "entry",
    [
        vendor("V-7", vat=["BE 0999.999.922"]),
        vendor("V-7", national_vat="be0999999922"),
        vendor("V-7", iban=["DE00", "BE68 5390 0754 7034"]),
        vendor("V-7", name=["Other", "ZEEBRAND n.v."]),
        vendor("V-7", name="Zéebrand"),
    ],
)
def test_a_vendor_is_recognised_by_vat_id_iban_or_name(service: Service, entry: dict[str, Any]) -> None:
    assert "ExternalId" not in read(service, tiny_ubl())["Vendor"]
    others = [vendor(f"X-{number}", name=f"Nobody {number}", vat=f"BE012345678{number}") for number in range(9)]
    put(service, "vendors", {"region": "EU", "vendors": [*others, entry]})
    fields = read(service, tiny_ubl())
    assert fields["Vendor"]["ExternalId"] == "V-7"
    assert (fields["InvoiceNumber"], fields["Vendor"]["VATID"]) == ("N-1", "BE0999999922")
    assert "ExternalId" not in fields["BusinessUnit"]


def test_a_business_unit_is_recognised_too_and_put_updates(service: Service) -> None:
    put(service, "businessunits", {"region": "EU", "business_units": [{"external_id": "B", "name": ["Other"]}]})
    assert "ExternalId" not in read(service, tiny_ubl())["BusinessUnit"]
    put(service, "businessunits", [{"external_id": "B", "name": ["Northwind Works Ltd."]}], "PUT")
    assert read(service, tiny_ubl())["BusinessUnit"]["ExternalId"] == "B"
    put(service, "businessunits", {"external_id": "B", "name": "Other again"}, "PUT")
    assert "ExternalId" not in read(service, tiny_ubl())["BusinessUnit"]


def test_two_vendors_that_could_both_be_meant_are_no_match(service: Service) -> None:
    put(service, "vendors", [vendor("1", name="Zeebrand"), vendor("2", name="Zeebrand BV")])
    assert "ExternalId" not in read(service, tiny_ubl())["Vendor"]
    put(service, "vendors", [vendor("2", name="Zeebrand BV", vat="BE0999999922")])
    assert read(service, tiny_ubl())["Vendor"]["ExternalId"] == "2", "the tax id decides"


def test_each_application_has_its_own_data_sets(sandbox: SandboxProcess, service: Service) -> None:
    put(service, "vendors", [vendor("V", vat="BE0999999922")])
    assert "ExternalId" not in read(sandbox.service(OTHER_APPLICATION), tiny_ubl())["Vendor"]


@pytest.mark.parametrize("asked", ["Csv", "Xml", "Json"])
def test_the_external_id_stands_in_every_export(service: Service, asked: str) -> None:
    put(service, "vendors", [vendor("V-4711", vat="BE0999999922")])
    run = service.run(service.uploaded("a.xml", tiny_ubl()), export_format=asked).json
    target = service.look_until(run["id"], "Done")["documents"][0]["files"]["target"]
    assert b"V-4711" in service.file("GET", target).body


def test_a_data_set_that_is_full_is_413(service: Service) -> None:
    body = json.dumps([vendor(str(number), street="x" * 3_000_000) for number in range(1)])
    answers = {
        service.request("POST", "/v2/dataset/vendors", body.replace('"0"', f'"{at}"', 1)).status for at in range(24)
    }
    assert answers == {204, 413}
