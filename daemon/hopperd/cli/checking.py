"""`hopperd check`: every mistake at once, each folder tried for real, and with --online the credentials."""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hopperd.cli.connection import AsJson, ConfigFile, speak_of_trouble_only
from hopperd.cli.terminal import note
from hopperd.errors import ConfigurationError, ExitCode
from hopperd.settings import Folder, Settings

if TYPE_CHECKING:
    from hopperd.grounds import Ground


def check(
    config: ConfigFile = None,
    online: Annotated[
        bool, typer.Option("--online", help="Try the credentials at the service too. Costs nothing.")
    ] = False,
    as_json: AsJson = False,
) -> int:
    """Read the configuration, tell every mistake at once, try each folder for real."""
    from hopperd.settings import load

    speak_of_trouble_only()
    try:
        settings = load(config)
    except ConfigurationError as mistakes:
        if not as_json:
            raise
        _print_json(mistakes.source, mistakes.exit_code, list(mistakes.problems), [])
        return mistakes.exit_code
    problems, remarks = _folders(settings)
    remarks = [*settings.warnings, *remarks, *_homeless(settings)]
    refused: list[str] = []
    unreachable: list[str] = []
    if online:
        import asyncio

        refused, unreachable = asyncio.run(_accounts(settings))
    code = _code(problems, refused, unreachable)
    if as_json:
        _print_json(str(settings.path), code, [*problems, *refused, *unreachable], remarks)
        return code
    for remark in remarks:
        note(f"note: {remark}")
    for problem in (*problems, *refused, *unreachable):
        note(f"problem: {problem}")
    if code == ExitCode.FINE:
        names = ", ".join(folder.name for folder in settings.folders) or "none"
        tried = "; the service takes the credentials" if online else ""
        note(f"{settings.path} is fine. Folders: {names}{tried}.")
    return code


def _print_json(configuration: str | None, code: ExitCode, problems: list[str], remarks: list[str]) -> None:
    from hopperd.cli.reading import print_json

    fine = code == ExitCode.FINE
    print_json({"configuration": configuration, "fine": fine, "problems": problems, "remarks": remarks})


def _code(problems: list[str], refused: list[str], unreachable: list[str]) -> ExitCode:
    if problems:
        return ExitCode.CONFIGURATION
    if refused:
        return ExitCode.CREDENTIALS
    return ExitCode.WORK_FAILED if unreachable else ExitCode.FINE


def _folders(settings: Settings) -> tuple[list[str], list[str]]:
    """Problems and remarks of every folder, each tried with a real file, all at once."""
    from hopperd.folders.answers import PATIENCE_SECONDS, asked_at_once, silence
    from hopperd.grounds import Grounds

    problems: list[str] = []
    remarks: list[str] = []
    grounds = {folder.name: Grounds(settings.state).of(folder, None) for folder in settings.folders}
    asked = {one.name: partial(_tried, grounds[one.name], one, settings.free_space_bytes) for one in settings.folders}
    for name, found in asked_at_once(asked, PATIENCE_SECONDS).items():
        if found is None:
            problems.append(f"folder {name}: {silence(grounds[name].root, PATIENCE_SECONDS)}")
            continue
        problems += [f"folder {name}: {problem}" for problem in found[0]]
        remarks += [f"folder {name}: {remark}" for remark in found[1]]
    return problems + _commands(settings), remarks


def _tried(ground: Ground, folder: Folder, free_space_bytes: int) -> tuple[list[str], list[str]]:
    from hopperd.folders.layout import Layout
    from hopperd.folders.probe import full_disks
    from hopperd.settings.bucket_path import in_bucket

    found = ground.probe()
    full = full_disks(Layout.of(folder), free_space_bytes) if in_bucket(folder.path) is None else []
    return [*found.problems, *full], list(found.remarks)


def _commands(settings: Settings) -> list[str]:
    from hopperd.outbound.command import is_there

    commands = {folder.name: folder.after_delivery_command[:1] for folder in settings.folders}
    return [
        f"folder {name}: after_delivery_command: {word} is not there, or this user may not run it"
        for name, words in commands.items()
        for word in words
        if not is_there(word)
    ]


def _homeless(settings: Settings) -> list[str]:
    """Where a ledger is at hand: open jobs of folders and accounts that this configuration does not have (any more)."""
    import asyncio

    from hopperd.cli.connection import counter
    from hopperd.errors import HopperdError

    here = {folder.name for folder in settings.folders}

    def is_missing(line: Mapping[str, Any]) -> bool:
        return line["folder"] not in here or line["account"] not in settings.accounts

    async def told() -> list[str]:
        async with counter(settings) as someone:
            status = await someone.status()
        still = [f"{line['what']}. {line['do']}" for line in status["homeless"] if is_missing(line)]
        # A daemon that runs with the configuration of before: what would stand still after its next start.
        return still + [
            f"folder {line['folder']}, account {line['account']}, has {line['open']} open jobs in the running daemon "
            "and is not so in this configuration: they would stand still after a restart. Let them end first."
            for line in status["folders"]
            if line["open"] and is_missing(line)
        ]

    try:
        return asyncio.run(told()) if os.path.isdir(settings.state) else []
    except HopperdError:  # no ledger yet, or one that does not open: that is for `run` and `fsck` to say
        return []


async def _accounts(settings: Settings) -> tuple[list[str], list[str]]:
    """Accounts whose credentials are refused, and accounts that cannot be reached."""
    from hopperd.capture.client import Client
    from hopperd.ports import ServiceTrouble

    refused: list[str] = []
    unreachable: list[str] = []
    for name, account in settings.accounts.items():
        async with Client(account) as client:
            try:
                await client.probe()
            except ServiceTrouble as trouble:
                if trouble.fault == "account":
                    refused.append(
                        f"account {name}: the service refuses the credentials ({trouble.what}); check "
                        "application_id and the token in the service's portal"
                    )
                else:
                    unreachable.append(f"account {name}: {account.url} cannot be reached: {trouble.what}")
            else:
                note(f"account {name}: {account.url} takes the credentials")
    return refused, unreachable
