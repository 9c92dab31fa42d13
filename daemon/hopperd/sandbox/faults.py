"""The fault plan: which request goes wrong, how, and what becomes of a task. Pure: no clock, no chance.

A plan is TOML: `seed`, and any number of `[[fault]]`. Whether the n-th request that a fault looks at is hit depends on
the seed, the fault's place in the plan and n alone, so the same requests in the same order meet the same faults.
"""

from __future__ import annotations

import hashlib
import tomllib
from dataclasses import dataclass, field
from typing import Any, Final

OPERATIONS: Final = ("upload", "run", "look", "download", "delete", "any")
KINDS_BEFORE: Final = ("status", "reset-before", "stall")
KINDS_AFTER: Final = ("status-after", "reset-after", "slow", "wrong-hash", "short-body", "html")
KINDS: Final = (*KINDS_BEFORE, *KINDS_AFTER)
OUTCOMES: Final = ("failed", "canceled", "wait", "unknown-status", "no-documents")
CARRIES_HASH: Final = ("upload", "download", "info")
KEYS: Final = frozenset(
    [
        "on",
        "kind",
        "outcome",
        "status",
        "retry_after_seconds",
        "probability",
        "every",
        "first",
        "from_seconds",
        "until_seconds",
        "seconds",
    ]
)


class FaultPlanError(ValueError):
    """The plan cannot be understood; the text is a sentence that says where and what would do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One `[[fault]]`. `on` is an operation with a `kind`, or `task` with an `outcome`."""

    on: str
    kind: str = ""
    outcome: str = ""
    status: int = 500
    retry_after_seconds: float | None = None
    probability: float | None = None
    every: int | None = None
    first: int | None = None
    from_seconds: float = 0.0
    until_seconds: float | None = None
    seconds: float = 3.0

    def looks_at(self, operation: str, elapsed_seconds: float) -> bool:
        """True if this fault counts such a request, at that many seconds since the start."""
        if elapsed_seconds < self.from_seconds:
            return False
        if self.until_seconds is not None and elapsed_seconds >= self.until_seconds:
            return False
        if operation == "task" or self.on == "task":
            return self.on == operation
        if self.kind == "wrong-hash" and operation not in CARRIES_HASH:
            return False
        return self.on in ("any", operation)

    def hits(self, count: int, chance: float) -> bool:
        """Whether the `count`-th request looked at (from 1) goes wrong; `chance` is in [0, 1)."""
        if self.probability is not None:
            return chance < self.probability
        if self.every is not None:
            return count % self.every == 0
        if self.first is not None:
            return count <= self.first
        return True


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultPlan:
    """All faults, in the order in which they are asked; the first that hits wins."""

    seed: int = 0
    faults: tuple[Fault, ...] = ()


