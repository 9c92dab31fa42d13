"""The environment over the file: any key as `HOPPERD_…`, each level set off by two underscores.

Accounts are named in capitals with `_` for `-` and `.`; folders by that kind of name or by their index. An unknown
variable is a mistake, because a misspelt limit that is silently ignored costs money. An orchestrator's own service
variables (`HOPPERD_SERVICE_HOST`, `HOPPERD_PORT=tcp://…`) are left alone.
"""

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin

from pydantic import BaseModel, SecretStr

from hopperd.settings.folder import Folder, StuckAfter
from hopperd.settings.models import Account, Document
from hopperd.settings.sentences import Location, keys, nearest

PREFIX = "HOPPERD_"
_TOKEN = "APPLICATION_TOKEN"  # noqa: S105 (the name of a variable)
_ORCHESTRATOR = re.compile(r"([A-Z0-9_]+_)?(SERVICE_HOST|SERVICE_PORT(_[A-Z0-9_]+)?|PORT_\d+_(TCP|UDP|SCTP)(_[A-Z]+)?)")


def layer(document: dict[str, Any], environ: Mapping[str, str]) -> tuple[dict[Location, str], list[str]]:
    """Put the environment's values into the document; returns which variable each came from, and the mistakes."""
    origins: dict[Location, str] = {}
    problems: list[str] = []
    _new_tables(document, environ)
    known = _variables(document)
    for variable in sorted(environ):
        if not variable.startswith(PREFIX) or _not_ours(variable, environ[variable]):
            continue
        targets = known.get(variable, [])
        if len(targets) == 1:
            location, model = targets[0]
            origins[location] = variable
            _put(document, location, _value(environ[variable], model, str(location[-1])))
        elif targets:
            both = " and ".join(f'"{location[1]}"' for location, _ in targets)
            problems.append(f"{variable} fits {both}; rename one of them, or set the key in the file")
        else:
            near = nearest(variable, known)
            hint = f"; did you mean {near}?" if near else "; unset it, or see the reference for what can be set"
            problems.append(f"{variable}: unknown variable{hint}")
    return origins, problems


def token_variable(account: str) -> str:
    """The variable that holds an account's token."""
    return f"{PREFIX}ACCOUNTS__{_shout(account)}__{_TOKEN}"


def _shout(name: str) -> str:
    return re.sub(r"[.-]", "_", name).upper()


def _not_ours(variable: str, value: str) -> bool:
    rest = variable.removeprefix(PREFIX)
    return bool(_ORCHESTRATOR.fullmatch(rest)) or (rest.endswith("PORT") and value.startswith(("tcp://", "udp://")))


def _new_tables(document: dict[str, Any], environ: Mapping[str, str]) -> None:
    """An account whose id, or a folder whose name, stands only in the environment gets its table there."""
    accounts = document.setdefault("accounts", {})
    if isinstance(accounts, dict):
        taken = {_shout(name) for name in accounts}
        for variable in sorted(environ):
            found = re.fullmatch(r"HOPPERD_ACCOUNTS__([A-Z0-9][A-Z0-9_]*?)__APPLICATION_ID", variable)
            if found and found[1] not in taken:
                accounts[found[1].lower()] = {}
    folders = document.setdefault("folders", [])
    if isinstance(folders, list):
        while f"HOPPERD_FOLDERS__{len(folders)}__NAME" in environ:
            folders.append({})


def _variables(document: Mapping[str, Any]) -> dict[str, list[tuple[Location, type[BaseModel]]]]:
    """Every variable that has a meaning for this document."""
    known: dict[str, list[tuple[Location, type[BaseModel]]]] = {}

    def add(name: str, location: Location, model: type[BaseModel]) -> None:
        for key in keys(model):
            known.setdefault(f"{name}{key.upper()}", []).append(((*location, key), model))

    for key, field in Document.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            add(f"{PREFIX}{key.upper()}__", (key,), field.annotation)
        elif key not in {"accounts", "folders"}:
            known[f"{PREFIX}{key.upper()}"] = [((key,), Document)]
    accounts = document.get("accounts")
    for name in accounts if isinstance(accounts, dict) else ():
        add(f"{PREFIX}ACCOUNTS__{_shout(name)}__", ("accounts", name), Account)
        known.pop(f"{PREFIX}ACCOUNTS__{_shout(name)}__NAME", None)
    folders = document.get("folders")
    for index, table in enumerate(folders if isinstance(folders, list) else ()):
        name = table.get("name") if isinstance(table, dict) else None
        for word in dict.fromkeys([_shout(name), str(index)] if isinstance(name, str) else [str(index)]):
            add(f"{PREFIX}FOLDERS__{word}__", ("folders", index), Folder)
            add(f"{PREFIX}FOLDERS__{word}__STUCK_AFTER__", ("folders", index, "stuck_after"), StuckAfter)
    return known


def _put(document: dict[str, Any], location: Location, value: Any) -> None:
    table: Any = document
    for part in location[:-1]:
        if isinstance(table, dict):
            table.setdefault(part, {})
            if part == "stuck_after" and isinstance(table[part], int | float):
                table[part] = dict.fromkeys(StuckAfter.model_fields, table[part])
        table = table[part]
        if not isinstance(table, dict | list):
            return  # the file has something else here; that mistake is told instead
    if isinstance(table, dict):
        table[location[-1]] = value


def _value(text: str, model: type[BaseModel], key: str) -> Any:
    """Text for a key that wants text; else what TOML makes of it, or the text, whose mistake is then told."""
    if _wants_text(model.model_fields[keys(model)[key]].annotation):
        return text
    if text.strip().lower() in {"true", "false"}:
        return text.strip().lower() == "true"
    try:
        parsed = tomllib.loads(f"value = {text.strip()}")
    except (ValueError, RecursionError):
        return text
    return parsed["value"] if len(parsed) == 1 else text


def _wants_text(annotation: Any) -> bool:
    if annotation in (str, Path, SecretStr):
        return True
    arguments = get_args(annotation)
    if get_origin(annotation) is Annotated:
        return _wants_text(arguments[0])
    if get_origin(annotation) is Literal:
        return isinstance(arguments[0], str)
    return any(_wants_text(part) for part in arguments if part is not type(None)) and type(None) in arguments
