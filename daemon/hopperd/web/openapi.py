"""The control API, described: OpenAPI 3.1. docs/reference/control-api.json is generated from here, and a test says when
it is stale; another compares the paths with the routes."""

from __future__ import annotations

from typing import Any, Final

from hopperd import __version__
from hopperd.pipeline.job import Stage

_TEXT: Final = {"type": "string"}
_TIME: Final = {"type": "string", "format": "date-time"}
_WHOLE: Final = {"type": "integer"}
_NUMBER: Final = {"type": "number"}
_YES_NO: Final = {"type": "boolean"}


def _object(required: dict[str, Any], optional: dict[str, Any] | None = None) -> dict[str, Any]:
    return {"type": "object", "required": sorted(required), "properties": {**required, **(optional or {})}}


def _list(of: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": of}


def _ref(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{name}"}


_PAUSE = {
    "oneOf": [
        {"type": "null"},
        _object(
            {"reason": _TEXT, "what": _TEXT, "do": _TEXT, "since": _TIME, "by_person": _YES_NO, "scope": _TEXT},
        ),
    ]
}
_JOB = _object(
    {
        "job": _TEXT,
        "folder": _TEXT,
        "account": _TEXT,
        "file": _TEXT,
        "files": _WHOLE,
        "size_bytes": _WHOLE,
        "stage": {"enum": [stage.value for stage in Stage]},
        "opened": _TIME,
        "age_seconds": _NUMBER,
        "in_stage_seconds": _NUMBER,
        "doubts": _WHOLE,
    },
    {
        "outcome": _TEXT,
        "task": _object({"id": _TEXT, "number": {"type": ["string", "null"]}}),
        "due": _TIME,
        "waiting": _TEXT,
        "verification": _TEXT,
        "hold": _object({"reason": _TEXT, "what": _TEXT, "do": _TEXT, "since": _TIME}),
        "failure": _object(
            {"reason": _TEXT, "fault": {"enum": ["file", "service", "account", "us"]}, "what": _TEXT, "do": _TEXT}
        ),
        "notes": _list(_TEXT),
        "exports": _list(_TEXT),
        "stuck": _YES_NO,
    },
)
_STORY = {
    "oneOf": [
        {
            "allOf": [
                _ref("Job"),
                _object(
                    {
                        "originals": _list({"type": "object"}),
                        "filed": _list(_TEXT),
                        "receipt": {"type": ["object", "null"]},
                        "history": _list(
                            _object(
                                {
                                    "version": _WHOLE,
                                    "at": _TIME,
                                    "event": _TEXT,
                                    "stage": _TEXT,
                                    "detail": {"type": "object"},
                                }
                            )
                        ),
                    },
                    {
                        "paths": _object(
                            {"originals": _list(_TEXT), "exports": _list(_TEXT)}, {"delivered_before": _list(_TEXT)}
                        ),
                        "node": _TEXT,
                        "duplicate_of": _object({"job": _TEXT, "exports": _list(_TEXT)}),
                    },
                ),
            ]
        },
        _object({"matches": _list(_ref("Job"))}),
    ]
}
_STATUS = _object(
    {
        "version": _TEXT,
        "running": _YES_NO,
        "at": _TIME,
        "ledger": _TEXT,
        "backlog": _list({"type": "object"}),
        "age_buckets": _list(_TEXT),
        "open": _WHOLE,
        "doubtful": _WHOLE,
        "doubts": _object(
            {"open": _WHOLE, "finished": _WHOLE, "perhaps_delivered_twice": _WHOLE, "jobs": _list(_ref("Job"))}
        ),
        "nodes": _list(
            _object(
                {
                    "node": _TEXT,
                    "id": _TEXT,
                    "version": _TEXT,
                    "started": _TEXT,
                    "state": {"enum": ["working", "gone", "left"]},
                    "seen_seconds": {"type": ["number", "null"]},
                    "carries": _WHOLE,
                    "in_hand": _WHOLE,
                }
            )
        ),
        "letters": _list(
            _object(
                {
                    "channel": _TEXT,
                    "waiting": _WHOLE,
                    "oldest_seconds": _NUMBER,
                    "trouble": {"type": ["string", "null"]},
                }
            )
        ),
        "history": _object({"days": _WHOLE, "rows": _WHOLE, "oldest_seconds": {"type": ["number", "null"]}}),
        "folders": _list(
            _object(
                {
                    "folder": _TEXT,
                    "account": _TEXT,
                    "in": _TEXT,
                    "open": _WHOLE,
                    "paused": _PAUSE,
                    "originals": _object({"after": {"enum": ["keep", "delete"]}, "done_days": _WHOLE}),
                }
            )
        ),
        "accounts": _list(_object({"account": _TEXT, "paused": _PAUSE})),
        "held": _list(_ref("Job")),
        "waiting_for_person": _list(_ref("Job")),
        "stuck": _list(_ref("Job")),
        "homeless": _list(
            _object({"folder": _TEXT, "account": _TEXT, "jobs": _WHOLE, "what": _TEXT, "do": _TEXT}),
        ),
        "failed": _list(_ref("Job")),
    }
)
_ORDER = _object(
    {"order": {"enum": ["retry", "hold", "release", "forget"]}},
    {
        "jobs": _list(_TEXT) | {"description": "Job ids, whole file names, task ids or numbers: no parts of names."},
        "failed": _YES_NO | {"description": "Only jobs that failed; without `jobs`, all of them."},
        "folder": _TEXT | {"description": "Only jobs of this hot folder; without `jobs`, all that the order suits."},
        "task": _TEXT | {"description": "For `release` of one job in doubt: the task that was found for it."},
        "why": _TEXT,
    },
)
_ORDERED = _object(
    {
        "order": _TEXT,
        "did": _list(_object({"job": _TEXT, "file": _TEXT, "stage": _TEXT, "what": _TEXT})),
        "refused": _list(_object({"job": {"type": ["string", "null"]}, "file": _TEXT, "why": _TEXT})),
    }
)
_TARGET = _object({"kind": {"enum": ["account", "folder"]}, "name": _TEXT}, {"why": _TEXT})


def _query(name: str, schema: dict[str, Any], what: str, *, required: bool = False) -> dict[str, Any]:
    return {"name": name, "in": "query", "required": required, "schema": schema, "description": what}


def _answers(schema: dict[str, Any], kind: str = "application/json") -> dict[str, Any]:
    refusal = {"content": {"application/json": {"schema": _ref("Refusal")}}}
    return {
        "200": {"description": "The answer.", "content": {kind: {"schema": schema}}},
        "400": {"description": "The request is not understood.", **refusal},
        "401": {"description": "A token is needed (web listener only).", **refusal},
        "403": {"description": "Not over this listener, or not from another web site.", **refusal},
        "409": {"description": "It cannot be done; the sentence says why.", **refusal},
        "503": {"description": "The ledger's disk would not, or too many streams are open.", **refusal},
    }


def _get(what: str, schema: dict[str, Any], *query: dict[str, Any], kind: str = "application/json") -> dict[str, Any]:
    return {
        "get": {
            "summary": what,
            "parameters": list(query),
            "security": [{"read": []}],
            "responses": _answers(schema, kind),
        }
    }


def _post(what: str, body: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    content = {"required": True, "content": {"application/json": {"schema": body}}}
    return {"post": {"summary": what, "requestBody": content, "security": [{"act": []}], "responses": _answers(schema)}}


_LIST_QUERY = (
    _query("text", _TEXT, "Part of a file's name, number of a task, or a job id."),
    _query("stage", _TEXT, "One stage, or several with commas."),
    _query("folder", _TEXT, "Only of this hot folder."),
    _query("account", _TEXT, "Only of this account."),
    _query("held", _TEXT, "1: only jobs on hold."),
    _query("failed", _TEXT, "1: only jobs that failed."),
    _query("doubts", _TEXT, "1: only jobs perhaps paid for or delivered twice."),
    _query("waiting_for_person", _TEXT, "1: only jobs whose task waits for a person."),
    _query("opened_before", _NUMBER, "Only jobs claimed before this moment, in seconds since 1970."),
    _query("before", _TEXT, "The cursor: `next` of the page before."),
    _query("limit", _WHOLE, "At most so many, 1000 at most; 100 if not said."),
)


def document() -> dict[str, Any]:
    """The whole description."""
    page = _object({"jobs": _list(_ref("Job")), "next": {"type": ["string", "null"]}})
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "hopperd control API",
            "version": __version__,
            "description": "Served on the Unix socket `control.sock` of the state folder, without tokens, and on "
            "`[web] listen`. Fields are added, never renamed. Over the web listener backup and fsck are refused, "
            "reading needs the read token where one is set, and acting always needs the act token.",
        },
        "servers": [{"url": ".."}],
        "paths": {
            "/v1/status": _get("Backlog, folders, accounts, and what needs a person.", _ref("Status")),
            "/v1/overview": _get("Status with failed jobs and flow: what the page shows.", _ref("Status")),
            "/v1/jobs": _get("Jobs, newest first, paged by cursor.", page, *_LIST_QUERY),
            "/v1/job": _get(
                "One job's whole history, or the jobs that match.",
                _ref("Story"),
                _query(
                    "name", _TEXT, "A job id, a file's name or a part of it, or a task's number or id.", required=True
                ),
            ),
            "/v1/export": _get(
                "One export, if it still is what was delivered. Over the web only where a read token is set.",
                {"type": "string", "format": "binary"},
                _query("job", _TEXT, "The job id.", required=True),
                _query("number", _WHOLE, "Which export, from 0.", required=True),
                kind="application/octet-stream",
            ),
            "/v1/events": _get(
                "Server-sent events as they happen: `event` (of a job, account or folder), `state` (the page's), "
                "`missed` (how many events this reader was too slow for).",
                _TEXT,
                _query("state", _TEXT, "1: the page's state, whenever it changes, in place of events."),
                _query("events", _TEXT, "1: events as well as the state."),
                _query("job", _TEXT, "Only events of this job."),
                kind="text/event-stream",
            ),
            "/v1/rights": _get("What the asker may do.", _object({"read": _YES_NO, "act": _YES_NO, "known": _YES_NO})),
            "/v1/openapi.json": _get("This description.", {"type": "object"}),
            "/v1/orders": _post("Retry, hold, release or forget jobs.", _ORDER, _ORDERED),
            "/v1/pause": _post("Pause an account or a folder.", _TARGET, {"type": "object"}),
            "/v1/resume": _post("Resume an account or a folder.", _TARGET, {"type": "object"}),
            "/v1/backup": _post(
                "A consistent copy of the ledger. Socket only.", _object({"path": _TEXT}), {"type": "object"}
            ),
            "/v1/fsck": _post(
                "Compare ledger and disk. Socket only.", _object({}, {"repair": _YES_NO}), {"type": "object"}
            ),
        },
        "components": {
            "securitySchemes": {
                "read": {"type": "http", "scheme": "bearer", "description": "The read token, or the act token."},
                "act": {"type": "http", "scheme": "bearer", "description": "The act token."},
            },
            "schemas": {
                "Job": _JOB,
                "Story": _STORY,
                "Status": _STATUS,
                "Refusal": _object({"error": _TEXT}),
            },
        },
    }
