"""The settings of one hot folder."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, Strict

from hopperd.settings.table import RESTART, Table
from hopperd.settings.values import (
    DAY,
    NOT_SAID,
    Address,
    ExportName,
    LongSeconds,
    Name,
    Pattern,
    RootPath,
    Seconds,
    SettingsPath,
    Text,
)

KNOWN_EXPORT_FORMATS = ("Xls", "Xml", "Csv", "Json")


def _stages(value: object) -> object:
    """One number stands for every stage."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return dict.fromkeys(StuckAfter.model_fields, value)
    if isinstance(value, dict | StuckAfter):
        return value
    raise ValueError("must be a number of seconds, or a table of them by stage, like { submitted = 14400 }")


class StuckAfter(Table):
    """After how many seconds without progress a job is shown as stuck, by stage. A notice, never a failure."""

    claimed: LongSeconds = Field(default=3600.0, description="Claimed, and not uploaded.")
    uploaded: LongSeconds = Field(default=3600.0, description="Uploaded, and no Run asked for.")
    submitting: LongSeconds = Field(default=900.0, description="A Run asked for, and nothing certain heard.")
    submitted: LongSeconds = Field(
        default=14_400.0, description="A task without news. One that waits for a person is shown anyway."
    )
    captured: LongSeconds = Field(default=3600.0, description="Results ready, and not fetched.")
    fetched: LongSeconds = Field(default=3600.0, description="Exports fetched, and not delivered.")
    delivered: LongSeconds = Field(default=3600.0, description="Exports delivered, and the original not filed away.")
    abandoned: LongSeconds = Field(default=3600.0, description="Given up, and the original not in failed/.")

    def of(self, stage: str) -> float | None:
        """Seconds for a stage; None for a stage that ends a job."""
        seconds: float | None = getattr(self, stage) if stage in StuckAfter.model_fields else None
        return seconds


def _single(name: str) -> Any:
    def default(validated: dict[str, Any]) -> Path:
        path = validated.get("path")
        return path / name if isinstance(path, Path) else NOT_SAID

    return default


