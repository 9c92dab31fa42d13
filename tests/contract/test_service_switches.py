"""What the documentation leaves open: one switch each way, and the same walk of an invoice passes under all of them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.support.sandbox_process import SandboxProcess, Service, tiny_pdf

Walk = dict[str, Any]
Check = Callable[[Walk], bool]


def all_dates(walk: Walk) -> list[str]:
    names = ("created", "expiring", "started", "billed", "delivered")
    return [each[name] for each in (walk["info"], walk["done"]) for name in names if name in each]


def dates_like(pattern: str) -> Check:
    return lambda walk: all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d" + pattern, each) for each in all_dates(walk))


SWITCHES: dict[str, tuple[tuple[str, ...], Check]] = {
    "upload answers an array": (("--upload-answer", "array"), lambda walk: isinstance(walk["upload"].json, list)),
    "upload answers an object": (("--upload-answer", "object"), lambda walk: isinstance(walk["upload"].json, dict)),
    "progress is a fraction": (("--progress", "fraction"), lambda walk: walk["done"]["progress"] == 1),
    "progress is percent": (("--progress", "percent"), lambda walk: walk["done"]["progress"] == 100),
    "tasks begin as New": (("--new-first",), lambda walk: walk["run"].json["status"] == "New"),
    "run answers 201": (("--run-status", "201"), lambda walk: walk["run"].status == 201),
    "deletion answers 200": (("--delete-status", "200"), lambda walk: {each.status for each in walk["gone"]} == {200}),
    "deletion answers 204": (("--delete-status", "204"), lambda walk: {each.status for each in walk["gone"]} == {204}),
    "unknown fields": (("--extra-fields",), lambda walk: "sla" in walk["done"] and "tags" in walk["info"]),
    "an unknown status": (("--unknown-status",), lambda walk: "Reassembling" in walk["seen"]),
    "lower-case hash": (("--hash-case", "lower"), lambda walk: walk["info"]["hash"].islower()),
    "upper-case hash": (("--hash-case", "upper"), lambda walk: walk["info"]["hash"].isupper()),
    "dates with milliseconds": (("--dates", "with-ms"), dates_like(r"\.\d{3}Z")),
    "dates without milliseconds": (("--dates", "without"), dates_like("Z")),
    "dates without a zone": (("--dates", "no-zone"), dates_like("")),
    "the demo application": (("--demo-application",), lambda walk: walk["done"]["is_demo"] is True),
}


@pytest.fixture(params=SWITCHES, ids=lambda name: name.replace(" ", "-"))
def walk_and_check(request: pytest.FixtureRequest) -> Iterator[tuple[Walk, Check]]:
    options, check = SWITCHES[request.param]
    with SandboxProcess(*options, "--reader", "none") as process:
        yield walk(process.service()), check


def walk(service: Service) -> Walk:
    """One invoice from upload to deletion, as any client would do it."""
    upload = service.upload(("invoice.pdf", tiny_pdf()))
    info = upload.json[0] if isinstance(upload.json, list) else upload.json
    run = service.run(info, export_format="Json")
    seen: list[str] = []
    while not seen or seen[-1] != "Done":
        assert len(seen) < 1000, f"the task does not end: {seen[-5:]}"
        done = service.look(run.json["id"])
        seen.append(done["status"])
    target = done["documents"][0]["files"]["target"]
    assert service.file("GET", target).status == 200
    gone = [service.request("DELETE", f"/v2/task/{done['id']}"), service.file("DELETE", info)]
    return {"upload": upload, "info": info, "run": run, "done": done, "seen": seen, "gone": gone}


def test_each_open_question_has_a_switch(walk_and_check: tuple[Walk, Check]) -> None:
    found, check = walk_and_check
    assert check(found), found
