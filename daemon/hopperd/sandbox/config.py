"""What can be chosen about a twin: one frozen object, and the sentences for what cannot be understood.

The switches stand for what the vendor's documentation leaves open; a client has to work under each of them.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, fields
from typing import Any, Final

from hopperd.sandbox.faults import FaultPlan, FaultPlanError, parse_plan

MIB: Final = 1024 * 1024

CHOICES: Final[dict[str, tuple[str, ...]]] = {
    "upload_answer": ("array", "object"),
    "progress": ("fraction", "percent"),
    "run_status": ("200", "201"),
    "delete_status": ("200", "204"),
    "hash_case": ("lower", "upper"),
    "dates": ("with-ms", "without", "no-zone"),
    "reader": ("full", "none"),
}
"""Options with a fixed set of answers."""


class SandboxUsage(Exception):
    """An option or a fault plan that cannot be used; the text says which and what would do. Ends with exit code 2."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Application:
    """One application of the account: what HTTP Basic must carry. Each sees only its own files and tasks."""

    id: str
    token: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxConfig:
    """A whole twin. `port` 0 takes a free one; the address is always loopback."""

    applications: tuple[Application, ...]
    port: int = 8765
    processing_seconds: tuple[float, float] = (2.0, 5.0)
    seed: int = 0
    log: str | None = None
    faults: FaultPlan = field(default_factory=FaultPlan)

    upload_answer: str = "array"
    progress: str = "fraction"
    run_status: str = "200"
    delete_status: str = "204"
    hash_case: str = "upper"
    dates: str = "with-ms"
    new_first: bool = False
    extra_fields: bool = False
    unknown_status: bool = False
    demo_application: bool = False

    quota: int | None = None
    keep_hours: float = 336.0
    max_files: int = 100_000
    max_body_bytes: int = 512 * MIB
    memory_bytes: int = 256 * MIB
    disk_bytes: int = 8192 * MIB
    data: str | None = None
    window_seconds: float = 75.0
    reader: str = "full"
    readers: int = 1
    reading_seconds: float = 60.0


def config_from_options(
    *,
    applications: Iterable[str] = (),
    processing_seconds: str = "2-5",
    log: str | None = None,
    faults: str | None = None,
    tell: Callable[[str], None] = lambda _: None,
    **rest: Any,
) -> SandboxConfig:
    """The configuration that a command line asks for; `rest` are fields of SandboxConfig as they are.

    `tell` receives sentences for the user's log, e.g. the credentials made up when none were given.
    Raises SandboxUsage with a sentence.
    """
    unknown = set(rest) - {each.name for each in fields(SandboxConfig)}
    if unknown:
        raise SandboxUsage(f"The sandbox knows no option {', '.join(sorted(unknown))}.")
    config = SandboxConfig(
        applications=_applications(tuple(applications), tell),
        processing_seconds=_seconds_range(processing_seconds),
        log=log,
        faults=_plan(faults),
        **rest,
    )
    check_config(config)
    return config


def check_config(config: SandboxConfig) -> None:
    """Raises SandboxUsage for the first value that cannot be meant."""
    for name, choices in CHOICES.items():
        if getattr(config, name) not in choices:
            raise SandboxUsage(f"--{_option(name)} must be one of {', '.join(choices)}, not {getattr(config, name)!r}.")
    if not 0 <= config.port <= 65535:
        raise SandboxUsage(f"--port must be between 0 and 65535, not {config.port}.")
    if config.quota is not None and config.quota < 0:
        raise SandboxUsage("--quota counts documents and cannot be negative.")
    for name in (
        "keep_hours",
        "max_files",
        "max_body_bytes",
        "memory_bytes",
        "disk_bytes",
        "readers",
        "reading_seconds",
        "window_seconds",
    ):
        if getattr(config, name) <= 0:
            raise SandboxUsage(f"--{_option(name)} must be greater than 0.")


def parse_application(text: str) -> Application:
    """`ID:TOKEN`, cut at the first colon, as HTTP Basic cuts it; both may be any other non-empty text."""
    application_id, colon, token = text.partition(":")
    if not colon or not application_id or not token:
        raise SandboxUsage("--application needs ID:TOKEN with neither part empty, e.g. --application demo:secret.")
    return Application(id=application_id, token=token)


def _applications(texts: tuple[str, ...], tell: Callable[[str], None]) -> tuple[Application, ...]:
    if not texts:
        made_up = Application(id=secrets.token_hex(12), token=secrets.token_hex(20).upper())
        tell(f"No --application given; this one is made up for this run: {made_up.id}:{made_up.token}")
        return (made_up,)
    parsed = tuple(dict.fromkeys(parse_application(text) for text in texts))
    ids = [each.id for each in parsed]
    for each in ids:
        if ids.count(each) > 1:
            raise SandboxUsage(f"--application {each} is given twice with different tokens.")
    return parsed


def _seconds_range(text: str) -> tuple[float, float]:
    low, dash, high = text.partition("-")
    try:
        least = float(low)
        most = float(high) if dash else least
    except ValueError:
        raise SandboxUsage(f"--processing-seconds needs MIN-MAX, e.g. 2-5 or 0-0, not {text!r}.") from None
    if not 0 <= least <= most <= 86_400:
        raise SandboxUsage(f"--processing-seconds needs 0 <= MIN <= MAX <= 86400, not {text!r}.")
    return least, most


def _plan(path: str | None) -> FaultPlan:
    if path is None:
        return FaultPlan()
    try:
        with open(path, "rb") as file:
            return parse_plan(file.read())
    except OSError as error:
        raise SandboxUsage(f"The fault plan {path} cannot be read: {os.strerror(error.errno or 0)}.") from error
    except FaultPlanError as error:
        raise SandboxUsage(f"The fault plan {path} cannot be used: {error}") from error


def _option(name: str) -> str:
    return name.replace("_", "-")
