"""The threads of one hot folder, and for how long the oldest of what was asked of them has been waiting."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, ParamSpec, TypeVar

Given = TypeVar("Given")
Arguments = ParamSpec("Arguments")


class Pool(ThreadPoolExecutor):
    def __init__(self, threads: int, name: str) -> None:
        super().__init__(threads, name)
        self._since: dict[Future[Any], float] = {}

    def submit(
        self, call: Callable[Arguments, Given], /, *given: Arguments.args, **named: Arguments.kwargs
    ) -> Future[Given]:
        asked = super().submit(call, *given, **named)
        self._since[asked] = time.monotonic()
        asked.add_done_callback(self._forget)
        return asked

    def _forget(self, asked: Future[Any]) -> None:
        self._since.pop(asked, None)

    def waiting_seconds(self) -> float:
        """0 where nothing is under way."""
        oldest = min(list(self._since.values()), default=None)
        return 0.0 if oldest is None else time.monotonic() - oldest
