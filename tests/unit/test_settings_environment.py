"""The environment over the file, where tokens come from, and that no token is ever shown."""

import json
from pathlib import Path
from typing import Any

import pytest

from hopperd.errors import ConfigurationError
from hopperd.settings import load
from tests.unit.test_settings import ACCOUNT, FOLDER, TOKEN, problems

Env = dict[str, str]


@pytest.fixture
def write(tmp_path: Path) -> Any:
    def _write(text: str) -> Path:
        file = tmp_path / "hopperd.toml"
        file.write_text(text, encoding="utf-8")
        return file

    return _write


def test_any_key_can_be_set_in_the_environment(write: Any) -> None:
    environ: Env = {
        **TOKEN,
        "HOPPERD_STATE": "/var/other",
        "HOPPERD_STOP_SECONDS": "2.5",
        "HOPPERD_WEB__LISTEN": "",
        "HOPPERD_ACCOUNTS__MAIN__LOCATION": "eu",
        "HOPPERD_ACCOUNTS__MAIN__APPLICATION_ID": "12345",
        "HOPPERD_ACCOUNTS__MAIN__TRUST_ENV": "True",
        "HOPPERD_FOLDERS__US__REGION": "CA",
        "HOPPERD_FOLDERS__0__DEPTH": "3",
        "HOPPERD_FOLDERS__US__ACCEPT": '["pdf", "xml"]',
        "HOPPERD_FOLDERS__US__PROPERTIES": '{ a = "b" }',
        "HOPPERD_FOLDERS__US__IN": "/elsewhere",
        "HOPPERD_FOLDERS__US__STUCK_AFTER__SUBMITTED": "9",
    }
    settings = load(write(ACCOUNT + FOLDER), environ)
    account, folder = settings.accounts["main"], settings.folders[0]
    assert (settings.state, settings.stop_seconds, settings.web.listen) == (Path("/var/other"), 2.5, "")
    assert (account.location, account.application_id, account.trust_env) == ("eu", "12345", True)
    assert (folder.region, folder.depth, folder.accept) == ("CA", 3, ("pdf", "xml"))
    assert (folder.properties, folder.inbox) == ({"a": "b"}, Path("/elsewhere"))
    assert (folder.stuck_after.submitted, folder.stuck_after.claimed) == (9, 3600)


def test_names_with_other_signs_are_found(write: Any) -> None:
    text = ACCOUNT.replace("[accounts.main]", '[accounts."north-1.a"]') + FOLDER.replace('"main"', '"north-1.a"')
    environ = {"HOPPERD_ACCOUNTS__NORTH_1_A__APPLICATION_TOKEN": "x"}
    assert load(write(text), environ).accounts["north-1.a"].application_token.get_secret_value() == "x"


def test_a_variable_that_fits_two_accounts_is_refused(write: Any) -> None:
    text = ACCOUNT.replace("main", "a-b") + ACCOUNT.replace("[accounts.main]", '[accounts."a.b"]')
    assert 'fits "a-b" and "a.b"' in problems(write(text), {"HOPPERD_ACCOUNTS__A_B__LOCATION": "eu"})


def test_an_account_and_a_folder_can_stand_in_the_environment_alone(write: Any) -> None:
    environ = {
        **TOKEN,
        "HOPPERD_ACCOUNTS__MAIN__APPLICATION_ID": "id",
        "HOPPERD_ACCOUNTS__MAIN__LOCATION": "au",
        "HOPPERD_FOLDERS__0__NAME": "au",
        "HOPPERD_FOLDERS__0__PATH": "/srv/au",
        "HOPPERD_FOLDERS__0__ACCOUNT": "main",
        "HOPPERD_FOLDERS__AU__REGION": "AU",
    }
    with pytest.raises(ConfigurationError, match="HOPPERD_FOLDERS__AU__REGION"):
        load(write(""), environ)  # its name is not known before it is made
    environ["HOPPERD_FOLDERS__0__REGION"] = environ.pop("HOPPERD_FOLDERS__AU__REGION")
    assert load(write(""), environ).folder("au").account == "main"


def test_a_wrong_value_names_its_variable(write: Any) -> None:
    said = problems(write(ACCOUNT + FOLDER), {**TOKEN, "HOPPERD_FOLDERS__US__DEPTH": "many"})
    assert '[[folders]] "us", depth (from HOPPERD_FOLDERS__US__DEPTH): must be a whole number, not text' in said


