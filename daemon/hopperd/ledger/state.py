"""The state folder: what of a ledger lies there, and what may be concluded from it. Never a silent empty ledger.

`ledger-id` is written once, durably, when a new ledger is complete and before anything else uses it. From then on a
ledger that is missing or empty is a damaged one.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import shlex
import string
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from hopperd.boot import boot_id
from hopperd.errors import LedgerDamaged, LedgerError
from hopperd.ledger.lock import LOCK_NAME, Holder

LEDGER_NAME: Final = "ledger.sqlite"
ID_NAME: Final = "ledger-id"
NODE_NAME: Final = "node"
QUICK_CHECK_BYTES: Final = 200 * 1024 * 1024

_HEADER: Final = b"SQLite format 3\0"
_WAL_MAGIC: Final = (b"\x37\x7f\x06\x82", b"\x37\x7f\x06\x83")
REBUILD: Final = "`hopperd fsck --rebuild` makes a new ledger from folders and receipts."


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What lies in a state folder. Sizes are None where there is no such file."""

    ledger_id: str | None
    size_bytes: int | None
    header: bytes
    log_size_bytes: int | None
    log_header: bytes
    previous: Holder | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How to open it: anew or as it is, and whether to read it through first."""

    kind: Literal["create", "open"]
    check: bool


def may_use(state: str) -> None:
    """Raises LedgerError where another user's state folder lies: it tells whose, and what to do.

    What is not there, or not usable for another reason, is told by whoever needs it.
    """
    for path, flags in ((state, os.O_RDONLY | os.O_DIRECTORY), (os.path.join(state, LOCK_NAME), os.O_RDWR)):
        try:
            os.close(os.open(path, flags | os.O_CLOEXEC))
        except PermissionError:
            whose, me = owner_of(path), user_name(os.geteuid())
            order = "sudo hopperd status" if whose == "root" else f"sudo -u {shlex.quote(whose)} hopperd status"
            give = f"chown -R {me} {shlex.quote(state)}"
            raise LedgerError(
                f"{path} may not be used by this user, {me}: it belongs to {whose}. Give the command as the user that "
                f"hopperd runs as, like `{order}`. If that is {me}, give it the folder: `{give}`."
            ) from None
        except OSError:
            return


def owner_of(path: str) -> str:
    """The user whose `path` is; where that cannot be seen, whose the folder is that hides it."""
    for each in (Path(path), *Path(os.path.abspath(path)).parents):
        with contextlib.suppress(OSError):
            return user_name(os.stat(each).st_uid)
    return user_name(0)


def user_name(number: int) -> str:
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return f"#{number}"  # as sudo takes it


def prepare(state: str) -> None:
    """Make the state folder, mode 0700, if it is not there. Raises LedgerError."""
    may_use(state)
    try:
        if not os.path.isdir(state):
            os.makedirs(state, mode=0o700)
            sync_folder(os.path.dirname(os.path.abspath(state)))
    except OSError as error:
        raise LedgerError(f"the state folder {state} cannot be made ({error.strerror}).") from None


def ledger_path(state: str) -> str:
    return os.path.join(state, LEDGER_NAME)


def has_ledger(state: str) -> bool:
    """Raises LedgerError where this user may not see that."""
    may_use(state)
    return any(os.path.lexists(os.path.join(state, name)) for name in (LEDGER_NAME, ID_NAME))


def look(state: str, previous: Holder | None) -> Found:
    """Raises LedgerError where the files cannot be read, LedgerDamaged where the id is no id."""
    path = ledger_path(state)
    size, header = _beginning(path, len(_HEADER))
    log_size, log_header = _beginning(path + "-wal", 4)
    return Found(
        ledger_id=read_id(state),
        size_bytes=size,
        header=header,
        log_size_bytes=log_size,
        log_header=log_header,
        previous=previous,
    )


def plan(found: Found, state: str) -> Plan:
    """Raises LedgerDamaged where something that was there is gone."""
    path = ledger_path(state)
    if not found.size_bytes:
        if found.ledger_id is None and not found.log_size_bytes:
            return Plan(kind="create", check=False)  # the very first start, or one that was cut short
        what = "is missing" if found.size_bytes is None else "is empty"
        raise LedgerDamaged(f"{path} {what}, but there was a ledger here. {REBUILD}")
    if found.header != _HEADER:
        raise LedgerDamaged(f"{path} is not a ledger (its first bytes are wrong). {REBUILD}")
    was_open = found.previous is not None and found.previous.word == "open"
    if was_open and found.ledger_id is not None and found.log_header not in _WAL_MAGIC:
        what = "is missing or empty" if not found.log_size_bytes else "is not one"
        raise LedgerDamaged(
            f"the ledger was not closed, and its write-ahead log {path}-wal {what}: the last jobs are not known. "
            f"{REBUILD} If you put back a backup on purpose, remove the file lock in {state} and start again."
        )
    same_boot = found.previous is not None and found.previous.boot == boot_id()
    closed = found.previous is not None and found.previous.word == "closed"
    small = found.size_bytes + (found.log_size_bytes or 0) <= QUICK_CHECK_BYTES
    # The end of a process damages no file; the end of a machine may. A large ledger is read through only after that.
    return Plan(kind="open", check=small or not (closed or same_boot))


def read_id(state: str) -> str | None:
    path = os.path.join(state, ID_NAME)
    try:
        with open(path, "rb") as file:
            content = file.read(200).strip()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise LedgerError(f"{path} cannot be read ({error.strerror}).") from None
    text = content.decode("ascii", "replace")
    if len(text) != 32 or not set(text) <= set(string.hexdigits):
        raise LedgerDamaged(f"{path} does not hold a ledger's id. {REBUILD}")
    return text


def read_node(state: str) -> str | None:
    """The id of the last life of a node on this folder; None where there was none, or none that can be read."""
    try:
        with open(os.path.join(state, NODE_NAME), encoding="ascii") as file:
            return file.read(200).strip() or None
    except (OSError, ValueError):
        return None


def write_node(state: str, node: str) -> None:
    """Durable when it returns. Raises OSError."""
    _write(state, NODE_NAME, node)


def write_id(state: str, ledger_id: str) -> None:
    """Durable, file and folder, when it returns. Raises OSError."""
    _write(state, ID_NAME, ledger_id)


def _write(state: str, name: str, word: str) -> None:
    path = os.path.join(state, name)
    descriptor = os.open(path + ".new", os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        os.write(descriptor, word.encode() + b"\n")
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    os.replace(path + ".new", path)
    sync_folder(state)


def set_aside(state: str, stamp: str, why: str = "damaged") -> list[str]:
    """Rename a ledger out of the way, so that a new one can be made. Returns the new paths.

    The id goes last: cut short, the folder still says that there was a ledger. The caller holds the lock.
    """
    moved = []
    for name in (LEDGER_NAME + "-wal", LEDGER_NAME + "-shm", LEDGER_NAME, ID_NAME):
        path = os.path.join(state, name)
        if os.path.lexists(path):
            aside = f"{path}.{why}-{stamp}"
            if os.path.lexists(aside):
                raise LedgerError(f"{aside} stands in the way; move it elsewhere.")
            os.rename(path, aside)
            moved.append(aside)
    sync_folder(state)
    return moved


def sync_folder(path: str) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _beginning(path: str, size: int) -> tuple[int | None, bytes]:
    try:
        with open(path, "rb") as file:
            return os.fstat(file.fileno()).st_size, file.read(size)
    except FileNotFoundError:
        return None, b""
    except OSError as error:
        raise LedgerError(f"{path} cannot be read ({error.strerror}).") from None