def chance_of(seed: int, index: int, count: int) -> float:
    """A number in [0, 1) that depends on its arguments alone, the same in every process and version."""
    digest = hashlib.blake2b(f"{seed}/{index}/{count}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64


def decide(plan: FaultPlan, counts: tuple[int, ...], operation: str, elapsed_seconds: float) -> Decision:
    """What happens to one request, and the counts for the next one. `counts` has one number per fault."""
    after: list[int] = []
    hit: Fault | None = None
    for index, (fault, count) in enumerate(zip(plan.faults, counts, strict=True)):
        seen = count + 1 if fault.looks_at(operation, elapsed_seconds) else count
        after.append(seen)
        if hit is None and seen > count and fault.hits(seen, chance_of(plan.seed, index, seen)):
            hit = fault
    return Decision(fault=hit, counts=tuple(after))


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """The answer of `decide`: the fault that hits, if any, and how many requests each fault has now looked at."""

    fault: Fault | None
    counts: tuple[int, ...]


@dataclass(slots=True)
class FaultCourse:
    """A plan under way: remembers how many requests each fault has looked at."""

    plan: FaultPlan
    counts: tuple[int, ...] = field(default=())

    def __post_init__(self) -> None:
        self.counts = (0,) * len(self.plan.faults)

    def next(self, operation: str, elapsed_seconds: float) -> Fault | None:
        """The fault for this request or task, if one hits."""
        if not self.plan.faults:
            return None
        decision = decide(self.plan, self.counts, operation, elapsed_seconds)
        self.counts = decision.counts
        return decision.fault


def parse_plan(text: bytes) -> FaultPlan:
    """A plan from its TOML. Raises FaultPlanError with a sentence for the first thing that cannot be meant."""
    try:
        table = tomllib.loads(text.decode("utf-8-sig"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise FaultPlanError(f"it is not TOML in UTF-8 ({error}).") from error
    _refuse_unknown("at the top", set(table), {"seed", "fault"})
    seed = table.get("seed", 0)
    if not isinstance(seed, int) or isinstance(seed, bool):
        raise FaultPlanError("seed must be a whole number.")
    entries = table.get("fault", [])
    if not isinstance(entries, list) or not all(isinstance(each, dict) for each in entries):
        raise FaultPlanError("each fault stands under a heading [[fault]] of its own.")
    return FaultPlan(seed=seed, faults=tuple(_fault(number, entry) for number, entry in enumerate(entries, 1)))


def _fault(number: int, entry: dict[str, Any]) -> Fault:
    where = f"in [[fault]] {number}"
    _refuse_unknown(where, set(entry), set(KEYS))
    _check_what(where, entry)
    _check_numbers(where, entry)
    chosen = [key for key in ("probability", "every", "first") if key in entry]
    if len(chosen) > 1:
        raise FaultPlanError(f"{where}, use only one of {' and '.join(chosen)}.")
    return Fault(**entry)


def _check_what(where: str, entry: dict[str, Any]) -> None:
    on = entry.get("on")
    if on == "task":
        _check_choice(where, "outcome", entry.get("outcome"), OUTCOMES)
        if "kind" in entry:
            raise FaultPlanError(f'{where}, on = "task" takes an outcome, not a kind.')
        return
    _check_choice(where, "on", on, (*OPERATIONS, "task"))
    _check_choice(where, "kind", entry.get("kind"), KINDS)
    if "outcome" in entry:
        raise FaultPlanError(f'{where}, outcome goes with on = "task" only.')
    if entry["kind"] == "wrong-hash" and on not in ("upload", "download", "any"):
        raise FaultPlanError(f'{where}, kind = "wrong-hash" goes with on = "upload", "download" or "any".')


def _check_choice(where: str, key: str, value: object, choices: tuple[str, ...]) -> None:
    if value not in choices:
        said = "is missing" if value is None else f"cannot be {value!r}"
        raise FaultPlanError(f"{where}, {key} {said}; it is one of {', '.join(choices)}.")


def _check_numbers(where: str, entry: dict[str, Any]) -> None:
    for key in ("retry_after_seconds", "probability", "from_seconds", "until_seconds", "seconds"):
        if key in entry and not (_is_number(entry[key]) and entry[key] >= 0):
            raise FaultPlanError(f"{where}, {key} must be a number that is not negative.")
    for key in ("every", "first"):
        if key in entry and not (_is_whole(entry[key]) and entry[key] >= 1):
            raise FaultPlanError(f"{where}, {key} must be a whole number from 1.")
    if entry.get("probability", 0) > 1:
        raise FaultPlanError(f"{where}, probability lies between 0 and 1.")
    if "status" in entry and not (_is_whole(entry["status"]) and 200 <= entry["status"] <= 599):
        raise FaultPlanError(f"{where}, status must be a whole number between 200 and 599.")
    if entry.get("until_seconds", float("inf")) <= entry.get("from_seconds", 0):
        raise FaultPlanError(f"{where}, until_seconds must be later than from_seconds.")


def _refuse_unknown(where: str, given: set[str], known: set[str]) -> None:
    unknown = sorted(given - known)
    if unknown:
        raise FaultPlanError(f"{where}, the key {unknown[0]} is not known; known are {', '.join(sorted(known))}.")


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and value == value


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
