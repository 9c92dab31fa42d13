"""What a receipt says of a task: all that the service said, and nothing with which its files could be had."""

from __future__ import annotations

import json

from hopperd.pipeline.job import Stage
from hopperd.pipeline.receipt import receipt, receipt_bytes
from tests.support.jobs import NOW, job

TOKEN = "4B5A1A00E7A82C2AF31E20CADE7284DDA43DED30"
FILE = {"id": "5eeb762149c6470fdc65a84c", "name": "US_1.png"}
TASK = {
    "id": "5eeb7bf728613d1e04a70782",
    "status": "Done",
    "files": [FILE | {"Token": TOKEN}],
    "documents": [{"files": {"source": FILE | {"token": TOKEN}, "target": FILE | {"token": TOKEN}}, "data": {"a": 1}}],
    "properties": {"region": "US"},
}


def test_a_receipt_holds_no_token_of_a_file() -> None:
    delivered = job(Stage.DELIVERED, task=TASK)
    assert TOKEN.encode() not in receipt_bytes(delivered, NOW)
    assert "token" not in json.dumps(receipt(delivered)).lower()


def test_everything_else_that_the_service_said_is_there() -> None:
    task = receipt(job(Stage.DELIVERED, task=TASK))["task"]
    assert task["documents"] == [{"files": {"source": FILE, "target": FILE}, "data": {"a": 1}}]
    assert task["properties"] == TASK["properties"]
