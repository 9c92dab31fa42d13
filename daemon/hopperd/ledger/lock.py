"""The exclusive lock on a state folder: one process at a time, for as long as it lives.

The file is never removed: a lock on a file that another process has unlinked protects nothing. Its one line says who
holds it and how far that process came, which tells the next one whether the ledger was closed.
A child made by fork without exec would keep the lock alive; children are spawned.
"""

from __future__ import annotations

import fcntl
import os
from dataclasses import dataclass
from typing import Final, Literal

from hopperd.boot import boot_id
from hopperd.errors import LedgerError, LedgerInUse

LOCK_NAME: Final = "lock"

Word = Literal["opening", "open", "closed"]
_WORDS: Final[tuple[Word, ...]] = ("opening", "open", "closed")


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """What the lock file says. `boot` tells whether the machine has been up ever since."""

    word: Word
    pid: int
    boot: str

    def line(self) -> bytes:
        return f"{self.word} {self.pid} {self.boot}\n".encode()


class StateLock:
    """Held from construction to `release`. `previous` is what the holder before left, None if it left nothing."""

    def __init__(self, state: str) -> None:
        """Raises LedgerInUse at once if another process holds it."""
        path = os.path.join(state, LOCK_NAME)
        try:
            self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        except OSError as error:
            raise LedgerError(f"{path} cannot be opened ({error.strerror}); give hopperd's user this folder.") from None
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = parsed(os.pread(self._descriptor, 200, 0))
            os.close(self._descriptor)
            who = f"process {holder.pid}" if holder else "another process"
            raise LedgerInUse(
                f"{state} is in use by {who}: a hopperd runs there already; stop it, or give this one a state folder "
                "of its own."
            ) from None
        except OSError as error:
            os.close(self._descriptor)
            raise LedgerError(f"{path} cannot be locked ({error.strerror}); keep the state on a local disk.") from None
        self.previous = parsed(os.pread(self._descriptor, 200, 0))

    def say(self, word: Word) -> None:
        """Durable when it returns. Raises OSError."""
        line = Holder(word=word, pid=os.getpid(), boot=boot_id()).line()
        os.pwrite(self._descriptor, line.ljust(80), 0)  # one length: never longer than what stood there
        os.fsync(self._descriptor)

    def release(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def parsed(content: bytes) -> Holder | None:
    parts = content.split()
    if len(parts) < 3 or not parts[1].isdigit():
        return None
    for word in _WORDS:
        if parts[0] == word.encode():
            return Holder(word=word, pid=int(parts[1]), boot=parts[2].decode("ascii", "replace"))
    return None
