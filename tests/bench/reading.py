"""Scores the reader against known invoices: `python tests/bench/reading.py DIR`, DIR/index.jsonl saying what is true.

Prints right / wrong / absent for each kind and field, then how long reading took, and last one line of JSON. With
`--misses` each wrong or absent field is listed. Nothing is written.
"""

import argparse
import json
import os
import statistics
import sys
import time
from collections import defaultdict
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

sys.path[0] = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from hopperd.invoices import ocr
from hopperd.invoices.document import Document
from hopperd.invoices.reader import Unreadable, read_document

FIELDS = {
    "invoice_number": "invoice_number",
    "invoice_date": "invoice_date",
    "due_date": "due_date",
    "order_number": "order_number",
    "po_number": "order_number",
    "currency": "currency",
    "total_net": "net_total",
    "total_tax": "tax_total",
    "total_gross": "total",
    "seller_name": "vendor_name",
    "buyer_name": "buyer_name",
    "seller_tax_ids": "vendor_vat_id",
    "iban": "vendor_iban",
    "line_count": "lines",
}


def read_values(document: Document) -> dict[str, Any]:
    """What was read, under the names used in the table."""
    fields = document.fields
    values: dict[str, Any] = {
        name: getattr(fields, name)
        for name in (
            "invoice_number", "invoice_date", "due_date", "order_number", "currency", "net_total", "tax_total", "total"
        )
    }  # fmt: skip
    values["vendor_name"], values["buyer_name"] = fields.vendor.name, fields.business_unit.name
    values["vendor_vat_id"], values["vendor_iban"] = fields.vendor.vat_id, fields.vendor.iban
    values["lines"] = len(fields.line_items) or None
    return values


def matches(value: Any, wanted: Any) -> bool:
    """Whether a value is the true one, or one of several that are as good."""
    return any(_same(value, one) for one in (wanted if isinstance(wanted, list) else [wanted]))


def _same(value: Any, wanted: Any) -> bool:
    if isinstance(wanted, int | float):
        try:
            return abs(Decimal(str(value)) - Decimal(str(wanted))) < Decimal("0.005")
        except InvalidOperation:
            return False
    return _bare(value) == _bare(wanted)


def _bare(value: Any) -> str:
    return "".join(character for character in str(value).casefold() if character.isalnum())


def timed_engine() -> list[float]:
    """From now on: the seconds of each run of the OCR engine."""
    plain, runs = ocr.read_picture, []

    def timed(*arguments: Any) -> ocr.PageRead:
        begun = time.perf_counter()
        try:
            return plain(*arguments)
        finally:
            runs.append(time.perf_counter() - begun)

    ocr.read_picture = timed
    return runs


def score(directory: Path) -> tuple[dict[str, dict[str, list[int]]], list[str], dict[str, list[float]]]:
    """Read everything; counts of right, wrong and absent by kind and field, the misses, and seconds by kind."""
    table: dict[str, dict[str, list[int]]] = defaultdict(lambda: defaultdict(lambda: [0, 0, 0]))
    misses: list[str] = []
    seconds: dict[str, list[float]] = defaultdict(list)
    for line in (directory / "index.jsonl").read_text().splitlines():
        entry = json.loads(line)
        truth = entry.get("ground_truth") or {}
        data = (directory / entry["file"]).read_bytes()
        begun = time.perf_counter()
        try:
            values = read_values(read_document(data, entry["file"]))
        except Unreadable as error:
            misses.append(f"{entry['file']}: {error}")
            values = {}
        seconds[entry["kind"]].append(time.perf_counter() - begun)
        for name, ours in FIELDS.items():
            wanted = truth.get(f"{name}_any_of") or truth.get(name)
            if wanted is None or (wanted == 0 and name == "line_count"):
                continue
            value = values.get(ours)
            outcome = 2 if value is None else 0 if matches(value, wanted) else 1
            table[entry["kind"]][ours][outcome] += 1
            if outcome:
                misses.append(f"{entry['kind']:12} {ours:15} read {value!s:28} true {wanted!s:28} {entry['file']}")
    return table, misses, seconds


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("directory", type=Path)
    parser.add_argument("--misses", action="store_true")
    arguments = parser.parse_args()
    runs = timed_engine()
    table, misses, seconds = score(arguments.directory)
    if arguments.misses:
        print("\n".join(misses))
    print(f"{'kind':14}{'field':18}{'right':>6}{'wrong':>6}{'absent':>7}{'right %':>9}{'wrong %':>9}")
    for kind in sorted(table):
        for field, (right, wrong, absent) in table[kind].items():
            total = right + wrong + absent
            shares = f"{100 * right / total:>8.0f}%{100 * wrong / total:>8.0f}%"
            print(f"{kind:14}{field:18}{right:>6}{wrong:>6}{absent:>7}{shares}")
    for kind, times in sorted(seconds.items()):
        print(f"{kind:14}median {statistics.median(times) * 1000:.1f} ms, slowest {max(times) * 1000:.1f} ms")
    if runs:
        scans = sum(sum(times) for kind, times in seconds.items() if kind in ("scanned", "image"))
        print(f"scans took {scans / sum(runs):.2f} of the engine's own time, {len(runs)} runs")
    medians = {kind: round(statistics.median(times) * 1000, 2) for kind, times in seconds.items()}
    print(json.dumps({"scores": table, "median_ms": medians}, sort_keys=True))
    return 0


if __name__ == "__main__":
    sys.exit(main())
