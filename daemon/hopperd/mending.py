"""Joins fsck to the real disk and the real ledger: the audit, and the making of a new ledger when the old one is lost.

The new ledger is filled aside, in the state folder, and takes the old one's place only when it is whole; the old one
is renamed, never removed. Whatever instant it is cut short at, `run` still refuses, and it can be done again.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from hopperd.errors import FolderIdentityError, LedgerError
from hopperd.folders.answers import PATIENCE_SECONDS, asked_at_once, silence
from hopperd.folders.identity import read_marker
from hopperd.folders.layout import ROLES, Layout
from hopperd.folders.trouble import troubled
from hopperd.grounds import Grounds
from hopperd.ledger import state
from hopperd.ledger.lock import StateLock
from hopperd.ledger.store import Store
from hopperd.pipeline.job import JobId, Policy
from hopperd.pipeline.naming import printable
from hopperd.ports import Clock, FolderTrouble
from hopperd.settings import Folder, Settings
from hopperd.settings.bucket_path import in_bucket
from hopperd.threads import FileThreads
from hopperd.workers.audit import Audit
from hopperd.workers.rebuild import Refilled, refill
from hopperd.workers.repairs import AuditedFolder

ASIDE: Final = "rebuilding"


def audited(
    settings: Settings, pools: Callable[[str], Executor], policies: Mapping[str, Policy]
) -> dict[str, AuditedFolder]:
    grounds, found = Grounds(settings.state), {}
    for folder in settings.folders:
        ground = grounds.of(folder, pools(folder.name))
        found[folder.name] = AuditedFolder(
            settings=folder, policy=policies[folder.name], disk=ground.disk(), survey=ground.survey()
        )
    return found


def audit_of(
    settings: Settings,
    store: Store,
    clock: Clock,
    policies: Mapping[str, Policy],
    pools: Callable[[str], Executor],
    claiming: Callable[[JobId], bool] | None = None,
    moved: Callable[[], None] = lambda: None,
) -> Audit:
    return Audit(store, clock, audited(settings, pools, policies), claiming, moved)


@dataclass(slots=True)
class Rebuilt:
    """What became of everything, for the person who ordered it."""

    ledger_id: str
    moved_aside: list[str]
    folders: dict[str, Refilled] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)


async def rebuild(settings: Settings, clock: Clock, policies: Mapping[str, Policy]) -> Rebuilt:
    """A new ledger from folders and receipts. Raises LedgerInUse while a daemon runs, FolderIdentityError.

    FolderTrouble, LedgerTrouble, LedgerError: a disk would not.
    """
    if settings.ledger is not None:
        raise LedgerError(
            "a ledger in PostgreSQL is put back from its own backup. If there is none: stop every node, take `ledger` "
            "out of the configuration, do this again, then hopperd migrate-ledger --to a new database."
        )
    folder = os.fspath(settings.state)
    state.prepare(folder)
    lock = StateLock(folder)
    try:
        warnings = _all_reachable(settings.folders)
        aside = os.path.join(folder, ASIDE)
        shutil.rmtree(aside, ignore_errors=True)  # what a try that was cut short had made; nothing else lies there
        made = await _fill(settings, clock, policies, aside)
        made.warnings += warnings
        _put_in_place(folder, aside, lock, made)
        return made
    finally:
        lock.release()


def _all_reachable(folders: Sequence[Folder]) -> list[str]:
    """Refuse where a place does not answer, or looks like a share that is not mounted; else what should be known.

    A bucket cannot look so: it answers, or it does not.
    """
    layouts = {folder.name: Layout.of(folder) for folder in folders if in_bucket(folder.path) is None}
    looked = asked_at_once({name: partial(_is_reachable, of) for name, of in layouts.items()}, PATIENCE_SECONDS)
    for name, warnings in looked.items():
        if warnings is None:
            root = layouts[name].inbox
            raise FolderTrouble("gone", f"folder {name}: {silence(root, PATIENCE_SECONDS)}", root)
    return [warning for warnings in looked.values() for warning in warnings or ()]


def _is_reachable(layout: Layout) -> list[str]:
    """Refuse where a place looks like a share that is not mounted: what lies there would be missing for ever."""
    with troubled(layout.inbox, "read the markers around"):
        marked = {role: read_marker(layout.roots[role]) is not None for role in ROLES}
        for role in ROLES:
            root = layout.roots[role]
            if any(marked.values()) and not marked[role] and not _holds_anything(root):
                raise FolderIdentityError(
                    f"{printable(root)} is empty and has no marker, while other places of folder {layout.name} have "
                    f"theirs: is its share not mounted? If it is really empty, make an empty file .hopperd-id in it "
                    f"and try again."
                )
    if not any(marked.values()):
        return [
            f"Folder {layout.name} has no marker anywhere, and was taken for a new one. If its share was not mounted, "
            f"mount it and do this again."
        ]
    return []


def _holds_anything(root: bytes) -> bool:
    try:
        with os.scandir(root) as entries:
            return any(True for _ in entries)
    except (FileNotFoundError, NotADirectoryError):
        return False


async def _fill(settings: Settings, clock: Clock, policies: Mapping[str, Policy], aside: str) -> Rebuilt:
    """The new ledger, whole and closed, in a folder of its own; then the markers are made its."""
    store = Store.open_state(aside)
    threads = FileThreads([folder.name for folder in settings.folders])
    try:
        made = Rebuilt(ledger_id=store.ledger_id, moved_aside=[])
        folders = audited(settings, threads.of, policies)
        grounds = [Grounds(settings.state).of(one, threads.of(one.name)) for one in settings.folders]
        for ground in grounds:
            if not ground.is_marked():
                ground.prepare(store.ledger_id, {}, take_over=True)  # new, or somebody deleted a marker
            made.folders[ground.name] = await refill(store, clock, folders[ground.name])
        for ground in grounds:
            prepared = ground.prepare(store.ledger_id, {}, take_over=True)
            for mark in prepared.marks:
                await store.set_mark(mark)
        return made
    finally:
        await threads.end()
        await store.close()


def _put_in_place(folder: str, aside: str, lock: StateLock, made: Rebuilt) -> None:
    """From here on the markers name the new ledger, so that the old one is refused wherever this is cut short."""
    ledger = os.path.join(aside, state.LEDGER_NAME)
    if os.path.lexists(ledger + "-wal") or not os.path.isfile(ledger):
        raise LedgerError(f"the new ledger in {aside} could not be closed; is the disk full? Do this again.")
    lock.say("opening")
    made.moved_aside = state.set_aside(folder, _stamp(folder))
    os.rename(ledger, state.ledger_path(folder))
    os.rename(os.path.join(aside, state.ID_NAME), os.path.join(folder, state.ID_NAME))
    state.sync_folder(folder)
    lock.say("closed")
    shutil.rmtree(aside, ignore_errors=True)


def _stamp(folder: str) -> str:
    """The moment, and a number where two rebuilds came within one second."""
    moment = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    taken = os.listdir(folder)
    numbers = (moment if n == 1 else f"{moment}-{n}" for n in range(1, 1000))
    return next(stamp for stamp in numbers if not any(name.endswith(f".damaged-{stamp}") for name in taken))
