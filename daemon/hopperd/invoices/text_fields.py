"""The fields of an invoice out of its words: each concern reads for itself, here they are put together.

Knows no labels and no forms of its own. What no rule is sure of stays absent.
"""

from collections.abc import Iterable

from hopperd.invoices.document import Fields
from hopperd.invoices.layout import lay_out
from hopperd.invoices.pdf_text import Word
from hopperd.invoices.text_country import read_currency
from hopperd.invoices.text_header import invoice_dates, invoice_number, order_number
from hopperd.invoices.text_lines import read_lines
from hopperd.invoices.text_parties import read_parties
from hopperd.invoices.text_taxes import read_taxes
from hopperd.invoices.text_totals import read_totals


def read_fields(pages: Iterable[list[Word]], is_scan: bool = False) -> Fields:
    """What the words of all pages of one invoice say; those of a scan may be misread."""
    layout = lay_out(pages, is_scan)
    vendor, buyer, country = read_parties(layout)
    number = invoice_number(layout)
    issued, due = invoice_dates(layout, number, country)
    totals = read_totals(layout)
    return Fields(
        invoice_number=number.value if number else None,
        invoice_date=issued,
        due_date=due,
        order_number=order_number(layout, number.value if number else None),
        currency=read_currency(layout, country),
        net_total=totals.net,
        tax_total=totals.tax,
        total=totals.total,
        vendor=vendor,
        business_unit=buyer,
        line_items=read_lines(layout, totals),
        taxes=read_taxes(layout, totals),
    )
