"""`hopperd backup`: a consistent copy of the ledger."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from hopperd.cli.connection import AsJson, ConfigFile, ask
from hopperd.cli.reading import print_json
from hopperd.cli.terminal import note
from hopperd.settings import load


def backup(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Where to; must not be there yet.")],
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """A consistent copy of the ledger, mode 0600, also while hopperd runs. Says how to put it back."""
    path = Path(os.path.abspath(file))  # the daemon's own folder is another
    answer = ask(config, lambda counter: counter.backup(path))
    if as_json:
        print_json(answer)
        return
    note(f"The ledger is copied to {path}.")
    if answer["moves_on"]:
        note(
            "hopperd runs, so what it sends from now on is not in the copy: with the copy put back, `hopperd run` "
            "stops with exit 3, and `hopperd fsck --rebuild` makes a ledger from folders and receipts that holds what "
            "lies in work/. For a copy to move with, stop hopperd first."
        )
    else:
        state = load(config, need_tokens=False).state
        note(
            f"To put it back, before hopperd is started again: move ledger.sqlite away from {state}, copy this file to "
            f"{state}/ledger.sqlite, owned by hopperd's user. Once hopperd has started since, `hopperd run` refuses it."
        )
