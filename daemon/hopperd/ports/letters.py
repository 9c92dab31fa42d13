"""What is told outside, and who takes it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from hopperd.pipeline.letters import Letter
from hopperd.ports.ledger import LettersWaiting, WaitingLetter


class Letters(Protocol):
    """The letters in the ledger, and what people were told. May raise LedgerTrouble."""

    async def post(self, letters: Sequence[Letter], told: Mapping[str, str | None]) -> None:
        """Letters, and what people will have been told with them (None: nothing any more), in one transaction."""
        ...

    async def told(self) -> dict[str, str]: ...

    async def letters_due(self, channel: str, now: float, limit: int) -> list[WaitingLetter]:
        """Those due longest first. They are in this node's hand until they are taken, postponed or put back."""
        ...

    async def put_back_letters(self, ids: Sequence[str]) -> None: ...

    async def letters_waiting(self) -> dict[str, LettersWaiting]: ...

    async def letters_taken(self, ids: Sequence[str]) -> None: ...

    async def postpone_letters(self, ids: Sequence[str], due_at: float, trouble: str) -> None: ...

    async def hasten_letters(self, channel: str, now: float) -> None:
        """Whatever waits on the channel is due."""
        ...

    async def trim_letters(self, channel: str, keep: int) -> int:
        """Lets the oldest go where more than `keep` wait; returns how many."""
        ...

    async def came_in(self, since: float, until: float) -> Mapping[str, int]:
        """What became of the jobs opened in this time: delivered, failed, held, open; each is in one of them."""
        ...


class NotTaken(Exception):
    """A letter was not taken; the sentence says why, and is shown."""

    def __init__(self, what: str, *, retry_after_seconds: float | None = None) -> None:
        super().__init__(what)
        self.what = what
        self.retry_after_seconds = retry_after_seconds


class Receiver(Protocol):
    """Who takes letters: a web address, a command, a chat."""

    async def take(self, letter_id: str, document: bytes) -> None:
        """Returns when it was taken. Raises NotTaken, and nothing else for an operating error."""
        ...

    async def close(self) -> None: ...
