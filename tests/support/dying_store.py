"""The store as a process sees it that dies, or has bad luck, at one of its calls: before or after it took effect."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from hopperd.buckets.store import Store
from tests.support.hot_folder import Died

CALLS = frozenset(
    [
        "look",
        "told",
        "read",
        "read_range",
        "chunks",
        "put_new",
        "put_over",
        "put_parts",
        "copy",
        "copy_new",
        "remove",
        "listed",
        "level",
    ]
)


class _Counting:
    """Counts calls; at the given one, `happens` is called with its name: before it, or after it took effect."""

    def __init__(self, store: Store, at: int | None, happens: Callable[[str], None], *, after: bool) -> None:
        self._store = store
        self._at = at
        self._happens = happens
        self._after = after
        self.calls: list[tuple[str, str]] = []

    def __getattr__(self, name: str) -> Any:
        real = getattr(self._store, name)
        if name not in CALLS:
            return real

        def call(*arguments: Any, **more: Any) -> Any:
            key = arguments[0] if isinstance(arguments[0], str) else arguments[0].key
            self.calls.append((name, key))
            is_it = len(self.calls) == self._at
            if is_it and not self._after:
                self._happens(name)
            answer = real(*arguments, **more)
            if is_it and self._after:
                answer = list(answer) if name == "listed" else answer
                self._happens(name)
            return answer

        return call


def dying(store: Store, at: int | None, *, after: bool = False) -> tuple[Store, list[tuple[str, str]]]:
    """A store at whose call number `at` (from 1) the process dies; and the calls made, as they come."""

    def die(name: str) -> None:
        raise Died(name)

    counting = _Counting(store, at, die, after=after)
    return cast("Store", counting), counting.calls


def meddled_with(
    store: Store, at: int, happens: Callable[[], None], *, after: bool
) -> tuple[Store, list[tuple[str, str]]]:
    """A store at whose call number `at` somebody else does something."""
    counting = _Counting(store, at, lambda _: happens(), after=after)
    return cast("Store", counting), counting.calls
