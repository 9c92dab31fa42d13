"""Groups that somebody meddles with while they are claimed, adopted, filed or delivered, and answers that are not ours:
nothing is left in work/, nothing goes astray, nothing is missing in silence."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from hopperd.folders import claim
from hopperd.pipeline.job import RemoteFile, Task, TaskDocument
from tests.support import world as world_of_a_test
from tests.support.taps import Taps
from tests.support.world import World

BY_FOLDER = {"group_by": "folder", "group_quiet_seconds": 1.0}


def invoice(name: str) -> bytes:
    return b"%PDF-1.4 " + name.encode() + b"\n%%EOF"


def a_group(world: World, *names: str) -> None:
    for name in names:
        world.put_in(f"g/{name}.pdf", invoice(name))


def taken_away(world: World, path: Path) -> None:
    """By somebody who is not us; it is nobody's promise any more."""
    world.put[hashlib.sha256(path.read_bytes()).hexdigest()] -= 1
    path.unlink()


class Meddling(Taps):
    """Nothing fails; `meddle` is called once, at the first call of that name."""

    def __init__(self, what: str, meddle: Callable[[], None]) -> None:
        super().__init__()
        self._what = what
        self._meddle: Callable[[], None] | None = meddle

    def __call__(self, what: str) -> None:
        super().__call__(what)
        if what == self._what and self._meddle is not None:
            meddle, self._meddle = self._meddle, None
            meddle()


def test_a_member_that_vanishes_in_the_moment_of_the_claim_costs_the_others_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with World(folder=BY_FOLDER) as world:
        a_group(world, "a", "b", "c")
        digest, gone = claim.digest, []

        def slow(layout, job_id, name):  # type: ignore[no-untyped-def]
            made = digest(layout, job_id, name)
            if name == b"g/a.pdf" and not gone:
                gone.append(name)
                taken_away(world, world.root / "work" / job_id / "g" / "c.pdf")
            return made

        monkeypatch.setattr(claim, "digest", slow)
        assert world.live()
        assert gone
        assert not world.judge().broken
        assert sorted(path.name for path in (world.root / "out").rglob("*.json")) == ["a.json", "b.json"]


def test_a_member_that_vanishes_while_its_group_is_adopted_costs_the_others_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with World(folder=BY_FOLDER) as world:
        a_group(world, "a", "b")
        assert not world.live(_dies_after_the_claim())
        leftovers = claim.leftovers

        def listed(*given, **named):  # type: ignore[no-untyped-def]
            found = leftovers(*given, **named)
            for path in (world.root / "work").rglob("b.pdf"):
                taken_away(world, path)
            return found

        monkeypatch.setattr(claim, "leftovers", listed)
        assert world.live()
        assert not world.judge().broken
        assert [path.name for path in (world.root / "out").rglob("*.json")] == ["a.json"]


def _dies_after_the_claim() -> Taps:
    def die() -> None:
        meddling.dead = True
        meddling.when_dead()

    meddling = Meddling("after rename disk", die)
    return meddling


