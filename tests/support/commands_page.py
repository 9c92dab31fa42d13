"""Makes docs/reference/commands.md from the command line itself: `python -m tests.support.commands_page`."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import typer

from hopperd import cli

PAGE = Path(__file__).resolve().parents[2] / "docs" / "reference" / "commands.md"

_INTRODUCTION = """# Commands

What `hopperd COMMAND --help` says, in one place. How they end: [exit codes](exit-codes.md). `--json` prints
[documents](json.md) that stay stable.

This page is generated from the command line; do not edit it.
"""


def page() -> str:
    """The whole page."""
    group: Any = typer.main.get_command(cli.app)
    context = group.make_context("hopperd", ["--help"], resilient_parsing=True)
    return _INTRODUCTION + "".join(_section(name, group.get_command(context, name)) for name in cli.COMMANDS)


def _section(name: str, command: Any) -> str:
    said = inspect.cleandoc(command.help or "").replace("\n", " ")
    shown = [each for each in command.params if not getattr(each, "hidden", False) and each.name != "help"]
    arguments = [each for each in shown if each.param_type_name == "argument"]
    options = [each for each in shown if each.param_type_name == "option"]
    usage = " ".join(["hopperd", name, *(_metavar(each) for each in arguments), *(["[OPTIONS]"] if options else [])])
    rows = [f"| `{_label(each)}` | {_help(each)} |\n" for each in (*arguments, *options)]
    table = "".join(["\n| | |\n|---|---|\n", *rows]) if rows else ""
    return f"\n## `{name}`\n\n{said}\n\n```\n{usage}\n```\n{table}"


def _metavar(argument: Any) -> str:
    return str(argument.metavar) if argument.required else f"[{argument.metavar}]"


def _label(each: Any) -> str:
    if each.param_type_name == "argument":
        return str(each.metavar)
    names = ", ".join([*each.opts, *each.secondary_opts])
    value = "" if each.is_flag else f" {each.metavar}"
    return f"{names}{value}"


def _help(each: Any) -> str:
    said = " ".join((each.help or "").split()).replace("|", "\\|")
    default = (
        each.default if isinstance(each.default, int | float | str) and not isinstance(each.default, bool) else None
    )
    return f"{said} Default: `{default}`." if default not in (None, "") and "efault" not in said else said


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
