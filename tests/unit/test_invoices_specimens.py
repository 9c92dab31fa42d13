"""Bills, folios, receipts and credit notes as they come in: what stands on them is read, and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.pages import drawn

SPECIMENS = {
    name.strip(): rest
    for name, _, rest in (
        part.partition("\n") for part in (Path(__file__).parent / "invoices_drawn.txt").read_text().split("\n=== ")[1:]
    )
}


@pytest.mark.parametrize("name", SPECIMENS)
def test_what_stands_on_a_specimen_is_read_and_nothing_else(name: str) -> None:
    head, _, art = SPECIMENS[name].partition("\n---\n")
    wanted = dict(line.split(": ", 1) for line in head.splitlines())
    fields = drawn(art)
    read = {
        "number": fields.invoice_number,
        "date": fields.invoice_date,
        "total": fields.total,
        "net": fields.net_total,
        "tax": fields.tax_total,
        "currency": fields.currency,
        "due": fields.due_date,
        "order": fields.order_number,
    }
    assert {key: "-" if read[key] is None else str(read[key]) for key in wanted} == wanted
