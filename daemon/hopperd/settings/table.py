"""What all tables of the settings have in common."""

from typing import Any

from pydantic import BaseModel, ConfigDict

RESTART: dict[str, Any] = {"x-needs-restart": True}
"""Marks a key that a running daemon cannot change; a SIGHUP names it and leaves the old value standing."""


class Table(BaseModel):
    """What all tables have in common: no unknown key, no guessed type, no change after loading."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        strict=True,
        allow_inf_nan=False,
        validate_by_name=True,
        validate_by_alias=True,
        hide_input_in_errors=True,  # an input may be a token
        defer_build=True,  # a command that needs no settings does not pay for them
    )
