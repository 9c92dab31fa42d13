"""What a person reads about a mistake: where it is, what is wrong, what would be right. Never a secret's value."""

from collections.abc import Callable, Iterable, Mapping
from difflib import get_close_matches
from typing import Any

from pydantic import BaseModel, ValidationError

from hopperd.settings.folder import Folder, StuckAfter
from hopperd.settings.models import Account, Document, InspectionSettings, LogSettings, WebSettings
from hopperd.settings.telling import HistoryLimits, NoticesSettings

Location = tuple[str | int, ...]
"""Where in the document, as `("folders", 0, "region")`."""

_TABLES: dict[str, type[BaseModel]] = {
    "web": WebSettings, "log": LogSettings, "inspection": InspectionSettings,
    "history": HistoryLimits, "notices": NoticesSettings, "accounts": Account, "folders": Folder,
}  # fmt: skip
NOT_IN_THE_FILE = {"accounts": {"name", "application_token"}}


def keys(model: type[BaseModel]) -> dict[str, str]:
    """Keys as they are written in the file → the field's name in Python."""
    return {str(field.validation_alias or name): name for name, field in model.model_fields.items()}


def nearest(word: str, known: Iterable[str], *, likeness: float = 0.6) -> str | None:
    """The known word that was probably meant; None if none is that near."""
    by_lower = {choice.lower(): choice for choice in known}
    found = get_close_matches(word.lower(), by_lower, n=1, cutoff=likeness)
    return by_lower[found[0]] if found else None


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """The end of a sentence about an unknown word: the right ones when they are few, else the nearest."""
    choices = list(known)
    if near := nearest(word, choices):
        return f'; did you mean "{near}"?'
    if len(choices) <= 8:
        return f"; known here: {', '.join(choices)}" if choices else ""
    return f'; the nearest known one is "{nearest(word, choices, likeness=0.0)}" (hopperd config prints all)'


def plain(number: float) -> str:
    """A limit as a person writes it: no exponent, no needless fraction."""
    return str(int(number)) if number == int(number) else str(number)


def shown(value: object) -> str:
    """A value in a sentence, cut short."""
    text = f'"{value}"' if isinstance(value, str) else repr(value)
    return text if len(text) <= 60 else f"{text[:57]}…"


def place(location: Location, document: Mapping[str, Any], origins: Mapping[Location, str]) -> str:
    """`[[folders]] "us", region`, and the environment variable if the value came from one."""
    words = _place(location, document)
    for length in range(len(location), 0, -1):
        if variable := origins.get(location[:length]):
            return f"{words} (from {variable})"
    return words


def _place(location: Location, document: Mapping[str, Any]) -> str:
    head, rest = location[0], location[1:]
    if head not in _TABLES:
        return str(head)
    where = f"[{head}]"
    if head == "accounts" and rest:
        where, rest = f"[accounts.{rest[0]}]", rest[1:]
    elif head == "folders" and rest and isinstance(rest[0], int):
        where, rest = _folder_place(rest[0], document), rest[1:]
    words = "".join(f", entry {part + 1}" if isinstance(part, int) else f", {part}" for part in rest)
    return where + words


def _folder_place(index: int, document: Mapping[str, Any]) -> str:
    folders = document.get("folders")
    table = folders[index] if isinstance(folders, list) and index < len(folders) else None
    name = table.get("name") if isinstance(table, dict) else None
    return f'[[folders]] "{name}"' if isinstance(name, str) and name else f"[[folders]] no. {index + 1}"


def model_at(location: Location) -> type[BaseModel]:
    """The table that a location lies in."""
    if location[:1] and location[0] in _TABLES:
        if "stuck_after" in location[1:-1]:
            return StuckAfter
        needed = 3 if location[0] in {"accounts", "folders"} else 2
        if len(location) >= needed:
            return _TABLES[str(location[0])]
    return Document


