"""Many notices → one message that a person reads in one look. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from hopperd.pipeline.letters import NOTICE_KINDS
from hopperd.pipeline.naming import printable

TOLD_EACH: Final = 10
TOLD_AS_DATA: Final = 100

_ONE_MANY: Final[Mapping[str, tuple[str, str]]] = {
    "failed": ("1 invoice failed", "{} invoices failed"),
    "held": ("1 invoice is held", "{} invoices are held"),
    "verification": ("1 invoice waits for verification", "{} notices of invoices that wait for verification"),
    "account": ("news of an account", "{} news of accounts"),
    "folder": ("news of a folder", "{} news of folders"),
    "backlog": ("the backlog is old", "the backlog is old"),
    "hook": ("news of a hook", "{} news of hooks"),
    "digest": ("the daily figures", "{} days' figures"),
}
_MORE: Final[Mapping[str, str]] = {
    "failed": "hopperd list --failed",
    "held": "hopperd list --held",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    subject: str
    text: str
    data: Mapping[str, Any]


def message(notices: Sequence[Mapping[str, Any]]) -> Message:
    """Of at least one notice, by kind; the first of each kind are told in words, the others counted."""
    by_kind: dict[str, list[Mapping[str, Any]]] = {}
    for notice in notices:
        by_kind.setdefault(str(notice.get("kind")), []).append(notice)
    kinds = [kind for kind in NOTICE_KINDS if kind in by_kind]
    parts = [_counted(kind, len(by_kind[kind])) for kind in kinds]
    lines = []
    for kind, part in zip(kinds, parts, strict=True):
        told = by_kind[kind]
        lines += [part[0].upper() + part[1:] + ":", *(f"- {sentence(notice)}" for notice in told[:TOLD_EACH])]
        if len(told) > TOLD_EACH:
            lines.append(f"- and {len(told) - TOLD_EACH} more ({_MORE.get(kind, 'hopperd status')})")
        lines.append("")
    subject = "hopperd: " + (parts[0] if len(parts) == 1 else ", ".join(parts))
    counts = {kind: len(by_kind[kind]) for kind in kinds}
    text = "\n".join(lines).strip()
    data = {"subject": subject, "text": text, "counts": counts}
    return Message(subject=subject, text=text, data=data | {"notices": [dict(one) for one in notices[:TOLD_AS_DATA]]})


def _counted(kind: str, count: int) -> str:
    one, many = _ONE_MANY[kind]
    return one if count == 1 else many.format(count)


def sentence(notice: Mapping[str, Any]) -> str:
    """One notice in one line; what came with a file's name or from the service moves nothing in it."""
    about = "/".join(str(notice[key]) for key in ("folder", "file") if key in notice)
    words = [str(notice[key]).strip() for key in ("what", "do") if notice.get(key)]
    ended = " ".join(word if word.endswith((".", "!", "?", ":")) else f"{word}." for word in words)
    return printable(f"{about}: {ended}" if about else ended)
