"""Does only one job fail, or do they all? What may be the fault of one file is told from what is everybody's trouble.

Kinds of requests are told apart: looks that pass prove nothing about Runs.
"""

from __future__ import annotations

from collections import Counter
from typing import Final

from hopperd.pipeline.job import JobId
from hopperd.ports import Kind

MOST_REMEMBERED_JOBS: Final = 10_000


class Others:
    """Remembers which requests of an account got through, and which jobs' did not."""

    def __init__(self) -> None:
        self._passes: Counter[Kind] = Counter()
        self._last_passed: dict[Kind, bool] = {}
        self._failures: dict[JobId, tuple[Kind, int]] = {}
        self._last_turn: dict[JobId, Kind] = {}

    def begins(self, job_id: JobId, kind: Kind) -> None:
        """The job's next request is of this kind."""
        self._last_turn.pop(job_id, None)
        self._last_turn[job_id] = kind
        if len(self._last_turn) > MOST_REMEMBERED_JOBS:
            del self._last_turn[next(iter(self._last_turn))]

    def passed(self, job_id: JobId) -> None:
        kind = self._last_turn.pop(job_id, "look")
        self._failures.pop(job_id, None)
        self._passes[kind] += 1
        self._last_passed[kind] = True

    def pass_while_fails(self, job_id: JobId, *, perhaps_by_itself: bool) -> bool:
        """The job's request failed. Whether one of this kind of another job got through since its last failure at it;
        at the first failure, whether the last one before did. Never where it cannot be the job's own fault."""
        kind = self._last_turn.pop(job_id, "look")
        if not perhaps_by_itself:
            return False
        before = self._failures.pop(job_id, None)
        if before is not None and before[0] == kind:
            passed = self._passes[kind] > before[1]
        else:
            passed = self._last_passed.get(kind, False)
        self._failures[job_id] = (kind, self._passes[kind])
        self._last_passed[kind] = False
        if len(self._failures) > MOST_REMEMBERED_JOBS:
            del self._failures[next(iter(self._failures))]
        return passed
