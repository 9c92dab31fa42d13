"""Which seeds a simulation runs."""

from __future__ import annotations

from collections.abc import Sequence

import pytest


def seeds_of(config: pytest.Config, part: Sequence[int]) -> Sequence[int]:
    """Those of this part; with `--seed N` that one alone, in the part that begins with 0."""
    seed: int | None = config.getoption("--seed")
    if seed is None:
        return part
    return [seed] if part[0] == 0 else []
