"""The settings as the rest of hopperd sees them: frozen, complete, each key with its limits and its comment.

The comments are the one source of the schema and of docs/reference/settings.md. What has to be compared with another
key, another table or the disk is judged in `checks.py`; these models never open a file.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, SecretStr, Strict

from hopperd.settings.folder import Folder
from hopperd.settings.table import RESTART, Table
from hopperd.settings.telling import HistoryLimits, NoticesSettings
from hopperd.settings.values import DAY, Address, LedgerAddress, Listen, Name, Seconds, SettingsPath, Text


class WebSettings(Table):
    """The page and the control API over HTTP."""

    listen: Listen = Field(
        default="127.0.0.1:8756",
        description='Where the page listens: "HOST:PORT", or "" for none. An address in use is said and tried again, '
        "never fatal. Beyond loopback only with read_token_file.",
        json_schema_extra=RESTART,
    )
    read_token_file: SettingsPath | None = Field(
        default=None,
        description="A file with the token that lets a browser read. Needed when listen is not a loopback address.",
        json_schema_extra=RESTART,
    )
    act_token_file: SettingsPath | None = Field(
        default=None,
        description="A file with the token that lets a browser act (retry, hold, release). Without it, acting goes "
        "through the command line.",
        json_schema_extra=RESTART,
    )


class LogSettings(Table):
    """What hopperd writes to standard error."""

    level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="The least important event that is written."
    )
    format: Literal["auto", "json", "console"] = Field(
        default="auto",
        description='How events are written; "auto" is console on a terminal and JSON elsewhere.',
        json_schema_extra=RESTART,
    )


class InspectionSettings(Table):
    """The look into each file before it is sent, in child processes."""

    workers: int = Field(
        default=2,
        ge=1,
        le=64,
        description="Child processes, each with one file in hand at a time.",
        json_schema_extra=RESTART,
    )
    memory_bytes: int = Field(
        default=1_073_741_824,
        ge=67_108_864,
        le=1 << 50,
        description="Memory each child may use; a file that needs more costs only its child.",
        json_schema_extra=RESTART,
    )
    seconds: Seconds = Field(
        default=30.0,
        description="Time each file may take; one that needs more costs only its child.",
        json_schema_extra=RESTART,
    )


class Account(Table):
    """Credentials and limits at the service; several folders may share one account."""

    name: Name = Field(
        description="The account's name: the last part of its table's heading.", json_schema_extra=RESTART
    )
    location: Literal["us", "au", "eu"] | None = Field(
        default=None,
        description="Where the service keeps your data: us (USA and Canada), au or eu. Either this or base_url.",
        json_schema_extra=RESTART,
    )
    base_url: Address | None = Field(
        default=None,
        description="The service's address in place of a location, for a sandbox or a gateway; without /v2.",
        json_schema_extra=RESTART,
    )
    application_id: Text = Field(
        description="The application's id, from the service's portal.", json_schema_extra=RESTART
    )
    application_token: SecretStr = Field(default=SecretStr(""), description="Never in the file.")
    application_token_file: SettingsPath | None = Field(
        default=None,
        description="A file with the application's token and nothing else. The token never stands in this file: it "
        "comes from the environment, from here, or from a systemd credential of the account's name.",
    )
    requests_per_second: float = Field(
        default=10.0,
        gt=0,
        le=10_000,
        description="All requests of the account together, polls included, of all nodes; may be below 1.",
    )
    uploads_at_once: int = Field(default=4, ge=1, le=1_000, description="Uploads in flight.")
    tasks_in_flight: int = Field(
        default=200, ge=1, le=100_000, description="Tasks at the service that are not finished, of all nodes."
    )
    fetches_at_once: int = Field(default=4, ge=1, le=1_000, description="Downloads of exports in flight.")
    connect_seconds: Seconds = Field(default=10.0, description="Time to connect, TLS included.")
    answer_seconds: Seconds = Field(default=60.0, description="Time the service may take to answer.")
    stall_seconds: Seconds = Field(default=60.0, description="Time an upload or download may stand still.")
    ca_file: SettingsPath | None = Field(
        default=None,
        description="Certificate authorities to trust (PEM) in place of the system's, for a gateway that inspects TLS.",
        json_schema_extra=RESTART,
    )
    proxy: Address | None = Field(
        default=None,
        description="An HTTP proxy for all requests; no password in it (trust_env reads one from ~/.netrc).",
        json_schema_extra=RESTART,
    )
    trust_env: bool = Field(
        default=False,
        description="Obey HTTP_PROXY, HTTPS_PROXY, NO_PROXY and ~/.netrc.",
        json_schema_extra=RESTART,
    )

    @property
    def url(self) -> str:
        """The service's address without a trailing slash and without /v2."""
        return self.base_url or f"https://api-{self.location}.flexicapture.com"


class Document(Table):
    """The keys of the file, and of the environment."""

    state: SettingsPath = Field(
        default=Path("/var/lib/hopperd"),
        description="The embedded ledger, the control socket, locks and scratch; on a local disk.",
        json_schema_extra=RESTART,
    )
    ledger: LedgerAddress | None = Field(
        default=None,
        description='A ledger that several machines share: "postgresql://USER@HOST:PORT/DATABASE". Without it, a file '
        "in state.",
        json_schema_extra=RESTART,
    )
    ledger_password_file: SettingsPath | None = Field(
        default=None, description="A file with the password for ledger.", json_schema_extra=RESTART
    )
    node: Name | None = Field(
        default=None,
        description="What this machine is called where several share a ledger; without it, its host name.",
        json_schema_extra=RESTART,
    )
    stop_seconds: float = Field(
        default=30.0,
        ge=0,
        le=DAY,
        description="Time an orderly stop waits for a Run in flight and for what is nearly done.",
    )
    free_space_bytes: int = Field(
        default=200_000_000,
        ge=0,
        le=1 << 60,
        description="Intake pauses while a disk that hopperd writes to has less room than this; 0 never pauses.",
    )
    web: WebSettings = Field(
        default_factory=lambda: WebSettings(), description="The page and the control API over HTTP."
    )
    log: LogSettings = Field(default_factory=lambda: LogSettings(), description="What is written to standard error.")
    inspection: InspectionSettings = Field(
        default_factory=lambda: InspectionSettings(), description="The look into each file before it is sent."
    )
    history: HistoryLimits = Field(
        default_factory=lambda: HistoryLimits(), description="How long finished jobs stay in the ledger."
    )
    notices: NoticesSettings = Field(
        default_factory=lambda: NoticesSettings(), description="What people are told without asking."
    )
    accounts: Mapping[str, Account] = Field(
        default_factory=dict, description="Credentials and limits at the service, one table for each account."
    )
    folders: Annotated[tuple[Folder, ...], Strict(False)] = Field(
        default=(), description="The hot folders, one table for each."
    )


class Settings(Document):
    """The whole configuration, checked. `warnings` are sentences for `check` and the log of a start."""

    path: Path = Field(default=Path("hopperd.toml"), description="The file it was read from.")
    warnings: tuple[str, ...] = Field(default=(), description="What is allowed, and should be looked at.")

    def folder(self, name: str) -> Folder:
        """The hot folder of that name; KeyError if there is none."""
        for folder in self.folders:
            if folder.name == name:
                return folder
        raise KeyError(name)
