"""What `hopperd install-service` would write, and what it refuses to."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from hopperd.cli.install_service import Answers, plan
from hopperd.errors import ConfigurationError


def answers(*folders: str, **changes: Any) -> Answers:
    given: dict[str, Any] = {"command": ("/opt/hopperd/bin/hopperd",), "service": "us", "application_id": "a"}
    return Answers(folders=tuple(map(Path, folders)), token=None, **{**given, **changes})


def test_two_hot_folders_side_by_side_are_planned() -> None:
    paths = [one.path for one in plan(answers("/srv/a", "/srv/b"))]
    assert "/etc/hopperd/hopperd.toml" in paths


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (answers("/srv/a", "/srv/a/in/b"), "/srv/a/in"),
        (answers("/srv/a", region="XX"), "region"),
    ],
)
def test_a_configuration_that_check_refuses_is_not_written(given: Answers, told: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        plan(given)
    assert told in str(refused.value)
