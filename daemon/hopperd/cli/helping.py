"""What `--help` calls a value: FILE, N, TEXT. The reference page of the commands says the same words."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Any


def named(command: Any) -> Any:
    """The command with a name for each value in its help, in place of a type of Python's."""
    for each in command.params:
        if each.param_type_name == "argument":
            each.metavar = each.metavar or each.name.upper()
            usage = each.metavar if each.required else f"[{each.metavar}]"
            each.get_usage_pieces = _always([usage])
            each.display_type_rich = _always(None)
        elif not each.is_flag:
            each.metavar = each.metavar or _value(each.type_descriptor.annotation)
    return command


def _always(answer: Any) -> Any:
    return lambda ctx: answer


def _value(kind: Any) -> str:
    if isinstance(kind, type) and issubclass(kind, Enum):
        return "/".join(str(each.value) for each in kind)
    return {float: "NUMBER", int: "N", Path: "FILE"}.get(kind, "TEXT")
