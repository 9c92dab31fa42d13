"""`hopperd demo`: the whole line at work, with no account, no network and no root.

Starts the real sandbox and the real daemon, each as a process of its own, puts invoices in as a person would, and
watches through the control socket until everything has ended.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from hopperd.cli.terminal import age, console, counted, note, plain_table
from hopperd.errors import ConfigurationError, ExitCode, WorkFailed
from hopperd.pipeline.job import Stage, new_job_id
from hopperd.pipeline.naming import numbered, printable, split_path

LOOK_SECONDS: Final = 0.2
START_SECONDS: Final = 30.0
NAMES_TRIED: Final = 1000
ENDED: Final = (Stage.DONE.value, Stage.FAILED.value)


def demo(
    directory: Annotated[
        Path | None, typer.Option("--dir", metavar="DIR", help="The hot folder's root, kept afterwards.")
    ] = None,
    files: Annotated[int | None, typer.Option("--files", metavar="N", min=1, help="Make N invoices.")] = None,
    source: Annotated[
        Path | None, typer.Option("--from", metavar="SRC", help="Use copies of the files in SRC instead.")
    ] = None,
    stay: Annotated[
        bool, typer.Option("--stay", help="Go on watching, so that you can put in files yourself.")
    ] = False,
) -> int:
    """See it work: sample invoices go in, their data comes out. No account, no network, no root."""
    if source is not None and not source.is_dir():
        raise ConfigurationError([f"--from {source} is not a folder; name one that holds invoices"])
    if source is not None and files is not None:
        raise ConfigurationError(["--from and --files exclude each other: take copies of files, or have some made"])
    root = (directory or Path(tempfile.mkdtemp(prefix="hopperd-demo-"))).absolute()
    try:
        return asyncio.run(_Demo(root).show(files, source, stay=stay))
    except OSError as error:
        if error.filename is None:
            raise
        raise ConfigurationError([f"{os.fsdecode(error.filename)}: {error.strerror}; name another folder"]) from None
    except KeyboardInterrupt:
        note("Stopped. Everything lies where it was; run the same command with --dir to go on.")
        return ExitCode.FINE


class _Demo:
    def __init__(self, root: Path) -> None:
        self._root = root
        self._state = root / "state"
        self._config = self._state / "hopperd.toml"
        self._told: dict[str, str] = {}
        self._since = ""

    async def show(self, files: int | None, source: Path | None, *, stay: bool) -> int:
        self._state.mkdir(parents=True, exist_ok=True, mode=0o700)
        note(f"Hot folder: {self._root}/in (exports appear in {self._root}/out)")
        with tempfile.TemporaryDirectory(prefix="put-in-", dir=self._state) as aside:
            # Made while the two processes start.
            making = asyncio.create_task(asyncio.to_thread(_make, files, source, Path(aside)))
            async with self._sandbox() as (address, token), self._daemon(address, token):
                return await self._go_through(Path(aside), await making, stay=stay)

    async def _go_through(self, aside: Path, made: list[Path], *, stay: bool) -> int:
        if not made:
            raise ConfigurationError(["--from names a folder without files; name one that holds invoices"])
        put_in_at = time.time()
        self._since = new_job_id(put_in_at, b"")  # what an earlier demo left in this ledger is not shown
        for path in made:
            _put_in(aside, os.fsencode(path.relative_to(aside)), self._root / "in")
        if stay:
            note(f"The page: {await self._page()}")
        them = "it" if len(made) == 1 else "them"
        note(f"Put {counted(len(made), 'file')} in. Watch {them} go through:")
        jobs = await self._watch(len(made))
        self._table(jobs, time.time() - put_in_at)
        if stay:
            note(f"Still watching: put more files into {self._root}/in. Ctrl-C ends it.")
            self._told = {job["job"]: job["stage"] for job in jobs}
            await self._stay()
        return self._ended(jobs)

    # ------------------------------------------------------------------------------------------------ processes

    @contextlib.asynccontextmanager
    async def _sandbox(self) -> AsyncIterator[tuple[str, str]]:
        """The service's twin on a free loopback port; its address and the token of its one application."""
        token = secrets.token_hex(20)
        with (self._state / "sandbox.log").open("ab") as log:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "hopperd", "sandbox", "--port", "0", "--processing-seconds", "0.3-1.5"),
                *("--application", f"demo:{token}"),
                stdout=subprocess.PIPE,
                stderr=log,
                start_new_session=True,
            )
        async with _ending(process):
            yield await self._address(process), token

    async def _address(self, process: asyncio.subprocess.Process) -> str:
        assert process.stdout is not None  # noqa: S101 (a pipe was asked for)
        try:
            async with asyncio.timeout(START_SECONDS):
                line = (await process.stdout.readline()).decode().strip()
        except TimeoutError:
            line = ""
        address = line.rpartition(" ")[2]
        if not address.startswith("http://"):
            raise WorkFailed(f"the sandbox did not start; its log is {self._state}/sandbox.log")
        return address

    @contextlib.asynccontextmanager
    async def _daemon(self, address: str, token: str) -> AsyncIterator[None]:
        """The real daemon on the demo's own configuration, until the block ends."""
        self._configure(address, token)
        with (self._state / "hopperd.log").open("ab") as log:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "hopperd", "run", "--config", str(self._config)),
                stdout=log,
                stderr=log,
                env=_environment(),
                start_new_session=True,
            )
        async with _ending(process):
            await self._answered(process)
            yield

    def _configure(self, address: str, token: str) -> None:
        token_file = self._state / "token"
        with open(os.open(token_file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            file.write(token)
        self._config.write_text(
            f"""state = {_quoted(self._state)}
[web]
listen = "127.0.0.1:0"

[accounts.demo]
base_url = "{address}"
application_id = "demo"
application_token_file = {_quoted(token_file)}
requests_per_second = 100
uploads_at_once = 8

[[folders]]
name = "demo"
path = {_quoted(self._root)}
account = "demo"
region = "US"
accept = ["pdf", "tiff", "jpeg", "png", "xml"]
quiet_seconds = 0.5
empty_seconds = 2
sweep_seconds = 5
"""
        )

    async def _answered(self, process: asyncio.subprocess.Process) -> None:
        from hopperd.web.control_socket import is_answered

        deadline = time.monotonic() + START_SECONDS
        while not is_answered(self._state):
            if process.returncode is not None or time.monotonic() > deadline:
                raise WorkFailed(f"the daemon did not start; its log is {self._state}/hopperd.log")
            await asyncio.sleep(0.05)

    async def _page(self) -> str:
        """Where the daemon serves its page, once it does."""
        from hopperd.web.listener import ADDRESS_FILE

        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            with contextlib.suppress(FileNotFoundError):
                return (self._state / ADDRESS_FILE).read_text().strip()
            await asyncio.sleep(0.05)
        raise WorkFailed(f"the daemon serves no page; its log is {self._state}/hopperd.log")

    # --------------------------------------------------------------------------------------------- the progress

    @contextlib.asynccontextmanager
    async def _asking(self) -> AsyncIterator[Any]:
        from hopperd.cli.connection import counter
        from hopperd.settings import load

        settings = await asyncio.to_thread(load, self._config, _environment())
        async with counter(settings) as daemon:
            yield daemon

    async def _watch(self, put_in: int) -> list[dict[str, Any]]:
        """Show how far everything is until nothing moves any more; the jobs, oldest first."""
        async with self._asking() as daemon:
            with self._progress(put_in) as show:
                while True:
                    status = await daemon.status()
                    jobs = await _jobs_since(daemon, self._since)
                    show(jobs)
                    if self._is_over(status, jobs, put_in):
                        return sorted(jobs, key=lambda job: str(job["file"]))
                    await asyncio.sleep(LOOK_SECONDS)

    def _is_over(self, status: Mapping[str, Any], jobs: list[dict[str, Any]], put_in: int) -> bool:
        folder = status["folders"][0]
        moving = [job for job in jobs if job["stage"] not in ENDED and "hold" not in job and "verification" not in job]
        seen = sum(job["files"] for job in jobs) + folder.get("left_alone_total", 0)
        return not moving and seen >= put_in and folder.get("waiting_files", 0) == 0

    @contextlib.contextmanager
    def _progress(self, put_in: int) -> Iterator[Any]:
        """A live picture on a terminal; a plain line for each step when piped."""
        if not console().is_terminal:
            yield self._lines
            return
        from rich.live import Live

        with Live(console=console(), refresh_per_second=8, transient=True) as live:
            yield lambda jobs: live.update(_picture(jobs, put_in, console().height))

    def _lines(self, jobs: list[dict[str, Any]], *, ends: bool = False) -> None:
        """A line for each job that has moved; with `ends`, what became of those that have ended."""
        for job in sorted(jobs, key=lambda job: str(job["job"])):
            before = self._told.get(job["job"])
            if before != job["stage"]:
                self._told[job["job"]] = job["stage"]
                became = f"  {_became(job, self._root)[0]}" if ends and job["stage"] in ENDED else ""
                note(f"{age(job['age_seconds']):>6}  {job['stage']:<10}  {job['file']}{became}")
        sys.stdout.flush()

    def _table(self, jobs: list[dict[str, Any]], seconds: float) -> None:
        rows = [[job["file"], f"{_seconds(job):.1f}", *_became(job, self._root)] for job in jobs]
        note("")
        widest = sum(max(len(row[place]) for row in rows) + 2 for place in range(3)) if rows else 0
        if console().is_terminal and widest > console().width:
            for original, took, export in rows:
                note(f"{original}  ({took} s)", f"  {export}")
        else:
            plain_table(["original", "seconds", "export"], rows)
        delivered = sum(1 for job in jobs if job.get("outcome") == "delivered")
        note("")
        duplicates = sum(1 for job in jobs if job.get("outcome") == "duplicate")
        before = f", {duplicates} had been before (duplicates)" if duplicates else ""
        note(f"{delivered} of {len(jobs)} delivered in {seconds:.1f} s{before}.")
        note(f"Exports: {self._root}/out")
        note(f"Originals with receipts: {self._root}/done")
        if any(job["stage"] == Stage.FAILED.value for job in jobs):
            note(f"What failed lies in {self._root}/failed, each beside a receipt that says why.")

    def _ended(self, jobs: list[dict[str, Any]]) -> int:
        fine = all(job["stage"] == Stage.DONE.value for job in jobs)
        return ExitCode.FINE if fine else ExitCode.WORK_FAILED

    async def _stay(self) -> None:
        """Until a signal: tell of what is put in from now on."""
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, stop.set)
        async with self._asking() as daemon:
            while not stop.is_set():
                self._lines(await _jobs_since(daemon, self._since), ends=True)
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(stop.wait(), LOOK_SECONDS)


def _environment() -> dict[str, str]:
    """Ours without what configures a real hopperd: the demo has a configuration of its own."""
    return {name: value for name, value in os.environ.items() if not name.startswith("HOPPERD_")}


def _quoted(path: Path) -> str:
    import json

    return json.dumps(str(path))


def _make(files: int | None, source: Path | None, aside: Path) -> list[Path]:
    """The invoices of this demo, in a folder of their own."""
    from hopperd.invoices.samples import make_samples

    return make_samples(aside, files) if source is None else list(_copied(source, aside))


def _copied(source: Path, aside: Path) -> Iterator[Path]:
    """Copies of the plain files in `source`, subfolders included."""
    for path in sorted(source.rglob("*")):
        if path.is_file() and not path.is_symlink():
            target = aside / path.relative_to(source)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, target)
            yield target


