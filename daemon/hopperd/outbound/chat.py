"""Notices by e-mail and chat, through Apprise, which knows a hundred services. An extra: hopperd[notices].

Apprise blocks, so it has one thread of its own; it tells no reason but in its log, which is listened to.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

from hopperd.errors import ConfigurationError
from hopperd.ports import NotTaken

SECONDS: Final = 60.0
MISSING: Final = (
    "[notices], addresses_file: e-mail and chat need the extra: pip install 'hopperd[notices]', or remove the addresses"
)


class Chat:
    """Raises ConfigurationError where Apprise is not installed or does not know an address."""

    def __init__(self, addresses: Sequence[str]) -> None:
        try:
            import apprise
        except ImportError:
            raise ConfigurationError([MISSING]) from None
        quiet = logging.getLogger("apprise")
        quiet.propagate = False
        quiet.addHandler(_heard)
        self._apprise: Any = apprise.Apprise()
        wrong = [number for number, one in enumerate(addresses, 1) if not self._apprise.add(one)]
        if wrong:
            lines = ", ".join(map(str, wrong))
            raise ConfigurationError([f"[notices], addresses_file: Apprise does not know the address in line {lines}"])
        self._thread = ThreadPoolExecutor(1, "hopperd-notices")

    async def take(self, letter_id: str, document: bytes) -> None:
        message = json.loads(document)
        loop = asyncio.get_running_loop()
        try:
            taken = await asyncio.wait_for(loop.run_in_executor(self._thread, self._send, message), SECONDS)
        except TimeoutError:
            raise NotTaken(f"e-mail or chat did not answer within {SECONDS:.0f} s") from None
        if taken is not None:
            raise NotTaken(f"e-mail or chat did not take it: {taken}")

    def _send(self, message: dict[str, str]) -> str | None:
        """On the thread. None when every address took it; else why not."""
        _heard.last = ""
        try:
            taken = self._apprise.notify(title=message["subject"], body=message["text"])
        except Exception as error:  # each service of Apprise's is somebody else's code
            return f"{type(error).__name__}: {error}"
        return None if taken else (_heard.last or "no reason was given")

    async def close(self) -> None:
        self._thread.shutdown(wait=False, cancel_futures=True)


class _LastWarning(logging.Handler):
    """What Apprise said last that was not good."""

    last = ""

    def emit(self, record: logging.LogRecord) -> None:
        if record.levelno >= logging.WARNING:
            self.last = record.getMessage()[:200]


_heard = _LastWarning(logging.WARNING)