def translate(
    error: ValidationError, prefix: Location, document: Mapping[str, Any], origins: Mapping[Location, str]
) -> list[str]:
    """Pydantic's findings about one table as sentences of ours."""
    sentences = []
    for found in error.errors(include_url=False):
        location = prefix + found["loc"]
        if found["type"] == "default_factory_not_called":
            continue  # it only repeats that another key is wrong
        if sentence := _sentence(found, location):
            sentences.append(f"{place(location, document, origins)}: {sentence}")
    return sentences


def _sentence(found: Mapping[str, Any], location: Location) -> str:
    kind, limits, key = found["type"], found.get("ctx", {}), str(location[-1])
    if kind == "extra_forbidden":
        hidden = NOT_IN_THE_FILE.get(str(location[0]), set())
        return "unknown key" + did_you_mean(key, [name for name in keys(model_at(location)) if name not in hidden])
    if kind == "missing":
        field = model_at(location).model_fields.get(keys(model_at(location)).get(key, key))
        return f"is missing and has no default. {field.description if field else ''}".rstrip()
    if kind == "value_error":
        return str(limits["error"])
    if kind == "literal_error":
        return _not_a_choice(found["input"], str(limits["expected"]))
    if kind == "string_pattern_mismatch":
        return f"{shown(found['input'])} is no name: letters, digits, and . _ - after the first"
    template = _PLAIN.get(kind)
    return template(limits, found["input"]) if template else str(found["msg"])


def _not_a_choice(value: object, expected: str) -> str:
    choices = [choice.strip("'") for choice in expected.replace(" or ", ", ").split(", ")]
    near = nearest(value, choices) if isinstance(value, str) else None
    listed = ", ".join(f'"{choice}"' for choice in choices)
    return f"must be one of {listed}, not {shown(value)}" + (f'; did you mean "{near}"?' if near else "")


def _wrong_kind(wanted: str) -> Callable[[Mapping[str, Any], object], str]:
    return lambda _limits, value: f"must be {wanted}, not {_kind(value)}"


def _kind(value: object) -> str:
    return next((words for kind, words in _KINDS.items() if isinstance(value, kind)), "a date or time")


_KINDS: dict[type, str] = {
    bool: "true or false",  # first, since a bool is an int as well
    str: "text",
    int: "a number",
    float: "a number",
    list: "a list",
    dict: "a table",
}


def _whole(_limits: Mapping[str, Any], value: object) -> str:
    return f"must be a whole number, not {shown(value) if isinstance(value, float) else _kind(value)}"


_LIST, _TABLE = _wrong_kind("a list in [ ]"), _wrong_kind("a table")
_PLAIN: dict[str, Callable[[Mapping[str, Any], object], str]] = {
    "string_type": _wrong_kind("text in quotes"),
    "float_type": _wrong_kind("a number"),
    "int_type": _whole,
    "int_parsing_size": lambda _l, _v: "is far too large",
    "bool_type": _wrong_kind("true or false, without quotes"),
    "tuple_type": _LIST,
    "list_type": _LIST,
    "dict_type": _TABLE,
    "mapping_type": _TABLE,
    "model_type": _TABLE,
    "model_attributes_type": _TABLE,
    "finite_number": lambda _l, _v: "must be a finite number",
    "greater_than": lambda limits, value: f"must be greater than {plain(limits['gt'])}, not {shown(value)}",
    "greater_than_equal": lambda limits, value: f"must be at least {plain(limits['ge'])}, not {shown(value)}",
    "less_than_equal": lambda limits, value: f"must be at most {plain(limits['le'])}, not {shown(value)}",
    "string_too_short": lambda _l, _v: "must not be empty",
    "too_short": lambda _l, _v: "must not be empty",
    "string_too_long": lambda limits, _v: f"must not be longer than {limits['max_length']} characters",
    "string_unicode": lambda _l, _v: "must be valid Unicode text",
}
