"""The documents: built as a site with every link checked, and their commands run as they stand.

Each block of `sh` in the tutorial and the how-to guides is run, in order, in a folder of its own with a running
hopperd; or the line above it says why not: `<!-- not run: … -->`.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import re
import signal
import socket
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.deploy.root_fs import REPOSITORY
from tests.support.line import environment

DOCS = REPOSITORY / "docs"
PAGES = [DOCS / "tutorial.md", *sorted((DOCS / "how-to").glob("*.md"))]
BLOCK = re.compile(r"^(?P<indent> *)```sh\n(?P<text>.*?)^(?P=indent)```$", re.MULTILINE | re.DOTALL)
NOT_RUN = re.compile(r"<!-- not run: \S.{10,} -->\s*$")

RUNNING = """
umask 077
hopperd sandbox --port 8765 --application my-application:my-token --processing-seconds 0.1-0.3 > sandbox.log 2>&1 &
echo my-token > token
cat > hopperd.toml <<END
state = "$PWD/state"
[web]
listen = ""
[accounts.main]
base_url = "http://127.0.0.1:8765"
application_id = "my-application"
application_token_file = "token"
[[folders]]
name = "us"
path = "$PWD/invoices"
account = "main"
region = "US"
quiet_seconds = 0.3
END
mkdir -p invoices/in
python -c "import sys; from hopperd.invoices.samples import small_pdf as p; open('first', 'wb').write(p('INV-1'))"
mv first invoices/in/first.pdf
until grep -q listening sandbox.log; do sleep 0.1; done
hopperd run --config "$PWD/hopperd.toml" > hopperd.log 2>&1 &
daemon=$!
until ls invoices/out/first.* > /dev/null 2>&1 && hopperd list | grep -q done; do sleep 0.2; done
"""

pytestmark = pytest.mark.timeout(300)


@dataclass(frozen=True)
class Block:
    """One block of commands, and whether the page says why it is not run."""

    text: str
    is_run: bool


def blocks(page: Path) -> list[Block]:
    text = page.read_text()
    found = []
    for match in BLOCK.finditer(text):
        indent = len(match["indent"])
        lines = [line[indent:] for line in match["text"].splitlines()]
        found.append(Block("\n".join(lines), NOT_RUN.search(text[: match.start()]) is None))
    return found


RUN = [page for page in PAGES if any(block.is_run for block in blocks(page))]


@pytest.mark.parametrize("page", RUN, ids=lambda page: page.stem)
def test_the_commands_of_a_page_do_what_it_says(page: Path, tmp_path: Path) -> None:
    script = "\n".join(block.text for block in blocks(page) if block.is_run)
    preamble = "" if page.stem == "tutorial" else RUNNING
    script = f"set -e\n{preamble}\n{script}\n".replace("8765", str(_free_port()))
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    with (tmp_path / "said.txt").open("wb") as said:
        shell = subprocess.Popen(
            ["bash", "-c", script],
            cwd=tmp_path,
            env={**environment(), "PATH": path, "HOPPERD_WEB__LISTEN": ""},
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            code = shell.wait(timeout=100)
        finally:
            with contextlib.suppress(ProcessLookupError):  # nothing of it is left
                os.killpg(shell.pid, signal.SIGKILL)
            shell.wait()
    logs = [path.read_text(errors="replace")[-1500:] for path in sorted(tmp_path.glob("*.log"))]
    assert code == 0, "\n".join([(tmp_path / "said.txt").read_text(errors="replace")[-3000:], *logs])


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def test_every_how_to_the_operator_was_promised_is_there() -> None:
    promised = {"scanner-share", "network-mounts", "several-accounts", "verification", "upgrade", "ledger", "move"}
    promised |= {"several-nodes", "monitor", "proxy", "stuck-invoice", "install", "container", "kubernetes"}
    assert promised <= {page.stem for page in PAGES}


def test_every_toml_table_shown_is_taken_by_the_daemon(tmp_path: Path) -> None:
    from hopperd.settings import load

    account = '[accounts.main]\nlocation = "us"\napplication_id = "x"\n'
    folder = '[[folders]]\nname = "f"\npath = "/srv/f"\naccount = "{}"\nregion = "US"\n'
    for page in PAGES:
        for text in re.findall(r"^ *```toml\n(.*?)^ *```$", page.read_text(), re.MULTILINE | re.DOTALL):
            config = "\n".join(line.strip() for line in text.splitlines())
            names = re.findall(r"^\[accounts\.(\w+)\]", config, re.MULTILINE)
            if "[[folders]]" not in config:
                config += "\n" + "".join(
                    folder.format(name).replace('"f"', f'"{name}"').replace("/f", f"/{name}") for name in names
                )
            if not names:
                config = account + config
            (tmp_path / "hopperd.toml").write_text(config)
            load(tmp_path / "hopperd.toml", environ={}, need_tokens=False)


def test_the_site_builds_without_a_broken_link(tmp_path: Path) -> None:
    if importlib.util.find_spec("mkdocs") is None or importlib.util.find_spec("material") is None:
        pytest.skip("needs mkdocs and mkdocs-material")
    command = [sys.executable, "-m", "mkdocs", "-q", "build", "--strict", "--site-dir", str(tmp_path / "site")]
    clean = {**os.environ, "NO_MKDOCS_2_WARNING": "1", "DISABLE_MKDOCS_2_WARNING": "true"}
    done = subprocess.run([*command, "-f", str(REPOSITORY / "mkdocs.yml")], env=clean, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "site/tutorial/index.html").exists()
    loaded = re.findall(
        r'<(?:script|link)[^>]+(?:src|href)="(https?:[^"]+)"', (tmp_path / "site/index.html").read_text()
    )
    assert not loaded, "the site loads nothing from elsewhere"
