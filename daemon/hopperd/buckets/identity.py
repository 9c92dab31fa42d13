"""One folder, one ledger, in a bucket: one marker `work/.hopperd-id`, made at the first start and proven later.

All five places follow from one prefix, so one marker tells of all. The store is tried first: one that does not keep its
word about conditional creates would let two claims win, and is refused.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from typing import Any, Final

from hopperd.buckets.place import MARKER, OWN, PROBE, Place
from hopperd.buckets.seen import Seen
from hopperd.buckets.store import Store
from hopperd.errors import FolderIdentityError
from hopperd.folders.identity import NOTE, Prepared, judge_work
from hopperd.ports import FolderMark, FolderTrouble

TRIES: Final = 3
_MARKER_BYTES: Final = 1 << 16


def prepare(
    store: Store, place: Place, ledger_id: str, marks: Mapping[str, FolderMark], *, take_over: bool = False
) -> Prepared:
    """Prove the place to be this ledger's, and count this start. FolderIdentityError, FolderTrouble.

    `take_over` proves nothing and makes it this ledger's: only for `fsck --rebuild`.
    """
    refused = conditions_trouble(store, place)
    if refused is not None:
        raise FolderIdentityError(refused)
    for _ in range(TRIES):
        found = read_marker(store, place)
        content = found[1] if found is not None else None
        mark = marks.get(f"{place.name}/work")
        if not take_over:
            _prove(store, place, content, mark, ledger_id)
        starts = (mark.starts if mark is not None else 0) + 1
        if _write(store, place, found, ledger_id, starts):
            made = FolderMark(key=f"{place.name}/work", path=place.url("work").encode(), starts=starts)
            return Prepared(marks=(made,))
    raise FolderIdentityError(f"another hopperd starts on {place.url('work')} again and again at the same time")


def _prove(
    store: Store, place: Place, found: Mapping[str, Any] | None, mark: FolderMark | None, ledger_id: str
) -> None:
    where = place.url("work")
    if found is None and mark is not None and mark.path == where.encode():
        raise gone(place)
    judge_work(where, found, mark, ledger_id, holds_files=lambda: _has_files(store, place))


def gone(place: Place) -> FolderTrouble:
    what = f"{place.url('work')} is gone: its marker {MARKER} is not there. Is it the right bucket and endpoint?"
    return FolderTrouble("gone", what, place.url("work").encode())


def _has_files(store: Store, place: Place) -> bool:
    names = (place.below("work", seen.key) for seen in store.listed(place.root("work")))
    return any(not name.startswith(OWN.encode()) for name in names)


def _write(
    store: Store, place: Place, found: tuple[Seen, Mapping[str, Any]] | None, ledger_id: str, starts: int
) -> bool:
    known = found[1] if found is not None else {}
    content = {"hopperd": NOTE, "id": known.get("id") or secrets.token_hex(8), "folder": place.name, "role": "work"}
    content |= {"ledger": ledger_id, "starts": starts}
    text = json.dumps(content, indent=2).encode() + b"\n"
    if found is not None:
        return store.put_over(found[0], text)
    return store.put_new(_marker_key(place), text)


def _marker_key(place: Place) -> str:
    return f"{place.root('work')}/{MARKER}"


def read_marker(store: Store, place: Place) -> tuple[Seen, Mapping[str, Any]] | None:
    """The marker and what it says; {} where it says nothing that we understand, None where there is none."""
    found = store.read(_marker_key(place), most_bytes=_MARKER_BYTES)
    if found is None:
        return None
    try:
        content = json.loads(found[1])
    except ValueError:
        content = {}
    return found[0], content if isinstance(content, dict) else {}


def present(store: Store, place: Place, ledger_id: str) -> FolderTrouble | None:
    """Does the place still carry its marker, and the one of this ledger?"""
    found = read_marker(store, place)
    if found is None:
        return gone(place)
    if found[1].get("ledger") not in (None, ledger_id):
        what = f"{place.url('work')} now belongs to another hopperd's ledger"
        return FolderTrouble("gone", what, place.url("work").encode())
    return None


def conditions_trouble(store: Store, place: Place) -> str | None:
    """Why this store cannot be used: a create and an overwrite whose conditions do not hold must be refused."""
    key = f"{place.root('work')}/{PROBE}-{secrets.token_hex(8)}"
    store.put_new(key, b"hopperd was here\n")
    try:
        if store.put_new(key, b"hopperd was here again\n"):
            return (
                f"the store of {place.url('work')} ignores If-None-Match: it created one object twice. Two claims of "
                f"one invoice would both win there, so hopperd does not work in it. Update the store, or use another"
            )
        before = store.look(key)
        if before is not None and store.put_over(
            Seen(key=key, etag='"0123456789abcdef0123456789abcdef"', size_bytes=0, modified=0), b"hopperd\n"
        ):
            return (
                f"the store of {place.url('work')} ignores If-Match: it replaced an object that was another version. "
                f"Two hopperds could not tell each other there. Update the store, or use another"
            )
    finally:
        store.remove(key)
    return None
