"""The lines of goods and services out of the text of an invoice: a table below its head.

Finds the head by its words, the columns by where those words stand, and takes a row only if it has an amount in the
last of them. A table whose columns cannot be told apart gives no lines.
"""

import re
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Final

from hopperd.invoices import labels
from hopperd.invoices.amounts import amounts_in
from hopperd.invoices.document import LineItem
from hopperd.invoices.layout import Cell, Layout, Row
from hopperd.invoices.text_totals import Totals

_COLUMNS: Final = (
    (
        "article",
        r"""(?:item|article|product|material)\s?(?:code|{no}); sku; part\s?{no}; art(?:ikel)?\.?-?\s?{no}; codice;
        referencia; reference; ref\.?""",
    ),
    (
        "price",
        r"""(?:unit |per unit |list |rate/)?price(?: each)?; unitprice; rate; unit cost; cost; einzelpreis; e-preis;
        stuckpreis; vk-preis; preis; prix(?: unitaire)?(?: ht)?; p\.?u\.?(?: ht)?; precio(?: unitario)?;
        prezzo(?: unitario)?; prijs(?: per stuk)?; stukprijs""",
    ),
    (
        "amount",
        r"""(?:line |net |total |ext(?:ended)?\.? )?(?:amount|price); (?:line |sub )?total; subtotal; ext\.? price;
        (?:gesamt|zeilen|netto)?betrag; gesamt(?:preis)?; summe; montant(?: ht)?; total ht; importe; importo;
        totale; bedrag; totaal; prijs incl\.? btw""",
    ),
    (
        "quantity",
        r"""q(?:uan)?ty\.?(?:/hr)?; hrs/qty; quantity; hours; units?; menge; anzahl; stuck; qte; quantite; cantidad;
        cant\.?; quantita; q\.?ta; aantal; hoeveelheid""",
    ),
    ("rate", r"(?:vat|tax|gst|mwst|ust|tva|iva|btw)\.?(?: ?(?:rate|%|satz))?(?: ?\(%\))?"),
    ("position", r"pos(?:ition)?\.?; line; #; no\.?; nr\.?; item"),
    (
        "description",
        r"""(?:item )?desc(?:ription)?\.?; service; details?; activity; (?:artikel)?bezeichnung; beschreibung;
        leistung(?:sbeschreibung)?; artikel; designation; libelle; descripcion; concepto; descrizione;
        omschrijving; product; item(?: desc\.?)?; goods; produkt""",
    ),
)
_PATTERNS: Final = tuple((name, re.compile(labels.phrases(table))) for name, table in _COLUMNS)
_AMOUNT: Final = dict(_PATTERNS)["amount"]
_CURRENCY: Final = re.compile(r"[\s(]+(?:in\s)?(?:eur|usd|gbp|aud|cad|chf|nzd|inr|[€$£])\)?$")
_COLUMNS_MIN: Final = 3
_ROWS_MAX: Final = 500
_MISSES_MAX: Final = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A column by its meaning and where its head stands."""

    name: str
    left: float
    right: float


def read_lines(layout: Layout, totals: Totals) -> tuple[LineItem, ...]:
    """The line items of the first table that has any; without a table none."""
    comma = layout.decimal_comma
    for index, row in enumerate(layout.rows):
        columns = _head(row)
        if columns:
            items = _items(layout, index + 1, columns, totals, comma)
            if items and (len(columns) >= _COLUMNS_MIN or _make(items, totals)):
                return tuple(items)
    return ()


def _make(items: list[LineItem], totals: Totals) -> bool:
    """Whether lines add up: what a table of two columns must, as hardly anything else shows that it is one."""
    together = sum((item.total_price or Decimal(0) for item in items), Decimal(0))
    return together in (totals.net, totals.total)


def _head(row: Row) -> list[Column] | None:
    if len(row.cells) < 2:
        return None
    titles = [_CURRENCY.sub("", cell.plain).strip(" :.*") for cell in row.cells]
    if not any(_AMOUNT.fullmatch(title) for title in titles):
        return None
    columns: dict[str, Column] = {}
    for cell, text in zip(row.cells, titles, strict=True):
        name = next((name for name, pattern in _PATTERNS if pattern.fullmatch(text)), None)
        if name == "amount" and "amount" in columns and "price" not in columns:
            columns["price"] = Column(name="price", left=columns["amount"].left, right=columns["amount"].right)
        if name and (name not in columns or name == "amount"):
            columns[name] = Column(name=name, left=cell.left, right=cell.right)
    if "description" not in columns and "article" not in columns and (item := columns.pop("position", None)):
        columns["description"] = replace(item, name="description")  # `Item` alone is what was sold, not its place
    says_what = "description" in columns or "article" in columns
    is_head = "amount" in columns and says_what and (len(columns) >= _COLUMNS_MIN or len(row.cells) == len(columns))
    return sorted(columns.values(), key=lambda column: column.left) if is_head else None


def _items(layout: Layout, start: int, columns: list[Column], totals: Totals, comma: bool) -> list[LineItem]:
    items: list[LineItem] = []
    misses = 0
    for row in layout.rows[start : start + _ROWS_MAX]:
        if _is_end(row, start, totals):
            break
        item = _item(row, columns, comma)
        misses = 0 if item else misses + 1
        if item:
            items.append(item)
        elif misses > _MISSES_MAX:
            break
    return items


def _is_end(row: Row, start: int, totals: Totals) -> bool:
    """At the first of the totals; one that stands over the table (`Balance due` at the top) ends nothing."""
    if totals.first_row is not None and start <= totals.first_row <= row.cells[0].row:
        return True
    return any(
        pattern.match(cell.plain) and len(cell.text) < 30
        for cell in row.cells
        for pattern in (*labels.TOTAL[:2], labels.NET[0])
    )


def _item(row: Row, columns: list[Column], comma: bool) -> LineItem | None:
    placed: dict[str, list[str]] = {}
    for cell in row.cells:
        placed.setdefault(_column_of(cell, columns).name, []).append(cell.text)
    texts = {name: " ".join(parts) for name, parts in placed.items()}
    total = _number(texts.get("amount"), comma)
    if total is None or not (texts.get("description") or texts.get("article")):
        return None
    return LineItem(
        position=texts.get("position"),
        article_number=texts.get("article"),
        description=texts.get("description"),
        quantity=_number(texts.get("quantity"), comma),
        unit_price=_number(texts.get("price"), comma),
        total_price=total,
        vat_percentage=_percentage(texts.get("rate")),
    )


def _column_of(cell: Cell, columns: list[Column]) -> Column:
    """The column whose head a cell shares most of its width with; else the nearest one."""

    def distance(column: Column) -> float:
        overlap = min(cell.right, column.right) - max(cell.left, column.left)
        return -overlap if overlap > 0 else min(abs(cell.left - column.left), abs(cell.right - column.right)) + 1

    return min(columns, key=distance)


def _number(text: str | None, comma: bool) -> Decimal | None:
    found = amounts_in(text, comma) if text else []
    return found[0].value if len(found) == 1 else None


def _percentage(text: str | None) -> Decimal | None:
    found = re.search(r"(\d{1,2}(?:[.,]\d{1,3})?)\s?%?", text or "")
    return Decimal(found[1].replace(",", ".")) if found else None
