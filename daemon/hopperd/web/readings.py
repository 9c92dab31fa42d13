"""What people ask: status, lists, one job's story, an export. Nothing is changed here.

The same readings serve the control API of a running daemon and a command that opened the ledger itself because no
daemon runs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final

from hopperd import __version__
from hopperd.pipeline.job import OPEN_STAGES, Job, JobId, Stage
from hopperd.pipeline.naming import shown
from hopperd.pipeline.receipt import iso
from hopperd.ports import BacklogCell, Clock, Doubts, FolderTrouble, JobQuery, Ledger
from hopperd.settings import Folder, Settings
from hopperd.web.exported import handed_out
from hopperd.web.failures import newest_failed
from hopperd.web.finding import find
from hopperd.web.homeless import homeless
from hopperd.web.live import Live
from hopperd.web.refusal import Refusal
from hopperd.web.shapes import AGE_EDGES, AGE_NAMES, backlog_table, job_line, job_story, node_line, pause_line

NEEDS_PERSON_SHOWN: Final = 50
DOUBTS_SHOWN_SECONDS: Final = 7 * 86400.0
FAILED_SHOWN_SECONDS: Final = 86400.0


class Readings:
    """`live` is the running daemon, None where none runs; `configured` tells the settings as they are by now."""

    def __init__(self, ledger: Ledger, configured: Callable[[], Settings], clock: Clock, live: Live | None) -> None:
        self._ledger = ledger
        self._configured = configured
        self._clock = clock
        self._live = live

    @property
    def _folders(self) -> dict[str, Folder]:
        return {folder.name: folder for folder in self._configured().folders}

    async def status(self) -> dict[str, Any]:
        now = self._clock.now()
        cells = await self._ledger.backlog(now, AGE_EDGES)
        open_cells = [cell for cell in cells if cell.stage in OPEN_STAGES]
        doubts = await self._ledger.doubts()
        held = await self._ledger.page(JobQuery(held=True, stages=OPEN_STAGES, limit=NEEDS_PERSON_SHOWN))
        waiting = await self._ledger.page(
            JobQuery(waiting_for_person=True, stages=OPEN_STAGES, limit=NEEDS_PERSON_SHOWN)
        )
        failed, _ = await newest_failed(self.jobs, now - FAILED_SHOWN_SECONDS)
        return {
            "version": __version__,
            "running": self._live is not None,
            "at": iso(now),
            "ledger": self._ledger.ledger_id,
            "nodes": [node_line(node) for node in await self._ledger.nodes()],
            "backlog": backlog_table(open_cells, now),
            "age_buckets": list(AGE_NAMES),
            "open": sum(cell.jobs for cell in open_cells),
            "doubtful": doubts.open,
            "doubts": await self._doubts(doubts, now),
            "letters": await self._letters(now),
            "history": await self._history(now),
            "folders": await self._folder_lines(open_cells),
            "accounts": await self._account_lines(),
            "held": [job_line(job, now) for job in held],
            "waiting_for_person": [job_line(job, now) for job in waiting],
            "stuck": await self._stuck(now, open_cells),
            "homeless": homeless(open_cells, self._folders, self._configured().accounts),
            "failed": failed,
        }

    async def _doubts(self, doubts: Doubts, now: float) -> dict[str, Any]:
        """How many may have been paid for or delivered twice, and the newest of them: open, or finished lately."""
        counted = {
            "open": doubts.open,
            "finished": doubts.finished,
            "perhaps_delivered_twice": doubts.perhaps_delivered_twice,
        }
        found: list[Job] = []
        if any(counted.values()):
            found = await self._ledger.page(JobQuery(perhaps_twice=True, limit=NEEDS_PERSON_SHOWN))
        lately = [job for job in found if job.is_open or now - job.entered_at < DOUBTS_SHOWN_SECONDS]
        return counted | {"jobs": [job_line(job, now) for job in lately]}

    async def _letters(self, now: float) -> list[dict[str, Any]]:
        """Every channel on which deliveries or notices go out, and what waits on it."""
        waiting = await self._ledger.letters_waiting()
        troubles = self._live.letter_troubles() if self._live is not None else {}
        return [
            {
                "channel": channel,
                "waiting": waiting[channel].letters if channel in waiting else 0,
                "oldest_seconds": round(max(0.0, now - waiting[channel].oldest_at), 3) if channel in waiting else 0.0,
                "trouble": troubles.get(channel),
            }
            for channel in sorted({*waiting, *troubles})
        ]

    async def _history(self, now: float) -> dict[str, Any]:
        oldest = await self._ledger.oldest_finished()
        limits = self._configured().history
        age = round(max(0.0, now - oldest), 3) if oldest is not None else None
        return {"days": limits.days, "rows": limits.rows, "oldest_seconds": age}

    async def cells(self) -> list[BacklogCell]:
        """Open jobs by folder, stage and age."""
        return [cell for cell in await self._ledger.backlog(self._clock.now(), AGE_EDGES) if cell.stage in OPEN_STAGES]

    async def _stuck(self, now: float, cells: Sequence[BacklogCell]) -> list[dict[str, Any]]:
        stuck: list[dict[str, Any]] = []
        oldest: dict[tuple[str, Stage], float] = {}
        for cell in cells:
            place = (cell.folder, cell.stage)
            oldest[place] = min(cell.oldest_opened_at, oldest.get(place, cell.oldest_opened_at))
        for name, folder in self._folders.items():
            for stage in OPEN_STAGES:
                limit = folder.stuck_after.of(stage.value)
                if limit is None or now - oldest.get((name, stage), now) <= limit:
                    continue  # nothing there is even as old
                query = JobQuery(folder=name, stages=(stage,), held=False, in_stage_since=now - limit, limit=20)
                stuck += [
                    job_line(job, now, limit) for job in await self._ledger.page(query) if job.verification_url is None
                ]
        return stuck[:NEEDS_PERSON_SHOWN]

    async def _folder_lines(self, cells: Sequence[Any]) -> list[dict[str, Any]]:
        pauses = await self._ledger.folder_pauses()
        lines = []
        for name, folder in self._folders.items():
            line: dict[str, Any] = {
                "folder": name,
                "account": folder.account,
                "in": str(folder.inbox),
                "open": sum(cell.jobs for cell in cells if cell.folder == name),
                "paused": pause_line(pauses.get(name)),
                "originals": {"after": folder.after, "done_days": folder.done_days},
            }
            if self._live is not None:
                state = self._live.folder_state(name)
                line |= {
                    "waiting_files": state.waiting_files,
                    "trouble": state.trouble,
                    "swept": iso(state.swept_at) if state.swept_at is not None else None,
                    "left_alone": [
                        {"file": shown(left.name), "reason": left.reason, "what": left.what}
                        for left in state.left_alone[:NEEDS_PERSON_SHOWN]
                    ],
                    "left_alone_total": state.left_alone_total,
                }
            lines.append(line)
        return lines

    async def _account_lines(self) -> list[dict[str, Any]]:
        recorded = await self._ledger.account_pauses()
        lines = []
        for name in self._configured().accounts:
            pause = recorded.get(name)
            line: dict[str, Any] = {"account": name}
            if self._live is not None:
                pause = self._live.account_pause(name) or pause
                line |= {**self._live.account_figures(name), "trouble": self._live.account_trouble(name)}
            lines.append(line | {"paused": pause_line(pause)})
        return lines

    async def jobs(self, query: JobQuery) -> dict[str, Any]:
        """A page of jobs, newest first, and the cursor of the next page where there is one."""
        now = self._clock.now()
        found = await self._ledger.page(query)
        more = found[-1].id if len(found) == query.limit else None
        folders = self._folders
        return {"jobs": [job_line(job, now, _stuck_after(folders.get(job.folder), job)) for job in found], "next": more}

    async def story(self, text: str) -> dict[str, Any]:
        """One job by its id, its file's name, or the number or id of its task; all that match, if there are several."""
        found = await find(self._ledger, text)
        matches = found.named or found.alike
        if not matches:
            raise Refusal(f"No job is known by {text!r}: `hopperd list` shows what there is.")
        now = self._clock.now()
        if len(matches) > 1:
            return {"matches": [job_line(job, now) for job in matches]}
        job = matches[0]
        node = await self._ledger.carrier(job.id) if job.is_open else None
        return job_story(job, await self._ledger.history(job.id), now, self._folders.get(job.folder), node)

    async def exported(self, job_id: JobId, number: int) -> bytes:
        """One export of a job, counted from 0, as it was delivered. For a running daemon."""
        job = await self._ledger.get(job_id)
        folder = self._folders.get(job.folder) if job is not None else None
        if job is None or folder is None or not 0 <= number < len(job.delivered_exports):
            raise Refusal("There is no such export.")
        if self._live is None:
            raise Refusal("No daemon runs; take it from out/.")
        try:
            return await handed_out(job.delivered_exports[number], partial(self._live.read_export, job.folder))
        except FolderTrouble as trouble:
            raise Refusal(f"It cannot be read now: {trouble.what}.") from None


def _stuck_after(folder: Folder | None, job: Job) -> float | None:
    return folder.stuck_after.of(job.stage.value) if folder is not None else None
