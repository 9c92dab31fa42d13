"""Makes docs/reference/settings.md and the JSON Schema from the models: `python -m tests.support.settings_page`."""

import json
from pathlib import Path
from typing import Any

from hopperd.settings import schema

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "reference" / "settings.md"
SCHEMA = ROOT / "config" / "hopperd.schema.json"

_INTRODUCTION = """# Settings

One TOML file: `--config FILE`, else `hopperd.toml` in the current folder, else `/etc/hopperd/hopperd.toml`.
`hopperd config` prints the commented reference, `hopperd config --schema` the JSON Schema, `hopperd check` every
mistake at once. Unknown keys are refused with the nearest right one. Relative paths start at the file's folder.

**Environment.** Any key is also a variable, which wins over the file: `HOPPERD_STOP_SECONDS`, `HOPPERD_WEB__LISTEN`,
`HOPPERD_ACCOUNTS__MAIN__LOCATION`, `HOPPERD_FOLDERS__US__REGION` (by name, in capitals, `_` for `-` and `.`) or
`HOPPERD_FOLDERS__0__REGION` (by index). Text is taken as it is; numbers, `true`/`false`, lists and tables are written
as in TOML: `HOPPERD_FOLDERS__US__ACCEPT='["pdf", "xml"]'`. An account whose `APPLICATION_ID` stands in the environment
alone, or a folder whose `NAME` does (at the next free index), needs no table in the file. An unknown `HOPPERD_…`
variable is a mistake; what an orchestrator sets for a service called hopperd is left alone.

**Secrets** never stand in the file. An account's token comes from the first of these that has one:
`HOPPERD_ACCOUNTS__MAIN__APPLICATION_TOKEN`, the file named by `application_token_file`, the systemd credential named
like the account (`LoadCredential=main:…`). Line ends after the token do not count. A file that others can read is
warned about. What signs a folder's hook (`HOPPERD_FOLDERS__US__AFTER_DELIVERY_SECRET`, credential `hook-us`) or the
notices (`HOPPERD_NOTICES__WEBHOOK_SECRET`, credential `notices-webhook`), and the addresses of e-mail and chat
(`HOPPERD_NOTICES__ADDRESSES`, credential `notices-addresses`) come the same way, and so does the password of a ledger
in PostgreSQL (`HOPPERD_LEDGER_PASSWORD`, `ledger_password_file`, credential `ledger`).

**SIGHUP** applies what can change; a key with "restart" keeps its old value until the next start, and the log says so.
Adding or removing an account or a hot folder needs a restart.

This page is generated from the models; do not edit it.
"""
_TABLES = [
    ("Top level", None),
    ("`[web]`", "WebSettings"),
    ("`[log]`", "LogSettings"),
    ("`[inspection]`", "InspectionSettings"),
    ("`[history]`", "HistoryLimits"),
    ("`[notices]`", "NoticesSettings"),
    ("`[accounts.NAME]`", "Account"),
    ("`[[folders]]`", "Folder"),
    ("`stuck_after`, as a table", "StuckAfter"),
]
_INSTEAD = {"in": "PATH/in", "work": "PATH/work", "out": "PATH/out", "done": "PATH/done", "failed": "PATH/failed"}


def page() -> str:
    """The whole page."""
    made = schema()
    parts = [_INTRODUCTION]
    for heading, name in _TABLES:
        model = made if name is None else made["$defs"][name]
        rows = [_row(key, found, model) for key, found in model["properties"].items() if not _is_table(found)]
        parts.append(f"## {heading}\n")
        if name is not None:
            parts.append(f"{model['description']}\n")
        parts.append("| key | value | default | SIGHUP | what it does |\n|---|---|---|---|---|\n" + "".join(rows))
    return "\n".join(parts)


def schema_text() -> str:
    """The schema as it lies in config/."""
    return json.dumps(schema(), indent=2, ensure_ascii=False) + "\n"


def _is_table(found: dict[str, Any]) -> bool:
    return "$ref" in found or "$ref" in found.get("additionalProperties", {}) or "$ref" in found.get("items", {})


def _row(key: str, found: dict[str, Any], model: dict[str, Any]) -> str:
    default = "" if found.get("default") is None else f"`{json.dumps(found['default'], ensure_ascii=False)}`"
    if key in model.get("required", []) or key == "path":
        default = "required"
    elif key in _INSTEAD:
        default = _INSTEAD[key]
    elif key == "properties":
        default = "`{}`"
    elif key == "stuck_after":
        default = "see below"
    sighup = "restart" if found.get("x-needs-restart") else "applied"
    cells = [f"`{key}`", _kind(found), default, sighup, found["description"]]
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |\n"


def _kind(found: dict[str, Any]) -> str:
    variants = [variant for variant in found.get("anyOf", [found]) if variant.get("type") != "null"]
    return " or ".join(_one_kind(variant) for variant in variants)


def _one_kind(found: dict[str, Any]) -> str:
    if "$ref" in found:
        return "table"
    if "enum" in found:
        return ", ".join(f"`{choice}`" for choice in found["enum"])
    if found["type"] == "array":
        return f"list of {_one_kind(found['items'])}"
    if found.get("format") == "path":
        return "path"
    words = {
        "string": "text",
        "number": "number",
        "integer": "whole number",
        "boolean": "true, false",
        "object": "table",
    }
    limits = [
        f"{sign} {found[name]:,.12g}"
        for sign, name in ((">", "exclusiveMinimum"), ("≥", "minimum"), ("≤", "maximum"))
        if name in found and abs(found[name]) <= 10**12
    ]
    return " ".join([words[found["type"]], ", ".join(limits)]).strip()


if __name__ == "__main__":
    PAGE.parent.mkdir(parents=True, exist_ok=True)
    PAGE.write_text(page(), encoding="utf-8")
    SCHEMA.write_text(schema_text(), encoding="utf-8")
