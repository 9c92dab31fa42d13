"""The fault plan is pure: the same plan and the same requests meet the same faults, in every process."""

from __future__ import annotations

import pytest

from hopperd.sandbox.faults import Fault, FaultCourse, FaultPlan, FaultPlanError, chance_of, parse_plan


def course(text: str) -> FaultCourse:
    return FaultCourse(parse_plan(text.encode()))


def hits(found: FaultCourse, operation: str, count: int) -> list[bool]:
    return [found.next(operation, 0.0) is not None for _ in range(count)]


def test_a_plan_from_the_documentation_is_read_whole() -> None:
    plan = parse_plan(
        b'seed = 3\n[[fault]]\non = "run"\nkind = "status"\nstatus = 429\nretry_after_seconds = 2\nprobability = 0.1\n'
        b'from_seconds = 1\nuntil_seconds = 2.5\n[[fault]]\non = "task"\noutcome = "wait"\nevery = 10\n'
    )
    assert plan == FaultPlan(
        seed=3,
        faults=(
            Fault(
                on="run",
                kind="status",
                status=429,
                retry_after_seconds=2,
                probability=0.1,
                from_seconds=1,
                until_seconds=2.5,
            ),
            Fault(on="task", outcome="wait", every=10),
        ),
    )


def test_chances_are_the_same_everywhere_and_differ_by_seed_fault_and_count() -> None:
    assert chance_of(1, 0, 1) == pytest.approx(0.4487, abs=1) and chance_of(1, 0, 1) == chance_of(1, 0, 1)
    assert len({chance_of(seed, index, count) for seed in range(5) for index in range(5) for count in range(5)}) == 125


def test_a_probability_holds_over_many_requests() -> None:
    text = 'seed = 11\n[[fault]]\non = "look"\nkind = "stall"\nprobability = 0.1'
    found = hits(course(text), "look", 5000)
    assert found == hits(course(text), "look", 5000)
    assert 400 < sum(found) < 600


def test_first_and_every_count_only_what_the_fault_looks_at() -> None:
    first = course('[[fault]]\non = "upload"\nkind = "stall"\nfirst = 2')
    assert hits(first, "look", 3) == [False] * 3
    assert hits(first, "upload", 4) == [True, True, False, False]
    every = course('[[fault]]\non = "any"\nkind = "stall"\nevery = 2')
    assert [every.next(each, 0.0) is not None for each in ("upload", "run", "look", "delete")] == [False, True] * 2


def test_a_window_is_open_from_and_closed_until() -> None:
    found = course('[[fault]]\non = "run"\nkind = "stall"\nfrom_seconds = 5\nuntil_seconds = 6')
    assert [found.next("run", each) is not None for each in (4.9, 5.0, 5.9, 6.0)] == [False, True, True, False]


def test_any_never_means_what_becomes_of_a_task_and_the_first_fault_wins() -> None:
    found = course('[[fault]]\non = "any"\nkind = "html"\n[[fault]]\non = "run"\nkind = "slow"')
    assert found.next("task", 0.0) is None
    hit = found.next("run", 0.0)
    assert hit is not None and hit.kind == "html"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("seed = ", "not TOML"),
        ("seed = 'x'", "seed"),
        ("sed = 1", "sed"),
        ("fault = 3", "[[fault]]"),
        ("[fault]\non = 'run'", "[[fault]]"),
        ("[[fault]]\nkind = 'stall'", "on is missing"),
        ("[[fault]]\non = 'runs'\nkind = 'stall'", "upload, run"),
        ("[[fault]]\non = 'run'", "kind is missing"),
        ("[[fault]]\non = 'run'\nkind = 'explode'", "status-after"),
        ("[[fault]]\non = 'run'\nkind = 'wrong-hash'", "wrong-hash"),
        ("[[fault]]\non = 'task'\nkind = 'stall'", "outcome is missing"),
        ("[[fault]]\non = 'task'\noutcome = 'lost'", "failed"),
        ("[[fault]]\non = 'task'\noutcome = 'wait'\nkind = 'stall'", "not a kind"),
        ("[[fault]]\non = 'run'\nkind = 'stall'\noutcome = 'wait'", "outcome goes"),
        ("[[fault]]\non = 'run'\nkind = 'stall'\nevery = 2\nfirst = 1", "only one"),
        ("[[fault]]\non = 'run'\nkind = 'stall'\nevery = 0", "every"),
        ("[[fault]]\non = 'run'\nkind = 'stall'\nprobability = 2", "probability"),
        ("[[fault]]\non = 'run'\nkind = 'stall'\nprobability = nan", "probability"),
        ("[[fault]]\non = 'run'\nkind = 'status'\nstatus = 99", "status"),
        ("[[fault]]\non = 'run'\nkind = 'stall'\nfrom_seconds = 5\nuntil_seconds = 5", "until_seconds"),
        ("[[fault]]\non = 'run'\nkind = 'stall'\nafter = 5", "after is not known"),
    ],
)
def test_a_plan_that_cannot_be_meant_is_a_sentence(text: str, words: str) -> None:
    with pytest.raises(FaultPlanError, match=r"\.$") as caught:
        parse_plan(text.encode())
    assert words in str(caught.value)
