"""Generated files are fresh, the reference has every key with its default, and a reload tells what it does."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from hopperd.errors import ConfigurationError, CredentialsRefused, ExitCode, FolderIdentityError, LedgerInUse
from hopperd.settings import Settings, StuckAfter, changes, load, reference_text, reloaded, schema
from hopperd.settings.folder import Folder
from hopperd.settings.models import Account, Document, InspectionSettings, LogSettings, WebSettings
from hopperd.settings.sentences import keys
from hopperd.settings.telling import HistoryLimits, NoticesSettings
from tests.support.settings_page import PAGE, ROOT, SCHEMA, page, schema_text

REFERENCE = ROOT / "config" / "hopperd.toml"
TOKEN = {"HOPPERD_ACCOUNTS__MAIN__APPLICATION_TOKEN": "x"}
TABLES = [
    Document, WebSettings, LogSettings, InspectionSettings, HistoryLimits, NoticesSettings, Account, Folder, StuckAfter,
]  # fmt: skip
OTHER_TABLES = {"web", "log", "inspection", "history", "notices", "accounts", "folders", "application_token"}


def test_generated_files_are_fresh() -> None:
    stale = "is stale; run python -m tests.support.settings_page"
    assert PAGE.read_text(encoding="utf-8") == page(), f"docs/reference/settings.md {stale}"
    assert SCHEMA.read_text(encoding="utf-8") == schema_text(), f"config/hopperd.schema.json {stale}"


def test_the_reference_is_what_config_prints() -> None:
    assert reference_text() == REFERENCE.read_text(encoding="utf-8")


def test_the_reference_loads_without_a_warning_and_equals_the_defaults(tmp_path: Path) -> None:
    settings = load(REFERENCE, TOKEN)
    assert settings.warnings == ()
    least = tmp_path / "least.toml"
    least.write_text(
        '[accounts.main]\nlocation = "us"\napplication_id = "5dae591e91375010bcd78362"\n'
        'application_token_file = "/run/credentials/hopperd.service/main"\n'
        '[[folders]]\nname = "us"\npath = "/srv/invoices/us"\naccount = "main"\nregion = "US"\n'
    )
    assert load(least, TOKEN).model_copy(update={"path": settings.path}) == settings


@pytest.mark.parametrize("model", TABLES, ids=lambda model: model.__name__)
def test_the_reference_has_every_key_with_a_comment(model: Any) -> None:
    lines = reference_text().splitlines()
    for key in set(keys(model)) - OTHER_TABLES:
        if (model, key) == (Account, "name"):
            continue
        line = r"\[folders\.stuck_after\]" if key == "stuck_after" else rf"(# )?{key} = "
        at = [number for number, text in enumerate(lines) if re.match(line, text)]
        assert at, f"{key} is not in the reference"
        assert lines[at[0] - 1].startswith("# "), f"{key} has no comment in the reference"


def test_the_reference_marks_what_needs_a_restart() -> None:
    blocks = reference_text().split("\n\n")
    for model in set(TABLES) - {StuckAfter}:
        for key, name in keys(model).items():
            extra = model.model_fields[name].json_schema_extra
            restart = isinstance(extra, dict) and bool(extra.get("x-needs-restart"))
            found = [block for block in blocks if re.search(rf"^(# )?{key} = ", block, re.MULTILINE)]
            if found and (model, key) != (Account, "name"):
                assert any(("(restart)" in block) == restart for block in found), f"{key}: restart is {restart}"


@pytest.mark.parametrize("profile", sorted((ROOT / "config" / "profiles").glob("*.toml")), ids=lambda path: path.stem)
def test_each_profile_loads_without_a_warning(profile: Path) -> None:
    assert load(profile, {}, need_tokens=False).warnings == ()
    assert _faults(tomllib.loads(profile.read_text()), schema(), schema()) == []


def test_the_schema_accepts_the_reference_and_refuses_mistakes() -> None:
    document = tomllib.loads(reference_text())
    assert _faults(document, schema(), schema()) == []
    document["folders"][0]["region"] = "us"
    document["accounts"]["main"]["uploads_at_once"] = 0
    document["stte"] = "x"
    assert len(_faults(document, schema(), schema())) == 3
    assert "application_token" not in schema()["$defs"]["Account"]["properties"]


def test_importing_the_settings_does_not_load_the_heavy_parts() -> None:
    program = (
        "import sys, hopperd.settings;"
        "print([m for m in ('aiohttp', 'sqlalchemy', 'rich', 'typer', 'pydantic_settings') if m in sys.modules])"
    )
    made = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert made.stdout.strip() == "[]"


def test_exit_codes_are_those_of_the_commands() -> None:
    assert [code.value for code in ExitCode] == [0, 1, 2, 3, 4]
    codes = [error.exit_code for error in (ConfigurationError, LedgerInUse, FolderIdentityError, CredentialsRefused)]
    assert codes == [2, 3, 3, 4]


# --- SIGHUP -----------------------------------------------------------------------------------------------------------


def _changed(settings: Settings, *, account: dict[str, Any], folder: dict[str, Any], **top: Any) -> Settings:
    accounts = {"main": settings.accounts["main"].model_copy(update=account)}
    return settings.model_copy(
        update={"accounts": accounts, "folders": (settings.folders[0].model_copy(update=folder),), **top}
    )


def test_a_reload_names_what_it_applies_and_what_needs_a_restart() -> None:
    old = load(REFERENCE, TOKEN)
    assert changes(old, old) == ([], [])
    new = _changed(
        old,
        account={"requests_per_second": 3.0, "location": "eu"},
        folder={"on_doubt": "hold", "inbox": Path("/x")},
        stop_seconds=1.0,
        state=Path("/elsewhere"),
        log=LogSettings(level="debug", format="json"),
    )
    applied, needs_restart = changes(old, new)
    assert applied == ["stop_seconds", "log.level", "accounts.main.requests_per_second", "folders.us.on_doubt"]
    assert needs_restart == ["state", "log.format", "accounts.main.location", "folders.us.in"]
    now = reloaded(old, new)
    assert changes(old, now) == (applied, [])
    assert changes(now, new) == ([], needs_restart)


def test_a_reload_takes_a_new_token_and_never_shows_it(tmp_path: Path) -> None:
    old = load(REFERENCE, TOKEN)
    new = load(REFERENCE, dict.fromkeys(TOKEN, "new"))
    assert changes(old, new) == (["accounts.main.application_token"], [])
    assert reloaded(old, new).accounts["main"].application_token.get_secret_value() == "new"


def test_folders_and_accounts_come_and_go_only_with_a_restart() -> None:
    old = load(REFERENCE, TOKEN)
    new = old.model_copy(update={"accounts": {}, "folders": (old.folders[0].model_copy(update={"name": "eu"}),)})
    assert changes(old, new) == ([], ["accounts.main", "folders.us", "folders.eu"])
    assert reloaded(old, new) == old


# --- whatever the file holds ------------------------------------------------------------------------------------------

_WORDS = sorted({key for model in TABLES for key in keys(model)} | {"main", "us", "x", "application_token", ".hopperd"})
_NAMES = st.sampled_from(_WORDS) | st.text(max_size=5)
_VALUES = st.one_of(
    st.booleans(), st.integers(), st.floats(), st.text(max_size=8), st.dates(), st.sampled_from(_WORDS),
    st.sampled_from([10**400, -(10**30), "/srv/us", "/srv/us/in", "~nobody/x", "{stem", "a\0b", "http://[", "h:99999"]),
)  # fmt: skip
_DOCUMENTS = st.dictionaries(
    _NAMES,
    st.recursive(
        _VALUES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_NAMES, inner, max_size=6), max_leaves=20
    ),
    max_size=8,
)
_LIKELY = st.fixed_dictionaries(
    {},
    optional={
        "accounts": st.dictionaries(_NAMES, st.dictionaries(st.sampled_from(_WORDS), _VALUES, max_size=5), max_size=2),
        "folders": st.lists(st.dictionaries(st.sampled_from(_WORDS), _VALUES, max_size=8), max_size=3),
        "web": st.dictionaries(st.sampled_from(_WORDS), _VALUES, max_size=3),
    },
)
_ENVIRONMENTS = st.dictionaries(
    st.sampled_from(["ACCOUNTS__MAIN__", "FOLDERS__0__", "FOLDERS__US__", "WEB__", "", "FOLDERS__US__STUCK_AFTER__"])
    .flatmap(lambda start: st.sampled_from([f"HOPPERD_{start}{word.upper()}" for word in _WORDS]))
    .filter(lambda name: "\0" not in name),
    st.text(max_size=8) | st.sampled_from(["[1", "{a=1}", "1e999", "[" * 3000]),
    max_size=4,
)


@given(document=_DOCUMENTS | _LIKELY, environ=_ENVIRONMENTS)
@hypothesis_settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
def test_no_document_is_anything_but_settings_or_sentences(document: dict[str, Any], environ: dict[str, str]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("hopperd.settings.loading._read", lambda _file: document)
        try:
            loaded = load(Path("/etc/hopperd.toml"), environ)
        except ConfigurationError as error:
            assert error.problems
            assert str(error)
        else:
            assert changes(loaded, loaded) == ([], [])


@given(content=st.binary(max_size=200) | st.text(alphabet='[]{}="\\.#\n\r\t a1-:_\0', max_size=60).map(str.encode))
@hypothesis_settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
def test_no_bytes_are_anything_but_settings_or_sentences(content: bytes, tmp_path: Path) -> None:
    file = tmp_path / "hopperd.toml"
    file.write_bytes(content)
    try:
        load(file, {})
    except ConfigurationError as error:
        assert str(error).startswith(str(file))


# --- as much of JSON Schema as our schema uses ------------------------------------------------------------------------

_TYPES: dict[str, Any] = {
    "object": dict, "array": list, "string": str, "boolean": bool, "integer": int, "number": (int, float),
}  # fmt: skip
_USED = {
    "$ref", "$defs", "$schema", "title", "description", "default", "type", "enum", "anyOf", "properties", "required",
    "additionalProperties", "items", "minimum", "maximum", "exclusiveMinimum", "minLength", "maxLength", "minItems",
    "pattern", "format", "x-needs-restart",
}  # fmt: skip


def _faults(value: Any, part: dict[str, Any], root: dict[str, Any]) -> list[str]:
    assert set(part) <= _USED, f"teach this test {set(part) - _USED}"
    if "$ref" in part:
        return _faults(value, root["$defs"][part["$ref"].rpartition("/")[2]], root)
    if "anyOf" in part:
        every = [_faults(value, variant, root) for variant in part["anyOf"]]
        return [] if [] in every else every[0]
    kind = part["type"]
    if not isinstance(value, _TYPES[kind]) or (isinstance(value, bool) and kind != "boolean"):
        return [f"{value!r} is no {kind}"]
    faults = [] if value in part.get("enum", [value]) else [f"{value!r} is not in {part['enum']}"]
    if kind in {"integer", "number"}:
        low, high = part.get("minimum", value), part.get("maximum", value)
        if not (low <= value <= high and value > part.get("exclusiveMinimum", value - 1)):
            faults.append(f"{value!r} is out of bounds")
    if kind == "string" and not re.search(part.get("pattern", ""), value):
        faults.append(f"{value!r} does not match")
    if kind == "array":
        faults += [fault for entry in value for fault in _faults(entry, part["items"], root)]
    if kind == "object":
        faults += [f"{key} is missing" for key in part.get("required", []) if key not in value]
        for key, inner in value.items():
            rule = part.get("properties", {}).get(key, part.get("additionalProperties", True))
            faults += [f"{key} is unknown"] if rule is False else _faults(inner, rule, root)
    return faults
