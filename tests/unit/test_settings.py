"""What the configuration may say, what it then means, and that every mistake is told at once in a sentence."""

import os
from pathlib import Path
from typing import Any

import pytest

from hopperd.errors import ConfigurationError, ExitCode
from hopperd.settings import Settings, load

ACCOUNT = '[accounts.main]\nlocation = "us"\napplication_id = "id"\n'
FOLDER = '[[folders]]\nname = "us"\npath = "/srv/us"\naccount = "main"\nregion = "US"\n'
TOKEN = {"HOPPERD_ACCOUNTS__MAIN__APPLICATION_TOKEN": "t0p-secret"}


@pytest.fixture
def write(tmp_path: Path) -> Any:
    def _write(text: str) -> Path:
        file = tmp_path / "hopperd.toml"
        file.write_text(text, encoding="utf-8")
        return file

    return _write


def problems(file: Path | None, environ: dict[str, str] | None = None) -> str:
    with pytest.raises(ConfigurationError) as raised:
        load(file, TOKEN if environ is None else environ)
    assert raised.value.exit_code == ExitCode.CONFIGURATION == 2
    return str(raised.value)


def test_the_least_configuration_gives_the_documented_defaults(write: Any) -> None:
    settings = load(write(ACCOUNT + FOLDER), TOKEN)
    assert (settings.state, settings.stop_seconds) == (Path("/var/lib/hopperd"), 30)
    assert settings.web.listen == "127.0.0.1:8756"
    account = settings.accounts["main"]
    assert (account.name, account.url) == ("main", "https://api-us.flexicapture.com")
    assert (account.requests_per_second, account.uploads_at_once, account.tasks_in_flight) == (10, 4, 200)
    assert account.application_token.get_secret_value() == "t0p-secret"
    folder = settings.folder("us")
    documented = {
        "export_format": "Xls", "verification_type": "NoVerification", "properties": {},
        "accept": ("pdf", "tiff", "jpeg", "png"), "group_by": "file", "order": "oldest", "priority": 0, "depth": 8,
        "events": "auto", "sweep_seconds": 30, "on_doubt": "resubmit", "on_duplicate": "skip", "keep_remote": False,
        "after": "keep", "done_days": 0, "quiet_seconds": 2, "empty_seconds": 60, "group_quiet_seconds": 30,
        "unreadable_seconds": 600,
        "on_other": "fail", "on_taken": "number", "doubts_allowed": 3, "duplicates_days": 1095,
        "export_name": "{stem}", "inbox": Path("/srv/us/in"), "work": Path("/srv/us/work"),
        "out": Path("/srv/us/out"), "done": Path("/srv/us/done"), "failed": Path("/srv/us/failed"),
    }  # fmt: skip
    assert {key: getattr(folder, key) for key in documented} == documented
    assert settings.warnings == ()


def test_settings_are_frozen(write: Any) -> None:
    settings = load(write(ACCOUNT + FOLDER), TOKEN)
    with pytest.raises(ValueError, match="frozen"):
        settings.folders[0].depth = 3  # type: ignore[misc]


def test_relative_paths_start_at_the_file(write: Any, tmp_path: Path) -> None:
    settings = load(write('state = "s"\n' + ACCOUNT + FOLDER.replace("/srv/us", "hot")), TOKEN)
    assert settings.state == tmp_path / "s"
    assert settings.folders[0].inbox == tmp_path / "hot" / "in"


def test_five_single_paths_need_no_root(write: Any) -> None:
    singles = "".join(f'{key} = "/x/{key}"\n' for key in ("in", "work", "out", "done", "failed"))
    folder = load(write(ACCOUNT + FOLDER.replace('path = "/srv/us"\n', "") + singles), TOKEN).folders[0]
    assert (folder.path, folder.inbox, folder.failed) == (None, Path("/x/in"), Path("/x/failed"))


def test_one_number_of_stuck_after_stands_for_every_stage(write: Any) -> None:
    one = load(write(ACCOUNT + FOLDER + "stuck_after = 5\n"), TOKEN).folders[0].stuck_after
    assert (one.of("claimed"), one.of("submitted"), one.of("done")) == (5, 5, None)
    table = load(write(ACCOUNT + FOLDER + "stuck_after = { submitted = 7 }\n"), TOKEN).folders[0].stuck_after
    assert (table.of("claimed"), table.of("submitted")) == (3600, 7)


STATE = os.path.join("/srv/us", "work", "state")

