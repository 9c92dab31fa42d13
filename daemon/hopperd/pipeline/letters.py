"""What is told outside about jobs: a letter for the integrator's hook, a notice for people. Pure.

A letter is written into the ledger in the transaction that records what it tells, and leaves it when it was taken:
so each is told at least once, whatever dies in between, and no invoice waits for it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from hopperd.pipeline.job import Job, Stage
from hopperd.pipeline.naming import shown
from hopperd.pipeline.receipt import iso, receipt

NoticeKind = Literal["failed", "held", "verification", "account", "folder", "backlog", "hook", "digest"]
NOTICE_KINDS: Final[tuple[NoticeKind, ...]] = (
    "failed",
    "held",
    "verification",
    "account",
    "folder",
    "backlog",
    "hook",
    "digest",
)
HOOK: Final = "hook/"
"""The channel of a folder's hook is this and the folder's name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Letter:
    """One thing to be told on one channel. `document` is JSON: a receipt, or a notice."""

    id: str
    channel: str
    at: float
    document: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Mailing:
    """Who is to be told: folders with a hook, the channels that carry notices, and which notices."""

    hooks: frozenset[str] = frozenset()
    channels: tuple[str, ...] = ()
    kinds: frozenset[str] = frozenset()


def letters_of(before: Job, after: Job, at: float, mailing: Mailing) -> tuple[Letter, ...]:
    """What this step of a job tells. The hook is told once the receipt stands: the set is complete."""
    told: list[Letter] = []
    if after.folder in mailing.hooks and _is_delivered(after) and not _is_delivered(before):
        document = json.dumps(receipt(after), ensure_ascii=True, separators=(",", ":"))
        told.append(Letter(id=f"{after.id}.{after.version}", channel=HOOK + after.folder, at=at, document=document))
    for kind, notice in _news(before, after):
        told += notices(f"{after.id}.{after.version}", kind, notice, at, mailing)
    return tuple(told)


def notices(about: str, kind: NoticeKind, notice: Mapping[str, Any], at: float, mailing: Mailing) -> Sequence[Letter]:
    """The same notice for every channel that carries its kind. `about` makes its id."""
    if kind not in mailing.kinds:
        return ()
    document = json.dumps({"kind": kind, "at": iso(at), **notice}, ensure_ascii=True, separators=(",", ":"))
    return [
        Letter(id=f"{channel}.{kind}.{about}", channel=channel, at=at, document=document)
        for channel in mailing.channels
    ]


def _is_delivered(job: Job) -> bool:
    return job.stage is Stage.DONE and job.outcome == "delivered"


def _news(before: Job, after: Job) -> Iterator[tuple[NoticeKind, dict[str, Any]]]:
    """What a person would want to hear of. What a person ordered is no news."""
    line: dict[str, Any] = {
        "job": after.id,
        "folder": after.folder,
        "file": shown(after.group if after.group is not None else after.originals[0].name),
    }
    failure, hold = after.failure, after.hold
    if failure is not None and before.failure is None and failure.reason != "forgotten":
        yield "failed", line | {"reason": failure.reason, "what": failure.what, "do": failure.do}
    if hold is not None and before.hold is None and hold.reason != "person":
        yield "held", line | {"reason": hold.reason, "what": hold.what, "do": hold.do}
    if after.verification_url is not None and before.verification_url is None:
        yield (
            "verification",
            line | {"what": "waits for a person to verify it", "do": f"Open {after.verification_url}"},
        )
