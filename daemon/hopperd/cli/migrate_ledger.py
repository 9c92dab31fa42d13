"""`hopperd migrate-ledger`: the whole ledger from the file in the state folder into PostgreSQL, or back."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from hopperd.cli.connection import AsJson, ConfigFile, speak_of_trouble_only
from hopperd.cli.owner import given_to_owner
from hopperd.cli.reading import print_json
from hopperd.cli.terminal import note
from hopperd.errors import ConfigurationError, LedgerError
from hopperd.settings import load
from hopperd.settings.letter_secrets import of_ledger
from hopperd.settings.values import ledger_address

BACK = "sqlite"


def migrate_ledger(
    to: Annotated[
        str,
        typer.Option("--to", metavar="URL", help='"postgresql://USER@HOST/DATABASE"; or "sqlite", for the way back.'),
    ],
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Move the ledger between the state folder's file and PostgreSQL, with hopperd stopped. Nothing is overwritten."""
    import time

    speak_of_trouble_only()
    settings = load(config, need_tokens=False)
    address = settings.ledger if to == BACK else _address(to)
    if address is None:
        raise ConfigurationError(["--to sqlite is the way back from PostgreSQL, and no `ledger` is configured"])
    found = of_ledger(settings.model_copy(update={"ledger": address}))
    if found.problems:
        raise ConfigurationError([f"{key} {sentence}" for key, sentence in found.problems])
    from hopperd.ledger import moving
    from hopperd.ports import LedgerTrouble

    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    way = moving.to_sqlite if to == BACK else moving.to_postgresql
    try:
        with given_to_owner(settings):
            moved = way(os.fspath(settings.state), address, found.secret, stamp)
    except LedgerTrouble as trouble:
        raise LedgerError(f"Nothing was moved: {trouble}.") from None
    if as_json:
        print_json({"ledger": moved.ledger_id, "rows": dict(moved.rows), "set_aside": moved.set_aside})
        return
    note(f"The ledger is moved: {moved.rows['jobs']} jobs, {moved.rows['history']} rows of their history.")
    for path in moved.set_aside:
        note(f"What it was is kept as {path}.")
    if to == BACK:
        note("Take `ledger` out of the configuration before hopperd is started again.")
    else:
        note(f'Put ledger = "{address}" into the configuration before hopperd is started again.')


def _address(text: str) -> str:
    try:
        return ledger_address(text)
    except ValueError as error:
        raise ConfigurationError([f"--to {error}"]) from None
