"""`hopperd install-service`: unit, user, folders and a first configuration, after asking or from flags.

The files are those of deploy/systemd/, filled in. A configuration or token that is there already is never touched.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final

import typer

from hopperd.cli.terminal import note
from hopperd.errors import ConfigurationError, ExitCode, WorkFailed
from hopperd.settings import mistakes_of

BACK_OFF_SINCE: Final = 254
CONFIGURATION: Final = "/etc/hopperd/hopperd.toml"
REGIONS: Final = {"us": "US", "au": "AU", "eu": "EU"}
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_USER: Final = re.compile(r"[a-z_][a-z0-9_-]{0,30}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Answers:
    """What has to be known; the rest follows. `service` is a location (us, au, eu) or the address of a gateway."""

    command: tuple[str, ...]
    folders: tuple[Path, ...]
    service: str
    application_id: str
    token: str | None
    account: str = "main"
    region: str | None = None
    user: str = "hopperd"
    group: str = "invoices"
    back_off: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """One file to write. `keep`: what is there already stays; `secret`: its text is not shown."""

    path: str
    text: str
    mode: int = 0o644
    keep: bool = False
    secret: bool = False


def install_service(
    folder: Annotated[
        list[Path] | None, typer.Option("--folder", metavar="DIR", help="A hot folder's root; may be given again.")
    ] = None,
    service: Annotated[
        str | None,
        typer.Option("--service", metavar="WHERE", help="us, au, eu, or the address of a sandbox or gateway."),
    ] = None,
    application_id: Annotated[str | None, typer.Option("--application-id", metavar="ID")] = None,
    token_file: Annotated[
        Path | None, typer.Option("--token-file", metavar="FILE", help="A file with the token; - reads it from input.")
    ] = None,
    region: Annotated[str | None, typer.Option(help="US, AU, EU or CA. Default: that of the location.")] = None,
    account: Annotated[str, typer.Option(help="The account's name in the configuration.")] = "main",
    user: Annotated[str, typer.Option(help="The user hopperd runs as.")] = "hopperd",
    group: Annotated[str, typer.Option(help="The group of those who put invoices in.")] = "invoices",
    root: Annotated[Path, typer.Option("--root", metavar="DIR", help="Write below DIR, and start nothing.")] = Path(
        "/"
    ),
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be written; write nothing.")] = False,
) -> int:
    """Install the systemd service: unit, user, folders and a first configuration."""
    answers = Answers(
        command=_command(),
        folders=tuple(folder or _asked_folders()),
        service=service or _asked("Where is the service (us, au, eu, or an address)", "--service"),
        application_id=application_id or _asked("Application id", "--application-id"),
        token=_token(token_file, dry_run=dry_run or (root / f"etc/hopperd/tokens/{account}").exists()),
        account=account,
        region=region,
        user=user,
        group=group,
        back_off=_systemd_version() >= BACK_OFF_SINCE,
    )
    planned = plan(answers)
    if dry_run:
        for one in planned:
            _show(one)
        return ExitCode.FINE
    for one in planned:
        note(f"{_write(root, one):<10} {one.path}")
    if root == Path("/"):
        _apply()
    for line in _what_next(answers, root):
        note(line)
    return ExitCode.FINE


# ---------------------------------------------------------------------------------------------------------- answers


def _asked(question: str, flag: str) -> str:
    if not sys.stdin.isatty():
        raise ConfigurationError([f"{flag} is missing, and there is no terminal to ask at; give it"])
    return str(typer.prompt(question)).strip()


def _asked_folders() -> list[Path]:
    return [Path(part) for part in shlex.split(_asked("Hot folders, with blanks between them", "--folder"))]


def _token(file: Path | None, *, dry_run: bool) -> str | None:
    """The token, if one is needed. Never from the command line, where every user of the machine could read it."""
    if file is None:
        if dry_run or not sys.stdin.isatty():
            return None
        return str(typer.prompt("Application token (not shown)", hide_input=True)).strip()
    try:
        text = sys.stdin.read() if str(file) == "-" else file.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError([f"--token-file {file} cannot be read: {error}"]) from None
    token = text.strip("\r\n")
    if not token:
        raise ConfigurationError([f"--token-file {file} is empty; it must hold the token and nothing else"])
    return token


def _command() -> tuple[str, ...]:
    """How this very hopperd is started by somebody else."""
    script = Path(sys.executable).with_name("hopperd")
    return (str(script),) if os.access(script, os.X_OK) else (sys.executable, "-m", "hopperd")


def _systemd_version() -> int:
    try:
        told = subprocess.run(["systemctl", "--version"], capture_output=True, text=True, check=False).stdout  # noqa: S607
    except OSError:
        return 0
    found = re.match(r"systemd (\d+)", told)
    return int(found[1]) if found else 0


# ------------------------------------------------------------------------------------------------------------- plan


def plan(answers: Answers) -> list[Planned]:
    """Every file, in the order in which it is written. Raises ConfigurationError with every mistake."""
    if mistakes := _mistakes(answers):
        raise ConfigurationError(mistakes)
    configuration = _configuration(answers)
    if mistakes := mistakes_of(configuration, Path(CONFIGURATION)):
        raise ConfigurationError(mistakes)
    files = [
        Planned(path="/etc/systemd/system/hopperd.service", text=_unit(answers)),
        Planned(path="/etc/sysusers.d/hopperd.conf", text=_users(answers)),
        Planned(path="/etc/tmpfiles.d/hopperd.conf", text=_places(answers)),
        Planned(path=CONFIGURATION, text=configuration, mode=0o640, keep=True),
    ]
    if answers.back_off:
        text = template("hopperd.service.d/10-back-off.conf")
        files.insert(1, Planned(path="/etc/systemd/system/hopperd.service.d/10-back-off.conf", text=text))
    if answers.token is not None:
        token = Planned(
            path=f"/etc/hopperd/tokens/{answers.account}", text=answers.token + "\n", mode=0o600, keep=True, secret=True
        )
        files.append(token)
    return files


def _mistakes(answers: Answers) -> list[str]:
    mistakes = [
        f"--folder {path} must be an absolute path without blanks, quotes or % (it stands in the unit)"
        for path in answers.folders
        if not path.is_absolute() or re.search(r"[\s%\"'\\:]", str(path))
    ]
    names = [path.name for path in answers.folders]
    mistakes += [f"--folder: two of them would be called {name}" for name in {n for n in names if names.count(n) > 1}]
    mistakes += [
        f"--folder {path}: its name {path.name!r} cannot name a folder"
        for path in answers.folders
        if not _NAME.fullmatch(path.name)
    ]
    if answers.service not in REGIONS and not answers.service.startswith(("http://", "https://")):
        mistakes.append(f"--service {answers.service} is none of us, au, eu, and no address")
    if answers.service not in REGIONS and answers.region is None:
        mistakes.append("--region is needed where --service is an address: US, AU, EU or CA")
    mistakes += [
        f"{name!r} is no name of a user or group" for name in (answers.user, answers.group) if not _USER.fullmatch(name)
    ]
    if not _NAME.fullmatch(answers.account):
        mistakes.append(f"--account {answers.account} is no name: letters, digits, and . _ - after the first")
    if answers.command[0].startswith(("/home/", "/root/", "/run/user/")):
        mistakes.append(
            f"hopperd is installed at {answers.command[0]}, where the service may not look (ProtectHome); install it "
            "for all users, such as: python3 -m venv /opt/hopperd && /opt/hopperd/bin/pip install hopperd"
        )
    return mistakes


def template(name: str) -> str:
    """A file of deploy/systemd/, as it lies in the wheel or, in a checkout, in the repository."""
    for folder in (Path(__file__).parents[1] / "systemd", Path(__file__).parents[3] / "deploy" / "systemd"):
        if (folder / name).is_file():
            return (folder / name).read_text()
    raise WorkFailed(f"{name} is missing from this installation of hopperd; install it again")


def _unit(answers: Answers) -> str:
    parents = dict.fromkeys(str(path) for path in answers.folders)
    changes = {
        r"^ExecStart=\S+": f"ExecStart={shlex.join(answers.command)}",
        r"^User=.*": f"User={answers.user}",
        r"^Group=.*": f"Group={answers.user}",
        r"^SupplementaryGroups=.*": f"SupplementaryGroups={answers.group}",
        r"^ReadWritePaths=.*": "\n".join(f"ReadWritePaths=-{parent}" for parent in parents),
        r"^LoadCredential=.*": f"LoadCredential={answers.account}:/etc/hopperd/tokens/{answers.account}",
    }
    text = template("hopperd.service")
    for pattern, line in changes.items():
        text, count = re.subn(pattern, line.replace("\\", "\\\\"), text, flags=re.MULTILINE)
        if count != 1:
            raise WorkFailed(f"the unit of this installation has {count} lines like {pattern}; install hopperd again")
    return text


def _users(answers: Answers) -> str:
    lines = template("sysusers.d/hopperd.conf").replace("invoices -", f"{answers.group} -")
    lines = lines.replace("u hopperd ", f"u {answers.user} ").replace(
        "m hopperd invoices", f"m {answers.user} {answers.group}"
    )
    return lines.replace("usermod -aG invoices", f"usermod -aG {answers.group}")


def _places(answers: Answers) -> str:
    kept = [
        line
        for line in template("tmpfiles.d/hopperd.conf").splitlines()
        if not line.startswith(("#d ", "#a+ ", "d /srv"))
    ]
    text = "\n".join(kept).replace(" root hopperd ", f" root {answers.user} ") + "\n"
    text += f"z /etc/hopperd/hopperd.toml 0640 root {answers.user} -\n"
    acl = f"default:group::rwX,default:group:{answers.group}:rwX,default:mask::rwX"
    for path in answers.folders:
        text += f"d {path} 2770 {answers.user} {answers.group} -\na+ {path} - - - - {acl}\n"
    return text


def _configuration(answers: Answers) -> str:
    """The first configuration: what was asked, and nothing else."""
    where = "location" if answers.service in REGIONS else "base_url"
    region = answers.region or REGIONS[answers.service]
    text = f"""# Written by `hopperd install-service`. `hopperd config` prints every key with what it does, and
