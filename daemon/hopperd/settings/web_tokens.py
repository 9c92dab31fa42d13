"""Where the page's two tokens come from: the environment, a file, or a systemd credential; the first that has one.

They stand in no table, so that nothing that prints settings can print them. They are read at a start only.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from pydantic import SecretStr

from hopperd.settings.models import WebSettings
from hopperd.settings.tokens import Found, read

Which = Literal["read", "act"]
VARIABLES: Final[Mapping[Which, str]] = {"read": "HOPPERD_WEB__READ_TOKEN", "act": "HOPPERD_WEB__ACT_TOKEN"}
CREDENTIALS: Final[Mapping[Which, str]] = {"read": "web-read", "act": "web-act"}
SHORTEST: Final = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class WebTokens:
    """Empty where there is none. `problems` and `warnings` are about a key of [web]."""

    read: SecretStr
    act: SecretStr
    problems: tuple[tuple[str, str], ...] = ()
    warnings: tuple[tuple[str, str], ...] = ()


def web_tokens(web: WebSettings, environ: Mapping[str, str] = os.environ) -> WebTokens:
    """Never raises; without problems every token that was meant is there."""
    found: dict[Which, Found] = {
        "read": _find("read", web.read_token_file, environ),
        "act": _find("act", web.act_token_file, environ),
    }
    problems = [(f"{which}_token_file", one.problem) for which, one in found.items() if one.problem]
    for which, one in found.items():
        if one.token and len(one.token) < SHORTEST:
            problems.append((f"{which}_token_file", f"is shorter than {SHORTEST} characters; take a longer one"))
        elif one.token and not (one.token.isascii() and one.token.isprintable() and " " not in one.token):
            problems.append(
                (f"{which}_token_file", "must be printable ASCII without blanks, or no browser can send it")
            )
    if found["read"].token and found["read"].token == found["act"].token:
        problems.append(("act_token_file", "is the same token as the one that reads; take another"))
    return WebTokens(
        read=SecretStr(found["read"].token),
        act=SecretStr(found["act"].token),
        problems=tuple(problems),
        warnings=tuple((f"{which}_token_file", one.warning) for which, one in found.items() if one.warning),
    )


def _find(which: Which, file: Path | None, environ: Mapping[str, str]) -> Found:
    if token := environ.get(VARIABLES[which], ""):
        return Found(token)
    folder = environ.get("CREDENTIALS_DIRECTORY")
    credential = Path(folder, CREDENTIALS[which]) if folder else None
    if file is not None:
        warn = credential is None or file.parent != credential.parent
        return read(VARIABLES[which], file, f"{which}_token_file", warn=warn)
    if credential is not None and os.path.lexists(credential):
        return read(VARIABLES[which], credential, "systemd credential", warn=False)
    return Found()