def _put_in(aside: Path, path: bytes, inbox: Path) -> None:
    """Renamed in, as a program with manners does; under a free name, for what waits there already is not ours."""
    from hopperd.folders.places import place
    from hopperd.folders.renaming import rename_new

    folder, plain = split_path(path)
    for name in (plain, *islice(numbered(plain), NAMES_TRIED)):
        with (
            place(os.fsencode(aside), path) as (here, old),
            place(os.fsencode(inbox), folder + name, make=True) as (there, new),
            contextlib.suppress(FileExistsError),
        ):
            rename_new(here, old, there, new)
            return
    raise WorkFailed(f"{printable(path)} and {NAMES_TRIED} names like it are taken in {inbox}; name another --dir")


@contextlib.asynccontextmanager
async def _ending(process: asyncio.subprocess.Process) -> AsyncIterator[None]:
    """Whatever happens in the block, the process has ended after it."""
    try:
        yield
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
            try:
                async with asyncio.timeout(15):
                    await process.wait()
            except TimeoutError:
                process.kill()
                await process.wait()


async def _jobs_since(daemon: Any, since: str) -> list[dict[str, Any]]:
    """The jobs with ids from `since` on, newest first."""
    jobs: list[dict[str, Any]] = []
    before: str | None = None
    while True:
        page = await daemon.jobs({"limit": "1000"} | ({"before": before} if before else {}))
        jobs += [job for job in page["jobs"] if job["job"] >= since]
        before = page["next"]
        if before is None or before < since:
            return jobs


