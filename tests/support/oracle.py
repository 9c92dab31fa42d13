"""Judges a finished run from the outside: folders and the sandbox's log against promises.md.

Imports nothing of the daemon. Every sentence it returns names the promise that is broken.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

MARKERS = (b".hopperd-id", b".hopperd-id.new")  # the second: what a start that was killed leaves to the next one
STAGING = b".hopperd"
RECEIPT = b".receipt.json"


def files_below(root: Path) -> Iterator[bytes]:
    """Paths of all files below a folder, as bytes, markers and staging left out."""
    top = os.fsencode(root)
    for folder, folders, names in os.walk(top):
        if STAGING in folders:
            folders.remove(STAGING)
        for name in names:
            if name not in MARKERS:
                yield os.path.join(folder, name)


def shown(path: bytes) -> str:
    """How a receipt writes a name: UTF-8 as it is; where it is not UTF-8, odd bytes and percent signs as %XX."""
    try:
        return path.decode()
    except UnicodeDecodeError:
        text = path.replace(b"%", b"%25").decode("utf-8", "surrogateescape")
        return "".join(f"%{ord(one) - 0xDC00:02X}" if "\udc80" <= one <= "\udcff" else one for one in text)


def sha256_of(path: bytes) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@dataclass(slots=True)
class Verdict:
    """What was broken, and the figures of the run."""

    broken: list[str] = field(default_factory=list)
    originals: int = 0
    delivered: int = 0
    failed: int = 0
    duplicates: int = 0
    exports: int = 0
    runs: int = 0
    extra_runs: int = 0
    doubts: int = 0

    def figures(self) -> dict[str, int]:
        return {
            name: getattr(self, name)
            for name in ("originals", "delivered", "failed", "duplicates", "exports", "runs", "extra_runs", "doubts")
        }


def judge(root: Path, log: Path, put_in: Mapping[str, int], *, finished: bool = True) -> Verdict:
    """`put_in` counts the files that were put in by their SHA-256. `finished`: everything is expected to have ended."""
    verdict = Verdict()
    receipts = list(_receipts(root))
    _nothing_lost(root, put_in, verdict)
    if finished:
        _everything_ended(root, receipts, verdict)
    _delivered_once(root, receipts, log, verdict)
    _not_paid_twice_in_silence(receipts, log, verdict, [] if finished else files_below(root / "work"))
    return verdict


def _receipts(root: Path) -> Iterator[dict[str, Any]]:
    for place in ("done", "failed"):
        for path in files_below(root / place):
            if path.endswith(RECEIPT):
                with open(path, "rb") as file:
                    yield {**json.load(file), "_place": place, "_path": path}


def _nothing_lost(root: Path, put_in: Mapping[str, int], verdict: Verdict) -> None:
    """Promise 1: each original lies byte for byte in exactly one of in/, work/, done/, failed/."""
    found: Counter[str] = Counter()
    for place in ("in", "work", "done", "failed"):
        for path in files_below(root / place):
            if not path.endswith(RECEIPT):
                found[sha256_of(path)] += 1
    verdict.originals = sum(found.values())
    for sha256, count in put_in.items():
        if found[sha256] != count:
            verdict.broken.append(
                f"promise 1: {sha256[:12]} was put in {count} times and lies there {found[sha256]} times"
            )
    for sha256 in found.keys() - put_in.keys():
        verdict.broken.append(f"promise 1: {sha256[:12]} lies there and was never put in: an original was changed")


def _everything_ended(root: Path, receipts: list[dict[str, Any]], verdict: Verdict) -> None:
    """Promise 7: what was put in has ended; no leftovers in work/ or staging."""
    for place in ("in", "work"):
        verdict.broken += [f"promise 7: {path!r} is still in {place}/" for path in files_below(root / place)]
    staging = root / "out" / ".hopperd"
    if staging.is_dir() and any(staging.iterdir()):
        verdict.broken.append(f"promise 2: staging is not empty: {sorted(os.listdir(staging))[:5]}")
    with_receipt = sum(1 for receipt in receipts)
    if with_receipt != verdict.originals:
        verdict.broken.append(f"promise 7: {verdict.originals} originals and {with_receipt} receipts")
    verdict.delivered = sum(1 for receipt in receipts if receipt["outcome"] == "delivered")
    verdict.failed = sum(1 for receipt in receipts if receipt["outcome"] == "failed")
    verdict.duplicates = sum(1 for receipt in receipts if receipt["outcome"] == "duplicate")


def _jobs(receipts: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """One receipt of each job: the members of a group carry the same one."""
    return {receipt["job"]: receipt for receipt in receipts}


def _delivered_once(root: Path, receipts: list[dict[str, Any]], log: Path, verdict: Verdict) -> None:
    """Promise 2: each export whole, exactly once, under a name of its own."""
    served = {line["sha256"] for line in _lines(log) if line["event"] == "download" and line.get("sha256")}
    there = {shown(os.path.relpath(path, os.fsencode(root / "out"))): path for path in files_below(root / "out")}
    verdict.exports = len(there)
    announced: Counter[str] = Counter()
    for receipt in _jobs(receipts).values():
        verdict.broken += _missing_in_silence(receipt)
        if receipt["outcome"] == "delivered" and not receipt["exports"]:
            verdict.broken.append(f"promise 2: {receipt['job']} is delivered and has no export")
        for export in receipt["exports"]:
            announced[export["name"]] += 1
            path = there.get(export["name"])
            if path is None:
                verdict.broken.append(f"promise 2: {export['name']} of {receipt['job']} is not in out/")
            elif sha256_of(path) != export["sha256"]:
                verdict.broken.append(f"promise 2: {export['name']} is not the export of {receipt['job']}")
            elif export["sha256"] not in served:
                verdict.broken.append(f"promise 2: {export['name']} was never served like that")
    verdict.broken += [f"promise 2: two jobs say they delivered {name!r}" for name, n in announced.items() if n > 1]
    verdict.broken += [f"promise 2: {name!r} was delivered and no receipt says so" for name in there.keys() - announced]


def _missing_in_silence(receipt: dict[str, Any]) -> Iterator[str]:
    """Promise 7: of what is delivered, each original has its export, or a note that says why there is none."""
    with_export = {export.get("original") for export in receipt["exports"]}
    for original in receipt["originals"] if receipt["outcome"] == "delivered" else ():
        if original["name"] not in with_export and not original.get("note"):
            yield f"promise 7: {original['name']} of {receipt['job']} has no export, and nothing says so"


def _not_paid_twice_in_silence(
    receipts: list[dict[str, Any]], log: Path, verdict: Verdict, open_: Iterable[bytes]
) -> None:
    """Promise 3: every Run beyond the first belongs to a job whose receipt counts a doubt for it.

    `open_` are originals of jobs that have no receipt yet. Each may have had its one Run: beside a failed job of the
    same bytes, whose Run was another, it is no extra one.
    """
    sha_of_file = {line["file_id"]: line["sha256"] for line in _lines(log) if line["event"] == "upload"}
    runs: Counter[str] = Counter()
    for line in _lines(log):
        if line["event"] == "run" and line.get("billed"):
            verdict.runs += 1
            for sha256 in {sha_of_file[file_id] for file_id in line["file_ids"]}:
                runs[sha256] += 1
    doubts: dict[str, int] = defaultdict(int)
    jobs: Counter[str] = Counter()
    for receipt in _jobs(receipts).values():
        verdict.doubts += receipt["doubts"]
        for original in receipt["originals"]:
            doubts[original["sha256"]] += receipt["doubts"]
            jobs[original["sha256"]] += receipt["outcome"] != "duplicate"
    for path in open_:
        jobs[sha256_of(path)] += 1
    for sha256, count in runs.items():
        extra = count - max(1, jobs[sha256])
        verdict.extra_runs += max(0, extra)
        if extra > doubts[sha256]:
            verdict.broken.append(
                f"promise 3: {sha256[:12]} was paid for {count} times with {doubts[sha256]} doubts on its receipt"
            )


def _lines(log: Path) -> Iterator[dict[str, Any]]:
    with log.open("rb") as file:
        for line in file:
            yield json.loads(line)
