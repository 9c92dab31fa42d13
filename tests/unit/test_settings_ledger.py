"""Where the ledger is, and that its password never stands in the configuration."""

from __future__ import annotations

from pathlib import Path

import pytest

from hopperd.errors import ConfigurationError
from hopperd.settings import Settings, load
from hopperd.settings.letter_secrets import of_ledger


def loaded(tmp_path: Path, text: str, environ: dict[str, str] | None = None) -> Settings:
    file = tmp_path / "hopperd.toml"
    file.write_text(text)
    return load(file, environ or {})


def test_without_a_word_it_is_the_file_in_the_state_folder(tmp_path: Path) -> None:
    settings = loaded(tmp_path, "")
    assert settings.ledger is None
    assert of_ledger(settings, {"HOPPERD_LEDGER_PASSWORD": "unused"}).secret == ""


@pytest.mark.parametrize(
    "address",
    [
        "postgresql://hopperd@db.example.com:5432/hopperd",
        "postgresql://hopperd@db.example.com/hopperd?sslmode=verify-full&sslrootcert=/etc/ssl/db.pem",
        "postgresql:///hopperd?host=/run/postgresql",
    ],
)
def test_an_address_is_taken_as_it_is(tmp_path: Path, address: str) -> None:
    assert loaded(tmp_path, f'ledger = "{address}"').ledger == address


@pytest.mark.parametrize("address", ["postgresql://u:pa55word@h/db", "postgresql://u@h/db?password=pa55word"])
def test_a_password_in_it_is_refused_and_not_repeated(tmp_path: Path, address: str) -> None:
    with pytest.raises(ConfigurationError, match="a password never stands in the configuration") as raised:
        loaded(tmp_path, f'ledger = "{address}"')
    assert "pa55word" not in str(raised.value)
    assert "HOPPERD_LEDGER_PASSWORD" in str(raised.value)


@pytest.mark.parametrize("address", ["sqlite:///x", "postgresql://h", "mysql://u@h/db", "postgresql://u@h:port/db", ""])
def test_what_is_no_address_of_a_ledger_is_said(tmp_path: Path, address: str) -> None:
    with pytest.raises(ConfigurationError, match="ledger: "):
        loaded(tmp_path, f'ledger = "{address}"')


def test_the_password_comes_from_the_first_place_that_has_one(tmp_path: Path) -> None:
    file, credentials = tmp_path / "password", tmp_path / "credentials"
    file.write_text("from a file\n")
    file.chmod(0o600)
    credentials.mkdir()
    (credentials / "ledger").write_text("from systemd\n")
    text = 'ledger = "postgresql://u@h/db"\n'
    environ = {"HOPPERD_LEDGER_PASSWORD": "from the environment", "CREDENTIALS_DIRECTORY": str(credentials)}
    named = loaded(tmp_path, text + f'ledger_password_file = "{file}"\n', environ)
    assert of_ledger(named, environ).secret == "from the environment"
    del environ["HOPPERD_LEDGER_PASSWORD"]
    assert of_ledger(named, environ).secret == "from a file"
    assert of_ledger(loaded(tmp_path, text, environ), environ).secret == "from systemd"
    assert of_ledger(loaded(tmp_path, text), {}).secret == ""
    missing = loaded(tmp_path, text + 'ledger_password_file = "nowhere"\n', {"HOPPERD_LEDGER_PASSWORD": "x"})
    assert of_ledger(missing, {}).problems[0][0] == "ledger_password_file"
    with pytest.raises(ConfigurationError, match="ledger_password_file"):
        loaded(tmp_path, text + 'ledger_password_file = "nowhere"\n')
