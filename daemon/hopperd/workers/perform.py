"""One short function per Step: the only I/O of a job. Operating errors come back as events, never as exceptions.

Each does what the ledger already calls for, and may be done again after a crash; the one exception, Run, is announced
in the ledger before it is performed (transitions.ONCE_ONLY).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Final

import structlog

from hopperd.pipeline import events as e
from hopperd.pipeline.events import Event, Step, Weather
from hopperd.pipeline.job import Job
from hopperd.pipeline.naming import printable
from hopperd.pipeline.transitions import ONCE_ONLY
from hopperd.ports import ChangedUnderUs, FolderTrouble, LedgerTrouble
from hopperd.workers import delivering, following, sending
from hopperd.workers.parts import Parts
from hopperd.workers.stepping import folder_of, folder_weather

log = structlog.get_logger("hopperd.perform")


async def perform(step: Step, job: Job, parts: Parts) -> Event:
    """Do the step; say what happened."""
    try:
        event = await _STEPS[step](job, parts)
    except FolderTrouble as trouble:
        return e.Postponed(weather=folder_weather(trouble, step, job, parts))
    except LedgerTrouble as trouble:
        if step in ONCE_ONLY:
            raise
        return e.Postponed(weather=Weather(kind="disk", what=trouble.what, jitter=parts.random.random()))
    except (ChangedUnderUs, FileNotFoundError) as error:
        if step is not Step.UPLOAD:  # nothing else reads the original
            raise
        return await sending.changed(job, parts, why=printable(str(error)))
    if folder_of(job, parts).has_passed(step):
        log.info("folder-back", folder=job.folder)
    return event


_STEPS: Final[Mapping[Step, Callable[[Job, Parts], Awaitable[Event]]]] = {
    Step.RECLAIM: sending.reclaim,
    Step.SETTLE_TWIN: sending.settle_twin,
    Step.UPLOAD: sending.upload,
    Step.RENEW_UPLOAD: sending.renew_upload,
    Step.RUN: sending.run,
    Step.SETTLE_DOUBT: sending.settle_doubt,
    Step.LOOK: following.look,
    Step.FETCH: delivering.fetch,
    Step.DELIVER: delivering.deliver,
    Step.FILE_AWAY: delivering.file_away,
}
