"""Whose invoice it is, and who else stands on it: names told apart by labels, form and place.

A name is taken for the vendor's only with a reason: the form of a company's name, a label before it, large letters at
the top, a letterhead. Without one the vendor stays absent.
"""

import re
from collections.abc import Iterator
from typing import Final

from hopperd.invoices import labels
from hopperd.invoices.dates import plain
from hopperd.invoices.layout import Cell, Layout, Row
from hopperd.invoices.text_names import (
    COMPANY,
    LINES_MAX,
    block,
    can_be_a_name,
    has_an_address,
    is_a_sender_line,
    is_a_town,
    is_under,
    name_in,
)

_LABEL_CHARACTERS_MAX: Final = 40
_PERSON: Final = re.compile(r"^[A-Z][a-z]+, [A-Z][a-z]+$")
_INDENT_IN_HEIGHTS: Final = 6.0
_VENDOR_SCORE: Final = 3.0
_SITE_SCORE: Final = 1.5
_LETTERHEAD_SCORE: Final = 2.0
_LETTERHEAD: Final = 0.14
_WINDOW: Final = 0.4
_SENTENCE: Final = re.compile(r"\b(?:by|are|is|the|for|you|with|this|please|your|wir|und der|zur|pour|que|per|voor)\b")
_SITE: Final = re.compile(r"(?:www\.|@)([\w.-]+)")
_REACH: Final = re.compile(
    r"www\.|@|\.(?:com|net|org|de|fr|nl|it|es|ca|au|uk)\b|\(?\+?\d{2,4}\)?[\s./-]*\d{3}[\s.-]*\d{3,4}"
)
_TITLED: Final = re.compile(r"^(.{5,60}?)\s+(?:invoice|rechnung|facture|factura|fattura|factuur|receipt|statement)$")
_PAGE_IN_HEIGHTS: Final = 60
_TILL_ROLL: Final = 1.9
_TILL_ROWS: Final = 4


def labelled(layout: Layout, of: re.Pattern[str]) -> Cell | None:
    """The first cell after or under a label that can be a name; `of` is the pattern of the labels."""
    for row in layout.rows:
        for cell in row.cells:
            if len(cell.text) > _LABEL_CHARACTERS_MAX or not of.search(cell.plain):
                continue
            if of is labels.BUYER and labels.VENDOR.search(cell.plain):
                continue
            below = layout.below(cell, 2)
            for other in (*below, *layout.right_of(cell, 1), *([] if below else _indented_below(layout, cell))):
                if _can_be_a_partys(other) and _is_a_party(layout, other):
                    return other
    return _inline(layout, labels.BUYER_INLINE if of is labels.BUYER else labels.VENDOR_INLINE)


def _can_be_a_partys(cell: Cell) -> bool:
    return can_be_a_name(cell.text, cell.plain) and not _PERSON.match(cell.text)


def _indented_below(layout: Layout, cell: Cell) -> list[Cell]:
    """An address that stands under its label and a little to the right of it."""
    floor, reach = cell.bottom + 3 * cell.height, cell.right + _INDENT_IN_HEIGHTS * cell.height
    for row in layout.rows[cell.row + 1 :]:
        if row.page != layout.rows[cell.row].page or row.top > floor:
            break
        found = [other for other in row.cells if cell.right <= other.left < reach]
        if found:
            return found[:1]
    return []


def _is_a_party(layout: Layout, cell: Cell) -> bool:
    """A name under a label counts if it is a company's, or if an address follows."""
    if labels.OTHER_PARTY.search(cell.plain):
        return False
    lines = [part.text for part in block(layout, cell)[1:]]
    return bool(COMPANY.search(cell.text)) or any(any(map(str.isdigit, line)) for line in lines)


def _inline(layout: Layout, of: re.Pattern[str]) -> Cell | None:
    """`Customer: Some Company` in one cell; the name becomes a cell of its own at the same place."""
    for row in layout.rows:
        for cell in row.cells:
            lead = of.match(cell.plain) if ":" in cell.text else None
            name = cell.text[lead.end() :].strip() if lead else ""
            if lead and ":" in lead[0] and can_be_a_name(name, plain(name)) and not _PERSON.match(name):
                return _named(cell, name)
    return None


def _named(cell: Cell, name: str) -> Cell:
    return Cell(name, cell.left, cell.top, cell.right, cell.bottom, cell.row, cell.column)


