"""`hopperd fsck`: what of ledger and disk does not agree; what of it was mended; or a new ledger."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from hopperd.cli.connection import AsJson, ConfigFile, ask, speak_of_trouble_only
from hopperd.cli.owner import given_to_owner
from hopperd.cli.reading import print_json
from hopperd.cli.terminal import counted, note
from hopperd.errors import ConfigurationError, ExitCode, LedgerError, LedgerInUse
from hopperd.settings import load

if TYPE_CHECKING:
    from hopperd.mending import Rebuilt


def fsck(
    config: ConfigFile = None,
    repair: Annotated[bool, typer.Option("--repair", help="Heal what is safe to heal; says what it did.")] = False,
    rebuild: Annotated[
        bool,
        typer.Option("--rebuild", help="Make a ledger anew from folders and receipts; the old one is moved aside."),
    ] = False,
    as_json: AsJson = False,
) -> int:
    """Compare ledger and disk, and say what does not agree: 0 if everything does, 1 if not. Also while hopperd runs."""
    if rebuild and repair:
        raise ConfigurationError(["--repair heals the ledger that is there, --rebuild makes a new one: say one"])
    if rebuild:
        return _rebuild(config, as_json)
    report = ask(config, lambda counter: counter.fsck(repair=repair))
    print_json(report) if as_json else _tell(report, repair)
    return ExitCode.FINE if report["agrees"] else ExitCode.WORK_FAILED


def _tell(report: dict[str, Any], repair: bool) -> None:
    for done in report["did"]:
        note(f"repaired: {done['folder']} {done['job']} {done['file'] or ''}: {done['what']}")
    for finding in report["findings"]:
        note(f"{finding['kind']}: {_whose(finding)}{finding['what']}.", f"  {finding['do']}")
    for remark in report["remarks"]:
        note(f"note: {_whose(remark)}{remark['what']}. {remark['do']}")
    left = report["disagreements"] - len(report["findings"])
    if left > 0:
        note(f"... and {left} more.")
    looked = report["looked_at"]
    places = counted(looked["folders"], "folder")
    seen = f"{counted(looked['jobs'], 'job')}, {counted(looked['files'], 'file')} in {places}"
    if report["agrees"]:
        note(f"Ledger and disk agree ({seen}).")
        return
    mendable = sum(finding["repairable"] for finding in report["findings"])
    count = report["disagreements"]
    note(f"{counted(count, 'disagreement')} ({seen}).")
    if mendable and not repair:
        note(f"`hopperd fsck --repair` heals {mendable} of them.")


def _whose(finding: dict[str, Any]) -> str:
    whose = " ".join(part for part in (finding["folder"], finding["job"]) if part)
    return f"{whose}: " if whose else ""


def _rebuild(config: Any, as_json: bool) -> int:
    import asyncio

    from hopperd.clock import WallClock
    from hopperd.mending import rebuild
    from hopperd.policies import policies_of
    from hopperd.ports import FolderTrouble, LedgerTrouble

    speak_of_trouble_only()
    settings = load(config, need_tokens=False)
    try:
        with given_to_owner(settings):
            made = asyncio.run(rebuild(settings, WallClock(), policies_of(settings)))
    except LedgerInUse as error:
        raise LedgerInUse(f"{error} A ledger is made anew only while no hopperd runs.") from None
    except (FolderTrouble, LedgerTrouble) as trouble:
        raise LedgerError(f"Nothing was put in place: {trouble}. Mend that, then do it again.") from None
    print_json(_document(made)) if as_json else _tell_rebuilt(made)
    return ExitCode.FINE


def _document(made: Rebuilt) -> dict[str, Any]:
    return {
        "ledger": made.ledger_id,
        "moved_aside": made.moved_aside,
        "folders": [
            {
                "folder": name,
                "finished": filled.finished,
                "held": filled.held,
                "from_staging": filled.from_staging,
                "remarks": filled.remarks,
            }
            for name, filled in made.folders.items()
        ],
        "warnings": made.warnings,
    }


def _tell_rebuilt(made: Rebuilt) -> None:
    note(f"Ledger {made.ledger_id} was made from folders and receipts.")
    for path in made.moved_aside:
        note(f"The old one lies in {path}.")
    for name, filled in made.folders.items():
        staged = f", {filled.from_staging} of them with their exports in staging" if filled.from_staging else ""
        finished = counted(filled.finished, "finished job")
        note(f"{name}: {finished} from their receipts, {filled.held} held from work/{staged}.")
        for remark in filled.remarks[:100]:
            note(f"  {remark}")
        if len(filled.remarks) > 100:
            note(f"  ... and {len(filled.remarks) - 100} more; --json tells all.")
    for warning in made.warnings:
        note(warning)
    if any(filled.held for filled in made.folders.values()):
        note(
            "Nobody knows whether the held jobs were sent, paid for or delivered: look for them in the service's "
            "portal, then `hopperd release JOB --task ID`, `hopperd release JOB` (asks for a Run) or "
            "`hopperd forget JOB`. `hopperd list --held` lists them."
        )
    note("Pauses that persons had set are forgotten. `hopperd run` starts with the new ledger.")
