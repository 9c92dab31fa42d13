"""Data sets: `/v2/dataset/vendors` and `/v2/dataset/businessunits`, stored per application and used to read. [doc]

A party of an invoice that stands in the data set by its tax id, IBAN or name gets the entry's `external_id`. Two
entries that could both be meant are no match: absent rather than wrong. Everything is bounded.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

from hopperd.sandbox.state import State

if TYPE_CHECKING:
    from hopperd.invoices.document import Document as Invoice
    from hopperd.invoices.document import Party

ENTRIES_MAX: Final = 100_000
BYTES_MAX: Final = 64 * 1024 * 1024
_EXTERNAL_ID: Final = ("externalid", "id")
_VAT_ID: Final = ("vat", "vatid", "nationalvat", "nationalvatid", "taxid", "vatnumber")
_IBAN: Final = ("iban",)
_NAME: Final = ("name", "names")
_NOT_PLAIN: Final = re.compile(r"[\W_]+")
_LEGAL_FORM: Final = re.compile(
    "( (gmbh|ag|kg|co|ohg|ug|se|inc|incorporated|llc|llp|ltd|limited|plc|pty|corp|corporation"
    "|sa|sas|sarl|srl|spa|sl|bv|nv))+$"
)

Found = set[str]


class CatalogFull(Exception):
    """The application has stored as much as it may."""


@dataclass(slots=True)
class DataSet:
    """One data set of one application: entries as they were sent, and by what a party is recognised."""

    entries: dict[str, dict[str, Any]] = field(default_factory=dict)
    size_bytes: int = 0
    by_vat_id: dict[str, Found] = field(default_factory=dict)
    by_iban: dict[str, Found] = field(default_factory=dict)
    by_name: dict[str, Found] = field(default_factory=dict)

    def put(self, key: str, entry: dict[str, Any]) -> None:
        """Creates or replaces one entry."""
        before = self.entries.pop(key, None)
        if before is not None:
            self.size_bytes -= _size(before)
            for index, word in self._words(before):
                index.get(word, set()).discard(key)
        self.entries[key] = entry
        self.size_bytes += _size(entry)
        for index, word in self._words(entry):
            index.setdefault(word, set()).add(key)

    def recognise(self, party: Party) -> str | None:
        """The external id of the one entry that is this party: by tax id, else by IBAN, else by name."""
        asked = (
            (self.by_vat_id, _code(party.vat_id)),
            (self.by_iban, _code(party.iban)),
            (self.by_name, _plain(party.name)),
        )
        for index, word in asked:
            found = index.get(word, set()) if word else set()
            ids = {external_id(self.entries[key]) for key in found}
            if len(ids) == 1:
                return ids.pop()
        return None

    def _words(self, entry: dict[str, Any]) -> Iterator[tuple[dict[str, Found], str]]:
        indexes: tuple[tuple[dict[str, Found], tuple[str, ...], Callable[[str | None], str]], ...] = (
            (self.by_vat_id, _VAT_ID, _code),
            (self.by_iban, _IBAN, _code),
            (self.by_name, _NAME, _plain),
        )
        for index, names, plain in indexes:
            for text in _texts(entry, names):
                if word := plain(text):
                    yield index, word


class Catalogs:
    """Every application's data sets."""

    def __init__(self, state: State | None = None) -> None:
        self._state = state or State()
        self._sets: dict[tuple[str, str], DataSet] = {}
        for known, entry in self._state.all("entry"):
            application, name, key = json.loads(known)
            self._sets.setdefault((application, name), DataSet()).put(key, entry)

    def put(self, application: str, name: str, entries: list[dict[str, Any]]) -> None:
        """Creates or updates entries. Raises CatalogFull, with nothing stored."""
        stored = self._sets.setdefault((application, name), DataSet())
        size = sum(map(_size, entries))
        if len(stored.entries) + len(entries) > ENTRIES_MAX or stored.size_bytes + size > BYTES_MAX:
            raise CatalogFull
        for entry in entries:
            key = entry_key(entry, len(stored.entries))
            stored.put(key, entry)
            self._state.put("entry", json.dumps([application, name, key]), entry)

    def entries(self, application: str, name: str) -> list[dict[str, Any]]:
        """What is stored, oldest first."""
        stored = self._sets.get((application, name))
        return list(stored.entries.values()) if stored else []

    def recognised(self, application: str, invoices: tuple[Invoice, ...]) -> tuple[Invoice, ...]:
        """The invoices with the external ids of the parties that are known; the same object if there are none."""
        vendors = self._sets.get((application, "vendors"))
        units = self._sets.get((application, "businessunits"))
        if not vendors and not units:
            return invoices
        known = tuple(_with_ids(each, vendors, units) for each in invoices)
        return known if known != invoices else invoices


def entries_of(body: Any) -> list[dict[str, Any]] | None:
    """The entries of `{"region", "vendors": [...]}` [doc], or of a list, or one entry alone; None if there are none."""
    if isinstance(body, dict):
        lists = [value for name, value in body.items() if _squeezed(name) in ("vendors", "businessunits")]
        body = lists[0] if lists else [body]
    if not isinstance(body, list) or not body:
        return None
    return body if all(isinstance(each, dict) and each for each in body) else None


def entry_key(entry: dict[str, Any], number: int) -> str:
    """What an entry is known by: its external id or id or name, whichever way those are written."""
    found = external_id(entry) or next(_texts(entry, _NAME), None)
    return found or f"#{number}"


def external_id(entry: dict[str, Any]) -> str | None:
    """The entry's `external_id`."""
    return next(_texts(entry, _EXTERNAL_ID), None)


def _with_ids(invoice: Invoice, vendors: DataSet | None, units: DataSet | None) -> Invoice:
    fields = invoice.fields
    vendor = _with_id(fields.vendor, vendors)
    unit = _with_id(fields.business_unit, units)
    return replace(invoice, fields=replace(fields, vendor=vendor, business_unit=unit))


def _with_id(party: Party, known: DataSet | None) -> Party:
    found = known.recognise(party) if known and party.external_id is None else None
    return party if found is None else replace(party, external_id=found)


def _texts(entry: dict[str, Any], names: tuple[str, ...]) -> Iterator[str]:
    """The texts under any of these names, in their order; a field may be one text or several variants. [doc]"""
    plain = {_squeezed(name): value for name, value in entry.items()}
    for name in names:
        value = plain.get(name)
        for each in value if isinstance(value, list) else [value]:
            if isinstance(each, (str, int)) and not isinstance(each, bool) and str(each).strip():
                yield str(each).strip()


def _squeezed(name: str) -> str:
    return name.replace("_", "").replace("-", "").lower()


def _code(text: str | None) -> str:
    """A tax id or IBAN without spaces and dots, in capitals; too short a one says nothing."""
    code = _NOT_PLAIN.sub("", text or "").upper()
    return code if len(code) >= 5 else ""


def _plain(text: str | None) -> str:
    """A name as it is compared: without accents, case, punctuation and the legal form at its end."""
    decomposed = unicodedata.normalize("NFKD", text or "")
    bare = "".join(each for each in decomposed if not unicodedata.combining(each)).casefold()
    words = _NOT_PLAIN.sub(" ", bare.replace(".", "")).strip()
    return _LEGAL_FORM.sub("", words) or words


def _size(entry: dict[str, Any]) -> int:
    return len(json.dumps(entry))