def vendor_cell(layout: Layout, buyers: list[Cell]) -> Cell | None:
    """The cell with the vendor's name, if one is sure enough; `buyers` are the lines of the buyer's address."""
    page = [row for row in layout.rows if row.page == 0]
    if shop := _at_the_top_of_a_till_roll(page):
        return shop
    label = labelled(layout, labels.VENDOR)
    mine = {id(cell) for cell in buyers}
    sites = " ".join(_SITE.findall(layout.plain))
    scored = [
        (_score(layout, cell, label, page, sites), -cell.row, cell)
        for row in page
        for cell in row.cells
        if id(cell) not in mine and can_be_a_name(cell.text, cell.plain)
    ]
    score, _, cell = max(scored, key=lambda entry: entry[:2], default=(0.0, 0, None))
    if label and score < _VENDOR_SCORE + 1 and COMPANY.search(label.text):
        return label
    if cell and score >= _VENDOR_SCORE:
        return _in_full(cell, page)
    return _before_the_title(layout, page)


def _in_full(cell: Cell, rows: list[Row]) -> Cell:
    """A short name in large letters (`Kesselbrand`) is said in full elsewhere (`Kesselbrand Werkzeuge GmbH`)."""
    if COMPANY.search(cell.text):
        return cell
    start = cell.plain.strip() + " "
    same = [
        other
        for row in rows
        for other in row.cells
        if other.plain.startswith(start) and can_be_a_name(other.text, other.plain)
    ]
    companies = [other for other in same if (found := COMPANY.search(other.text)) and len(other.text) - found.end() < 4]
    return next(iter(companies), cell)


def _before_the_title(layout: Layout, page: list[Row]) -> Cell | None:
    """`Some Company Invoice` in large letters at the top, where the name is printed once more without the title."""
    for row in page[:4]:
        for cell in row.cells:
            found = _TITLED.match(cell.plain) if cell.height > 1.4 * layout.text_height else None
            if found and layout.plain.count(found[1]) > 1 and can_be_a_name(found[1], found[1]):
                return _named(cell, cell.text[: found.end(1)])
    return None


def _at_the_top_of_a_till_roll(page: list[Row]) -> Cell | None:
    """On a long narrow receipt the shop's name is the first line of letters, with its address or number below."""
    cells = [cell for row in page for cell in row.cells]
    if not cells:
        return None
    width = max(cell.right for cell in cells) - min(cell.left for cell in cells)
    if max(cell.bottom for cell in cells) - min(cell.top for cell in cells) < _TILL_ROLL * width:
        return None
    for index, row in enumerate(page[:_TILL_ROWS]):
        text = " ".join(cell.text for cell in row.cells)
        words = re.findall(r"[^\W\d_]{4,}", text)
        below = " ".join(other.text for other in page[index + 1 : index + 4])
        is_noise = not words or not words[0][0].isupper() or any(map(str.isdigit, text))
        if not is_noise and can_be_a_name(text, plain(text)) and re.search(r"\d{2}", below):
            return _named(row.cells[0], text)
    return None


def _score(layout: Layout, cell: Cell, label: Cell | None, page: list[Row], sites: str) -> float:
    score = 0.0
    company = COMPANY.search(cell.text)
    is_labelled = bool(label) and cell.plain == (label.plain if label else "")
    if company and cell.text.split()[0] != company[0]:
        score += 3 if len(cell.text) - company.end() < 4 else 1.5
        if is_a_sender_line(cell):
            score += 4
    if _is_a_sentence(cell.text):
        score -= 4
    if is_labelled:
        score += 3.5 if has_an_address(layout, cell) else 2.5
    place = cell.row / max(len(page), 1)
    if place < 0.2 or place > 0.92:
        score += 1 if place < 0.2 else 0.3
    if cell.row <= 1:
        score += 1
    begins_large = cell.text[0].isupper() or cell.text[0].isdigit()
    if cell.height > 1.4 * layout.text_height and place < 0.35 and len(cell.text) > (3 if layout.is_scan else 2):
        score += 1.5 if begins_large else 0
    if begins_large and place < 0.2 and _is_a_letterhead(layout, cell, page):
        score += _LETTERHEAD_SCORE
    before = layout.rows[cell.row].cells[: cell.column]
    if before and not is_labelled and _names_another(before[-1]):
        score -= 3
    if ":" in cell.text:
        score -= 1
    if score >= _VENDOR_SCORE and cell.row > 3 and not is_labelled and has_an_address(layout, cell):
        score -= 2  # without a label this is as likely the addressee's window as the vendor
    if score < _VENDOR_SCORE - _SITE_SCORE:
        return score
    words = [word for word in re.findall(r"[a-z]{4,}", cell.plain) if word not in {"inc", "gmbh", "limited"}]
    return score + (_SITE_SCORE if any(word in sites for word in words) else 0)


