"""The kinds of value a key can have: paths, names, addresses, patterns, templates. Each refuses with a sentence."""

import string
from collections.abc import Callable
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import BeforeValidator, Field, ValidationInfo

from hopperd.settings.bucket_path import SCHEME, BucketPath, bucket_path

EXPORT_NAME_PLACEHOLDERS = ("stem", "name", "job", "task_number", "date")
DAY = 86_400
NOT_SAID = Path("\0")  # no path can be this; it stands for a single folder that neither `path` nor its own key gives


def resolve(text: str, base: Path | None) -> Path:
    """A path as written: absolute, below the home directory (`~/`), or relative to the configuration's folder."""
    if not text.strip():
        raise ValueError("must not be empty")
    if "\0" in text:
        raise ValueError("must not contain a NUL character")
    path = Path(text)
    if text.startswith("~"):
        try:
            path = path.expanduser()
        except RuntimeError:
            raise ValueError("starts with ~, but there is no such home directory; write the whole path") from None
    return path if base is None else base / path


def _path(value: object, info: ValidationInfo) -> Path:
    if not isinstance(value, str | Path):
        raise ValueError("must be a path in quotes")  # noqa: TRY004 (pydantic turns only ValueError into a problem)
    text = str(value)
    if text.startswith(SCHEME):
        raise ValueError("cannot lie in a bucket by itself: only a folder's path can be s3://…")
    return resolve(text, (info.context or {}).get("base"))


def _root(value: object, info: ValidationInfo) -> Path:
    """As `_path`, and a place in a bucket as well."""
    if isinstance(value, BucketPath) or (isinstance(value, str) and value.startswith(SCHEME)):
        return bucket_path(str(value))
    return _path(value, info)


def _listen(text: str) -> str:
    if text == "":
        return text
    host, colon, port = text.rpartition(":")
    if not colon or not host.strip("[]") or not (port.isascii() and port.isdigit()) or int(port) > 65_535:
        raise ValueError('must be "HOST:PORT", like "127.0.0.1:8756", or "" for no page')
    return text


def _address(text: str) -> str:
    try:
        parts = urlsplit(text)
        host, user, _port = parts.hostname, parts.username, parts.port
    except ValueError:
        raise ValueError('must be an address like "https://host:port"') from None
    if (
        parts.scheme not in {"http", "https"}
        or not host
        or parts.query
        or parts.fragment
        or any(c <= " " for c in text)
    ):
        raise ValueError('must be an address like "https://host:port"')
    if user is not None:
        raise ValueError("must not contain a user name or password: secrets never stand in the configuration")
    return text.rstrip("/")


def ledger_address(text: str) -> str:
    """A ledger in PostgreSQL. Raises ValueError with a sentence."""
    try:
        parts = urlsplit(text)
        host, password, _port = parts.hostname, parts.password, parts.port
    except ValueError:
        raise ValueError('must be an address like "postgresql://hopperd@host:5432/hopperd"') from None
    if password is not None or "password" in parts.query:
        raise ValueError(
            "a password never stands in the configuration; put it into the variable HOPPERD_LEDGER_PASSWORD, or into a "
            'file named by ledger_password_file, or into a systemd credential "ledger"; and take a new one, for this '
            "one has been written down"
        )
    has_host = bool(host) or "host=" in parts.query  # a socket's folder
    if parts.scheme != "postgresql" or not has_host or len(parts.path) < 2 or any(c <= " " for c in text):
        raise ValueError('must be an address like "postgresql://hopperd@host:5432/hopperd"')
    return text


def _export_name(text: str) -> str:
    allowed = " ".join(f"{{{name}}}" for name in EXPORT_NAME_PLACEHOLDERS)
    try:
        parts = list(string.Formatter().parse(text))
    except ValueError:
        raise ValueError(f"has a brace without its partner; placeholders are {allowed}") from None
    for _, placeholder, specification, conversion in parts:
        if placeholder is not None and (placeholder not in EXPORT_NAME_PLACEHOLDERS or specification or conversion):
            raise ValueError(f'does not know "{{{placeholder}}}"; placeholders are {allowed}')
    if "/" in text or "\0" in text:
        raise ValueError("must be a file name, not a path: no / in it; exports keep the subfolder of their original")
    if not text.strip(" ."):
        raise ValueError("must not be empty or only dots")
    return text


def _pattern(text: str) -> str:
    if not text or "\0" in text:
        raise ValueError('must be a pattern like "*.pdf"')
    return text


def _text(judge: Callable[[str], str]) -> Callable[[object], object]:
    """Judge text before pydantic does; what is no text is left to its own sentence."""
    return lambda value: judge(value) if isinstance(value, str) else value


SettingsPath = Annotated[Path, BeforeValidator(_path)]
RootPath = Annotated[Path, BeforeValidator(_root)]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=64)]
Text = Annotated[str, Field(min_length=1)]
Seconds = Annotated[float, Field(gt=0, le=DAY)]
LongSeconds = Annotated[float, Field(gt=0, le=3650 * DAY)]
Pattern = Annotated[str, Field(min_length=1), BeforeValidator(_text(_pattern))]
Address = Annotated[str, Field(min_length=1), BeforeValidator(_text(_address))]


LedgerAddress = Annotated[str, Field(min_length=1), BeforeValidator(_text(ledger_address))]
Listen = Annotated[str, BeforeValidator(_text(_listen))]
ExportName = Annotated[str, Field(max_length=200), BeforeValidator(_text(_export_name))]
