"""What the process has imported and made from which tests/support/forked.py forks the others."""

from __future__ import annotations

import gc
from importlib import import_module

from hopperd.settings.table import Table

MODULES = [
    "hopperd.__main__",
    "hopperd.startup",
    "hopperd.app",
    *(
        f"hopperd.cli.{name}"
        for name in ("backup", "checking", "fsck", "reading", "running", "sandbox", "steering", "tail")
    ),
    # What these import when they need it:
    "aiohttp",
    "encodings.utf_8_sig",
    "importlib.resources.readers",
    "pydantic.dataclasses",
    "typer._adapters",
]


def _built(model: type[Table]) -> None:
    """The model's validators, which a command builds when it needs them: a tenth of a second for each process."""
    model.model_rebuild()
    for more in model.__subclasses__():
        _built(more)


for module in MODULES:
    import_module(module)
_built(Table)
gc.collect()
gc.freeze()  # what was made here no child looks at again, and its pages stay shared
