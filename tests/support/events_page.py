"""Makes docs/reference/events.md from the log calls in the source: `python -m tests.support.events_page`.

Names, levels and keys are read from the code. What an event means stands here, and a test demands it for each.
"""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "reference" / "events.md"
SOURCE = ROOT / "daemon" / "hopperd"
# What a logger is called in the source, and the keys that are bound to it.
LOGGERS: dict[str, list[str]] = {"log": [], "_log": ["account"], "bound": ["job", "folder", "stage", "file"]}
LEVELS = {"exception": "error"}

MEANINGS = {
    "abandoned": "A job is given up; its original goes to `failed/`.",
    "account-open": "An account's pause is over.",
    "account-paused": "Nothing is asked of the service for this account until the reason is gone.",
    "budget-unknown": "The ledger's database does not say when this node may send: nothing is sent until it does.",
    "charts-incomplete": "The page's charts begin later than they could: the ledger could not be asked.",
    "claimed": "A file or group is ours, and a job was opened for it.",
    "clock-stepped": "The wall clock jumped; due times were brought back within their longest delay.",
    "configuration": "Something in the configuration should be known, and stops nothing.",
    "control-failed": "A request to the control API met a mistake of ours.",
    "courier-postponed": "Telling somebody outside waits: the ledger could not be asked.",
    "demo-application": "Tasks are made in the demo application: their results are not for real use.",
    "done-cleared": "Originals older than `done_days` were deleted from `done/`.",
    "doubt": "A Run may or may not have been accepted; `on_doubt` decides.",
    "events-off": "The file system gives no events here; the sweep alone finds files.",
    "fleet-unknown": "What the other nodes need of an account could not be heard; it is asked again.",
    "folder": "Something about a folder should be known, and stops nothing.",
    "folder-back": "A folder's trouble is over.",
    "folder-trouble": "A folder cannot be worked in: gone, full, read-only, not to be written, hanging, not ours. "
    "`intake` where nothing new is taken from it meanwhile.",
    "held": "A job is held until a person releases it.",
    "history-purged": "Old history left the ledger.",
    "homeless": "Open jobs stand still: their folder or account is not in the configuration.",
    "hook-given-up": "A web hook was tried for as long as it may be.",
    "hook-not-told": "A web hook did not take a letter; it is tried again.",
    "hook-told": "A web hook took a letter.",
    "inspection-cannot-start": "No process can be started that looks into files: none is sent, and it is tried again.",
    "internal-error": "A mistake of ours; the job is held. Please report it.",
    "job-set-aside": "A mistake of ours over a job that cannot even be held: it rests until the next start. Report it.",
    "leftover": "`work/` holds files of a job that has ended.",
    "left-alone": "A file stays in `in/`, with its reason.",
    "ledger-trouble": "The ledger cannot be written; what happened is kept and written later.",
    "ledger.cannot-write": "The ledger was opened on a disk that is full or read-only.",
    "ledger.close-failed": "The ledger could not be closed in order; the next start checks it.",
    "ledger.job-unreadable": "A job's row cannot be read; the others go on, and `fsck` names it while it is open. "
    "Please report it.",
    "ledger.stage-unknown": "The backlog holds jobs in a stage that this version does not know. Please report it.",
    "ledger.listener-failed": "A mistake of ours in counting, streaming or tracing; jobs go on as if nothing were. "
    "Logged at the first, second, fourth, eighth of such `mistakes`. Please report it.",
    "ledger.made": "A database that held nothing got an empty ledger.",
    "ledger.nobody-waits": "Somebody who had asked the ledger went away before the answer.",
    "ledger.opened": "The ledger is open; `checked`: its pages were looked through first.",
    "ledger.reopened": "After trouble of its disk the ledger is open again.",
    "ledger.rollback-failed": "The ledger's disk answered with an error twice; it is opened anew.",
    "ledger.trouble": "The ledger's disk answered with an error.",
    "letters-not-taken": "A channel takes no letters at the moment; they are kept.",
    "letters-taken-again": "A channel takes letters again.",
    "lookout-postponed": "The look for what is stuck waits: the ledger could not be asked.",
    "node.close-failed": "A session with the ledger's database could not be closed in order.",
    "node.left-unseen": "This node stopped and could not say so: the others wait for its lease.",
    "node.not-seen": "The ledger's database did not see this node; it is tried again. After its lease it does nothing.",
    "node.seen": "The ledger knows this node: anew, or after its lease had been over.",
    "node.silent": "A node had stopped in the midst of a transaction, and everybody waited for what it had locked; its "
    "session was ended. It connects anew when it goes on.",
    "not-repaired": "`fsck --repair` could not heal a finding.",
    "not-traced": "Traces are asked for and the packages for them are not installed.",
    "overview-failed": "What the page shows met a mistake of ours; it is tried again. Please report it.",
    "left-to-others": "Other nodes reach the service and this one does not: its jobs are theirs to go on with.",
    "notices-let-go": "Too many notices wait for their channel; the oldest were let go.",
    "notices-sent": "Notices were sent to their channel.",
    "pauses-postponed": "Pauses set at other nodes are asked for again: the ledger could not be asked.",
    "reload-refused": "The changed configuration has mistakes; the one before stays in force.",
    "reloaded": "The configuration was read again; what needs a restart is listed.",
    "repaired": "`fsck --repair` healed a finding.",
    "request": "One request to the service, its outcome and how long it took.",
    "retention-postponed": "Clearing old days waits: the folder is in trouble, or the clock seems to be wrong.",
    "started": "The daemon works.",
    "stopped": "The daemon has ended in order.",
    "run-answered-late": "The service took a Run whose job another node, or a person, had moved meanwhile: the task is "
    "perhaps paid for and belongs to nobody. Where the job is held as a doubt, name it the task.",
    "stopped-with-runs-in-flight": "Runs had not been answered within `stop_seconds`; they come back as doubts.",
    "stopping": "The daemon was told to stop.",
    "stuck": "A job is in its stage for longer than `stuck_after`.",
    "taken-over": "A job that a dead or stopped node has left behind goes on here.",
    "threads-hang": "At the end, a disk or share still did not answer; what was asked of it is given up.",
    "traces-not-sent": "The collector did not take traces; nothing waits for it.",
    "unknown-status": "The service told a task status that nobody knows; taken as still running.",
    "upkeep-postponed": "Upkeep waits: the ledger could not be asked.",
    "waits-for-person": "A task waits for a person, at the address given.",
    "watch-restarts": "The watch of a folder ended and is begun again; the sweep finds files meanwhile.",
    "web-address-not-to-be-had": "The page's address is taken or refused; tried again.",
    "web-address-not-written": "The file that tells the page's address could not be written.",
    "web-listening": "The page is up at this address.",
}

