"""[notices] and [history]: what people are told without asking, and how long finished jobs are remembered."""

import re
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, Strict

from hopperd.settings.table import RESTART, Table
from hopperd.settings.values import DAY, Address, LongSeconds, SettingsPath

NoticeKind = Literal["failed", "held", "verification", "account", "folder", "backlog", "hook", "digest"]
_TIME_OF_DAY = re.compile(r"([01]\d|2[0-3]):([0-5]\d)")


def _time_of_day(value: object) -> object:
    if isinstance(value, str) and value and not _TIME_OF_DAY.fullmatch(value):
        raise ValueError('must be a time of day like "07:00", or "" for none')
    return value


class NoticesSettings(Table):
    """What people are told without asking: by webhook, or by e-mail and chat through Apprise (an extra)."""

    webhook: Address | None = Field(
        default=None,
        description="Where notices are sent by POST, as JSON with subject, text and the notices.",
        json_schema_extra=RESTART,
    )
    webhook_secret_file: SettingsPath | None = Field(
        default=None,
        description="A file with the secret that signs what goes to webhook; unsigned without it.",
        json_schema_extra=RESTART,
    )
    addresses_file: SettingsPath | None = Field(
        default=None,
        description="A file with addresses of e-mail and chat as Apprise writes them, one in a line. They hold "
        "passwords, so they never stand in this file. Needs hopperd[notices].",
        json_schema_extra=RESTART,
    )
    kinds: Annotated[tuple[NoticeKind, ...], Strict(False)] = Field(
        default=("failed", "held", "verification", "account", "folder", "backlog", "hook", "digest"),
        description="What is told: invoices failed, held, or waiting for verification; accounts paused and resumed, "
        "folders gone and back, an old backlog, hooks in trouble, daily figures.",
        json_schema_extra=RESTART,
    )
    gather_seconds: float = Field(
        default=60.0,
        ge=0,
        le=DAY,
        description="Time after the first notice in which others join its message.",
        json_schema_extra=RESTART,
    )
    at_most_every_seconds: float = Field(
        default=600.0,
        ge=0,
        le=DAY,
        description="Two messages are at least so far apart; what happens meanwhile is in the second.",
        json_schema_extra=RESTART,
    )
    verification_hours: float = Field(
        default=24.0,
        gt=0,
        le=8_760,
        description="An invoice that waits for verification is told at once, and all that still wait each so many "
        "hours.",
        json_schema_extra=RESTART,
    )
    backlog_seconds: LongSeconds = Field(
        default=14_400.0,
        description="The backlog is told when an invoice that nobody holds is on its way for longer.",
        json_schema_extra=RESTART,
    )
    digest_at: Annotated[str, BeforeValidator(_time_of_day)] = Field(
        default="07:00",
        description='When the figures of the last 24 hours are told, in the machine\'s own time; "" for never.',
        json_schema_extra=RESTART,
    )


class HistoryLimits(Table):
    """How long finished jobs stay in the ledger. Receipts and the digests that tell duplicates stay longer."""

    days: int = Field(
        default=1_095, ge=0, le=36_500, description="A job that finished longer ago leaves the ledger; 0 for never."
    )
    rows: int = Field(
        default=5_000_000,
        ge=0,
        le=1_000_000_000,
        description="Of more jobs than this the ones that finished first leave the ledger; 0 for no limit.",
    )
