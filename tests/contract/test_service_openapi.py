"""The OpenAPI document: every route is in it and nothing else, and both ways to get it say the same."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

from hopperd.sandbox.openapi import document
from hopperd.sandbox.server import ROUTES
from tests.support.sandbox_process import SandboxProcess


def references(value: Any) -> set[str]:
    if isinstance(value, dict):
        return {each for name, each in value.items() if name == "$ref"} | references(list(value.values()))
    return set().union(*map(references, value)) if isinstance(value, list) else set()


def test_every_route_is_in_it_and_nothing_else() -> None:
    written = {(method.upper(), path) for path, methods in document()["paths"].items() for method in methods}
    assert written == {(method, path) for method, path, _, _ in ROUTES}


def test_every_reference_leads_somewhere_and_every_schema_is_used() -> None:
    found = document()
    names = {f"#/components/schemas/{name}" for name in found["components"]["schemas"]}
    assert references(found) | {"#/components/schemas/Mistake"} == names


def test_the_command_prints_it_and_ends_and_the_server_serves_it() -> None:
    command = [sys.executable, "-m", "hopperd.cli.sandbox", "--openapi"]
    printed = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert (json.loads(printed.stdout), printed.stderr) == (document(), "")
    with SandboxProcess() as sandbox:
        served = sandbox.service().request("GET", "/sandbox/openapi.json", headers={"Authorization": ""})
        assert (served.status, served.json) == (200, document())