class Folder(Table):
    """One hot folder: a watched inbox, its work, out, done and failed folders, and how its files are captured."""

    name: Name = Field(description="The hot folder's name in logs, lists and receipts.", json_schema_extra=RESTART)
    path: RootPath | None = Field(
        default=None,
        description="The root that holds in/, work/, out/, done/ and failed/. Not needed if all five are given singly. "
        '"s3://bucket/prefix" for a folder in an S3-compatible bucket.',
        json_schema_extra=RESTART,
    )
    endpoint: Address | None = Field(
        default=None,
        description="The address of an S3-compatible store, for a path in a bucket; AWS's, or AWS_ENDPOINT_URL, "
        "without it.",
        json_schema_extra=RESTART,
    )
    account: Name = Field(
        description="The account that pays: the name of an [accounts.…] table.", json_schema_extra=RESTART
    )
    region: Literal["US", "AU", "EU", "CA"] = Field(description="Whose invoices these are: US, AU, EU or CA.")
    export_format: Text = Field(
        default="Xls",
        description="What the service makes: Xls, Xml, Csv or Json. Another value is passed on, with a warning.",
    )
    verification_type: Literal["NoVerification", "Troubleshooting", "UserVerification"] = Field(
        default="NoVerification",
        description="Whether a person looks at the result: never, when something looks wrong, or always.",
    )
    properties: Mapping[str, str] = Field(
        default_factory=dict, description="Further text properties, handed to the Run as they are."
    )
    accept: Annotated[tuple[Literal["pdf", "tiff", "jpeg", "png", "xml"], ...], Strict(False), Field(min_length=1)] = (
        Field(
            ("pdf", "tiff", "jpeg", "png"),
            description='What is sent, told by content and not by name: pdf, tiff, jpeg, png; "xml" can be added.',
        )
    )
    group_by: Literal["file", "folder"] = Field(
        default="file",
        description='"file": each file is a job. "folder": each first-level subfolder is one job of several files.',
        json_schema_extra=RESTART,
    )
    order: Literal["oldest", "name", "newest"] = Field(
        default="oldest", description="Which file of a backlog goes first."
    )
    priority: int = Field(
        default=0, ge=-1_000, le=1_000, description="Sets folders against each other: the higher number goes first."
    )
    depth: int = Field(default=8, ge=0, le=100, description="Levels of subfolders that are followed; 0 for none.")
    events: Literal["auto", "off"] = Field(
        default="auto",
        description='"auto": notices of the file system wake the sweep. "off": the sweep alone.',
        json_schema_extra=RESTART,
    )
    sweep_seconds: Seconds = Field(default=30.0, description="Time between two full looks at in/.")
    quiet_seconds: float = Field(
        default=2.0,
        ge=0,
        le=DAY,
        description="A file has settled when it has not changed for this long and nobody writes to it.",
    )
    empty_seconds: float = Field(
        default=60.0, ge=0, le=DAY, description="Time an empty file has to grow before it fails."
    )
    unreadable_seconds: float = Field(
        default=600.0,
        ge=0,
        le=DAY,
        description="Time that a file hopperd may not read has to become readable before it fails.",
    )
    group_quiet_seconds: float = Field(
        default=30.0, ge=0, le=DAY, description="A group has settled when nothing in it has changed for this long."
    )
    include: Annotated[tuple[Pattern, ...], Strict(False)] = Field(
        default=(),
        description="Only files that match one of these patterns are taken; [] for all. A pattern with a / is held "
        "against the path below in/, one without against the name.",
    )
    exclude: Annotated[tuple[Pattern, ...], Strict(False)] = Field(
        default=(), description="Files that match one of these patterns are left alone, also if include names them."
    )
    max_size_bytes: int = Field(
        default=100_000_000,
        ge=1,
        le=1 << 50,
        description="A larger file goes to failed/ (too-large), unsent and unpaid.",
    )
    max_pages: int = Field(
        default=1_000, ge=1, le=1_000_000, description="A document of more pages goes to failed/ (too-many-pages)."
    )
    on_other: Literal["fail", "leave"] = Field(
        default="fail",
        description='A file whose content is not in accept: "fail" moves it to failed/, "leave" leaves it in in/.',
    )
    on_doubt: Literal["resubmit", "hold"] = Field(
        default="resubmit",
        description='A Run that may or may not have been accepted: "resubmit" asks again and marks the job as perhaps '
        'paid for twice, "hold" waits for a person.',
    )
    doubts_allowed: int = Field(default=3, ge=0, le=100, description="Doubts after which a job is held all the same.")
    on_duplicate: Literal["skip", "again", "hold"] = Field(
        default="skip",
        description='The same bytes delivered before: "skip" files the original in done/ unsent, "again" pays again, '
        '"hold" waits for a person.',
    )
    duplicates_days: int = Field(
        default=1_095, ge=1, le=36_500, description="How long the digest of an original is remembered."
    )
    keep_remote: bool = Field(default=False, description="Keep the task and its files at the service after delivery.")
    after: Literal["keep", "delete"] = Field(
        default="keep", description='Originals once delivered: "keep" files them in done/, "delete" removes them.'
    )
    done_days: int = Field(default=0, ge=0, le=36_500, description="How long originals stay in done/; 0 for ever.")
    marker_files: bool = Field(
        default=False,
        description="Beside each export NAME an empty file NAME.done, made when all exports of the invoice are there.",
    )
    after_delivery_url: Address | None = Field(
        default=None,
        description="Where each delivery's receipt is sent by POST, signed, until it is taken (2xx).",
        json_schema_extra=RESTART,
    )
    after_delivery_secret_file: SettingsPath | None = Field(
        default=None,
        description="A file with the secret that signs what goes to after_delivery_url.",
        json_schema_extra=RESTART,
    )
    after_delivery_command: Annotated[tuple[Text, ...], Strict(False)] = Field(
        default=(),
        description="A program and its arguments, started with each delivery's receipt on its standard input, until it "
        "ends with 0. No shell; either this or after_delivery_url.",
        json_schema_extra=RESTART,
    )
    after_delivery_seconds: Seconds = Field(
        default=30.0,
        description="Time that after_delivery_url may take to answer, or after_delivery_command to end.",
        json_schema_extra=RESTART,
    )
    on_taken: Literal["number", "fail", "date"] = Field(
        default="number",
        description='An export whose name is taken in out/: "number" adds (2), "date" the date, "fail" fails the job.',
    )
    export_name: ExportName = Field(
        default="{stem}",
        description="The name of an export without its extension: {stem} {name} {job} {task_number} {date}.",
    )
    stuck_after: Annotated[StuckAfter, BeforeValidator(_stages)] = Field(
        default_factory=lambda: StuckAfter(),
        description="Seconds without progress after which a job is shown as stuck: one number, or a table by stage.",
    )
    inbox: SettingsPath = Field(
        default_factory=_single("in"),
        validation_alias="in",
        description="Where files are put, if not PATH/in.",
        json_schema_extra=RESTART,
    )
    work: SettingsPath = Field(
        default_factory=_single("work"),
        description="hopperd's own, if not PATH/work; on the same mount as in. May be in/.hopperd.",
        json_schema_extra=RESTART,
    )
    out: SettingsPath = Field(
        default_factory=_single("out"), description="Where exports go, if not PATH/out.", json_schema_extra=RESTART
    )
    done: SettingsPath = Field(
        default_factory=_single("done"),
        description="Originals after success, if not PATH/done.",
        json_schema_extra=RESTART,
    )
    failed: SettingsPath = Field(
        default_factory=_single("failed"),
        description="Originals given up on, if not PATH/failed.",
        json_schema_extra=RESTART,
    )