# `systemctl reload hopperd` applies what can change. The token stands in
# /etc/hopperd/tokens/{answers.account}, and systemd hands it over.
state = "/var/lib/hopperd"

[accounts.{answers.account}]
{where} = {json.dumps(answers.service)}
application_id = {json.dumps(answers.application_id)}
"""
    for path in answers.folders:
        text += f"""
[[folders]]
name = {json.dumps(path.name)}
path = {json.dumps(str(path))}
account = {json.dumps(answers.account)}
region = {json.dumps(region)}
"""
    return text


# ---------------------------------------------------------------------------------------------------------- effects


def _show(one: Planned) -> None:
    note(f"--- {one.path} (mode {one.mode:04o}{', kept if it is there' if one.keep else ''})")
    note(*(["[secret]"] if one.secret else one.text.split("\n")))


def _write(root: Path, one: Planned) -> str:
    """Whole or not at all; what happened in one word. Raises WorkFailed where it may not be written."""
    target = root / one.path.lstrip("/")
    try:
        before = target.read_text() if target.exists() else None
        if before is not None and (one.keep or before == one.text):
            return "kept"
        for missing in reversed([folder for folder in target.parents if not folder.exists()]):
            missing.mkdir(mode=0o700 if missing.name == "tokens" else 0o755)
        aside = target.with_name(f".{target.name}.new")
        aside.unlink(missing_ok=True)
        with open(os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(one.text)
            os.fchmod(file.fileno(), one.mode)
            os.fsync(file.fileno())
        os.rename(aside, target)
    except OSError as error:
        raise WorkFailed(
            f"{target} cannot be written ({error.strerror}); run it as root, or look at it with --dry-run"
        ) from None
    return "written" if before is None else "replaced"


def _apply() -> None:
    """Users and folders at once, and the unit made known where systemd runs."""
    commands = [["systemd-sysusers", "/etc/sysusers.d/hopperd.conf"]]
    commands.append(["systemd-tmpfiles", "--create", "/etc/tmpfiles.d/hopperd.conf"])
    if os.path.isdir("/run/systemd/system"):
        commands.append(["systemctl", "daemon-reload"])
    for command in commands:
        if shutil.which(command[0]) is None:
            raise WorkFailed(f"{command[0]} is missing: this machine has no systemd; use the container instead")
        done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 (fixed words)
        if done.returncode != 0:
            raise WorkFailed(f"{shlex.join(command)} failed: {done.stderr.strip()}")
        note(f"{'done':<10} {shlex.join(command)}")


def _what_next(answers: Answers, root: Path) -> Sequence[str]:
    credential = f"{answers.account}:/etc/hopperd/tokens/{answers.account}"
    lines = ["", "Next:"]
    if root != Path("/"):
        lines.append("  systemd-sysusers && systemd-tmpfiles --create && systemctl daemon-reload   (on that machine)")
    if answers.token is None:
        lines.append(
            f"  install -m 600 /dev/stdin /etc/hopperd/tokens/{answers.account}   (type the token, then Ctrl-D)"
        )
    return [
        *lines,
        f"  systemd-run -q --pipe --wait -p User={answers.user} -p SupplementaryGroups={answers.group} \\",
        f"    -p LoadCredential={credential} {shlex.join(answers.command)} \\",
        "    check --online --config /etc/hopperd/hopperd.toml",
        "  systemctl enable --now hopperd && systemctl status hopperd",
        f"  usermod -aG {answers.group} NAME   (for each person or program that puts invoices in)",
    ]
