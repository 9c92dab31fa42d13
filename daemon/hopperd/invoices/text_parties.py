"""Vendor, buyer, their addresses, tax numbers and accounts out of the text of an invoice.

The buyer is who stands under a label that says so, else in the window of the envelope: the one address that is not
the vendor's. Without either the buyer stays absent.
"""

from collections.abc import Iterator
from dataclasses import replace

from hopperd.invoices import labels
from hopperd.invoices.dates import plain
from hopperd.invoices.document import Party
from hopperd.invoices.layout import Cell, Layout
from hopperd.invoices.tax_ids import TaxId, ibans_in, may_hold_tax_ids, tax_ids_in
from hopperd.invoices.text_country import country_of
from hopperd.invoices.text_names import block, party
from hopperd.invoices.text_vendor import addressee, labelled, vendor_cell


def read_parties(layout: Layout) -> tuple[Party, Party, str | None]:
    """Vendor, buyer, and the country whose habits the invoice follows."""
    accounts = ibans_in(layout.text)
    lines = list(_lines_with_tax_ids(layout))
    country = country_of(layout, [tax_id for _, tax_id in lines], accounts)
    buyer_cell = labelled(layout, labels.BUYER)
    vendors = vendor_cell(layout, block(layout, buyer_cell) if buyer_cell else [])
    vendor = party(layout, vendors)
    buyer_cell = buyer_cell or addressee(layout, vendors)
    buyer = party(layout, buyer_cell)
    vendor_id, buyer_id = _tax_ids(lines, block(layout, buyer_cell) if buyer_cell else [])
    vendor = replace(
        vendor,
        vat_id=vendor_id.value if vendor_id else None,
        country=vendor_id.country if vendor_id else vendor.country,
        iban=accounts[0] if accounts else None,
    )
    return vendor, replace(buyer, vat_id=buyer_id.value if buyer_id else None), country


def _tax_ids(lines: list[tuple[str, TaxId]], buyer_block: list[Cell]) -> tuple[TaxId | None, TaxId | None]:
    """The vendor's and the buyer's tax number: the buyer's stands in their address or is called "yours"."""
    in_block = {tax_id.value for cell in buyer_block for tax_id in tax_ids_in(cell.text)}
    vendor: TaxId | None = None
    buyer: TaxId | None = None
    for line, tax_id in lines:
        is_buyers = tax_id.value in in_block or bool(labels.YOURS.search(plain(line[: tax_id.start])))
        if is_buyers:
            buyer = buyer or tax_id
        else:
            vendor = vendor or tax_id
    return vendor, buyer


def _lines_with_tax_ids(layout: Layout) -> Iterator[tuple[str, TaxId]]:
    for row in layout.rows:
        if may_hold_tax_ids(row.text):
            yield from ((row.text, tax_id) for tax_id in tax_ids_in(row.text))
