"""How parties are recognised: what counts as the same tax id, IBAN or name, and what never does."""

from __future__ import annotations

from typing import Any

import pytest

from hopperd.invoices.document import Party
from hopperd.sandbox.catalog import Catalogs, DataSet, entries_of


def known(*entries: dict[str, Any]) -> DataSet:
    found = DataSet()
    for number, entry in enumerate(entries):
        found.put(str(number), entry)
    return found


@pytest.mark.parametrize(
    ("entry", "party", "is_known"),
    [
        ({"vat": "DE 123 456 789"}, Party(vat_id="DE123456789"), True),
        ({"national_vat": ["", "123-45-6789"]}, Party(vat_id="123 45 6789"), True),
        ({"VatId": 123456789}, Party(vat_id="123456789"), True),
        ({"iban": "de89370400440532013000"}, Party(iban="DE89 3704 0044 0532 0130 00"), True),
        ({"name": "ACME, Inc."}, Party(name="Acme"), True),
        ({"name": ["Müller GmbH & Co. KG"]}, Party(name="MULLER GMBH & CO KG"), True),
        ({"name": "Inc"}, Party(name="Inc."), True),
        ({"vat": "1234"}, Party(vat_id="1234"), False),
        ({"vat": None, "name": True}, Party(name="True"), False),
        ({"name": "Acme North"}, Party(name="Acme"), False),
        ({"name": ""}, Party(name=""), False),
        ({"name": "..."}, Party(name="---"), False),
    ],
)
def test_a_party_is_recognised_or_not(entry: dict[str, Any], party: Party, is_known: bool) -> None:
    assert known({"external_id": "7"} | entry).recognise(party) == ("7" if is_known else None)


def test_an_entry_that_is_replaced_is_no_longer_recognised_by_what_it_was() -> None:
    catalogs = Catalogs()
    catalogs.put("a", "vendors", [{"external_id": "7", "name": ["Old", "Older"]}])
    catalogs.put("a", "vendors", [{"external_id": "7", "name": "New"}])
    (stored,) = catalogs.entries("a", "vendors")
    assert stored["name"] == "New"
    vendors = catalogs._sets["a", "vendors"]
    assert [vendors.recognise(Party(name=each)) for each in ("Old", "Older", "New")] == [None, None, "7"]
    assert vendors.size_bytes == len('{"external_id": "7", "name": "New"}')


@pytest.mark.parametrize(
    ("body", "count"),
    [
        ({"region": "EU", "vendors": [{"name": "a"}, {"name": "b"}]}, 2),
        ({"region": "EU", "business_units": [{"name": "a"}]}, 1),
        ([{"name": "a"}], 1),
        ({"name": "a"}, 1),
        ({"vendors": []}, None),
        ({"vendors": {}}, None),
        ({"vendors": [3]}, None),
        ([], None),
        ([{}], None),
        ("x", None),
    ],
)
def test_the_entries_of_a_body(body: Any, count: int | None) -> None:
    found = entries_of(body)
    assert (None if found is None else len(found)) == count
