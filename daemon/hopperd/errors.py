"""What can go wrong, sorted by what it means for the person at the terminal.

    HopperdError                    exit code
    ├── ConfigurationError          2   every mistake of the configuration, all at once
    ├── LedgerError                 3   the ledger cannot be used
    │   ├── LedgerInUse             3   another process has it
    │   ├── LedgerTooNew            3   a newer hopperd wrote it
    │   └── LedgerDamaged           3   its integrity check failed
    ├── FolderIdentityError         3   a folder is not the one this ledger knows
    ├── CredentialsRefused          4   the service does not accept our credentials
    ├── WorkFailed                  1   something failed, is held or still waits
    ├── NotRunning                  1   no daemon answers on the control socket
    ├── Stale                       1   a lost compare-and-set: normal, put down quietly
    │   └── NoRoom                  1   as many tasks are in flight as may be: put down until there is a place
    └── TransitionError             1   an event that the stage table does not know: a mistake of ours

An operating error carries one sentence (or a list of them) that says what to do; it is printed without a traceback.
Where the daemon works, `Stale` is put down quietly, and `TransitionError` is a mistake of ours: its job is held.
Where a person orders something, or `fsck` repairs, the job may have moved since it was looked at: there both are the
answer that it cannot be done.
"""

from collections.abc import Sequence
from enum import IntEnum
from typing import ClassVar


class ExitCode(IntEnum):
    """How every command ends; the same table for all of them."""

    FINE = 0
    WORK_FAILED = 1
    CONFIGURATION = 2
    LEDGER = 3
    CREDENTIALS = 4


class HopperdError(Exception):
    """The root: whoever prints one prints its sentence and ends with its exit code."""

    exit_code: ClassVar[ExitCode] = ExitCode.WORK_FAILED


class ConfigurationError(HopperdError):
    """Every mistake found in the configuration, in the order of the file; each a sentence that says what to do."""

    exit_code = ExitCode.CONFIGURATION

    def __init__(self, problems: Sequence[str], source: str | None = None) -> None:
        self.problems: tuple[str, ...] = (problems,) if isinstance(problems, str) else tuple(problems)
        self.source = source
        super().__init__(self.problems, source)

    def __str__(self) -> str:
        if len(self.problems) == 1:
            return f"{self.source}: {self.problems[0]}" if self.source else self.problems[0]
        where = self.source or "the configuration"
        listed = "\n".join(f"  - {problem}" for problem in self.problems)
        return f"{where} has {len(self.problems)} mistakes:\n{listed}"


class LedgerError(HopperdError):
    """The ledger cannot be used; the sentence says why and what to do."""

    exit_code = ExitCode.LEDGER


class LedgerInUse(LedgerError):
    """Another process holds the lock on the state folder."""


class LedgerTooNew(LedgerError):
    """A newer hopperd wrote this ledger and this one may not read it."""


class LedgerDamaged(LedgerError):
    """The ledger failed its integrity check; `hopperd fsck --rebuild` makes a new one from folders and receipts."""


class FolderIdentityError(HopperdError):
    """A folder's marker does not belong to this ledger; nothing in it may be touched."""

    exit_code = ExitCode.LEDGER


class CredentialsRefused(HopperdError):
    """The service answered 401 or 403 to our application id and token."""

    exit_code = ExitCode.CREDENTIALS


class WorkFailed(HopperdError):
    """The command did its work, and some of it failed, is held, or waits for a person."""

    exit_code = ExitCode.WORK_FAILED


class NotRunning(HopperdError):
    """No daemon answers on the control socket of the state folder."""


class Stale(HopperdError):
    """Somebody else moved the job first. Not an error of operation: put the job down and go on.

    `taken_over`: another node carries it now, and nothing of what was done here may be put on top.
    """

    def __init__(self, what: str, *, taken_over: bool = False) -> None:
        super().__init__(what)
        self.taken_over = taken_over


class NoRoom(Stale):
    """Another node was given the last place in flight of the account. Nothing was written."""


class TransitionError(HopperdError):
    """The pair (stage, event) is not in the table: nothing was changed. A programmer's mistake, but for an order."""
