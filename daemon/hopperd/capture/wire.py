"""Their JSON and status codes, our words and errors. Pure, and tolerant: unknown fields are kept, missing ones allowed.

What the service documents and what it leaves open stands in the design's page on its API. Two rules hold throughout:
an answer that cannot be read is never mistaken for a refusal, and no text that leaves this module holds a credential.
"""

from __future__ import annotations

import base64
import html
import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final
from urllib.parse import quote, urlsplit

from hopperd.pipeline.job import RemoteFile, Task, TaskDocument, TaskStatus
from hopperd.ports import ServiceTrouble

LONGEST_ANSWER_BYTES: Final = 8 * 1024 * 1024
DEEPEST_ANSWER: Final = 64
"""Levels of nesting. The service uses five; what parses and stores answers gives up at some two hundred."""

LONGEST_QUOTE: Final = 200
LONGEST_TASK_BYTES: Final = 64 * 1024
"""Of a CaptureTask as it is kept: it stands in the ledger, and in the receipt of each file of a group. One of a single
file has a thousand or two."""
LONGEST_RETRY_AFTER_SECONDS: Final = 3600.0

_STATUSES: Final = {
    "new": TaskStatus.RUNNING,
    "submitted": TaskStatus.RUNNING,
    "inprogress": TaskStatus.RUNNING,
    "waitforaction": TaskStatus.WAITS_FOR_PERSON,
    "done": TaskStatus.DONE,
    "failed": TaskStatus.FAILED,
    "canceled": TaskStatus.CANCELED,
}

_NAMING: Final = frozenset({"id", "number", "status"})
_SHA512: Final = re.compile(r"[0-9A-Fa-f]{128}")


