"""Who has a verification page open: one window for each task, as long as it says now and then that it is there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

HELD_MAX: Final = 10_000


class Windows:
    """A lock for each verification id; a window that falls silent for `seconds` has lost it to whoever comes next."""

    def __init__(self, now: Callable[[], float], seconds: float) -> None:
        self._now = now
        self.seconds = seconds
        self._held: dict[str, tuple[str, float]] = {}

    def take(self, verification_id: str, window: str) -> bool:
        """Opens, or keeps open; False if another window is there."""
        now = self._now()
        holder, until = self._held.get(verification_id, (window, now))
        if holder != window and until > now:
            return False
        self._forget_the_silent(now)
        self._held[verification_id] = (window, now + self.seconds)
        return True

    def give_back(self, verification_id: str, window: str) -> None:
        """The window is closed. One that does not hold the task changes nothing."""
        if self._held.get(verification_id, ("", 0.0))[0] == window:
            del self._held[verification_id]

    def _forget_the_silent(self, now: float) -> None:
        if len(self._held) >= HELD_MAX:
            self._held = {key: held for key, held in self._held.items() if held[1] > now}
