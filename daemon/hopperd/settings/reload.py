"""What a SIGHUP may change: limits, times, policies, tokens. Paths, folders and accounts need a restart."""

from collections.abc import Iterator
from typing import Any, TypeVar

from pydantic import BaseModel

from hopperd.settings.folder import Folder
from hopperd.settings.models import Account, Document, Settings

_Table = TypeVar("_Table", bound=BaseModel)
_Entry = TypeVar("_Entry", Account, Folder)
_Difference = tuple[str, bool]
"""The key, and whether it needs a restart."""


def changes(old: Settings, new: Settings) -> tuple[list[str], list[str]]:
    """Keys that differ, as `folders.us.on_doubt`: those that can be applied, and those that need a restart."""
    applied: list[str] = []
    needs_restart: list[str] = []
    for key, restart in _differences(old, new):
        (needs_restart if restart else applied).append(key)
    return applied, needs_restart


def reloaded(old: Settings, new: Settings) -> Settings:
    """The new settings as far as they can be applied; everything that needs a restart stays as it was."""
    folders = {folder.name: folder for folder in new.folders}
    tables = {
        "accounts": {name: _merged(account, new.accounts.get(name, account)) for name, account in old.accounts.items()},
        "folders": tuple(_merged(folder, folders.get(folder.name, folder)) for folder in old.folders),
        "web": _merged(old.web, new.web),
        "log": _merged(old.log, new.log),
        "inspection": _merged(old.inspection, new.inspection),
        "history": _merged(old.history, new.history),
        "notices": _merged(old.notices, new.notices),
        "warnings": new.warnings,
    }
    return old.model_copy(update={**_applicable(new, Document), **tables})


def _merged(old: _Table, new: _Table) -> _Table:
    return old.model_copy(update=_applicable(new, type(old)))


def _needs_restart(model: type[BaseModel], name: str) -> bool:
    extra = model.model_fields[name].json_schema_extra
    return isinstance(extra, dict) and bool(extra.get("x-needs-restart"))


def _applicable(new: BaseModel, model: type[BaseModel]) -> dict[str, Any]:
    return {name: getattr(new, name) for name in model.model_fields if not _needs_restart(model, name)}


def _differences(old: Settings, new: Settings) -> Iterator[_Difference]:
    for name, field in Document.model_fields.items():
        if name in {"accounts", "folders"}:
            continue
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from _in_table(f"{name}.", getattr(old, name), getattr(new, name))
        elif getattr(old, name) != getattr(new, name):
            yield name, _needs_restart(Document, name)
    yield from _in_tables("accounts", dict(old.accounts), dict(new.accounts))
    yield from _in_tables("folders", {f.name: f for f in old.folders}, {f.name: f for f in new.folders})


def _in_tables(kind: str, old: dict[str, _Entry], new: dict[str, _Entry]) -> Iterator[_Difference]:
    for name in dict.fromkeys([*old, *new]):
        if name in old and name in new:
            yield from _in_table(f"{kind}.{name}.", old[name], new[name])
        else:
            yield f"{kind}.{name}", True


def _in_table(prefix: str, old: BaseModel, new: BaseModel) -> Iterator[_Difference]:
    model = type(old)
    for name, field in model.model_fields.items():
        if getattr(old, name) != getattr(new, name):
            yield f"{prefix}{field.validation_alias or name}", _needs_restart(model, name)
