"""What goes over the wire, as JSON Schemas for the OpenAPI document: the vendor's objects, and the twin's own."""

from __future__ import annotations

from typing import Any, Final

Schema = dict[str, Any]

TEXT: Final[Schema] = {"type": "string"}
FLAG: Final[Schema] = {"type": "boolean"}
COUNT: Final[Schema] = {"type": "integer", "minimum": 0}
FILE_ID: Final[Schema] = {"type": "string", "pattern": "^[0-9a-fA-F]{24}$"}
FILE_TOKEN: Final[Schema] = {"type": "string", "pattern": "^[0-9a-fA-F]{40}$"}
VERIFICATION_ID: Final[Schema] = {"type": "string", "pattern": "^[0-9a-fA-F]{32}$"}
DATE: Final[Schema] = {"type": "string", "description": "A date-time, with or without milliseconds and Z."}


def listed(schema: Schema, **rest: Any) -> Schema:
    """A list of such values."""
    return {"type": "array", "items": schema, **rest}


def mapped(schema: Schema) -> Schema:
    """Any names, with such values."""
    return {"type": "object", "additionalProperties": schema}


def record(optional: dict[str, Schema] | None = None, **required: Schema) -> Schema:
    """An object with these fields; others may come."""
    return {"type": "object", "properties": {**required, **(optional or {})}, "required": list(required)}


def named(name: str) -> Schema:
    """A reference to one of SCHEMAS."""
    return {"$ref": f"#/components/schemas/{name}"}


PROPERTIES: Final[Schema] = {
    "type": "object",
    "properties": {
        "region": {"type": "string", "enum": ["US", "AU", "EU", "CA"]},
        "export_format": {"type": "string", "enum": ["Xls", "Xml", "Csv", "Json"]},
        "verification_type": {"type": "string", "enum": ["NoVerification", "Troubleshooting", "UserVerification"]},
    },
    "additionalProperties": TEXT,
    "maxProperties": 1000,
}
_ENTRY: Final[Schema] = record(
    {
        "business_unit_id": TEXT,
        "country_code": TEXT,
        **{
            name: {"oneOf": [TEXT, listed(TEXT)]}
            for name in (
                *("street", "city", "state", "zip", "vat", "national_vat"),
                *("iban", "bank_account", "bank_code", "gl_code"),
            )
        },
    },
    external_id=TEXT,
    name={"oneOf": [TEXT, listed(TEXT)]},
)
_FIELDS: Final[Schema] = mapped({"description": "A field, party or table, in the names of the exports."})

SCHEMAS: Final[dict[str, Schema]] = {
    "FileInfo": record(
        id=FILE_ID,
        token=FILE_TOKEN,
        name=TEXT,
        extension=TEXT,
        hash={"type": "string", "pattern": "^([0-9a-f]{128}|[0-9A-F]{128})$"},
        size=COUNT,
        mime=TEXT,
        is_recognizable=FLAG,
        account=TEXT,
        application=TEXT,
        email=TEXT,
        created=DATE,
        expiring=DATE,
    ),
    "FileReference": record({"name": TEXT}, id=FILE_ID, token=FILE_TOKEN),
    "Run": record({"properties": PROPERTIES}, files=listed(named("FileReference"), minItems=1, maxItems=1000)),
    "Document": record(
        files=mapped(named("FileReference")),
        data={"oneOf": [{"type": "object"}, TEXT]},
        is_moved=FLAG,
    ),
    "CaptureTask": record(
        {
            **dict.fromkeys(("started", "action_required", "billed", "delivered", "deleted"), DATE),
            **dict.fromkeys(("documents_count", "pages_count", "batch_id"), COUNT),
            **dict.fromkeys(("is_realtime_enabled", "is_extra_error"), FLAG),
            "verification_id": VERIFICATION_ID,
            "processing_priority": TEXT,
        },
        id=FILE_ID,
        number={"type": "string", "pattern": "^[0-9]+$"},
        type={"type": "string", "enum": ["ic", "dc"]},
        properties=mapped(TEXT),
        email=TEXT,
        account=TEXT,
        application=TEXT,
        created=DATE,
        progress={"type": "number", "minimum": 0, "maximum": 100},
        status={
            "type": "string",
            "description": "New, Submitted, InProgress, WaitForAction, Done, Failed, Canceled; others may come.",
        },
        is_deleted=FLAG,
        is_demo=FLAG,
        is_billed=FLAG,
        documents=listed(named("Document")),
    ),
    "Vendors": record({"region": TEXT}, vendors=listed(_ENTRY, minItems=1)),
    "BusinessUnits": record({"region": TEXT}, business_units=listed(_ENTRY, minItems=1)),
    "Layout": record(taskId=FILE_ID, fileId=FILE_ID, pages=listed({}), fields=listed({})),
    "Refusal": record({"where": TEXT}, id=TEXT, error=TEXT, error_description=TEXT),
    "Mistake": record(id=TEXT, requestId=TEXT, statusCode=COUNT, errorCode=TEXT, message=TEXT),
    "Orders": {"type": "object", "properties": {"remove": FLAG}},
    "Ledger": record(
        applications=listed(
            record({"quota": COUNT}, application=TEXT, runs=COUNT, documents=COUNT, pages=COUNT, canceled_runs=COUNT)
        )
    ),
    "Window": record(heartbeat_seconds={"type": "number"}),
    "Questions": record(
        number=TEXT,
        documents=listed(
            record(
                name=TEXT,
                pages=COUNT,
                invoices=listed(record(read_from=TEXT, confidence={"type": "number"}, fields=_FIELDS)),
            )
        ),
    ),
    "Decisions": record(documents=listed(record({"invoices": listed(_FIELDS)}, removed=FLAG))),
    "Closed": record(status=TEXT),
}
