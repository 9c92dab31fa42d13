"""Names and addresses as they stand on an invoice: what can be a party's name, which lines belong under it.

Knows forms (of companies, of towns in a country) and places, not labels, and does not decide whose a name is.
"""

import re
from typing import Final

from hopperd.invoices.document import Party
from hopperd.invoices.layout import Cell, Layout

COMPANY: Final = re.compile(
    r"(?<!\w)(?:GmbH(?: & Co\.? ?KG)?|AG|KG|OHG|UG|e\.K\.|SE|Inc\.?|Incorporated|LLC|L\.L\.C\.|LLP|Corp\.?|Corporation"
    r"|Company|Co\.|Ltd\.?|Limited|PLC|plc|Pty\.?(?: Ltd\.?)?|B\.?V\.?|N\.?V\.?|V\.?O\.?F\.?|S\.?A\.?S\.?"
    r"|S\.?A\.?R\.?L\.?|S\.?A\.?|EURL|S\.?r\.?l\.?s?|S\.?p\.?A\.?|S\.?L\.?U?\.?|OÜ|AB|ApS|A/S|Oy)(?!\w)"
)
_NOT_A_NAME: Final = re.compile(
    r"(?<!\w)(?=[a-z])(?:invoice|invoices/|bill|rechnung|factuur|facture|factura|fattura|receipt|statement|page|seite|pagina|date|datum|tel|phone|fax"
    r"|e-?mail|www\.|http|iban|bic|swift|vat|abn|gst|total|amount|number|no|nr|bank|copy|duplicate|original|tax|order|due"
    r"|terms|address|street|subtotal)\b|@|:\s*$|^\W*$"
    r"|^(?:herrn?|frau|firma|familie|mr|mrs|ms|mme|madame|monsieur|sig|sig\.ra|sr|sra|dhr|mevr)\.?$"
)
_STREET: Final = r"^(?:(?P<street>.*\d.*?),\s)?"
_US_STATES: Final = (
    "AK|AL|AR|AZ|CA|CO|CT|DC|DE|FL|GA|HI|IA|ID|IL|IN|KS|KY|LA|MA|MD|ME|MI|MN|MO|MS|MT|NC|ND|NE|NH|NJ|NM|NV|NY|OH|OK|OR|PA"
    "|RI|SC|SD|TN|TX|UT|VA|VT|WA|WI|WV|WY"
)
_CITY: Final = rf"{_STREET}(?P<city>[^\d,]+?),?\s"
TOWN: Final = tuple(
    (country, re.compile(pattern))
    for country, pattern in (
        ("US", rf"{_CITY}(?P<state>{_US_STATES}),?\s(?P<zip>\d{{5}}(?:-\d{{4}})?)(?:,?\s(?:US|USA))?$"),
        ("AU", rf"{_CITY}(?P<state>NSW|VIC|QLD|WA|SA|TAS|ACT|NT),?\s(?P<zip>\d{{4}})$"),
        ("CA", rf"{_CITY}(?P<state>AB|BC|MB|NB|NL|NS|NT|NU|ON|PE|QC|SK|YT),?\s(?P<zip>[A-Z]\d[A-Z]\s?\d[A-Z]\d)$"),
        ("GB", rf"{_CITY}(?P<state>)(?P<zip>[A-Z]{{1,2}}\d[A-Z\d]?\s\d[A-Z]{{2}})(?:,?\s(?:UK|GB))?$"),
        (
            "",
            rf"{_STREET}(?:[A-Z]{{1,2}}[-\s])?(?P<zip>\d{{5}}|\d{{4}}\s?[A-Z]{{2}}|\d{{4}})\s(?P<city>[^\d]+)(?P<state>)$",
        ),
    )
)
_POST_CODE: Final = re.compile(r"\d(?:\d{3}|[A-Z]{2}|[A-Z]\s?\d[A-Z]\d)")
_GB_POST_CODE: Final = re.compile(r"[A-Z]{1,2}\d[A-Z\d]?\s\d[A-Z]{2}")
# "Some Company GmbH - Any Street 1 - 12345 Town": the line over a window envelope's address names the sender
_SENDER_LINE: Final = re.compile(r"^\s*[-–·•|,*]\s.*\d")
_SEPARATOR: Final = re.compile(r"\s+[-–·•|*]\s+|,\s+")
LINES_MAX: Final = 7
_SAME_EDGE_POINTS: Final = 6