_INTRODUCTION = """# Events of the log

One line for each fact. The names are stable: filter on `event`. On a terminal lines are for people; otherwise each is
one JSON object with `event`, `level` and `timestamp` beside the keys below, and the journal gets its priority.

What happens to a job is logged under the names of [its history](stages.md#events-of-a-jobs-history), with `job`,
`folder`, `stage` and `file`: at level info where the stage changed or a wait began, else at debug.

This page is generated from the source by `python -m tests.support.events_page`; do not edit it.

| event | level | means | keys |
|---|---|---|---|
"""


def logged() -> dict[str, tuple[set[str], set[str]]]:
    """Every event of the daemon, with its levels and the keys it may have."""
    found: dict[str, tuple[set[str], set[str]]] = defaultdict(lambda: (set(), set()))
    for path in sorted(SOURCE.rglob("*.py")):
        if "sandbox" in path.relative_to(SOURCE).parts:
            continue  # the twin has a log of its own: sandbox.md
        for name, level, keys in _calls(ast.parse(path.read_text(encoding="utf-8"))):
            found[name][0].add(level)
            found[name][1].update(keys)
    return found


def _calls(tree: ast.AST) -> Iterator[tuple[str, str, list[str]]]:
    for call in ast.walk(tree):
        if not (isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute) and call.args):
            continue
        first, by = call.args[0], call.func.value
        logger = by.id if isinstance(by, ast.Name) else by.attr if isinstance(by, ast.Attribute) else ""
        if logger in LOGGERS and isinstance(first, ast.Constant):
            level = LEVELS.get(call.func.attr, call.func.attr)
            yield str(first.value), level, LOGGERS[logger] + [each.arg for each in call.keywords if each.arg]


def page() -> str:
    """The whole page."""
    rows = []
    for name, (levels, keys) in sorted(logged().items()):
        listed = ", ".join(f"`{key}`" for key in sorted(keys)) or "–"
        rows.append(f"| `{name}` | {', '.join(sorted(levels))} | {MEANINGS.get(name, '?')} | {listed} |\n")
    return _INTRODUCTION + "".join(rows)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
