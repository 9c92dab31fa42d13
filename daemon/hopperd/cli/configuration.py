"""`hopperd config`: the commented reference, or its JSON Schema."""

from __future__ import annotations

import json
from typing import Annotated

import typer


def config(
    schema: Annotated[bool, typer.Option("--schema", help="Print the JSON Schema, for editors.")] = False,
) -> None:
    """Print the commented reference configuration."""
    from hopperd.settings import reference_text
    from hopperd.settings import schema as json_schema

    print(json.dumps(json_schema(), indent=2) if schema else reference_text().rstrip())
