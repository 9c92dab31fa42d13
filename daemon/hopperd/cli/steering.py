"""`hopperd retry`, `hold`, `release`, `forget`, `pause`, `resume`: orders, and what became of each."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import typer

from hopperd.cli.connection import AsJson, ConfigFile, Counter, ask
from hopperd.cli.reading import print_json
from hopperd.cli.terminal import note, typed
from hopperd.errors import ConfigurationError, ExitCode

Jobs = Annotated[
    list[str] | None,
    typer.Argument(metavar="JOB-or-FILE...", help="Job ids, whole file names, task ids or numbers."),
]
Failed = Annotated[bool, typer.Option("--failed", help="Only jobs that failed; without names, all of them.")]


def _in_folder(all_of_them: str) -> Any:
    """An order to many takes those it can do something for."""
    return typer.Option("--folder", help=f"Only jobs of this hot folder; without names, {all_of_them}.")


def retry(
    jobs: Jobs = None,
    config: ConfigFile = None,
    failed: Failed = False,
    folder: Annotated[str | None, _in_folder("all that failed, and all open ones that are not held")] = None,
    as_json: AsJson = False,
) -> int:
    """Try jobs again: at once, or from the start where they had failed (which is paid for again)."""
    return _order("retry", jobs, config, as_json, failed=failed, folder=folder)


def hold(
    jobs: Jobs = None,
    config: ConfigFile = None,
    folder: Annotated[str | None, _in_folder("all open ones")] = None,
    why: Annotated[str, typer.Option(help="The reason, for whoever looks at it later.")] = "",
    as_json: AsJson = False,
) -> int:
    """Keep jobs where they are until they are released."""
    return _order("hold", jobs, config, as_json, folder=folder, why=why)


def release(
    jobs: Jobs = None,
    config: ConfigFile = None,
    folder: Annotated[str | None, _in_folder("all that are held")] = None,
    task: Annotated[
        str | None, typer.Option(help="The task found in the portal: settles the doubt of one job.")
    ] = None,
    as_json: AsJson = False,
) -> int:
    """Let held jobs go on. After a doubt the Run is asked for once more, unless --task names the task there is."""
    if task is not None and len(jobs or ()) != 1:
        raise ConfigurationError(["--task settles the doubt of one job: name that job, and no other"])
    return _order("release", jobs, config, as_json, folder=folder, task=task)


def forget(
    jobs: Jobs = None,
    config: ConfigFile = None,
    failed: Failed = False,
    folder: Annotated[str | None, _in_folder("all open ones")] = None,
    as_json: AsJson = False,
) -> int:
    """Give open jobs up for good (originals go to failed/); let finished ones leave the ledger (originals stay)."""
    return _order("forget", jobs, config, as_json, failed=failed, folder=folder)


def _order(name: str, jobs: list[str] | None, config: Any, as_json: bool, **more: Any) -> int:
    if not jobs and not more.get("failed") and not more.get("folder"):
        others = ", --failed or --folder" if "failed" in more else " or --folder"
        raise ConfigurationError([f"hopperd {name} needs a job id, a file name{others}"])
    words = {key: typed(value) if isinstance(value, str) else value for key, value in more.items()}
    body = {"order": name, "jobs": [typed(job) for job in jobs or ()], **words}
    answer = ask(config, lambda counter: counter.order(body))
    if as_json:
        print_json(answer)
    else:
        for line in answer["did"]:
            note(f"{line['job']}  {line['file']}: {line['what']}")
        for line in answer["refused"]:
            which = f"{line['job']}  {line['file']}" if line["job"] else line["file"]
            note(f"{which}: not done, {line['why']}")
        if not answer["did"] and not answer["refused"]:
            note("No job matches; nothing was done.")
    return ExitCode.WORK_FAILED if answer["refused"] else ExitCode.FINE


Target = Annotated[str, typer.Argument(metavar="NAME", help="The name of an account or a folder.")]
Kind = Annotated[
    str | None, typer.Option("--kind", help='"account" or "folder", where both have that name.', metavar="KIND")
]


def pause(
    name: Target,
    config: ConfigFile = None,
    kind: Kind = None,
    why: Annotated[str, typer.Option(help="The reason, for whoever looks at it later.")] = "",
    as_json: AsJson = False,
) -> None:
    """Pause an account (no request leaves) or a folder (nothing is taken in, its jobs stand still)."""

    async def give(counter: Counter) -> dict[str, Any]:
        return await counter.pause(await _kind(counter, name, kind), name, typed(why))

    answer = ask(config, give)
    if as_json:
        print_json(answer)
    else:
        again = name if kind is None else f"{name} --kind {kind}"
        note(f"The {answer['kind']} {name} is paused; hopperd resume {again} ends that.")


def resume(name: Target, config: ConfigFile = None, kind: Kind = None, as_json: AsJson = False) -> None:
    """Resume an account or a folder."""

    async def give(counter: Counter) -> dict[str, Any]:
        return await counter.resume(await _kind(counter, name, kind), name)

    answer = ask(config, give)
    print_json(answer) if as_json else note(f"The {answer['kind']} {name} goes on.")


async def _kind(counter: Counter, name: str, kind: str | None) -> Literal["account", "folder"]:
    """What the name names. Raises ConfigurationError where it names nothing of that kind, or two things."""
    if kind not in (None, "account", "folder"):
        raise ConfigurationError([f"--kind {kind} is no kind; there are: account, folder"])
    status = await counter.status()
    accounts = [line["account"] for line in status["accounts"]]
    folders = [line["folder"] for line in status["folders"]]
    is_account, is_folder = (kind != "folder" and name in accounts, kind != "account" and name in folders)
    if is_account and is_folder:
        raise ConfigurationError([f"{name} is both an account and a folder; say --kind account or --kind folder"])
    if is_account:
        return "account"
    if is_folder:
        return "folder"
    known = {"account": accounts, "folder": folders}.get(kind or "", [*accounts, *folders])
    raise ConfigurationError([f"there is no {kind or 'account or folder'} {name!r}; there are: {', '.join(known)}"])
