"""A hot folder in a bucket as a person has it: the real daemon, the real sandbox, a real S3-compatible server."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.support import line as lines
from tests.support import postgres
from tests.support.bucket import BUCKET, KEYS, BucketLine, InFront, StoreProcess, needs_store
from tests.support.fleet import Node
from tests.support.line import invoice

pytestmark = [needs_store, pytest.mark.timeout(600)]


@pytest.fixture(autouse=True)
def keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, text in KEYS.items():
        monkeypatch.setenv(name, text)
    monkeypatch.setattr(lines, "FORK", True)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[StoreProcess]:
    with StoreProcess(tmp_path / "store.log") as process:
        yield process


@pytest.fixture
def line(server: StoreProcess, tmp_path: Path) -> Iterator[BucketLine]:
    with BucketLine(tmp_path, server, folder='export_format = "Json"') as found:
        found.start_sandbox()
        yield found


def test_fifty_objects_and_three_kills_end_in_fifty_deliveries(line: BucketLine) -> None:
    rng = random.Random(11)
    for number in range(50):
        line.put_in(f"{rng.choice(['', 'a/', 'b/ä c/'])}{number}.pdf", invoice(f"bucket-{number}"))
    for share in (1, 15, 30):
        line.started()
        line.wait_for(lambda share=share: line.ended() >= share, f"{share} ends", 120)
        time.sleep(rng.uniform(0.0, 0.3))
        line.kill()
    assert line.once("--wait", "200", seconds=300) == 0, line.tail(40)
    verdict = line.keeps_every_promise()
    assert (line.kills, verdict.originals, verdict.delivered, verdict.failed) == (3, 50, 50, 0)
    assert line.names("in") == line.names("work") == []
    agrees = line.json("fsck")
    assert agrees["agrees"], agrees
    assert agrees["looked_at"]["jobs"] == 50


def test_once_check_fsck_and_status_speak_of_the_bucket(line: BucketLine) -> None:
    line.put_in("good.pdf", invoice("good"))
    line.put_in("bad.pdf", b"no invoice at all")
    line.put_in("half.part", b"still written")
    checked = line.command("check")
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert line.names("work") == [], "check left something behind"
    assert line.once() == 1  # one failed
    assert line.names("in") == ["half.part"]
    assert line.names("failed") == ["bad.pdf", "bad.pdf.receipt.json"]
    receipt = json.loads(line.hand.get(f"{line.prefix}/failed/bad.pdf.receipt.json") or b"")
    assert receipt["failure"]["reason"] == "wrong-type"
    assert line.names("out") == ["good.json"]
    folder = line.json("status")["folders"][0]
    assert folder["in"] == f"s3://{BUCKET}/{line.prefix}/in"
    job = line.json("list")["jobs"][0]["job"]
    told = json.dumps(line.json("show", job))
    assert f"s3://{BUCKET}/{line.prefix}/" in told
    assert line.json("fsck")["agrees"]
    line.hand.remove(f"{line.prefix}/failed/bad.pdf.receipt.json")
    kinds = [finding["kind"] for finding in line.json("fsck")["findings"]]
    assert kinds == ["receipt-missing"]
    assert line.json("fsck", "--repair")["agrees"]
    assert "bad.pdf.receipt.json" in line.names("failed")


def test_a_failed_job_is_repaired_in_the_bucket_and_retried(line: BucketLine) -> None:
    line.put_in("x.pdf", b"no invoice at all")
    assert line.once() == 1
    line.hand.put(f"{line.prefix}/failed/x.pdf", invoice("repaired"))
    job = line.json("list")["jobs"][0]["job"]
    assert line.command("retry", job).returncode == 0
    assert line.once() == 0, line.tail()
    assert line.names("failed") == line.names("work") == []
    assert line.names("out") == ["x.json"]
    assert sum(name.endswith("x.pdf") for name in line.names("done")) == 1


def test_the_same_bytes_again_are_no_second_run_and_a_group_is_one_job(server: StoreProcess, tmp_path: Path) -> None:
    folder = 'export_format = "Json"\ngroup_by = "folder"\ngroup_quiet_seconds = 1'
    with BucketLine(tmp_path, server, folder=folder) as line:
        line.start_sandbox()
        line.put_in("g/1.pdf", invoice("one"))
        line.put_in("g/2.pdf", invoice("two"))
        assert line.once() == 0, line.tail()
        line.put_in("h/1.pdf", invoice("two"))
        line.put_in("h/2.pdf", invoice("one"))
        assert line.once() == 0, line.tail()
        assert len(line.deeds("run")) == 1
        verdict = line.keeps_every_promise()
        assert (verdict.delivered, verdict.duplicates) == (2, 2)  # files; one job each


def test_trouble_of_the_store_pauses_the_folder_and_fails_no_file(server: StoreProcess, tmp_path: Path) -> None:
    with (
        InFront(server.url) as front,
        BucketLine(tmp_path, server, url=front.url, folder="sweep_seconds = 0.5") as line,
    ):
        line.start_sandbox()
        line.put_in("0.pdf", invoice("0"))
        line.started()
        line.wait_ended(1)
        for number, answer in enumerate((503, 403), 1):
            front.answer(answer)
            line.put_in(f"{number}.pdf", invoice(number))
            trouble = line.wait_for(lambda: line.folder()["trouble"], f"trouble by {answer}")
            assert str(answer) in trouble
            front.answer(None)
            line.wait_ended(1 + number, 90)
        assert line.stop() == 0
        verdict = line.keeps_every_promise()
        assert (verdict.delivered, verdict.failed) == (3, 0)


def test_a_store_that_ignores_conditions_is_refused_by_run_and_by_check(server: StoreProcess, tmp_path: Path) -> None:
    with (
        InFront(server.url, strips=("if-none-match",)) as front,
        BucketLine(tmp_path, server, url=front.url) as line,
    ):
        line.start_sandbox()
        line.put_in("x.pdf", invoice("x"))
        assert line.once() == 3
        assert "ignores If-None-Match" in line.tail()
        checked = line.command("check")
        assert checked.returncode == 2
        assert "ignores If-None-Match" in checked.stdout + checked.stderr
        assert line.names("in") == ["x.pdf"] and line.names("work") == []


def test_another_ledgers_bucket_is_refused_and_a_lost_ledger_is_made_anew(line: BucketLine, tmp_path: Path) -> None:
    line.put_in("x.pdf", invoice("x"))
    assert line.once() == 0
    line.state.rename(tmp_path / "lost")
    line.put_in("y.pdf", invoice("y"))
    assert line.once() == 3
    assert "another ledger" in line.tail()
    assert line.command("fsck", "--rebuild").returncode == 0
    line.put_in("again.pdf", invoice("x"))
    assert line.once() == 0, line.tail()
    verdict = line.keeps_every_promise()
    assert (verdict.delivered, verdict.duplicates) == (2, 1), "the rebuilt ledger does not know what was delivered"


def test_odd_keys_stop_nobody_else(line: BucketLine) -> None:
    for key in ("sub//x.pdf", "sub/./y.pdf", "tab\there.pdf", "folder/"):
        line.hand.put(f"{line.prefix}/in/{key}", b"" if key.endswith("/") else b"%PDF odd")
    for name in ("a.pdf", "sub/b.pdf", "tab a.pdf", "z/z.pdf", "0.pdf"):
        line.put_in(name, invoice(name))
    line.configure(folder=f'export_format = "Json"\nempty_seconds = 0.2\nendpoint = "{line.hand.url}"')
    line.started()
    line.wait_ended(5)
    left = {one["file"]: one["reason"] for one in line.folder()["left_alone"]}
    assert left == {
        "sub//x.pdf": "unusable-key",
        "sub/./y.pdf": "unusable-key",
        "tab\there.pdf": "unusable-key",
        "folder/": "folder-object",
    }
    assert line.stop() == 0


def test_two_nodes_share_a_bucket_and_one_that_is_killed_leaves_its_jobs_to_the_other(
    server: StoreProcess, tmp_path: Path
) -> None:
    """The other has none of its staging and none of its copies."""
    ledger = postgres.server().database()
    folder = 'export_format = "Csv"'
    with (
        BucketLine(tmp_path, server, folder=folder, processing_seconds="0.5-2") as first,
        ExitStack() as ends,
    ):
        first.start_sandbox()
        nodes = [Node(first, name, ledger, folder=f'{folder}\nendpoint = "{server.url}"') for name in ("a", "b")]
        for node in nodes:
            ends.push(node)
            node.path = first.path
            node.configure()
            node.started()
        for number in range(40):
            first.put_in(f"{number}.pdf", invoice(f"bucket-nodes-{number}"))
        one, other = nodes
        first.wait_for(lambda: first.ended() >= 8, "eight ends", 120)
        one.kill()
        other.wait_for(lambda: first.ended() >= 40, "the end of all 40 at the other node", 150)
        other.wait_for(lambda: other.asked("/v1/status")["open"] == 0, "the last record", 20)
        job = other.asked("/v1/jobs?limit=1")["jobs"][0]
        export = other.fetched(f"/v1/export?job={job['job']}&number=0")
        assert export == first.hand.get(f"{first.prefix}/out/{job['exports'][0]}"), "whichever node delivered it"
        assert other.stop() == 0
        verdict = first.keeps_every_promise()
        assert (verdict.originals, verdict.delivered) == (40, 40)
        assert verdict.extra_runs <= verdict.doubts
        assert first.names("in") == first.names("work") == []
        assert min(len(node.events("claimed")) for node in nodes) > 0, "one node did all of the work"