def test_what_changed_in_the_moment_of_its_claim_is_not_forgotten_by_a_run_that_ends_when_all_is_done(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(world_of_a_test, "LOOKED_AT_EVERY_SECONDS", 0.1)  # also between that claim and the next sweep
    with World(folder={"sweep_seconds": 600.0}) as world:
        world.put_in("a.pdf", invoice("a"))

        def touch() -> None:
            os.utime(world.root / "in" / "a.pdf", (1.0, 1.0))

        assert world.live(Meddling("before rename disk", touch))
        assert not world.judge().broken


def test_what_the_patterns_exclude_is_never_sent_however_the_claim_of_its_group_was_cut_short() -> None:
    with World(folder=BY_FOLDER | {"exclude": ["*.txt"]}) as world:
        a_group(world, "a")
        world.put_in("g/notes.txt", b"nobody's invoice")
        assert not world.live(_dies_after_the_claim())
        assert world.live()
        assert [len(sent) for _, sent in world.service.runs] == [1]
        assert (world.root / "in" / "g" / "notes.txt").read_bytes() == b"nobody's invoice"
        assert not list((world.root / "work").rglob("*.txt"))


def a_latecomer(world: World, content: bytes) -> None:
    """Written into the group's folder, wherever that is now, by a program that works inside it."""
    (folder,) = (world.root / "work").glob("*/g")
    (folder / "late.pdf").write_bytes(content)
    world.put[hashlib.sha256(content).hexdigest()] += 1


def test_a_latecomer_whose_place_in_in_is_taken_goes_back_under_another_name() -> None:
    with World(folder=BY_FOLDER) as world:
        a_group(world, "a")

        def late() -> None:
            a_latecomer(world, invoice("late"))
            world.put_in("g/late.pdf", invoice("another"))

        assert world.live(Meddling("after service run", late))
        assert world.live(), "and both are taken in"
        assert not world.judge().broken
        assert len(list((world.root / "out").rglob("*.json"))) == 3


def test_a_latecomer_that_cannot_go_back_keeps_the_filing_waiting_and_is_said() -> None:
    with World(folder=BY_FOLDER) as world:
        a_group(world, "a")
        inbox = world.root / "in"

        def late() -> None:
            a_latecomer(world, invoice("late"))
            inbox.rename(world.root / "elsewhere")

        assert not world.live(Meddling("after service fetch", late), seconds=600.0)
        (job,) = world.jobs()
        assert job.is_open
        assert "cannot file originals" in (job.waiting or "")
        (world.root / "elsewhere").rename(inbox)
        assert world.live(), "the filing ends"
        assert world.live(), "and the latecomer is taken in"
        assert not world.judge().broken
        assert len(list((world.root / "out").rglob("*.json"))) == 2


def answered(world: World, change: Callable[[Task], Task]) -> None:
    """What the service shows of a task is changed on its way to us."""
    shown = world.service._shown
    world.service._shown = lambda task: change(shown(task))  # type: ignore[method-assign]


def test_a_group_of_which_the_service_returns_only_part_is_delivered_as_far_as_it_goes_and_said_to_have_failed() -> (
    None
):
    with World(folder=BY_FOLDER) as world:
        a_group(world, "a", "b")

        def partly(task: Task) -> Task:
            kept = [
                replace(one, results=one.results if not str(one.source_name).endswith("b.pdf") else ())
                for one in task.documents
            ]
            return replace(task, documents=tuple(kept))

        answered(world, partly)
        assert world.live()
        assert not world.judge().broken
        receipt = json.loads((world.root / "failed" / "g" / "b.pdf.receipt.json").read_text())
        assert (receipt["outcome"], receipt["failure"]["reason"]) == ("failed", "incomplete")
        assert [one["original"] for one in receipt["exports"]] == ["g/a.pdf"]
        assert [one.get("note") is not None for one in receipt["originals"]] == [False, True]
        assert (world.root / "out" / receipt["exports"][0]["name"]).exists()


def test_with_on_taken_fail_a_taken_name_keeps_the_whole_set_out() -> None:
    with World(folder=BY_FOLDER | {"on_taken": "fail"}) as world:
        a_group(world, "a", "b")
        taken = world.root / "out" / "g" / "b.json"
        taken.parent.mkdir(parents=True)
        taken.write_text("somebody's")
        assert world.live()
        assert [path.name for path in (world.root / "out").rglob("*.json")] == ["b.json"]
        assert taken.read_text() == "somebody's"


def test_with_on_taken_fail_a_name_taken_between_two_renames_is_told_with_what_was_delivered() -> None:
    with World(folder=BY_FOLDER | {"on_taken": "fail"}) as world:
        a_group(world, "a", "b")
        renames = []

        class Taking(Taps):
            def __call__(self, what: str) -> None:
                super().__call__(what)
                if what == "after rename disk" and (world.root / "out" / "g" / "a.json").exists() and not renames:
                    renames.append(what)
                    (world.root / "out" / "g" / "b.json").write_text("somebody's")

        assert world.live(Taking())
        receipt = json.loads((world.root / "failed" / "g" / "a.pdf.receipt.json").read_text())
        assert [one["name"] for one in receipt["exports"]] == ["g/a.json"]
        assert receipt["failure"]["reason"] == "name-taken"
        (world.root / "out" / "g" / "b.json").unlink()
        assert not world.judge().broken


def test_an_old_answer_in_place_of_a_runs_own_is_a_doubt_and_nobodys_data_goes_astray() -> None:
    with World() as world:
        for name in "abc":
            world.put_in(f"{name}.pdf", invoice(name))
        run, answers = world.service.run, []

        async def stale(files: Sequence[RemoteFile], properties: Mapping[str, str]) -> Task:
            answers.append(await run(files, properties))
            return answers[0] if len(answers) in (2, 3) else answers[-1]

        world.service.run = stale  # type: ignore[method-assign]
        assert world.live()
        assert not world.judge().broken
        receipts = [json.loads(path.read_text()) for path in (world.root / "done").rglob("*.receipt.json")]
        assert sorted(receipt["doubts"] for receipt in receipts) == [0, 1, 1]
        for receipt in receipts:
            sha256 = receipt["originals"][0]["sha256"]
            assert f"export of {sha256}" in (world.root / "out" / receipt["exports"][0]["name"]).read_text()


def test_a_job_is_held_where_the_task_named_for_it_was_made_from_somebody_elses_file() -> None:
    with World() as world:
        world.put_in("a.pdf", invoice("a"))
        answered(world, lambda task: replace(task, documents=tuple(_of_another(one) for one in task.documents)))
        assert world.live()
        (job,) = world.jobs()
        assert job.hold is not None
        assert job.hold.reason == "foreign-task"
        assert not list((world.root / "out").rglob("*.json"))


def _of_another(document: TaskDocument) -> TaskDocument:
    return replace(document, source_id="f" * 24, source_name="another.pdf")