def _seconds(job: Mapping[str, Any]) -> float:
    return float(job["age_seconds"]) - float(job["in_stage_seconds"])


def _became(job: Mapping[str, Any], root: Path) -> list[str]:
    if job.get("exports"):
        return [", ".join(f"{root}/out/{name}" for name in job["exports"])]
    if job.get("failure"):
        return [f"failed, {job['failure']['reason']}: {job['failure']['what']}"]
    if job.get("hold"):
        return [f"held, {job['hold']['reason']}: {job['hold']['what']}"]
    return [str(job.get("outcome") or job.get("waiting") or job["stage"])]


_SHOWN_STAGES: Final = [stage.value for stage in Stage]


def _picture(jobs: list[dict[str, Any]], put_in: int, height: int) -> Any:
    """How many jobs stand where, and the latest of them, no taller than the terminal."""
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, padding=(0, 2), show_header=True, header_style="bold")
    table.add_column("file", overflow="ellipsis", no_wrap=True)
    table.add_column("stage")
    table.add_column("age", justify="right")
    ended = sum(1 for job in jobs if job["stage"] in ENDED)
    moving_first = sorted(jobs, key=lambda job: (job["stage"] in ENDED, -_SHOWN_STAGES.index(job["stage"])))
    for job in moving_first[: max(5, min(20, height - 6))]:
        mark = {"done": "green", "failed": "red"}.get(job["stage"], "cyan")
        table.add_row(printable(job["file"]), Text(job["stage"], style=mark), age(_seconds(job)))
    table.caption = f"{ended} of {put_in} ended"
    return table
