"""`hopperd status`, `list` and `show`: where everything is, and why."""

from __future__ import annotations

import contextlib
import json
import sys
import time
from typing import Annotated, Any

import typer

from hopperd.cli.connection import AsJson, ConfigFile, Counter, ask, check_folder
from hopperd.cli.terminal import Screen, age, console, counted, note, plain_table, short, typed
from hopperd.errors import ConfigurationError
from hopperd.pipeline.job import Stage

LETTERS_WAIT_SECONDS = 900.0
LISTED = 10  # of each kind, so that the table above stays in sight


def print_json(document: object) -> None:
    print(json.dumps(document, indent=2, ensure_ascii=True))


def status(
    config: ConfigFile = None,
    as_json: AsJson = False,
    watch: Annotated[bool, typer.Option("--watch", help="Go on showing it, every two seconds.")] = False,
) -> None:
    """Backlog by stage and by age, oldest first; paused accounts; held jobs."""
    if not watch:
        _show_status(ask(config, lambda counter: counter.status()), as_json)
        return
    try:
        while True:
            document = ask(config, lambda counter: counter.status())
            if console().is_terminal and not as_json:
                with contextlib.redirect_stdout(Screen()) as screen:
                    _show_status(document, as_json)
                screen.show()
            else:
                _show_status(document, as_json)
                sys.stdout.flush()
            time.sleep(2)
    except KeyboardInterrupt:
        return


