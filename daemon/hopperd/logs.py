"""How events are written: one stable name per fact, JSON when not on a terminal, never a secret.

Standard error is the log; standard output belongs to the commands.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sys
from collections.abc import Collection, Mapping, MutableMapping
from typing import Any, Literal

import structlog

from hopperd.pipeline.naming import printable

_LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}
_PRIORITIES = {"debug": 7, "info": 6, "warning": 4, "error": 3, "exception": 3, "critical": 2}
_SHORTEST_SECRET = 6


class Redaction:
    """Replaces every known secret in whatever is logged, should one ever get there."""

    def __init__(self) -> None:
        self._secrets: tuple[str, ...] = ()

    def know(self, secrets: Collection[str]) -> None:
        """These as well; what was known stays known."""
        more = (secret for secret in secrets if len(secret) >= _SHORTEST_SECRET)
        self._secrets = tuple(dict.fromkeys((*self._secrets, *more)))

    def __call__(self, _: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        for key, value in event.items():
            event[key] = self._cleaned(value)
        return event

    def clean(self, text: str) -> str:
        for secret in self._secrets:
            text = text.replace(secret, "[secret]")
        return text

    def _cleaned(self, value: Any) -> Any:
        if isinstance(value, str):
            return self.clean(value)
        if value is None or isinstance(value, int | float):
            return value
        if isinstance(value, Mapping):
            return {self._cleaned(key): self._cleaned(inner) for key, inner in value.items()}
        if isinstance(value, list | tuple | set | frozenset):
            return [self._cleaned(one) for one in value]
        text = repr(value)  # as it will be written
        return value if (cleaned := self.clean(text)) == text else cleaned


redaction = Redaction()


def _escape(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """On a terminal, what came with a file's name or from the service must not move the cursor."""
    for key, value in event.items():
        if isinstance(value, str) and key != "exception":
            event[key] = printable(value)
    return event


def _is_journal() -> bool:
    """Whether standard error goes to journald, which takes a line's priority from a prefix such as `<4>`."""
    told = os.environ.get("JOURNAL_STREAM")
    with contextlib.suppress(OSError):
        stream = os.fstat(2)
        return told == f"{stream.st_dev}:{stream.st_ino}"
    return False


def _with_priority(_: Any, method: str, line: str) -> str:
    return f"<{_PRIORITIES.get(method, 6)}>{line}"


def _console_renderer() -> structlog.dev.ConsoleRenderer:
    """Tracebacks come to it as text, made clean: its own would show the values of variables."""
    plain = structlog.dev.plain_traceback
    return structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), pad_event_to=24, exception_formatter=plain)


def configure(level: str, form: Literal["auto", "json", "console"]) -> None:
    """Once, at the start of a long-running command."""
    console = form == "console" or (form == "auto" and sys.stderr.isatty())
    renderers: list[Any] = [_escape, _console_renderer()] if console else [structlog.processors.JSONRenderer()]
    if not console and _is_journal():
        renderers.append(_with_priority)
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            redaction,  # after everything that adds words
            *renderers,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(_LEVELS[level]),
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )
