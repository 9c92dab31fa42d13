"""`hopperd run`: the daemon itself."""

from __future__ import annotations

from typing import Annotated

import typer

from hopperd.cli.connection import ConfigFile
from hopperd.cli.owner import root_warning


def run(
    config: ConfigFile = None,
    once: Annotated[
        bool, typer.Option("--once", help="Work until nothing can move except by a person, then exit.")
    ] = False,
    wait: Annotated[float, typer.Option(min=0, help="With --once: seconds of bad weather to wait out.")] = 600.0,
) -> int:
    """The daemon: watch the hot folders until told to stop. It never exits for the weather."""
    import asyncio
    import signal

    # Told to stop before there is anything to stop: nothing was begun, so end in peace.
    signal.signal(signal.SIGTERM, _end_in_peace)
    from hopperd.logs import configure
    from hopperd.settings import load
    from hopperd.startup import run_daemon

    settings = load(config)
    configure(settings.log.level, settings.log.format)
    settings = settings.model_copy(update={"warnings": (*settings.warnings, *root_warning(settings))})
    return asyncio.run(run_daemon(settings, once=once, wait_seconds=wait))


def _end_in_peace(*_: object) -> None:
    raise SystemExit(0)
