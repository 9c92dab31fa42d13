"""`hopperd completion`: the script that makes a shell complete commands and options."""

from __future__ import annotations

import os
from enum import StrEnum
from typing import Annotated, Final

import typer

VARIABLE: Final = "_HOPPERD_COMPLETE"
"""Set by the script while the shell asks what could follow."""


class Shell(StrEnum):
    BASH = "bash"
    ZSH = "zsh"
    FISH = "fish"


def listen() -> None:
    """The shells that typer knows, where one of them asks. Nothing is loaded for anybody else."""
    if VARIABLE in os.environ:
        from typer.completion import completion_init  # type: ignore[attr-defined]  # named in its documentation

        completion_init()


def completion(shell: Annotated[Shell, typer.Argument(help="bash, zsh or fish.")]) -> None:
    """Print the script that completes commands and options.

    bash: hopperd completion bash > /etc/bash_completion.d/hopperd;
    zsh: hopperd completion zsh > a folder of $fpath, as _hopperd;
    fish: hopperd completion fish > ~/.config/fish/completions/hopperd.fish
    """
    from typer.completion import get_completion_script  # type: ignore[attr-defined]  # as above

    print(get_completion_script(prog_name="hopperd", complete_var=VARIABLE, shell=shell.value))
