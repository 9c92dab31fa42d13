"""Promises 1 to 3 with several daemons on one ledger and one set of folders, when one of them or the database dies."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

from hopperd.pipeline.job import new_job_id
from hopperd.workers.adoption import ADOPTED_AFTER_SECONDS
from tests.support import postgres
from tests.support.cable import Cable
from tests.support.fleet import Fleet
from tests.support.line import invoice
from tests.support.oracle import Verdict

pytestmark = pytest.mark.timeout(180)

CSV = 'export_format = "Csv"'


def judged(fleet: Fleet, count: int) -> Verdict:
    """Every promise kept: nothing lost, nothing delivered twice, no Run more than there were doubts."""
    verdict = fleet.first.judge()
    assert not verdict.broken, "\n".join([*verdict.broken[:20], str(verdict.figures()), fleet.tails()])
    assert verdict.delivered == count, (verdict.figures(), fleet.tails())
    assert verdict.extra_runs <= verdict.doubts
    return verdict


def put(fleet: Fleet, start: int, count: int) -> None:
    for number in range(start, start + count):
        fleet.first.put_in(f"{number}.pdf", invoice(f"nodes-{number}"))


def test_two_nodes_share_the_work_and_each_shows_both(tmp_path: Path) -> None:
    with Fleet(tmp_path, ["a", "b"], folder=CSV, processing_seconds="0.5") as fleet:
        fleet.started()
        put(fleet, 0, 80)
        fleet["a"].wait_ended(80)
        for node in fleet.nodes.values():
            assert {name: line["state"] for name, line in node.nodes().items()} == {"a": "working", "b": "working"}
            node.wait_for(lambda node=node: node.asked("/v1/status")["open"] == 0, "the last record", 10)
        text = fleet["b"].command("status").stdout
        assert "Node a (hopperd" in text
        assert "Node b (hopperd" in text
        done = {name: len(node.events("filed-away")) for name, node in fleet.nodes.items()}
        fleet.stop()
        verdict = judged(fleet, 80)
    assert verdict.doubts == 0
    assert sum(done.values()) == 80
    assert min(done.values()) > 0, f"one node did all of the work: {done}"


def test_a_pause_a_hold_and_a_release_reach_the_node_that_carries_the_job(tmp_path: Path) -> None:
    with Fleet(tmp_path, ["a", "b"], folder=CSV, processing_seconds="0.2") as fleet:
        fleet.started()
        a, b = fleet["a"], fleet["b"]
        assert a.command("pause", "main").returncode == 0
        b.wait_for(lambda: b.account()["paused"], "the pause at the other node", 5)
        put(fleet, 0, 3)
        a.wait_for(lambda: a.asked("/v1/status")["open"] == 3, "three claims")
        assert not fleet.first.deeds("upload"), "an account that is paused is paused for the fleet"
        jobs = [line["job"] for line in a.json("list")["jobs"]]
        assert b.command("hold", jobs[0]).returncode == 0
        assert b.command("resume", "main").returncode == 0
        a.wait_for(lambda: a.asked("/v1/status")["open"] == 1, "the end of two")  # recorded after the receipt
        assert a.command("release", jobs[0]).returncode == 0
        a.wait_ended(3, 10)
        fleet.stop()
        judged(fleet, 3)


def test_a_node_that_is_killed_leaves_its_jobs_to_the_others(tmp_path: Path) -> None:
    with Fleet(tmp_path, ["a", "b"], folder=CSV, processing_seconds="1-3") as fleet:
        fleet.started()
        put(fleet, 0, 60)
        a, b = fleet["a"], fleet["b"]
        a.wait_for(lambda: len(fleet.first.deeds("run")) >= 20, "twenty Runs")
        a.kill()
        put(fleet, 60, 10)
        b.wait_ended(70, 60)
        assert b.nodes()["a"]["state"] == "gone"
        taken = fleet.history("taken-over")
        fleet.stop()
        verdict = judged(fleet, 70)
    assert taken, "the killed node had nothing in hand: nothing was proven"
    assert all('"left_by":"a"' in detail for _, detail in taken), taken
    assert verdict.extra_runs <= verdict.doubts


def test_a_node_that_slept_beyond_its_lease_does_nothing_to_what_was_taken_over(tmp_path: Path) -> None:
    with Fleet(tmp_path, ["a", "b"], folder=CSV, processing_seconds="1-3") as fleet:
        fleet.started()
        put(fleet, 0, 60)
        a, b = fleet["a"], fleet["b"]
        a.wait_for(lambda: len(fleet.first.deeds("run")) >= 20, "twenty Runs")
        a.send(signal.SIGSTOP)
        b.wait_for(lambda: fleet.history("taken-over"), "a job taken over", 40)
        a.send(signal.SIGCONT)
        put(fleet, 60, 10)
        b.wait_ended(70, 60)
        a.wait_for(lambda: a.nodes()["a"]["state"] == "working", "the sleeper being seen again")
        fleet.stop()
        judged(fleet, 70)


def test_run_once_does_not_end_before_it_is_clear_whose_a_fresh_claim_is(tmp_path: Path) -> None:
    """What lies in work/ and in no ledger was claimed by another node a moment ago, or by a life that was killed."""
    with Fleet(tmp_path, ["a"], folder=CSV) as fleet:
        put(fleet, 0, 1)
        assert fleet["a"].once() == 0
        claimed_at = time.time() - ADOPTED_AFTER_SECONDS + 6.0
        claim = fleet.first.root / "work" / new_job_id(claimed_at, b"left!")
        claim.mkdir()
        os.rename(fleet.first.put_in("left.pdf", invoice("left")), bytes(claim / "left.pdf"))
        assert fleet["a"].once() == 0
        assert time.time() - claimed_at >= ADOPTED_AFTER_SECONDS
        judged(fleet, 2)


def test_a_node_that_stops_in_order_leaves_no_doubt_and_its_jobs_at_once(tmp_path: Path) -> None:
    with Fleet(tmp_path, ["a", "b"], folder=CSV, processing_seconds="2") as fleet:
        fleet.started()
        put(fleet, 0, 30)
        a, b = fleet["a"], fleet["b"]
        a.wait_for(lambda: len(fleet.first.deeds("run")) >= 25, "Runs")
        assert a.stop() == 0, a.tail()
        b.wait_ended(30, 30)
        fleet.stop()
        assert judged(fleet, 30).doubts == 0


def test_a_database_that_dies_is_weather_for_all(tmp_path: Path) -> None:
    server = postgres.Server()
    with Fleet(tmp_path, ["a", "b"], server=server, folder=CSV, processing_seconds="1-3") as fleet:
        fleet.started()
        put(fleet, 0, 60)
        a = fleet["a"]
        a.wait_for(lambda: len(fleet.first.deeds("run")) >= 20, "twenty Runs")
        server.kill()
        put(fleet, 60, 10)
        a.wait_for(lambda: a.events("ledger-trouble"), "trouble being said")
        server.start()
        a.wait_ended(70, 60)
        assert not fleet.history("taken-over"), "nobody died: a pause of the database is no reason to take over"
        fleet.stop()
        judged(fleet, 70)
    server.remove()


def test_four_nodes_and_two_deaths(tmp_path: Path) -> None:
    with Fleet(tmp_path, ["a", "b", "c", "d"], folder=CSV, processing_seconds="0.5-2") as fleet:
        fleet.started()
        put(fleet, 0, 100)
        a = fleet["a"]
        a.wait_for(lambda: len(fleet.first.deeds("run")) >= 30, "thirty Runs")
        fleet["b"].kill()
        fleet["c"].kill()
        a.wait_ended(100, 90)
        fleet.stop()
        judged(fleet, 100)


def test_a_node_that_is_cut_off_from_the_database_leaves_its_jobs_to_the_others(tmp_path: Path) -> None:
    server = postgres.server()
    with (
        Cable(server.port) as cable,
        Fleet(tmp_path, ["a", "b"], folder=CSV, processing_seconds="1-3") as fleet,
    ):
        a, b = fleet["a"], fleet["b"]
        a.reaches_ledger_at(fleet.ledger.replace(f":{server.port}/", f":{cable.port}/"))
        fleet.started()
        put(fleet, 0, 60)
        a.wait_for(lambda: len(fleet.first.deeds("run")) >= 20, "twenty Runs")
        cable.pull()
        b.wait_for(lambda: fleet.history("taken-over"), "a job taken over", 40)
        put(fleet, 60, 10)
        b.wait_ended(60, 60)  # of the ten that were put in since, the other may have claimed some, and keeps them
        cable.plug()
        b.wait_ended(70, 90)
        a.wait_for(lambda: b.nodes()["a"]["state"] == "working", "its being seen again", 30)
        fleet.stop()
        judged(fleet, 70)


def test_a_node_that_is_cut_off_from_the_service_stops_nobody_else(tmp_path: Path) -> None:
    with Fleet(tmp_path, ["a", "b"], folder=CSV, processing_seconds="1-3") as fleet:
        a, b = fleet["a"], fleet["b"]
        with Cable(int(a.url.rpartition(":")[2])) as cable:
            a.url = f"http://127.0.0.1:{cable.port}"
            a.configure()
            fleet.started()
            put(fleet, 0, 40)
            a.wait_for(lambda: len(fleet.first.deeds("run")) >= 20, "twenty Runs")
            cable.pull()
            put(fleet, 40, 20)
            b.wait_ended(60, 120)  # what the one had in hand included
            assert a.events("left-to-others")
            cable.plug()
            a.wait_for(lambda: a.events("account-open"), "its being back", 60)
            fleet.stop()
        judged(fleet, 60)
