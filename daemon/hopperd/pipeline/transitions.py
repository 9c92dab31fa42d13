"""Where each event may happen, and where it may lead: the only table of it. The docs draw from it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from hopperd.pipeline import events as e
from hopperd.pipeline.events import Event, Step
from hopperd.pipeline.job import OPEN_STAGES, Stage

S = Stage
# Where each event may happen, and where it may lead. The stage diagram in the docs is drawn from this table.
TRANSITIONS: Final[Mapping[tuple[Stage, type], tuple[Stage, ...]]] = {
    (S.CLAIMED, e.TwinEnded): (S.CLAIMED, S.DELIVERED),
    (S.CLAIMED, e.Reclaimed): (S.CLAIMED,),
    (S.CLAIMED, e.Changed): (S.CLAIMED,),
    (S.CLAIMED, e.ChildDied): (S.CLAIMED, S.ABANDONED),
    (S.CLAIMED, e.Uploaded): (S.CLAIMED, S.UPLOADED),
    (S.UPLOADED, e.Changed): (S.CLAIMED,),
    (S.UPLOADED, e.UploadExpired): (S.CLAIMED, S.ABANDONED),
    (S.UPLOADED, e.RunIntended): (S.SUBMITTING,),
    (S.SUBMITTING, e.RunAccepted): (S.SUBMITTED,),
    (S.SUBMITTING, e.RunDeclined): (S.UPLOADED,),
    (S.SUBMITTING, e.RunDoubted): (S.SUBMITTING, S.UPLOADED),
    (S.SUBMITTING, e.UploadExpired): (S.CLAIMED, S.ABANDONED),
    (S.SUBMITTED, e.TaskSeen): (
        S.SUBMITTED,
        S.CAPTURED,
        S.UPLOADED,
        S.SUBMITTING,
        S.DELIVERED,
        S.ABANDONED,
    ),
    (S.SUBMITTED, e.TaskGone): (S.SUBMITTED, S.ABANDONED),
    (S.CAPTURED, e.Fetched): (S.FETCHED,),
    (S.CAPTURED, e.ResultGone): (S.CAPTURED, S.ABANDONED),
    (S.FETCHED, e.ExportNameTaken): (S.FETCHED, S.ABANDONED),
    (S.FETCHED, e.StagingLost): (S.CAPTURED,),
    (S.FETCHED, e.Delivered): (S.DELIVERED, S.ABANDONED),
    (S.DELIVERED, e.FilingNameTaken): (S.DELIVERED,),
    (S.DELIVERED, e.FiledAway): (S.DONE,),
    (S.ABANDONED, e.FilingNameTaken): (S.ABANDONED,),
    (S.ABANDONED, e.FiledAway): (S.FAILED,),
    (S.ABANDONED, e.Retried): (S.CLAIMED,),
    (S.FAILED, e.Retried): (S.CLAIMED,),
    (S.DONE, e.RemoteTidied): (S.DONE,),
    (S.DONE, e.RemoteTidyPostponed): (S.DONE,),
    # It is about the file: nothing of it is tried again.
    **{(stage, e.Refused): (S.ABANDONED,) for stage in (S.CLAIMED, S.UPLOADED, S.SUBMITTING, S.SUBMITTED, S.CAPTURED)},
    # Weather delays, and never fails. Weather of a Run is RunDeclined, so that the stage says what is certain.
    **{(stage, e.Postponed): (stage,) for stage in OPEN_STAGES if stage is not S.SUBMITTING},
    # A person may always hold, release and hurry an open job, and give it up until its results are ours: from then on
    # they may stand in out/ already, and a receipt that says "given up" would be wrong.
    # Not while a Run is being asked for: its answer belongs to the job as it stands, and comes in a moment.
    **{(stage, e.PutOnHold): (stage,) for stage in OPEN_STAGES if stage is not S.SUBMITTING},
    **{
        (stage, e.Released): (S.UPLOADED, S.SUBMITTED) if stage is S.UPLOADED else (stage,)
        for stage in OPEN_STAGES
        if stage is not S.SUBMITTING
    },
    (S.SUBMITTING, e.Released): (S.CLAIMED, S.UPLOADED, S.SUBMITTED),
    **{
        (stage, e.Retried): (S.CLAIMED, S.UPLOADED) if stage is S.SUBMITTING else (stage,)
        for stage in OPEN_STAGES
        if stage is not S.ABANDONED
    },
    **{
        (stage, e.Forgotten): (S.ABANDONED,)
        for stage in OPEN_STAGES
        if stage not in (S.FETCHED, S.DELIVERED, S.ABANDONED)
    },
}
ONCE_ONLY: Final[Mapping[Step, Event]] = {Step.RUN: e.RunIntended()}
"""Steps that cannot be repeated, and the intent that is durable before each is performed."""
