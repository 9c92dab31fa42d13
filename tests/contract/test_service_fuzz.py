"""The whole interface, fuzzed from its own OpenAPI document against the real process: no 500, no hang, no surprise.

Half of the ids are real ones, so that more than the doors is tried. The long form asks fifty times as often.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import pytest

from tests.support.sandbox_process import APPLICATION, SandboxProcess, Service, tiny_pdf

schemathesis = pytest.importorskip("schemathesis", reason="the fuzz test needs the Python package schemathesis")

from hypothesis import HealthCheck, Phase, given, seed, settings  # noqa: E402 - after the skip
from hypothesis import strategies as st  # noqa: E402
from schemathesis.checks import not_a_server_error  # noqa: E402
from schemathesis.specs.openapi.checks import (  # noqa: E402
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from hopperd.sandbox.openapi import OPERATIONS, document  # noqa: E402

SEED: Final = 7
ANSWER_SECONDS: Final = 10.0
SHORT: Final = 8
LONG: Final = 1_000
CHECKS: Final = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]


@dataclass(frozen=True, slots=True)
class Known:
    """A twin with something in it, and the ids by which it is known."""

    service: Service
    ids: dict[str, list[Any]]


@pytest.fixture(scope="module")
def known() -> Iterator[Known]:
    with SandboxProcess("--max-body-mib", "1", "--max-files", "500", "--reader", "none") as sandbox:
        yield Known(sandbox.service(), {})
        assert sandbox.process.poll() is None, "it has survived"
        assert "Traceback" not in sandbox.stderr()


def refill(known: Known) -> None:
    """Fresh ids: what is fuzzed also deletes and closes."""
    service = known.service
    info = service.uploaded("a.pdf", tiny_pdf())
    tasks = [
        service.look_until(service.run(info, export_format="Json", verification_type=kind).json["id"], status)
        for kind, status in (("NoVerification", "Done"), ("UserVerification", "WaitForAction"))
    ]
    known.ids.update(
        file_id=[info["id"]],
        token=[info["token"]],
        task_id=[each["id"] for each in tasks],
        verification_id=[tasks[1]["verification_id"]],
        window=["0" * 32, "f" * 32],
        document=[0],
        page=[0],
    )


@pytest.mark.parametrize(("method", "path"), OPERATIONS, ids=lambda each: each.strip("/").replace("/", "-"))
def test_no_request_makes_a_500_or_a_hang(known: Known, method: str, path: str) -> None:
    fuzz(known, method, path, SHORT)


@pytest.mark.long
@pytest.mark.parametrize(("method", "path"), OPERATIONS, ids=lambda each: each.strip("/").replace("/", "-"))
def test_no_request_makes_a_500_or_a_hang_however_often_it_is_tried(known: Known, method: str, path: str) -> None:
    fuzz(known, method, path, LONG)


def fuzz(known: Known, method: str, path: str, examples: int) -> None:
    refill(known)
    schema = schemathesis.openapi.from_dict(document())
    operation = schema[path][method]
    headers = {"Authorization": known.service.authorization()}
    chance = random.Random(SEED)

    @seed(SEED)
    @settings(
        max_examples=examples,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=st.one_of(*(operation.as_strategy(generation_mode=each) for each in schemathesis.GenerationMode)))
    def one(case: Any) -> None:
        for name in case.path_parameters or {}:
            if chance.random() < 0.5 and name in known.ids:
                case.path_parameters[name] = chance.choice(known.ids[name])
        answer = case.call(base_url=known.service.url, headers=headers, timeout=ANSWER_SECONDS)
        case.validate_response(answer, checks=CHECKS)

    one()


def test_the_application_of_the_fuzz_is_the_one_that_is_let_in(known: Known) -> None:
    assert known.service.application_id == APPLICATION[0]
    assert known.service.request("GET", "/v2/task/" + "0" * 24).status == 404