def can_be_a_name(text: str, small: str) -> bool:
    """Whether a text may be the name of a party; `small` is its plain form."""
    return 2 < len(text) <= 90 and sum(map(str.isalpha, text)) * 2 > len(text) and not _NOT_A_NAME.search(small)


def block(layout: Layout, cell: Cell) -> list[Cell]:
    """A name and the lines of its address: cells under each other with the same left edge and no wide gap."""
    found = [cell]
    page = layout.rows[cell.row].page if cell.row >= 0 else 0
    for row in layout.rows[cell.row + 1 :]:
        last = found[-1]
        if row.page != page or row.top - last.bottom > 1.2 * max(last.height, 6) or len(found) >= LINES_MAX:
            break
        found += [under for under in row.cells if is_under(under, cell)][:1]
    return found


def is_under(under: Cell, cell: Cell) -> bool:
    """Whether two cells have the same left edge."""
    return abs(under.left - cell.left) < _SAME_EDGE_POINTS


def is_a_town(text: str) -> bool:
    """Whether a line of an address is the one with the post code and the town."""
    return bool(_POST_CODE.search(text)) and any(pattern.match(text) for _, pattern in TOWN)


def is_a_sender_line(cell: Cell) -> bool:
    """Whether a cell holds a company's name with its address behind it, as over the window of an envelope."""
    company = COMPANY.search(cell.text)
    return bool(company and _SENDER_LINE.match(cell.text[company.end() :]))


def has_an_address(layout: Layout, cell: Cell) -> bool:
    """Whether the lines under a name hold a post code and a town."""
    return any(is_a_town(part.text) for part in block(layout, cell)[1:])


def party(layout: Layout, cell: Cell | None) -> Party:
    """The party whose name stands in a cell, with the address under it."""
    if cell is None:
        return Party()
    name = name_in(cell.text)
    if is_a_sender_line(cell):  # what stands under it is the addressee
        lines = _SEPARATOR.split(cell.text)[1:]
    else:
        lines = [part.text.strip() for part in block(layout, cell)[1:]]
    for country, pattern in TOWN:  # the loosest form comes last: `1200 Cedar Avenue` looks like a town, too
        for index, line in enumerate(lines):
            if found := pattern.match(line):
                before = lines[index - 1] if index and any(map(str.isdigit, lines[index - 1])) else None
                return Party(
                    name=name,
                    street=found["street"] or before,
                    city=found["city"].strip(" ,"),
                    zip=found["zip"],
                    state=found["state"] or None,
                    country=country or None,
                )
    for index, line in enumerate(lines[1:], 1):
        if _GB_POST_CODE.fullmatch(line) and not any(map(str.isdigit, lines[index - 1])):
            street = lines[index - 2] if index > 1 else None
            return Party(name=name, street=street, city=lines[index - 1].strip(" ,"), zip=line, country="GB")
    return Party(name=name)


_PAY_TO: Final = re.compile(
    r"^(?:remit(?:tance)?|(?:send )?payments?|payable|sold)(?: payments?)? (?:to|by)[:\s]+", re.IGNORECASE
)


# whom to ask at the vendor's, printed behind its name
_DESK: Final = re.compile(
    r"\s+(?:service (?:abonn[ée]s?|clients?)|customer (?:service|care|support)|kunden(?:service|dienst)|klantenservice"
    r"|servicio al cliente|servizio clienti|billing (?:department|dept\.?)|accounts? (?:receivable|department))$",
    re.IGNORECASE,
)


def name_in(text: str) -> str:
    """A name without what is printed around it in the same line: `Remit to`, a number in brackets, an address."""
    text = _DESK.sub("", _PAY_TO.sub("", text))
    company = COMPANY.search(text)
    if company and any(map(str.isdigit, text[company.end() :])):
        text = text[: company.end()]
    return re.sub(r"\s*[(|·•].*$", "", text).strip(" ,;-·|")