class Unreadable(ValueError):
    """The answer is not what the service documents; the text says in which way."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FileInfo:
    """What the service says of one file; `sha512` in lower case. None: it did not say."""

    remote: RemoteFile
    sha512: str | None = None
    size_bytes: int | None = None


# ------------------------------------------------------------------------------------------------------- reading


def read_json(body: bytes) -> Any:
    """Any JSON the service may send, as values that can be stored: no NaN, no infinity, no NUL, no lone surrogate,
    nothing nested deeper than DEEPEST_ANSWER. Raises Unreadable."""
    if len(body) > LONGEST_ANSWER_BYTES:
        raise Unreadable(f"the answer is longer than {LONGEST_ANSWER_BYTES} bytes")
    try:
        text = body.decode(json.detect_encoding(body))  # strictly: json.loads would let half a surrogate pair through
        value = json.loads(text, parse_constant=lambda _: None, parse_float=_finite)
    except (ValueError, RecursionError) as error:
        raise Unreadable("the answer is not JSON") from error
    if _is_deeper_than(DEEPEST_ANSWER, value):
        raise Unreadable(f"the answer is nested deeper than {DEEPEST_ANSWER} levels")
    return _storable(value) if "\\u" in text else value


def read_file_info(body: bytes) -> FileInfo:
    """FileInfo, alone or as the only element of an array: the documentation prints one form, clients read the other."""
    value = read_json(body)
    if isinstance(value, list):
        if len(value) != 1:
            raise Unreadable(f"the answer describes {len(value)} files instead of one")
        value = value[0]
    if not isinstance(value, dict):
        raise Unreadable("the answer is no FileInfo")
    remote = _remote_file(value)
    if remote is None:
        raise Unreadable("the answer is a FileInfo without id and token")
    digest, size = value.get("hash"), value.get("size")
    return FileInfo(
        remote=remote,
        sha512=digest.strip().lower() if isinstance(digest, str) and _SHA512.fullmatch(digest.strip()) else None,
        size_bytes=size if isinstance(size, int) and not isinstance(size, bool) else None,
    )


def read_task(body: bytes) -> Task:
    """A CaptureTask. Raises Unreadable where there is no task with an id in the answer."""
    value = read_json(body)
    if not isinstance(value, dict):
        raise Unreadable("the answer is no CaptureTask")
    task_id = _identifier(value.get("id"))
    if task_id is None:
        raise Unreadable("the answer is a CaptureTask without an id")
    status_text = _text(value.get("status")) or ""
    word = status_text.strip().lower()
    documents = value.get("documents")
    return Task(
        id=task_id,
        number=_text(value.get("number")),
        status=_STATUSES.get(word, TaskStatus.RUNNING),
        status_text=status_text,
        is_known_status=word in _STATUSES,
        raw=_kept(value, len(body)),
        verification_id=_identifier(value.get("verification_id")),
        is_demo=value.get("is_demo") is True,
        documents=tuple(_document(entry) for entry in documents if isinstance(entry, dict))
        if isinstance(documents, list)
        else (),
    )


def _kept(task: Mapping[str, Any], size_bytes: int) -> Mapping[str, Any]:
    """The task as it is kept: whole, or where it is too long its plain fields, and how many documents it had."""
    if size_bytes <= LONGEST_TASK_BYTES:
        return task
    kept = {key: value for key, value in task.items() if value is None or isinstance(value, str | int | float)}
    documents = task.get("documents")
    shortened = {"is_shortened": True, "documents_count": len(documents) if isinstance(documents, list) else 0}
    if len(json.dumps(kept)) > LONGEST_TASK_BYTES:
        kept = {key: value for key, value in kept.items() if key in _NAMING and len(str(value)) <= LONGEST_QUOTE}
    return kept | shortened


def read_date(value: object) -> float | None:
    """Seconds since the epoch of an ISO 8601 date-time, with or without fraction and zone (none: UTC).

    None for anything else, also for dates before 2000: unset dates of their platform read 0001-01-01.
    """
    if not isinstance(value, str):
        return None
    try:
        moment = datetime.fromisoformat(value.strip())
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        seconds = moment.timestamp()
    except (ValueError, OverflowError):
        return None
    return seconds if seconds >= 946_684_800.0 else None


def read_retry_after(value: str | None, now: float) -> float | None:
    """Seconds to wait as a Retry-After header says it, in seconds or as an HTTP date. At most an hour."""
    if value is None:
        return None
    text = value.strip()
    try:
        seconds = float(text) if re.fullmatch(r"\d{1,12}(\.\d*)?", text, re.ASCII) else None
        if seconds is None:
            moment = parsedate_to_datetime(text)
            seconds = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() - now
    except (ValueError, TypeError, OverflowError, IndexError):
        return None
    return min(LONGEST_RETRY_AFTER_SECONDS, max(0.0, seconds))


def _document(value: Mapping[str, Any]) -> TaskDocument:
    files = value.get("files")
    source: Mapping[str, Any] = {}
    results: list[tuple[str, str, RemoteFile]] = []
    for key, entry in files.items() if isinstance(files, dict) else ():
        if not isinstance(entry, dict):
            continue
        if key.lower() == "source":
            source = entry
        elif key.lower().startswith("target") and (remote := _remote_file(entry)) is not None:
            results.append((key, _text(entry.get("name")) or "", remote))
    return TaskDocument(
        source_id=_identifier(source.get("id")),
        source_name=_text(source.get("name")),
        is_moved=value.get("is_moved") is True,
        results=tuple(results),
    )


def _remote_file(value: Mapping[str, Any]) -> RemoteFile | None:
    file_id, token = _identifier(value.get("id")), _identifier(value.get("token"))
    if file_id is None or token is None:
        return None
    return RemoteFile(id=file_id, token=token, expiring=read_date(value.get("expiring")))


def _identifier(value: object) -> str | None:
    """An id that can stand as one segment of a path. "." and ".." would climb out of it."""
    text = _text(value)
    if text is None or not text.isprintable() or len(text) > 200 or text in (".", "..", ""):
        return None
    return text


def _text(value: object) -> str | None:
    if isinstance(value, str):
        return value
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else None


def _finite(text: str) -> float | None:
    number = float(text)
    return number if math.isfinite(number) else None


def _is_deeper_than(levels: int, value: Any) -> bool:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return levels < 0 or any(_is_deeper_than(levels - 1, one) for one in inner if isinstance(one, dict | list))


def _storable(value: Any) -> Any:
    if isinstance(value, str):
        return value.replace("\0", "").encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, list):
        return [_storable(entry) for entry in value]
    if isinstance(value, dict):
        return {_storable(key): _storable(entry) for key, entry in value.items()}
    return value


# ------------------------------------------------------------------------------------------------------- writing


def run_body(files: Sequence[RemoteFile], properties: Mapping[str, str]) -> bytes:
    body = {"files": [{"id": file.id, "token": file.token} for file in files], "properties": dict(properties)}
    return json.dumps(body).encode()


def authorization(application_id: str, token: str) -> str:
    """The Basic credentials of both in UTF-8, whatever characters they hold."""
    return "Basic " + base64.b64encode(f"{application_id}:{token}".encode()).decode("ascii")


def file_path(file: RemoteFile) -> str:
    return f"/v2/file/{quote(file.id, safe='')}/{quote(file.token, safe='')}"


def task_path(task_id: str) -> str:
    return f"/v2/task/{quote(task_id, safe='')}"


def multipart_head(boundary: str, file_name: str) -> bytes:
    """What stands before the bytes of the only part. Names are escaped the way browsers do: UTF-8 as it is, and
    percent-encoding for the three characters that would end the name."""
    escaped = file_name.replace("\r", "%0D").replace("\n", "%0A").replace('"', "%22")
    return (
        f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="{escaped}"\r\n'
        "Content-Type: application/octet-stream\r\n\r\n"
    ).encode("utf-8", "replace")


def multipart_tail(boundary: str) -> bytes:
    return f"\r\n--{boundary}--\r\n".encode()


def verification_base(service_url: str) -> str:
    """Where a person verifies, up to the id: on the vendor's `cloud-…` for its `api-…`; any other host (a sandbox, a
    gateway) serves its own pages."""
    parts = urlsplit(service_url)
    is_vendors = parts.netloc.startswith("api-") and parts.netloc.endswith(".flexicapture.com")
    portal = f"{parts.scheme}://cloud-{parts.netloc.removeprefix('api-')}" if is_vendors else service_url.rstrip("/")
    return f"{portal}/verification/"


# ------------------------------------------------------------------------------------------------------ refusals


def answer_trouble(
    call: str,
    status: int,
    body: bytes,
    *,
    retry_after: str | None = None,
    now: float = 0.0,
    secrets: Iterable[str] = (),
) -> ServiceTrouble:
    """What an answer that is not the wanted one means. `call` "run" is the paid step: only there can be a doubt."""
    said = quote_answer(body, secrets)
    what = f"{call}: the service answered {status}" + (f": {said}" if said else "")
    seconds = read_retry_after(retry_after, now)
    match status:
        case 400 | 413 | 415 | 422:
            return ServiceTrouble("file", what, status=status)
        case 401 | 403:
            return ServiceTrouble("account", what, kind="credentials", status=status)
        case 404 | 410:
            return ServiceTrouble("gone", what, status=status)
        case 409:
            return ServiceTrouble("unready", what, status=status, retry_after_seconds=seconds)
        case 407:  # the proxy's word, not the service's: nothing gets through to anyone
            return ServiceTrouble("weather", what, kind="network", status=status)
        case 429:
            return ServiceTrouble("weather", what, kind="rate", status=status, retry_after_seconds=seconds)
    certain_no = (300 <= status < 500 and status != 408) or status == 503
    if call == "run" and not certain_no:
        return ServiceTrouble("doubt", what, status=status, retry_after_seconds=seconds)
    return ServiceTrouble("weather", what, status=status, retry_after_seconds=seconds)


def unreadable_trouble(
    call: str, status: int, why: str, body: bytes = b"", *, secrets: Iterable[str] = ()
) -> ServiceTrouble:
    """A success that says nothing we can use: after a Run a doubt, else to be tried again."""
    said = quote_answer(body, secrets)
    what = f"{call}: the service answered {status}, but {why}" + (f": {said}" if said else "")
    return ServiceTrouble("doubt" if call == "run" else "weather", what, status=status)


def quote_answer(body: bytes, secrets: Iterable[str] = ()) -> str:
    """The sentence of an error body: either documented JSON form, plain text, or the title of an HTML page."""
    start = body[:65536]
    try:
        value = json.loads(body) if len(body) <= 65536 else None
    except (ValueError, RecursionError):
        value = None
    if isinstance(value, dict):
        parts = [value.get(key) for key in ("error", "errorCode", "error_description", "message")]
        words = [str(part) for part in parts if isinstance(part, str | int) and str(part).strip()]
        text = ": ".join(dict.fromkeys(words)) or start.decode("utf-8", "replace")
    elif looks_like_html(body):
        title = re.search(rb"<title[^>]*>(.{0,500}?)</title", start, re.IGNORECASE | re.DOTALL)
        text = "an HTML page" + (f' "{html.unescape(title[1].decode("utf-8", "replace"))}"' if title else "")
    else:
        text = start.decode("utf-8", "replace")
    return clean(text, secrets)


def clean(text: str, secrets: Iterable[str] = ()) -> str:
    """Fit to be shown: one line of printable characters, 200 at most, no credential and no file token in it."""
    for secret in sorted(filter(None, secrets), key=len, reverse=True):
        text = text.replace(secret, "…").replace(quote(secret, safe=""), "…")
    text = re.sub(r"(?i)\b(basic|bearer)\s+[a-z0-9+/=_.~-]{4,}", r"\1 …", text)
    text = re.sub(r"(?<![0-9A-Za-z])[0-9A-Fa-f]{40}(?![0-9A-Za-z])", "…", text)
    text = " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())
    return text if len(text) <= LONGEST_QUOTE else text[: LONGEST_QUOTE - 1] + "…"


def looks_like_html(body: bytes) -> bool:
    """True of an error page that came in place of what was asked for."""
    return _HTML.match(body[:1024]) is not None


_HTML: Final = re.compile(
    rb"(?:\xef\xbb\xbf)?\s*(?:<!--.{0,500}?-->\s*)?<(?:!doctype\s+html|html|head)\b", re.IGNORECASE | re.DOTALL
)
