"""From a file and an environment to settings, or to every mistake at once."""

import os
import re
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import SecretStr, ValidationError

from hopperd.errors import ConfigurationError
from hopperd.settings import checks, tokens
from hopperd.settings.environment import layer, token_variable
from hopperd.settings.folder import Folder
from hopperd.settings.letter_secrets import Secrets, is_secret, of_hook, of_ledger, of_notices
from hopperd.settings.models import Account, Document, Settings
from hopperd.settings.overlaps import overlaps
from hopperd.settings.sentences import Location, place, translate
from hopperd.settings.table import Table
from hopperd.settings.values import resolve
from hopperd.settings.web_tokens import VARIABLES, web_tokens

DEFAULT_PLACES = (Path("hopperd.toml"), Path("/etc/hopperd/hopperd.toml"))
_LIMIT_BYTES = 4_194_304
_T = TypeVar("_T", bound=Table)


def load(path: Path | None, environ: Mapping[str, str] = os.environ, *, need_tokens: bool = True) -> Settings:
    """Read, layer and check the configuration; None looks into the default places.

    Commands that only read pass `need_tokens=False`: a token that cannot be had is then no mistake. Raises
    ConfigurationError with every mistake; whatever the file holds, nothing else.
    """
    file = _find(path)
    return _Loading(file, _read(file), environ, need_tokens=need_tokens).settings()


def state_folder(path: Path | None, environ: Mapping[str, str] = os.environ) -> Path | None:
    """Where the state folder is, whatever else is a mistake; None where not even that can be said."""
    try:
        file = _find(path)
        return _Loading(file, _read(file), environ, need_tokens=False).state()
    except ConfigurationError:
        return None


def mistakes_of(text: str, file: Path) -> list[str]:
    """Of a configuration that is not written yet, as if it stood in `file`; tokens are no matter."""
    try:
        _Loading(file, tomllib.loads(text), {}, need_tokens=False).settings()
    except ConfigurationError as error:
        return list(error.problems)
    return []


def _find(path: Path | None) -> Path:
    if path is not None:
        return path
    for candidate in DEFAULT_PLACES:
        if os.path.lexists(candidate):
            return candidate
    raise ConfigurationError(
        [
            "no configuration found: neither hopperd.toml here nor /etc/hopperd/hopperd.toml exists; write one "
            "(hopperd config > hopperd.toml gives a commented start), or name it with --config FILE"
        ]
    )


