"""Mistakes that no single key shows: one key against another, and warnings about what is allowed but odd."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from hopperd.settings.bucket_path import SCHEME
from hopperd.settings.folder import KNOWN_EXPORT_FORMATS, Folder
from hopperd.settings.models import Account
from hopperd.settings.sentences import did_you_mean, nearest

SINGLE_PATHS = ("in", "work", "out", "done", "failed")
_OWN_KEYS = ("region", "export_format", "verification_type")

Finding = tuple[str | None, str]
"""The key it is about (None: the whole table), and the sentence."""


def account_mistakes(table: Mapping[str, Any]) -> Iterator[Finding]:
    """About one [accounts.…] table as written."""
    if "location" in table and "base_url" in table:
        yield None, "has both location and base_url; keep one of them"
    elif "location" not in table and "base_url" not in table:
        yield "location", 'is missing; add location = "us" (or "au", "eu"), or a base_url for a sandbox'


def folder_mistakes(table: Mapping[str, Any], accounts: Mapping[str, Any]) -> Iterator[Finding]:
    """About one [[folders]] table as written."""
    lacking = [key for key in SINGLE_PATHS if key not in table]
    if "path" not in table and lacking:
        also = f", or give {', '.join(lacking)} as well" if len(lacking) < len(SINGLE_PATHS) else ""
        yield "path", f"is missing; name the root that holds in/, work/, out/, done/ and failed/{also}"
    yield from _bucket_mistakes(table)
    account = table.get("account")
    if isinstance(account, str) and account and account not in accounts:
        hint = did_you_mean(account, accounts) or f"; add a table [accounts.{account}]"
        yield "account", f'there is no account "{account}"{hint}'
    if table.get("after_delivery_url") and table.get("after_delivery_command"):
        yield "after_delivery_command", "stands beside after_delivery_url; keep one of them"
    properties = table.get("properties")
    if isinstance(properties, dict):
        for key in _OWN_KEYS:
            if any(name.lower() == key for name in properties):
                yield "properties", f"{key} has a key of its own in [[folders]]; set it there"


def web_mistakes(table: Mapping[str, Any], *, reads: bool) -> Iterator[Finding]:
    """Beyond loopback, whoever reaches the page must show a token; `reads`: one is configured."""
    listen = table.get("listen")
    if not isinstance(listen, str) or ":" not in listen or reads:
        return
    if not is_loopback(listen.rpartition(":")[0]):
        yield "listen", f'"{listen}" is reachable from elsewhere; name a read_token_file, or listen on 127.0.0.1'


def _bucket_mistakes(table: Mapping[str, Any]) -> Iterator[Finding]:
    path = table.get("path")
    if not isinstance(path, str) or not path.startswith(SCHEME):
        if "endpoint" in table:
            yield "endpoint", "has a meaning only beside a path in a bucket (s3://…)"
        return
    given = [key for key in SINGLE_PATHS if key in table]
    if given:
        yield (
            given[0],
            f"cannot stand beside a path in a bucket, which holds all five places; remove {', '.join(given)}",
        )


def account_warnings(account: Account) -> Iterator[Finding]:
    """What an operator should look at in an account."""
    if account.base_url:
        address = urlsplit(account.base_url)
        if address.scheme == "http" and not is_loopback(address.hostname or ""):
            yield (
                "base_url",
                f"{account.base_url} is not encrypted: the token and all invoices travel in clear; use https",
            )
    if ":" in account.application_id:
        yield "application_id", "contains a colon, which HTTP Basic cannot carry: the service will see another id"


def authorities_problem(account: Account) -> Iterator[Finding]:
    """Whether the file of certificate authorities can be used. Reads it."""
    if account.ca_file is None:
        return
    import ssl  # takes a while, and hardly anybody has such a file

    try:
        ssl.create_default_context(cafile=str(account.ca_file))
    except ssl.SSLError:
        yield "ca_file", f"{account.ca_file} holds no certificates in PEM form"
    except OSError as error:
        yield "ca_file", f"{account.ca_file} cannot be read: {error.strerror or error}"


def folder_warnings(folder: Folder) -> Iterator[Finding]:
    """What an operator should look at in a hot folder."""
    if folder.export_format.lower() not in {known.lower() for known in KNOWN_EXPORT_FORMATS}:
        near = nearest(folder.export_format, KNOWN_EXPORT_FORMATS)
        hint = f' (did you mean "{near}"?)' if near else ""
        yield "export_format", f'"{folder.export_format}" is not known here{hint}; it is passed on as it is'
    url = urlsplit(folder.after_delivery_url or "")
    if url.scheme == "http" and not is_loopback(url.hostname or ""):
        yield "after_delivery_url", f"{folder.after_delivery_url} is not encrypted: receipts travel in clear; use https"
    endpoint = urlsplit(folder.endpoint or "")
    if endpoint.scheme == "http" and not is_loopback(endpoint.hostname or ""):
        yield "endpoint", f"{folder.endpoint} is not encrypted: all invoices travel in clear; use https"
    if folder.after == "delete" and folder.done_days:
        yield "done_days", 'has no meaning beside after = "delete": nothing stays in done/'


def unused(accounts: Mapping[str, Account], folders: Sequence[Folder]) -> list[str]:
    """Accounts that no hot folder names."""
    used = {folder.account for folder in folders}
    return [name for name in accounts if name not in used]


def is_loopback(host: str) -> bool:
    """Whether a host, an IPv6 address in brackets or without them, is this machine whatever a resolver says."""
    name = host.strip("[]").lower()
    parts = name.split(".")
    if len(parts) == 4 and parts[0] == "127":
        return all(part.isascii() and part.isdigit() and len(part) <= 3 and int(part) < 256 for part in parts)
    return name in ("localhost", "::1")