def _show_status(document: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print_json(document)
        return
    running = "running" if document["running"] else "not running"
    note(f"hopperd {document['version']} is {running}; {counted(document['open'], 'open job')}.")
    backlog = document["backlog"]
    if backlog:
        rows = [
            [row["stage"], str(row["jobs"]), age(row["oldest_seconds"]), *(str(n or "·") for n in row["by_age"])]
            for row in backlog
        ]
        plain_table(["stage", "jobs", "oldest", *document["age_buckets"]], rows, numbers_from=1)
    _show_nodes(document["nodes"])
    for line in document["accounts"]:
        if line["paused"]:
            note(f"Account {line['account']} is paused: {_sentences(line['paused'])}")
        elif line.get("trouble"):
            note(f"Account {line['account']}: {line['trouble']}.")
    for line in document["folders"]:
        waiting = line.get("waiting_files", 0)
        if waiting:
            wait = "waits" if waiting == 1 else "wait"
            note(f"Folder {line['folder']}: {counted(waiting, 'file')} {wait} in {line['in']}.")
        if line["paused"]:
            note(f"Folder {line['folder']} is paused: {_sentences(line['paused'])}")
        if line.get("trouble"):
            note(f"Folder {line['folder']}: {line['trouble']}")
        for left in line.get("left_alone", ()):
            note(f"Folder {line['folder']}: {left['file']} stays in in/: {left['what']}")
    for line in document["homeless"]:
        note(_sentences(line))
    held, waiting = (sum(row[name] for row in backlog) for name in ("held", "waiting_for_person"))
    _show_jobs("Held (hopperd release JOB):", document["held"], held, "hopperd list --held")
    _show_jobs("Waiting for a person:", document["waiting_for_person"], waiting, "the page shows them")
    _show_jobs("Stuck:", document["stuck"], len(document["stuck"]), "the page shows them")
    failed = document["failed"]
    title = "Failed within a day (hopperd retry JOB once the cause is gone; hopperd forget JOB once it needs nobody):"
    _show_jobs(title, failed, len(failed), "hopperd list --failed")
    _show_doubts(document["doubts"])
    _show_letters(document["letters"])
    _show_retention(document["folders"])


def _show_jobs(title: str, jobs: list[dict[str, Any]], count: int, more: str) -> None:
    if jobs:
        note(title)
    for job in jobs[:LISTED]:
        since = job["age_seconds"] if job.get("hold") or job.get("verification") else job["in_stage_seconds"]
        note(f"  {job['job']}  {age(since)}  {job['folder']}/{short(job['file'])}: {_what_keeps(job)}")
    left = max(count, len(jobs)) - LISTED
    if left > 0:
        note(f"  ... and {left} more: {more}")


def _what_keeps(job: dict[str, Any]) -> str:
    """The hold or the failure and what to do, the address of the verification, or the stage it is stuck in."""
    if trouble := job.get("hold") or job.get("failure"):
        return _sentences(trouble)
    if job.get("verification"):
        return str(job["verification"])
    return _sentences({"what": f"still {job['stage']}", "do": job.get("waiting") or ""})


def _show_nodes(nodes: list[dict[str, Any]]) -> None:
    for line in nodes:
        what = f"Node {line['node']} (hopperd {line['version']}): "
        match line["state"]:
            case "working":
                note(f"{what}carries {counted(line['carries'], 'job')}, seen {age(line['seen_seconds'])} ago.")
            case "gone":
                note(f"{what}gone, last seen {age(line['seen_seconds'])} ago; the others go on with its jobs.")


def _sentences(trouble: dict[str, Any]) -> str:
    parts = [trouble["what"].strip(), trouble["do"].strip()]
    return " ".join(part if part.endswith((".", "!", "?")) else f"{part}." for part in parts if part)


def _show_doubts(doubts: dict[str, Any]) -> None:
    paid, delivered = doubts["open"] + doubts["finished"], doubts["perhaps_delivered_twice"]
    if paid:
        jobs = counted(paid, "job")
        note(f"{jobs} may have been paid for twice, {doubts['open']} of them open (hopperd list --doubts).")
    if delivered:
        note(f"{counted(delivered, 'job')} may have been delivered twice (hopperd list --doubts).")


def _show_letters(letters: list[dict[str, Any]]) -> None:
    """Only what does not get through, or waits for longer than a batch does."""
    for line in letters:
        kind, _, which = line["channel"].partition("/")
        about = f"Deliveries of folder {which}" if kind == "hook" else f"Notices by {which}"
        if line["trouble"]:
            note(f"{about} do not get through; {line['waiting']} wait: {line['trouble']}")
        elif line["waiting"] and line["oldest_seconds"] > LETTERS_WAIT_SECONDS:
            note(f"{about}: {line['waiting']} wait, the oldest for {age(line['oldest_seconds'])}.")


def _show_retention(folders: list[dict[str, Any]]) -> None:
    for line in folders:
        originals = line["originals"]
        if originals["after"] == "delete":
            note(f"Folder {line['folder']}: originals are deleted once delivered; their receipts stay.")
        elif originals["done_days"]:
            note(f"Folder {line['folder']}: originals stay in done/ for {originals['done_days']} days.")


_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def _since(text: str) -> float:
    number, unit = text[:-1], text[-1:].lower()
    if unit not in _SECONDS:
        number, unit = text, "s"
    try:
        return time.time() - float(number) * _SECONDS[unit]
    except ValueError:
        raise ConfigurationError([f"--age {text} is not an age; write it like 90s, 15m, 4h or 2d"]) from None


def list_(
    config: ConfigFile = None,
    as_json: AsJson = False,
    stage: Annotated[list[str] | None, typer.Option(help="Only jobs in this stage; several times for several.")] = None,
    folder: Annotated[str | None, typer.Option(help="Only jobs of this hot folder.")] = None,
    age_: Annotated[str | None, typer.Option("--age", help="Only jobs older than this, like 15m, 4h or 2d.")] = None,
    failed: Annotated[bool, typer.Option("--failed", help="Only jobs that failed.")] = False,
    held: Annotated[bool, typer.Option("--held", help="Only jobs on hold.")] = False,
    doubts: Annotated[bool, typer.Option("--doubts", help="Only jobs perhaps paid for or delivered twice.")] = False,
    text: Annotated[str | None, typer.Argument(help="Part of a file's name, or the number of a task.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="At the most so many.")] = 100,
) -> None:
    """Jobs, newest first."""
    for name in stage or ():
        if name not in [stage.value for stage in Stage]:
            raise ConfigurationError([f"--stage {name} is no stage; there are: {', '.join(Stage)}"])
    wanted = {
        "stage": ",".join(stage or ()),
        "folder": typed(folder or ""),
        "opened_before": str(_since(age_)) if age_ else "",
        "failed": "1" if failed else "",
        "held": "1" if held else "",
        "doubts": "1" if doubts else "",
        "text": typed(text or ""),
    }
    query = {name: value for name, value in wanted.items() if value}

    async def all_pages(counter: Counter) -> dict[str, Any]:
        jobs: list[dict[str, Any]] = []
        before: str | None = None
        while len(jobs) < limit:
            page = {**query, "limit": str(min(500, limit - len(jobs)))} | ({"before": before} if before else {})
            answer = await counter.jobs(page)
            jobs += answer["jobs"]
            before = answer["next"]
            if before is None:
                break
        if folder and not jobs:
            await check_folder(counter, folder)
        return {"jobs": jobs, "next": before}

    found = ask(config, all_pages)
    if as_json:
        print_json(found)
        return
    jobs = found["jobs"]
    if not jobs:
        note("No such jobs.")
        return
    plain_table(
        ["job", "age", "stage", "folder", "file", "why"],
        [
            [
                job["job"],
                age(job["age_seconds"]),
                job["stage"] + (" held" if job.get("hold") else "") + (" stuck" if job.get("stuck") else ""),
                job["folder"],
                job["file"],
                _why(job),
            ]
            for job in jobs
        ],
    )
    if found["next"] is not None:
        note(f"There are more; --limit {limit * 10} shows them.")


def _why(job: dict[str, Any]) -> str:
    if job.get("hold"):
        return str(job["hold"]["what"])
    if job.get("failure"):
        return f"{job['failure']['reason']}: {job['failure']['what']}"
    return str(job.get("waiting") or job.get("outcome") or "")


def show(
    name: Annotated[str, typer.Argument(metavar="JOB-or-FILE", help="A job id, a file name, or a task number.")],
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """One job's whole history."""
    story = ask(config, lambda counter: counter.story(typed(name)))
    if as_json:
        print_json(story)
        return
    if "matches" in story:
        note(f"{len(story['matches'])} jobs match; name one by its id:")
        plain_table(
            ["job", "age", "stage", "folder", "file"],
            [[j["job"], age(j["age_seconds"]), j["stage"], j["folder"], j["file"]] for j in story["matches"]],
        )
        return
    _show_story(story)


def _show_story(story: dict[str, Any]) -> None:
    stage = story["stage"] + (", held" if story.get("hold") else "")
    note(f"Job {story['job']}: {story['folder']}/{story['file']}, {stage}, {age(story['age_seconds'])} old.")
    for trouble in ("hold", "failure"):
        if story.get(trouble):
            note(f"{story[trouble]['reason']}: {story[trouble]['what']}", f"  {story[trouble]['do']}")
    if story.get("node"):
        note(f"Node {story['node']} carries it.")
    if story.get("waiting"):
        note(f"Waits: {story['waiting'].removeprefix('waits ')}")
    if story.get("task"):
        note(f"Task {story['task']['number'] or story['task']['id']} at the service.")
    if story.get("duplicate_of"):
        note(f"Duplicate of job {story['duplicate_of']['job']}, which has delivered the same bytes.")
    _show_remarks(story)
    for kind, name in _PATHS.items():
        for path in story.get("paths", {}).get(kind, ()):
            note(f"{name}: {path}")
    plain_table(
        ["at", "event", "stage", "detail"],
        [[row["at"], row["event"], row["stage"], _detail(row["detail"])] for row in story["history"]],
    )


_PATHS = {"originals": "Original", "exports": "Export", "delivered_before": "Export of that job"}


def _show_remarks(story: dict[str, Any]) -> None:
    """What was noticed of the job, and of its originals."""
    for remark in story.get("notes", ()):
        note(f"Note: {remark}.")
    noticed = [original for original in story["originals"] if original.get("note")]
    for original in noticed[:LISTED]:
        note(f"Note on {original['name']}: {original['note']}.")
    if len(noticed) > LISTED:
        note(f"  ... and {len(noticed) - LISTED} more: hopperd show {story['job']} --json")


_FOR_PROGRAMS = {"typical_seconds", "spread", "jitter", "remote"}  # how the next look was planned, and ids


def _detail(detail: dict[str, Any]) -> str:
    """For a person; --json tells all of it."""
    return " ".join(part for name, value in detail.items() if (part := _part(name, value)))


def _part(name: str, value: Any) -> str:
    if name in _FOR_PROGRAMS or value in (None, False, "", [], {}):
        return ""
    if value is True:
        return name
    if isinstance(value, dict) and value.keys() >= {"reason", "what"}:
        return f"{value['reason']}: {value['what']}"
    if isinstance(value, dict) and value.keys() >= {"number", "status_text"}:
        return f"task {value['number'] or value['id']}: {value['status_text'] or value['status']}"
    if isinstance(value, dict) and value.keys() >= {"job", "delivered"}:
        return f"duplicate of {value['job']}" if value["delivered"] else f"same bytes as {value['job']}, still open"
    if name == "notes":  # by the position of the original
        return "; ".join(dict.fromkeys(remark for _, remark in value))
    if name == "staged":
        return f"{len(value)} exports" if len(value) > 1 else "one export"
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return f"{name}={text if len(text) <= 120 else text[:117] + '...'}"