def _read(file: Path) -> dict[str, Any]:
    try:
        with open(file, "rb") as opened:
            content = opened.read(_LIMIT_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else "unusable name"
        sentence = f"cannot be read ({reason}); name another with --config FILE, or let this user read it"
        raise ConfigurationError([sentence], str(file)) from None
    if len(content) > _LIMIT_BYTES:
        raise ConfigurationError(["is larger than 4 MiB, which no configuration is"], str(file))
    try:
        return tomllib.loads(content.decode("utf-8-sig").replace("\r\n", "\n"))
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        sentence = f"line {line} is not UTF-8 text; save the file as UTF-8"
    except tomllib.TOMLDecodeError as error:
        sentence = _syntax(str(error), content.decode("utf-8-sig"))
    except (ValueError, RecursionError):
        sentence = "is no TOML that can be read: a number is too long, or brackets are nested too deeply"
    raise ConfigurationError([sentence], str(file))


def _syntax(message: str, text: str) -> str:
    found = re.search(r" \(at (?:line (\d+), column (\d+)|end of document)\)$", message)
    what = message[: found.start()] if found else message
    line = found[1] if found and found[1] else str(text.count("\n") + 1)
    column = f", column {found[2]}" if found and found[2] else ""
    return f"line {line}{column}: {what[:1].lower()}{what[1:]}; text stands in quotes, tables begin with [name]"


class _Loading:
    """One reading of one file: the document, and what has been found about it so far."""

    def __init__(self, file: Path, document: dict[str, Any], environ: Mapping[str, str], *, need_tokens: bool) -> None:
        self.file = file
        self.base = Path(os.path.abspath(file)).parent
        self.document = document
        self.environ = environ
        self.need_tokens = need_tokens
        self.problems: list[str] = []
        self.warnings: list[str] = []
        self.origins: dict[Location, str] = {}
        self.written_tokens: set[str] = set()

    def settings(self) -> Settings:
        self._refuse_written_secrets()
        unknown_variables = self._layer()
        top = self._validate(Document, {k: v for k, v in self.document.items() if k not in {"accounts", "folders"}}, ())
        web = self.document.get("web")
        self._web(web if isinstance(web, dict) else {}, top)
        accounts = self._accounts()
        folders = self._folders()
        self._letter_secrets(folders, top)
        self.problems += unknown_variables
        self.problems += overlaps(self._paths(), self._state(), self._own_files(accounts.values()))
        if self.problems or top is None:
            raise ConfigurationError(self.problems, str(self.file))
        if not folders:
            self.warnings.append("there is no [[folders]] table: nothing is watched")
        self.warnings += (f"[accounts.{name}]: no folder uses it" for name in checks.unused(accounts, folders))
        found = {name: getattr(top, name) for name in Document.model_fields}
        found |= {"accounts": accounts, "folders": tuple(folders)}
        return Settings.model_construct(**found, path=Path(os.path.abspath(self.file)), warnings=tuple(self.warnings))

    def state(self) -> Path | None:
        self._layer()
        return self._state()

    def _layer(self) -> list[str]:
        """Lay the environment over the file; variables that nobody knows are mistakes."""
        own = {n: text for n, text in self.environ.items() if n not in VARIABLES.values() and not is_secret(n)}
        self.origins, unknown_variables = layer(self.document, own)
        return unknown_variables

    def _refuse_written_secrets(self) -> None:
        accounts = self.document.get("accounts")
        for name, table in accounts.items() if isinstance(accounts, dict) else ():
            if isinstance(table, dict) and "application_token" in table:
                del table["application_token"]
                self.written_tokens.add(name)
                self.problems.append(
                    f"[accounts.{name}], application_token: a token never stands in the configuration; put it into "
                    f"the variable {token_variable(name)}, or into a file named by application_token_file, or into a "
                    f'systemd credential "{name}"; and take a new one, for this one has been written down'
                )

    def _validate(self, model: type[_T], table: Mapping[str, Any], where: Location) -> _T | None:
        try:
            return model.model_validate(table, context={"base": self.base}, by_alias=True, by_name=False)
        except ValidationError as error:
            self.problems += translate(error, where, self.document, self.origins)
            return None

    def _note(self, sentences: list[str], where: Location, findings: Iterable[checks.Finding]) -> None:
        for key, sentence in findings:
            location = where if key is None else (*where, key)
            sentences.append(f"{place(location, self.document, self.origins)}: {sentence}")

    def _web(self, table: Mapping[str, Any], top: Document | None) -> None:
        found = web_tokens(top.web, self.environ) if top is not None else None
        reads = "read_token_file" in table or (found is not None and bool(found.read.get_secret_value()))
        self._note(self.problems, ("web",), checks.web_mistakes(table, reads=reads))
        if found is not None and self.need_tokens:
            self._note(self.problems, ("web",), found.problems)
            self._note(self.warnings, ("web",), found.warnings)

    def _letter_secrets(self, folders: list[Folder], top: Document | None) -> None:
        if not self.need_tokens:
            return
        written = self.document.get("folders")
        tables = written if isinstance(written, list) else []
        names = [str(table.get("name")) if isinstance(table, dict) else "" for table in tables]
        found: list[tuple[Location, Secrets]] = [
            (("folders", names.index(folder.name)), of_hook(folder, self.environ)) for folder in folders
        ]
        if top is not None:
            found.append((("notices",), of_notices(top.notices, self.environ)))
            found.append(((), of_ledger(top, self.environ)))
        for where, secrets in found:
            self._note(self.problems, where, secrets.problems)
            self._note(self.warnings, where, secrets.warnings)

    def _accounts(self) -> dict[str, Account]:
        tables = self.document.get("accounts")
        if not isinstance(tables, dict):
            self.problems.append("accounts: must be tables, each under a heading like [accounts.main]")
            return {}
        accounts = {name: self._account(name, table) for name, table in tables.items()}
        return {name: account for name, account in accounts.items() if account is not None}

    def _account(self, name: str, table: object) -> Account | None:
        where: Location = ("accounts", name)
        if not isinstance(table, dict):
            self._note(self.problems, where, [(None, f"must be a table, under a heading [accounts.{name}]")])
            return None
        if "name" in table:
            self._note(self.problems, where, [("name", "unknown key; an account's name stands in its heading")])
        self._note(self.problems, where, checks.account_mistakes(table))
        token = self._token(name, table)
        account = self._validate(Account, {**table, "name": name, "application_token": SecretStr(token)}, where)
        if account is not None:
            self._note(self.warnings, where, checks.account_warnings(account))
            if self.need_tokens:  # the service is to be reached
                self._note(self.problems, where, checks.authorities_problem(account))
        return account

    def _token(self, name: str, table: Mapping[str, Any]) -> str:
        if from_environment := table.get("application_token"):
            return str(from_environment)
        written = table.get("application_token_file")
        try:
            file = resolve(written, self.base) if isinstance(written, str) else None
        except ValueError:
            return ""  # the path's own mistake is told where it is checked
        if written is not None and file is None:
            return ""
        found = tokens.find(name, file, self.environ)
        if self.need_tokens and found.problem and name not in self.written_tokens:
            self._note(self.problems, ("accounts", name), [(None, found.problem)])
        if found.warning:
            self._note(self.warnings, ("accounts", name), [(None, found.warning)])
        return found.token

    def _folders(self) -> list[Folder]:
        tables = self.document.get("folders")
        if not isinstance(tables, list):
            self.problems.append("folders: must be written [[folders]], with two brackets, once for each hot folder")
            return []
        folders = [self._folder(number, table) for number, table in enumerate(tables)]
        names = [table.get("name") for table in tables if isinstance(table, dict)]
        for name in dict.fromkeys(name for name in names if isinstance(name, str) and names.count(name) > 1):
            self.problems.append(
                f'[[folders]] "{name}": {names.count(name)} folders have this name; rename all but one'
            )
        return [folder for folder in folders if folder is not None]

    def _folder(self, number: int, table: object) -> Folder | None:
        where: Location = ("folders", number)
        if not isinstance(table, dict):
            self._note(self.problems, where, [(None, "must be a table, under a heading [[folders]]")])
            return None
        accounts = self.document.get("accounts")
        mistakes = list(checks.folder_mistakes(table, accounts if isinstance(accounts, dict) else {}))
        self._note(self.problems, where, mistakes)
        folder = self._validate(Folder, table, where)
        if folder is None or any(key == "path" for key, _ in mistakes):
            return None
        self._note(self.warnings, where, checks.folder_warnings(folder))
        return folder

    def _paths(self) -> list[Folder]:
        """The hot folders as far as their paths go, so that other mistakes do not hide a meeting of two."""
        wanted = {"name", "path", *checks.SINGLE_PATHS}
        tables = self.document.get("folders")
        folders = []
        for table in tables if isinstance(tables, list) else ():
            if isinstance(table, dict) and not any(key == "path" for key, _ in checks.folder_mistakes(table, {})):
                paths = {key: value for key, value in table.items() if key in wanted}
                folders.append(self._quietly(Folder, {"name": "unnamed", **paths, "account": "any", "region": "US"}))
        return [folder for folder in folders if folder is not None]

    def _state(self) -> Path | None:
        found = self._quietly(Document, {key: value for key, value in self.document.items() if key == "state"})
        return found.state if found else None

    def _quietly(self, model: type[_T], table: Mapping[str, Any]) -> _T | None:
        try:
            return model.model_validate(table, context={"base": self.base}, by_alias=True, by_name=False)
        except ValidationError:
            return None  # told already

    def _own_files(self, accounts: Iterable[Account]) -> list[tuple[str, Path]]:
        token_files = (
            (f"[accounts.{account.name}], application_token_file", account.application_token_file)
            for account in accounts
        )
        return [("the configuration", self.file), *((label, file) for label, file in token_files if file is not None)]
