"""What a person types. One module per group of commands; each imports what is heavy only when it is really called.

An operating error is printed as its sentence, without a traceback, and ends with its exit code.
"""

from __future__ import annotations

import errno
import importlib
import json
import os
import re
import sys
from collections.abc import Sequence
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from hopperd.cli import completion, helping
from hopperd.errors import ExitCode, HopperdError

# Command → module. A command's function has the command's name, dashes as underscores.
COMMANDS = {
    "demo": "hopperd.cli.demo",
    "run": "hopperd.cli.running",
    "check": "hopperd.cli.checking",
    "status": "hopperd.cli.reading",
    "list": "hopperd.cli.reading",
    "show": "hopperd.cli.reading",
    "tail": "hopperd.cli.tail",
    "retry": "hopperd.cli.steering",
    "hold": "hopperd.cli.steering",
    "release": "hopperd.cli.steering",
    "forget": "hopperd.cli.steering",
    "pause": "hopperd.cli.steering",
    "resume": "hopperd.cli.steering",
    "fsck": "hopperd.cli.fsck",
    "backup": "hopperd.cli.backup",
    "migrate-ledger": "hopperd.cli.migrate_ledger",
    "config": "hopperd.cli.configuration",
    "completion": "hopperd.cli.completion",
    "read": "hopperd.cli.read",
    "sandbox": "hopperd.cli.sandbox",
    "install-service": "hopperd.cli.install_service",
}
HELP = {
    "demo": "See it work: no account, no network, no root.",
    "run": "The daemon: watch the hot folders until told to stop.",
    "check": "Read the configuration, tell every mistake at once, try each folder for real.",
    "status": "Backlog by stage and age, paused accounts, held jobs.",
    "list": "Jobs, newest first.",
    "show": "One job's whole history.",
    "tail": "Events as they happen.",
    "retry": "Try jobs again: at once, or from the start where they had failed.",
    "hold": "Keep jobs where they are until they are released.",
    "release": "Let held jobs go on.",
    "forget": "Give open jobs up for good; let finished ones leave the ledger.",
    "pause": "Pause an account or a folder.",
    "resume": "Resume an account or a folder.",
    "fsck": "Compare ledger and disk, and say what does not agree.",
    "backup": "A consistent copy of the ledger, also while the daemon runs.",
    "migrate-ledger": "Move the ledger into PostgreSQL, or back.",
    "config": "Print the commented reference configuration, or its JSON Schema.",
    "completion": "Print the script that completes commands in bash, zsh or fish.",
    "read": "Read one invoice: what stands on it, as JSON, CSV, XML or a workbook.",
    "sandbox": "The service's twin, as a server of its own.",
    "install-service": "Install the systemd service: unit, user, folders, a first configuration.",
}


OF_OUTPUT = (errno.EPIPE, errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)


class Lazy(TyperGroup):
    """Imports the module of a command only when that command is called, so that --help is quick."""

    def list_commands(self, ctx: typer.Context) -> list[str]:  # type: ignore[override]  # typer's own base is private
        return list(COMMANDS)

    def get_command(self, ctx: typer.Context, cmd_name: str) -> Any:  # type: ignore[override]  # as above
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(COMMANDS[cmd_name])
        function = getattr(module, cmd_name.replace("-", "_"), None) or getattr(module, f"{cmd_name}_")
        app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)
        app.command(cmd_name, help=(function.__doc__ or HELP[cmd_name]).strip())(function)
        return helping.named(typer.main.get_command(app))

    def format_help(self, ctx: typer.Context, formatter: Any) -> None:  # type: ignore[override]  # as above
        width = max(map(len, COMMANDS))
        lines = [
            "Usage: hopperd COMMAND [OPTIONS]",
            "",
            "Put invoices into a folder; get their data out of another one.",
            "",
            "Commands:",
            *(f"  {name.ljust(width)}  {HELP[name]}" for name in COMMANDS),
            "",
            "hopperd COMMAND --help tells more. hopperd --version tells versions.",
        ]
        formatter.write("\n".join(lines) + "\n")


app = typer.Typer(cls=Lazy, add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)


def _version(wanted: bool) -> None:
    if not wanted:
        return
    import platform
    import sqlite3
    from importlib import metadata

    from hopperd import __version__

    def version_of(name: str) -> str:
        try:
            return metadata.version(name)
        except metadata.PackageNotFoundError:
            return "(not installed)"

    print(f"hopperd {__version__} (Python {platform.python_version()}, SQLite {sqlite3.sqlite_version})")
    needed = [line for line in metadata.requires("hopperd") or () if "extra ==" not in line]
    names = [re.split(r"[^\w.-]", line, maxsplit=1)[0] for line in needed]
    print(", ".join(f"{name} {version_of(name)}" for name in names))
    raise typer.Exit


@app.callback()
def group(
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_version, help="Versions, and exit.")
    ] = False,
) -> None:
    """Put invoices into a folder; get their data out of another one."""


def run(arguments: Sequence[str]) -> int:
    """Run one command; the exit code is the answer. Never a traceback for an operating error."""
    completion.listen()
    try:
        code = _ended(arguments)
        sys.stdout.flush()
    except OSError as error:
        if error.errno not in OF_OUTPUT or error.filename is not None:
            raise
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if isinstance(error, BrokenPipeError):
            return ExitCode.FINE  # whoever read our output has seen enough
        print(f"hopperd: the output cannot be written: {error.strerror}.", file=sys.stderr)
        return ExitCode.WORK_FAILED
    return code


def _ended(arguments: Sequence[str]) -> int:
    try:
        ended = typer.main.get_command(app).main(
            args=list(arguments) or ["--help"], prog_name="hopperd", standalone_mode=False
        )
    except (typer.Abort, KeyboardInterrupt):
        print("hopperd: stopped", file=sys.stderr)
        return 130
    except typer.TyperException as mistake:
        if isinstance(said := getattr(mistake, "message", None), str):
            mistake.message = said.replace("Value error, ", "")  # pydantic's own words
        show = getattr(mistake, "show", None)
        show() if show is not None else print(f"hopperd: {mistake}", file=sys.stderr)
        return ExitCode.CONFIGURATION
    except HopperdError as error:
        print(f"hopperd: {error}", file=sys.stderr)
        if "--json" in arguments:  # whoever reads JSON gets JSON
            print(json.dumps({"error": str(error), "exit_code": error.exit_code}))
        return error.exit_code
    return ended if isinstance(ended, int) else ExitCode.FINE
