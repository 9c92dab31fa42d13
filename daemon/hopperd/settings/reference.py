"""The commented reference and the JSON Schema, as `hopperd config` prints them."""

from importlib import resources
from pathlib import Path
from typing import Any

from hopperd.settings.models import Document
from hopperd.settings.sentences import NOT_IN_THE_FILE


def reference_text() -> str:
    """The reference configuration: every key with its comment and its default. Loads as it is, but for the token."""
    installed = resources.files("hopperd") / "reference.toml"
    if installed.is_file():
        return installed.read_text(encoding="utf-8")
    checkout = Path(__file__).resolve().parents[3] / "config" / "hopperd.toml"
    return checkout.read_text(encoding="utf-8")


def schema() -> dict[str, Any]:
    """The JSON Schema of the file, for editors: `#:schema ./hopperd.schema.json` in its first line."""
    made = Document.model_json_schema(mode="validation", by_alias=True)
    definitions = made["$defs"]
    for name in sorted(NOT_IN_THE_FILE["accounts"]):
        definitions["Account"]["properties"].pop(name)
        if name in definitions["Account"]["required"]:
            definitions["Account"]["required"].remove(name)
    definitions["Folder"]["properties"]["stuck_after"] = {
        "description": definitions["Folder"]["properties"]["stuck_after"]["description"],
        "anyOf": [{"type": "number", "exclusiveMinimum": 0}, {"$ref": "#/$defs/StuckAfter"}],
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "hopperd.toml",
        **{key: _without_null(value) for key, value in made.items() if key != "title"},
    }


def _without_null(part: Any) -> Any:
    """TOML knows no null: a key that may be left out is simply not required. Titles only repeat the keys."""
    if isinstance(part, list):
        return [_without_null(entry) for entry in part]
    if not isinstance(part, dict):
        return part
    if "anyOf" in part and {"type": "null"} in part["anyOf"]:
        rest = [variant for variant in part["anyOf"] if variant != {"type": "null"}]
        part = {**rest[0], **{key: value for key, value in part.items() if key not in {"anyOf", "default"}}}
    titled = isinstance(part.get("title"), str)
    return {key: _without_null(value) for key, value in part.items() if not (titled and key == "title")}