MISTAKES = [
    ('stop_seconds = "30"\n' + ACCOUNT + FOLDER, "stop_seconds: must be a number, not text"),
    ("stop_secnds = 3\n" + ACCOUNT + FOLDER, 'stop_secnds: unknown key; did you mean "stop_seconds"?'),
    ("free_space_bytes = -1\n" + ACCOUNT + FOLDER, "free_space_bytes: must be at least 0, not -1"),
    ("state = 3\n" + ACCOUNT + FOLDER, "state: must be a path in quotes"),
    ("web = 3\n" + ACCOUNT + FOLDER, "web]: must be a table"),
    ('[web]\nlisten = "8756"\n' + ACCOUNT + FOLDER, '[web], listen: must be "HOST:PORT"'),
    ('[web]\nlisten = "0.0.0.0:8756"\n' + ACCOUNT + FOLDER, "reachable from elsewhere; name a read_token_file"),
    ('[log]\nlevel = "warn"\n' + ACCOUNT + FOLDER, '[log], level: must be one of "debug", "info", "warning", "error"'),
    (ACCOUNT + "[folders]\n", "folders: must be written [[folders]], with two brackets"),
    ("[[accounts]]\n" + FOLDER, "accounts: must be tables, each under a heading like [accounts.main]"),
    (ACCOUNT + "concurency = 1\n" + FOLDER, "[accounts.main], concurency: unknown key; the nearest known one is "),
    (ACCOUNT + 'name = "x"\n' + FOLDER, "unknown key; an account's name stands in its heading"),
    (ACCOUNT + 'base_url = "http://127.0.0.1:1"\n' + FOLDER, "has both location and base_url"),
    (ACCOUNT.replace('location = "us"\n', "") + FOLDER, "[accounts.main], location: is missing; add location"),
    (ACCOUNT.replace('location = "us"', 'base_url = "x"') + FOLDER, 'must be an address like "https://host:port"'),
    (ACCOUNT + 'proxy = "http://u:p@h:1"\n' + FOLDER, "must not contain a user name or password"),
    (ACCOUNT.replace('"us"', '"uk"') + FOLDER, '[accounts.main], location: must be one of "us", "au", "eu"'),
    (ACCOUNT.replace('"id"', '""') + FOLDER, "[accounts.main], application_id: must not be empty"),
    (ACCOUNT + "requests_per_second = 0\n" + FOLDER, "requests_per_second: must be greater than 0, not 0"),
    (ACCOUNT + "requests_per_second = nan\n" + FOLDER, "requests_per_second: must be a finite number"),
    (ACCOUNT + "requests_per_second = true\n" + FOLDER, "requests_per_second: must be a number, not true or false"),
    (ACCOUNT + "uploads_at_once = 1.5\n" + FOLDER, "uploads_at_once: must be a whole number, not 1.5"),
    (ACCOUNT + FOLDER.replace('"main"', '"mian"'), 'account: there is no account "mian"; did you mean "main"?'),
    (ACCOUNT + FOLDER.replace('"US"', '"us"'), '"us"; did you mean "US"?'),
    (ACCOUNT + FOLDER.replace('region = "US"\n', ""), '[[folders]] "us", region: is missing and has no default'),
    (ACCOUNT + FOLDER.replace('path = "/srv/us"\n', ""), "path: is missing; name the root"),
    (ACCOUNT + FOLDER.replace('path = "/srv/us"\n', 'in = "/x"\n'), "or give work, out, done, failed as well"),
    (ACCOUNT + FOLDER.replace("/srv/us", "a\\u0000"), "path: must not contain a NUL character"),
    (ACCOUNT + FOLDER.replace('"us"', '"u/s"'), '"u/s" is no name: letters, digits'),
    (ACCOUNT + FOLDER.replace('name = "us"\n', ""), "[[folders]] no. 1, name: is missing"),
    (ACCOUNT + FOLDER + "inbox = '/x'\n", 'inbox: unknown key; the nearest known one is "in"'),
    (ACCOUNT + FOLDER + "doubts_alowed = 1\n", 'doubts_alowed: unknown key; did you mean "doubts_allowed"?'),
    (ACCOUNT + FOLDER + 'accept = ["pdf", "tif"]\n', 'accept, entry 2: must be one of'),
    (ACCOUNT + FOLDER + "accept = []\n", "accept: must not be empty"),
    (ACCOUNT + FOLDER + 'accept = "pdf"\n', "accept: must be a list in [ ], not text"),
    (ACCOUNT + FOLDER + 'keep_remote = "no"\n', "keep_remote: must be true or false, without quotes, not text"),
    (ACCOUNT + FOLDER + 'export_name = "{stm}"\n', 'export_name: does not know "{stm}"'),
    (ACCOUNT + FOLDER + 'export_name = "{stem"\n', "export_name: has a brace without its partner"),
    (ACCOUNT + FOLDER + 'export_name = "a/{stem}"\n', "export_name: must be a file name, not a path"),
    (ACCOUNT + FOLDER + 'include = [""]\n', "include, entry 1: must be a pattern"),
    (ACCOUNT + FOLDER + "stuck_after = {submited = 5}\n", 'submited: unknown key; did you mean "submitted"?'),
    (ACCOUNT + FOLDER + 'stuck_after = "5"\n', "stuck_after: must be a number of seconds, or a table"),
    (ACCOUNT + FOLDER + "properties = {region = 'x'}\n", "properties: region has a key of its own"),
    (ACCOUNT + FOLDER + "properties = {a = 3}\n", "properties, a: must be text in quotes, not a number"),
    (ACCOUNT + FOLDER + FOLDER.replace("/srv/us", "/srv/b"), '"us": 2 folders have this name'),
    (ACCOUNT + FOLDER + FOLDER.replace('"us"', '"b"'), '[[folders]] "b" has the same path as "us" (/srv/us)'),
    (ACCOUNT + FOLDER + FOLDER.replace('"us"', '"b"').replace("/srv/us", "/srv/us/in/b"), "lies inside"),
    (ACCOUNT + FOLDER + "out = '/srv/us/in/out'\n", "out (/srv/us/in/out) lies inside"),
    (ACCOUNT + FOLDER + "done = '/srv/us/x/../failed'\n", "is the same folder as"),
    (ACCOUNT + FOLDER + "work = '/srv/us/in/work'\n", "work (/srv/us/in/work) lies inside"),
    (f'state = "{STATE}"\n' + ACCOUNT + FOLDER, f"state ({STATE}) lies inside"),
    ("state = \n", "hopperd.toml: line 1, column 9: invalid value"),
    ("a = 1\n[web\n", "hopperd.toml: line 2, column"),
    ("x = " + "[" * 5000, "nested too deeply"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "sentence"), MISTAKES, ids=[sentence for _, sentence in MISTAKES])
