"""Secrets of hooks, notices and ledger: from the environment, a file, or a systemd credential; the first that has one.

Like the page's tokens they stand in no table, so that nothing that prints settings can print them.
"""

import importlib.util
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from hopperd.settings.folder import Folder
from hopperd.settings.models import Document
from hopperd.settings.telling import NoticesSettings
from hopperd.settings.tokens import Found, read

SHORTEST: Final = 16
WEBHOOK_VARIABLE: Final = "HOPPERD_NOTICES__WEBHOOK_SECRET"
ADDRESSES_VARIABLE: Final = "HOPPERD_NOTICES__ADDRESSES"
LEDGER_VARIABLE: Final = "HOPPERD_LEDGER_PASSWORD"
_OURS: Final = re.compile(
    rf"HOPPERD_FOLDERS__.+__AFTER_DELIVERY_SECRET|{WEBHOOK_VARIABLE}|{ADDRESSES_VARIABLE}|{LEDGER_VARIABLE}"
)

Finding = tuple[str, str]
"""A key, and what is wrong with it."""


@dataclass(slots=True, kw_only=True)
class Secrets:
    """What was found; "" where there is none."""

    secret: str = field(default="", repr=False)
    addresses: tuple[str, ...] = field(default=(), repr=False)
    problems: list[Finding] = field(default_factory=list)
    warnings: list[Finding] = field(default_factory=list)


def is_secret(variable: str) -> bool:
    """Whether this variable of the environment is read here, and no key of the file."""
    return _OURS.fullmatch(variable) is not None


def hook_variable(folder: str) -> str:
    return f"HOPPERD_FOLDERS__{re.sub(r'[.-]', '_', folder).upper()}__AFTER_DELIVERY_SECRET"


def of_hook(folder: Folder, environ: Mapping[str, str] = os.environ) -> Secrets:
    """What signs a folder's deliveries. Where they go over the web there must be one."""
    found = Secrets()
    if folder.after_delivery_url is None:
        return found
    _secret(
        found,
        "after_delivery_secret_file",
        hook_variable(folder.name),
        folder.after_delivery_secret_file,
        f"hook-{folder.name}",
        environ,
    )
    if not found.secret and not found.problems:
        found.problems.append(
            (
                "after_delivery_url",
                "needs a secret that signs what is sent: name a file in after_delivery_secret_file, or set "
                f"{hook_variable(folder.name)}",
            )
        )
    return found


def of_notices(notices: NoticesSettings, environ: Mapping[str, str] = os.environ) -> Secrets:
    found = Secrets()
    if notices.webhook is not None:
        key, file = "webhook_secret_file", notices.webhook_secret_file
        _secret(found, key, WEBHOOK_VARIABLE, file, "notices-webhook", environ)
    lines = _find(found, "addresses_file", ADDRESSES_VARIABLE, notices.addresses_file, "notices-addresses", environ)
    stripped = [line.strip() for line in lines.splitlines()]
    found.addresses = tuple(line for line in stripped if line and not line.startswith("#"))
    if found.addresses and importlib.util.find_spec("apprise") is None:
        found.problems.append(("addresses_file", "needs the extra for e-mail and chat: pip install 'hopperd[notices]'"))
    return found


def of_ledger(document: Document, environ: Mapping[str, str] = os.environ) -> Secrets:
    """The password of a ledger in PostgreSQL. None at all is no mistake: the server may know us otherwise."""
    found = Secrets()
    if document.ledger is not None:
        file = document.ledger_password_file
        found.secret = _find(found, "ledger_password_file", LEDGER_VARIABLE, file, "ledger", environ)
        if importlib.util.find_spec("psycopg") is None:
            found.problems.append(("ledger", "needs the extra for PostgreSQL: pip install 'hopperd[postgresql]'"))
    return found


def _secret(
    found: Secrets, key: str, variable: str, file: Path | None, credential: str, environ: Mapping[str, str]
) -> None:
    found.secret = _find(found, key, variable, file, credential, environ).strip()
    if found.secret and len(found.secret) < SHORTEST:
        found.problems.append((key, f"is shorter than {SHORTEST} characters; take a longer one"))


def _find(
    found: Secrets, key: str, variable: str, file: Path | None, credential: str, environ: Mapping[str, str]
) -> str:
    if from_environment := environ.get(variable, ""):
        return from_environment
    for one, what, warn in _places(key, file, credential, environ):
        got: Found = read(variable, one, what, warn=warn)
        if got.problem:
            found.problems.append((key, got.problem))
        if got.warning:
            found.warnings.append((key, got.warning))
        return got.token
    return ""


def _places(
    key: str, file: Path | None, credential: str, environ: Mapping[str, str]
) -> Iterator[tuple[Path, str, bool]]:
    folder = environ.get("CREDENTIALS_DIRECTORY")
    if file is not None:
        yield file, key, folder is None or file.parent != Path(folder)
    elif folder and os.path.lexists(os.path.join(folder, credential)):
        yield Path(folder, credential), "systemd credential", False
