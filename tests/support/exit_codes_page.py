"""Makes docs/reference/exit-codes.md from errors.py: `python -m tests.support.exit_codes_page`."""

from __future__ import annotations

import inspect
from pathlib import Path

from hopperd import errors
from hopperd.errors import ExitCode, HopperdError

PAGE = Path(__file__).resolve().parents[2] / "docs" / "reference" / "exit-codes.md"

_MEANS = {
    ExitCode.FINE: "Everything asked for was done.",
    ExitCode.WORK_FAILED: "The command did its work, and something of it failed, is held, waits for a person, or was "
    "refused; `fsck`: ledger and disk do not agree.",
    ExitCode.CONFIGURATION: "The configuration, or the command line, has mistakes; all of them are told.",
    ExitCode.LEDGER: "The ledger, or the identity of a folder, cannot be used; nothing was changed. The sentence says "
    "what to do; see [Look after the ledger](../how-to/ledger.md).",
    ExitCode.CREDENTIALS: "The service refused our credentials (`check --online`, `run --once`, `demo`).",
}
_INTRODUCTION = """# Exit codes

The same for every command. An operating error is one sentence on standard error that says what to do, never a
traceback. Ended by a second Ctrl-C: 130.

This page is generated from `errors.py`; do not edit it.

| code | name | means | errors |
|---|---|---|---|
"""


def page() -> str:
    """The whole page."""
    kinds = [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, HopperdError)]
    rows = []
    for code in ExitCode:
        names = sorted(f"`{kind.__name__}`" for kind in kinds if kind.exit_code is code and kind is not HopperdError)
        rows.append(f"| {code.value} | `{code.name}` | {_MEANS[code]} | {', '.join(names)} |\n")
    return _INTRODUCTION + "".join(rows)


if __name__ == "__main__":
    PAGE.parent.mkdir(parents=True, exist_ok=True)
    PAGE.write_text(page(), encoding="utf-8")