def test_each_mistake_has_its_sentence(write: Any, text: str, sentence: str) -> None:
    assert sentence in problems(write(text))


def test_all_mistakes_are_told_at_once(write: Any) -> None:
    wrong = ACCOUNT.replace('"us"', '"uk"') + "concurency = 1\n" + FOLDER + "depth = -1\nout = '/srv/us/in/x'\n"
    said = problems(write("stop_secnds = 3\n" + wrong), {"HOPPERD_LOG__LEVEL": "loud", "HOPPERD_STATTE": "x"})
    assert "has 8 mistakes:" in said
    for word in ("stop_secnds", "uk", "concurency", "depth", "lies inside", "loud", "HOPPERD_STATTE", "no application"):
        assert word in said


def test_a_file_that_is_not_there_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "No such file" in problems(tmp_path / "none.toml")
    assert "cannot be read" in problems(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("hopperd.settings.loading.DEFAULT_PLACES", (Path("hopperd.toml"),))
    assert "no configuration found" in problems(None)


def test_the_file_is_found_in_the_current_folder(write: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    file = write(ACCOUNT + FOLDER)
    monkeypatch.chdir(file.parent)
    assert load(None, TOKEN).path == file


def test_text_that_is_not_utf_8_names_its_line(tmp_path: Path) -> None:
    file = tmp_path / "hopperd.toml"
    file.write_bytes(b'a = 1\nb = "\xff"\n')
    assert "line 2 is not UTF-8 text" in problems(file)


def test_authorities_that_cannot_be_used_are_said_before_anything_is_sent(write: Any, tmp_path: Path) -> None:
    (tmp_path / "empty.pem").write_text("no certificate")
    for name, why in (("none.pem", "cannot be read: No such file"), ("empty.pem", "holds no certificates in PEM form")):
        file = write(ACCOUNT + f'ca_file = "{name}"\n' + FOLDER)
        assert why in problems(file)
        assert load(file, {}, need_tokens=False).accounts["main"].ca_file == tmp_path / name


def test_links_and_hard_paths_to_one_folder_are_seen(write: Any, tmp_path: Path) -> None:
    (tmp_path / "a" / "in").mkdir(parents=True)
    (tmp_path / "b").symlink_to(tmp_path / "a")
    second = FOLDER.replace('"us"', '"b"').replace("/srv/us", str(tmp_path / "b"))
    assert "has the same path as" in problems(write(ACCOUNT + FOLDER.replace("/srv/us", str(tmp_path / "a")) + second))


def test_work_may_lie_in_the_inbox_under_its_own_name(write: Any) -> None:
    assert load(write(ACCOUNT + FOLDER + "work = '/srv/us/in/.hopperd'\n"), TOKEN).folders[0].work.name == ".hopperd"


def test_the_demo_s_state_beside_in_is_no_overlap(write: Any) -> None:
    load(write('state = "/srv/us/state"\n' + ACCOUNT + FOLDER), TOKEN)


def test_what_is_allowed_but_odd_is_warned_about(write: Any) -> None:
    account = ACCOUNT.replace('location = "us"', 'base_url = "http://capture.example"').replace('"id"', '"a:b"')
    odd = FOLDER + 'export_format = "Xlss"\nafter = "delete"\ndone_days = 3\n'
    spare = ACCOUNT.replace("main", "spare")
    token = {**TOKEN, "HOPPERD_ACCOUNTS__SPARE__APPLICATION_TOKEN": "x"}
    said = "\n".join(load(write(account + spare + odd), token).warnings)
    for word in ("not encrypted", "colon", 'did you mean "Xls"?', "done_days", "[accounts.spare]: no folder uses it"):
        assert word in said
    assert load(write(ACCOUNT + FOLDER + 'export_format = "csv"\n'), TOKEN).warnings == ()


def test_settings_can_be_built_in_a_test(tmp_path: Path) -> None:
    assert Settings(state=tmp_path).folders == ()


def test_the_default_environment_is_the_process_s(write: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("HOPPERD_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv(next(iter(TOKEN)), "from-process")
    account = load(write(ACCOUNT + FOLDER)).accounts["main"]
    assert account.application_token.get_secret_value() == "from-process"


# --- what is told outside ---------------------------------------------------------------------------------------------


def _with_hook(tmp_path: Path, keys: str, top: str = "") -> Path:
    file = tmp_path / "hopperd.toml"
    file.write_text(
        f'{top}\n[accounts.main]\nlocation = "us"\napplication_id = "x"\n'
        f'[[folders]]\nname = "us"\npath = "/srv/us"\naccount = "main"\nregion = "US"\n{keys}\n'
    )
    return file


def test_deliveries_over_the_web_need_a_secret_and_every_place_of_it_is_looked_at(tmp_path: Path) -> None:
    from hopperd.settings.letter_secrets import of_hook

    token = {"HOPPERD_ACCOUNTS__MAIN__APPLICATION_TOKEN": "t"}
    file = _with_hook(tmp_path, 'after_delivery_url = "https://erp.example/in"')
    with pytest.raises(ConfigurationError, match=r'"us", after_delivery_url: needs a secret'):
        load(file, token)
    variable = {"HOPPERD_FOLDERS__US__AFTER_DELIVERY_SECRET": "sixteen letters!"}
    settings = load(file, token | variable)
    assert of_hook(settings.folders[0], variable).secret == "sixteen letters!"
    assert "sixteen" not in repr(of_hook(settings.folders[0], variable))
    (tmp_path / "hook-us").write_text("another one of sixteen\n")
    credentials = {"CREDENTIALS_DIRECTORY": str(tmp_path)}
    assert of_hook(settings.folders[0], credentials).secret == "another one of sixteen"
    with pytest.raises(ConfigurationError, match="shorter than 16"):
        load(file, token | {"HOPPERD_FOLDERS__US__AFTER_DELIVERY_SECRET": "short"})


def test_a_hook_is_one_thing_and_a_digest_has_a_time_of_day(tmp_path: Path) -> None:
    keys = 'after_delivery_url = "https://erp.example/in"\nafter_delivery_command = ["true"]'
    with pytest.raises(ConfigurationError, match="stands beside after_delivery_url"):
        load(_with_hook(tmp_path, keys), {}, need_tokens=False)
    with pytest.raises(ConfigurationError, match='time of day like "07:00"'):
        load(_with_hook(tmp_path, "", '[notices]\ndigest_at = "7 am"'), {}, need_tokens=False)


def test_addresses_of_people_come_line_by_line_and_stay_unseen(tmp_path: Path) -> None:
    from hopperd.settings.letter_secrets import of_notices

    settings = load(_with_hook(tmp_path, ""), {}, need_tokens=False)
    environ = {"HOPPERD_NOTICES__ADDRESSES": "# people\njson://localhost\n\n  xml://localhost\n"}
    found = of_notices(settings.notices, environ)
    assert found.addresses == ("json://localhost", "xml://localhost")
    assert "localhost" not in repr(found)
