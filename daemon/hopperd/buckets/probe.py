"""Try a bucket for real and say exactly what is wrong with it: for `hopperd check`. Leaves nothing behind."""

from __future__ import annotations

import secrets

from hopperd.buckets.identity import conditions_trouble
from hopperd.buckets.place import PROBE, Place
from hopperd.buckets.store import Store
from hopperd.folders.probe import Probed
from hopperd.ports import FolderTrouble


def probe(store: Store, place: Place) -> Probed:
    """Everything that a claim and a delivery need: create, look, list, read, copy and remove."""
    try:
        problem = conditions_trouble(store, place) or _try_rest(store, place)
        remarks = [] if problem else _about_large(store, place)
    except FolderTrouble as trouble:
        return Probed(
            problems=(f"{trouble.what}. Are endpoint, region, credentials and the rights right?",), remarks=()
        )
    return Probed(problems=(problem,) if problem else (), remarks=tuple(remarks))


def _try_rest(store: Store, place: Place) -> str | None:
    source, target = (f"{place.root('work')}/{PROBE}-{secrets.token_hex(8)}" for _ in range(2))
    content = b"hopperd was here\n"
    try:
        store.put_new(source, content, {"hopperd-job": "probe"})
        told = store.told(source)
        if told is None or told[1].get("hopperd-job") != "probe":
            return f"the store of {place.url('work')} does not keep the metadata of what is put there"
        store.copy(source, target)
        found = store.read(target, most_bytes=100)
        if found is None or found[1] != content:
            return f"the store of {place.url('work')} does not copy what is put there"
        if not any(seen.key == target for seen in store.listed(place.root("work"))):
            return f"the store of {place.url('work')} does not list what was just put there"
    finally:
        store.remove(source)
        store.remove(target)
    return None


def _about_large(store: Store, place: Place) -> list[str]:
    source, target = (f"{place.root('work')}/{PROBE}-{secrets.token_hex(8)}" for _ in range(2))
    try:
        store.put_new(source, b"hopperd was here\n")
        if store.copy_new(source, target) and not store.copy_new(source, target):
            return []
    except FolderTrouble:
        pass
    finally:
        store.remove(source)
        store.remove(target)
    return [
        f"the store of {place.url('work')} does not copy in parts under a condition, so files of more than 64 MiB "
        f"cannot be filed or delivered there; keep max_size_bytes and what is put into in/ below that"
    ]
