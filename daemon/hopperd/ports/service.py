"""The capture service, and the one way in which it reports trouble."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from hopperd.pipeline.job import (
    RemoteFile,
    Result,
    Task,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A local file to be uploaded. `folder` is the hot folder it belongs to."""

    path: bytes
    name: bytes
    size_bytes: int
    sha512: str
    folder: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetchable:
    """A result to be fetched, and the local path (not yet there) to write it to, in hot folder `folder`."""

    result: Result
    path: bytes
    folder: str = ""


class ServiceTrouble(Exception):
    """The one way in which the client reports that a call did not succeed. Says whose fault it is.

    `fault`: "weather" (later), "account" (pause it), "file" (refused), "gone" (404), "unready" (409),
    "doubt" (only Run: nobody knows).
    `status` is the HTTP status where there was an answer; `reason` a slug for receipts where `fault` is "file".
    """

    def __init__(
        self,
        fault: Literal["weather", "account", "file", "gone", "unready", "doubt"],
        what: str,
        *,
        kind: Literal["rate", "server", "network", "credentials", "disk"] = "server",
        status: int | None = None,
        retry_after_seconds: float | None = None,
    ) -> None:
        super().__init__(what)
        self.fault = fault
        self.what = what
        self.kind = kind
        self.status = status
        self.retry_after_seconds = retry_after_seconds


class ChangedUnderUs(Exception):
    """The local file is no longer what was digested: its size, time of change or bytes differ. Nobody's fault yet."""


class CaptureService(Protocol):
    """One account at the service. Every call raises ServiceTrouble and nothing else for an operating error."""

    async def upload(self, source: Source) -> RemoteFile:
        """Returns only when the service's SHA-512 and size equal ours.

        Raises ChangedUnderUs where the file is not the one that `source` describes, FileNotFoundError where it is gone.
        """
        ...

    async def run(self, files: Sequence[RemoteFile], properties: Mapping[str, str]) -> Task:
        """Ask for a Run: the paid step, sent at most once per call. ServiceTrouble("doubt") when nobody knows."""
        ...

    async def look(self, task_id: str) -> Task: ...

    async def fetch(self, fetchable: Fetchable) -> tuple[int, str]:
        """Write the result to a new file, whole; returns its size in bytes and SHA-256. Sealing makes it durable."""
        ...

    async def tidy(self, task_id: str | None, files: Sequence[RemoteFile]) -> None:
        """Delete task and files; what is gone already is fine."""
        ...

    async def close(self) -> None: ...

    async def probe(self) -> None:
        """A request that costs nothing and succeeds only if the service is up and takes our credentials."""
        ...