@pytest.mark.parametrize(
    ("variable", "meant"),
    [
        ("HOPPERD_STOP_SECOND", "HOPPERD_STOP_SECONDS"),
        ("HOPPERD_ACCOUNTS__MIAN__LOCATION", "HOPPERD_ACCOUNTS__MAIN__LOCATION"),
        ("HOPPERD_ACCOUNT__MAIN__LOCATION", "HOPPERD_ACCOUNTS__MAIN__LOCATION"),
        ("HOPPERD_FOLDERS__1__REGION", "HOPPERD_FOLDERS__0__REGION"),
    ],
)
def test_an_unknown_variable_is_refused_with_the_nearest(write: Any, variable: str, meant: str) -> None:
    said = problems(write(ACCOUNT + FOLDER), {**TOKEN, variable: "us"})
    assert f"{variable}: unknown variable; did you mean {meant}?" in said


def test_an_orchestrator_s_own_variables_are_left_alone(write: Any) -> None:
    theirs = {
        "HOPPERD_SERVICE_HOST": "10.0.0.1",
        "HOPPERD_SERVICE_PORT": "8756",
        "HOPPERD_SERVICE_PORT_HTTP": "8756",
        "HOPPERD_PORT": "tcp://10.0.0.1:8756",
        "HOPPERD_PORT_8756_TCP_ADDR": "10.0.0.1",
        "HOPPERD_WEB_SERVICE_HOST": "10.0.0.1",
        "HOPPERD_WEB_PORT": "tcp://10.0.0.1:8756",
    }
    load(write(ACCOUNT + FOLDER), {**TOKEN, **theirs})


# --- tokens -----------------------------------------------------------------------------------------------------------


def token_of(file: Path, environ: Env) -> str:
    return load(file, environ).accounts["main"].application_token.get_secret_value()


def test_tokens_come_from_variable_then_file_then_credential(write: Any, tmp_path: Path) -> None:
    (tmp_path / "credentials").mkdir()
    (tmp_path / "credentials" / "main").write_text("from credential\r\n")
    (tmp_path / "token").write_text(" from file \n")
    (tmp_path / "token").chmod(0o600)
    environ = {"CREDENTIALS_DIRECTORY": str(tmp_path / "credentials")}
    plain = write(ACCOUNT + FOLDER)
    assert token_of(plain, environ) == "from credential"
    with_file = write(ACCOUNT + "application_token_file = 'token'\n" + FOLDER)
    assert token_of(with_file, environ) == " from file "
    assert token_of(with_file, {**environ, **TOKEN}) == "t0p-secret"
    (tmp_path / "token").unlink()
    assert token_of(with_file, environ) == "from credential"


def test_a_token_file_that_others_can_read_is_warned_about(write: Any, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("x")
    (tmp_path / "token").chmod(0o644)
    settings = load(write(ACCOUNT + "application_token_file = 'token'\n" + FOLDER), {})
    assert "can be read by every user of this machine" in "\n".join(settings.warnings)


@pytest.mark.parametrize(
    ("content", "said"), [(b"", "is empty"), (b"\xff", "is not text"), (b"x" * 70_000, "too long")]
)
def test_an_unusable_token_file_is_a_sentence(write: Any, tmp_path: Path, content: bytes, said: str) -> None:
    (tmp_path / "token").write_bytes(content)
    assert said in problems(write(ACCOUNT + "application_token_file = 'token'\n" + FOLDER), {})


def test_a_missing_token_is_a_mistake_unless_it_is_not_needed(write: Any) -> None:
    file = write(ACCOUNT + "application_token_file = '/nowhere/token'\n" + FOLDER)
    assert "cannot be read (No such file or directory)" in problems(file, {})
    assert load(file, {}, need_tokens=False).accounts["main"].application_token.get_secret_value() == ""
    said = problems(write(ACCOUNT + FOLDER), {})
    assert "HOPPERD_ACCOUNTS__MAIN__APPLICATION_TOKEN" in said
    assert 'systemd credential "main"' in said


@pytest.mark.parametrize("need_tokens", [True, False])
def test_a_token_in_the_file_is_refused_and_not_repeated(write: Any, need_tokens: bool) -> None:
    with pytest.raises(ConfigurationError) as raised:
        load(write(ACCOUNT + 'application_token = "WRITTEN"\n' + FOLDER), {}, need_tokens=need_tokens)
    assert "a token never stands in the configuration" in str(raised.value)
    assert "WRITTEN" not in str(raised.value) + repr(raised.value)
    assert len(raised.value.problems) == 1


def test_tokens_are_never_shown(write: Any) -> None:
    settings = load(write(ACCOUNT + FOLDER), TOKEN)
    shown = [repr(settings), str(settings), settings.model_dump_json(), json.dumps(settings.model_dump(), default=str)]
    assert not [text for text in shown if "t0p-secret" in text]
    assert "t0p-secret" not in problems(write(ACCOUNT + "uploads_at_once = 'x'\n" + FOLDER), TOKEN)
