"""One command in this process; what it makes of the log ends with it."""

from __future__ import annotations

import structlog

from hopperd import cli


def run_here(*arguments: str) -> int:
    kept = structlog.get_config()
    try:
        return cli.run(list(arguments))
    finally:
        structlog.configure(**kept)
