"""Every outside call of a simulated process passes here, and can fail there or be the last that it does."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from dataclasses import dataclass, field

from hopperd.ports import LedgerTrouble, ServiceTrouble


class Killed(BaseException):
    """The process is dead: nothing it still tries has any effect."""


@dataclass(slots=True)
class Taps:
    """Counts every outside call of a run, and fails or ends the process at chosen ones."""

    kill_at: frozenset[int] = frozenset()
    fail_at: frozenset[int] = frozenset()
    fail_from: int | None = None  # once and for ever
    replies_lost: frozenset[int] = frozenset()  # the file server did it, and is asked once more
    count: int = 0
    dead: bool = False
    names: list[str] = field(default_factory=list)
    times: list[float] = field(default_factory=list)
    now: Callable[[], float] = lambda: 0.0
    when_dead: Callable[[], None] = lambda: None

    def __call__(self, what: str) -> None:
        if self.dead:
            raise Killed(what)
        self.count += 1
        self.names.append(what)
        self.times.append(self.now())
        if self.count in self.kill_at:
            self.dead = True
            self.when_dead()
            raise Killed(what)
        if self.count in self.fail_at or (self.fail_from is not None and self.count >= self.fail_from):
            raise _trouble(what)
        if self.count in self.replies_lost:
            number = SECOND_ANSWER[what]
            raise OSError(number, os.strerror(number))


SECOND_ANSWER = {
    "after rename disk": errno.ENOENT,
    "after link disk": errno.EEXIST,
    "after unlink disk": errno.ENOENT,
    "after mkdir disk": errno.EEXIST,
    "after rmdir disk": errno.ENOENT,
}


def _trouble(what: str) -> Exception:
    """The error that such a call really has."""
    if "service" in what:
        after = what.startswith("after")
        if what.endswith(" run"):
            return ServiceTrouble("doubt" if after else "weather", f"injected {what}", kind="network")
        return ServiceTrouble("weather", f"injected {what}", kind="network")
    if "commit" in what:
        return LedgerTrouble(f"injected {what}")
    return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
