"""Where an account's token comes from: the environment, a file, or a systemd credential; the first that has one.

A token is never shown, not even in the sentence that says what is wrong with it.
"""

import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from hopperd.settings.environment import token_variable

_LIMIT_BYTES = 65_536


class Found(NamedTuple):
    """A token ("" if there is none), what is wrong, and what should be looked at."""

    token: str = ""
    problem: str | None = None
    warning: str | None = None


def find(account: str, file: Path | None, environ: Mapping[str, str]) -> Found:
    """The token of an account from a file or a credential; the environment's own is already in the document."""
    credentials = environ.get("CREDENTIALS_DIRECTORY")
    credential = Path(credentials, account) if credentials else None
    if file is not None and not (credential is not None and not os.path.lexists(file) and os.path.lexists(credential)):
        warn = credential is None or file.parent != credential.parent
        return read(token_variable(account), file, "application_token_file", warn=warn)
    if credential is not None and os.path.lexists(credential):
        return read(token_variable(account), credential, "systemd credential", warn=False)
    return Found(
        problem=f"has no application token; put it into the variable {token_variable(account)}, "
        f'or into a file named by application_token_file, or into a systemd credential "{account}"'
    )


def read(variable: str, file: Path, what: str, *, warn: bool) -> Found:
    """A token from a file; `variable` is what could be set in its place."""
    try:
        with open(os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as opened:
            mode = os.fstat(opened.fileno()).st_mode
            if not stat.S_ISREG(mode):
                return Found(problem=f"{what} {file} is no plain file; name a file with the token and nothing else")
            content = opened.read(_LIMIT_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else "unusable name"
        advice = f"create it, let hopperd's user read it, or set {variable}"
        return Found(problem=f"{what} {file} cannot be read ({reason}); {advice}")
    try:
        token = content.decode().rstrip("\r\n")
    except UnicodeDecodeError:
        return Found(problem=f"{what} {file} is not text; it must hold the token and nothing else")
    if not token or len(content) > _LIMIT_BYTES:
        state = "is empty" if not token else "is far too long"
        return Found(problem=f"{what} {file} {state}; it must hold the token and nothing else")
    if warn and mode & stat.S_IROTH:
        return Found(token, warning=f"{what} {file} can be read by every user of this machine; chmod o-r {file}")
    return Found(token)
