"""The shared credentials file, read as the AWS tools do. The rest of the chain is the store client's own: environment,
web identity (Kubernetes), container and instance metadata.

The file is read again every few minutes, so that keys may be replaced while hopperd runs.
"""

from __future__ import annotations

import configparser
import datetime
import os
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from obstore.store import S3Credential

GOOD_FOR: Final = datetime.timedelta(minutes=5)
_OTHER_SOURCES: Final = (
    "AWS_ACCESS_KEY_ID",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
)


def shared_credentials(environ: Mapping[str, str]) -> Callable[[], S3Credential] | None:
    """A source of credentials from the file; None where the environment names another, or the file has no keys."""
    if any(environ.get(name) for name in _OTHER_SOURCES) and not environ.get("AWS_PROFILE"):
        return None
    path = environ.get("AWS_SHARED_CREDENTIALS_FILE") or os.path.expanduser("~/.aws/credentials")
    profile = environ.get("AWS_PROFILE") or "default"
    if environ.get("AWS_ACCESS_KEY_ID") or _keys(path, profile) is None:
        return None

    def read() -> S3Credential:
        keys = _keys(path, profile)
        if keys is None:
            raise ValueError(f"{path} holds no keys of profile {profile} any more")
        identifier, secret, token = keys
        return {
            "access_key_id": identifier,
            "secret_access_key": secret,
            "token": token,
            "expires_at": datetime.datetime.now(datetime.UTC) + GOOD_FOR,
        }

    return read


def _keys(path: str, profile: str) -> tuple[str, str, str | None] | None:
    found = configparser.RawConfigParser()
    try:
        if not found.read(path) or not found.has_section(profile):
            return None
    except (OSError, configparser.Error, UnicodeDecodeError):
        return None
    section = found[profile]
    identifier, secret = section.get("aws_access_key_id"), section.get("aws_secret_access_key")
    return (identifier, secret, section.get("aws_session_token")) if identifier and secret else None