def _is_a_sentence(text: str) -> bool:
    """Small words tell; but `Some House by Another` is a name."""
    small = [word for word in text.split() if word[0].islower()]
    return bool(_SENTENCE.search(text)) and small not in (["by"], ["the"])


def _names_another(cell: Cell) -> bool:
    """Whether what stands before a name says whose it is, and not the vendor's: `Advertiser`, `Customer`, any label."""
    text = cell.text.rstrip()
    return text.endswith(":") or bool(labels.OTHER_PARTY.search(cell.plain) or labels.BUYER.search(cell.plain))


def _is_a_letterhead(layout: Layout, cell: Cell, page: list[Row]) -> bool:
    """A name at the very top with nothing over it and an address, a telephone or a site right under it."""
    if cell.bottom > _LETTERHEAD * _end(layout, page) or len(cell.text) < 4:
        return False
    if any(_overlap(other, cell) for row in page[: cell.row] for other in row.cells):
        return False
    last = cell
    for under in [other for row in page[cell.row + 1 : cell.row + 5] for other in row.cells if _overlap(other, cell)]:
        if under.top - last.bottom > 1.2 * max(last.height, under.height):
            return False
        if is_a_town(under.text) or _REACH.search(under.plain):
            return True
        last = under
    return False


def _overlap(one: Cell, other: Cell) -> bool:
    return one.left < other.right and one.right > other.left


def _end(layout: Layout, page: list[Row]) -> float:
    """Where a page ends, as far as its text tells: a short one still has a page's length."""
    return max(_PAGE_IN_HEIGHTS * layout.text_height, *(cell.bottom for cell in page[-1].cells))


def addressee(layout: Layout, vendor: Cell | None) -> Cell | None:
    """Without a label: the name over the one address in the upper part of the page that is not the vendor's."""
    if vendor is None:
        return None
    name = name_in(vendor.text)
    cells = [cell for row in layout.rows if row.page == 0 for cell in row.cells]
    sender_lines = [cell for cell in cells if cell.text.startswith(name) and is_a_sender_line(cell)]
    if not sender_lines and not has_an_address(layout, vendor):
        return None  # the one address may then be the vendor's own
    vendors = set() if is_a_sender_line(vendor) else {id(part) for part in block(layout, vendor)}
    found = {name_in(cell.text).casefold(): cell for cell in _names_over_addresses(layout) if id(cell) not in vendors}
    found.pop(name.casefold(), None)
    return next(iter(found.values())) if len(found) == 1 else None


def _names_over_addresses(layout: Layout) -> Iterator[Cell]:
    page = [row for row in layout.rows if row.page == 0]
    floor = _WINDOW * _end(layout, page) if page else 0.0
    towns = [cell for row in page if row.top <= floor for cell in row.cells if is_a_town(cell.text)]
    taken: set[int] = set()
    for town in towns:
        for row in page[max(town.row - LINES_MAX, 0) : town.row]:
            for cell in row.cells:
                at = -1 if id(cell) in taken or not is_under(town, cell) else _place_of(layout, town, cell)
                if at < 2 or cell.text[0].isdigit() or ":" in cell.text or is_a_sender_line(cell):
                    continue
                if not _can_be_a_partys(cell):
                    continue
                lines = block(layout, cell)[: at + 1]
                taken |= {id(line) for line in lines}
                has_a_street = any(any(map(str.isdigit, line.text)) for line in lines[1:at])
                if has_a_street and not _stands_under_another(layout, cell):
                    yield cell


def _place_of(layout: Layout, town: Cell, cell: Cell) -> int:
    """How many lines under a name a town stands, or -1."""
    return next((place for place, line in enumerate(block(layout, cell)) if line is town), -1)


def _stands_under_another(layout: Layout, cell: Cell) -> bool:
    """Whether a label right above or before says that this is neither vendor nor buyer: `Ship to`, `Remit to`."""
    rows = layout.rows[max(cell.row - 2, 0) : cell.row + 1]
    near = [other for row in rows for other in row.cells if other is not cell and other.top <= cell.top]
    labels_near = [other for other in near if _overlap(other, cell) or other.right <= cell.left]
    return any(labels.OTHER_PARTY.search(other.plain) or labels.VENDOR.search(other.plain) for other in labels_near)
