"""How many requests at once the service seems to bear: one window for the account, and this node's part of it."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import replace
from typing import Final

from hopperd.capture.places import Places, portion
from hopperd.ports import Bears

START: Final = 4.0
ONE_SIGN_SECONDS: Final = 0.1
"""The refusals of one round trip are one sign and not many."""

ONE_SIGN_AMONG_NODES_SECONDS: Final = 0.7
"""Until the others have heard of a cut, and for a round trip more, refusals are of the same sign."""


class Window(Places):
    """Additive increase, multiplicative decrease.

    Doubles with every round trip up to where it must be careful, then grows by one per round trip; a refusal takes
    30 %. What is known is of all nodes together: each grows it by its part, and a cut anywhere is one everywhere.
    """

    def __init__(self, ceiling: int) -> None:
        self._ceiling = ceiling
        self._nodes, self._rank = 1, 0
        self._own = math.inf  # after a pause: how far this node has come by itself
        self._cut_at = -math.inf
        self.known = Bears(cuts=0, size=min(START, float(ceiling)), careful_from=float(ceiling))
        super().__init__(int(self.known.size))

    def set_ceiling(self, ceiling: int) -> None:
        """Of all nodes together."""
        if ceiling > self._ceiling:
            self.known = replace(self.known, careful_from=max(self.known.careful_from, float(ceiling)))
        self._ceiling = ceiling
        self._resize(self.known.size)

    def divide(self, nodes: int, rank: int) -> None:
        """This node is the `rank`th (from 0) of so many that have work."""
        self._nodes, self._rank = nodes, rank
        self._resize(self.known.size)

    def hear(self, others: Iterable[Bears], now: float) -> None:
        """What other nodes have found: the latest cut counts, and after the same one, who has grown further."""
        for other in others:
            if (other.cuts, other.size) > (self.known.cuts, self.known.size):
                if other.cuts > self.known.cuts:
                    self._cut_at = now
                self.known = other
        self._resize(self.known.size)

    def grow(self, now: float) -> None:
        """A request got through. Only a window in use grows, else an idle hour would open it unseen."""
        if self.taken * 2 < self.limit or (self._nodes > 1 and now - self._cut_at < ONE_SIGN_AMONG_NODES_SECONDS):
            return
        size = self.known.size
        if not math.isinf(self._own):
            self._own += 1.0
            self._resize(size)
        else:
            self._resize(size + self._nodes / (1.0 if size < self.known.careful_from else size))

    def shrink(self, now: float) -> None:
        """A request was refused because there are too many at once."""
        if now - self._cut_at < (ONE_SIGN_SECONDS if self._nodes == 1 else ONE_SIGN_AMONG_NODES_SECONDS):
            return
        self._cut_at = now
        size = max(1.0, min(self.known.size, self._own * self._nodes) * 0.7)
        self._own = math.inf
        self.known = Bears(cuts=self.known.cuts + 1, size=size, careful_from=size)
        self._resize(size)

    def restart(self) -> None:
        """After a pause: one, two, four, … up to what is known; others may have had no pause."""
        self._own = 1.0
        self._resize(self.known.size)

    def _resize(self, size: float) -> None:
        self.known = replace(self.known, size=max(1.0, min(size, float(self._ceiling))))
        part = portion(int(self.known.size), self._nodes, self._rank)
        if self._own >= part:
            self._own = math.inf
        self.limit = int(min(self._own, part))
