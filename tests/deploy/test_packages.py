"""Wheel and source distribution hold what they should and nothing else, and the wheel works on each Python found."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest

from tests.deploy.root_fs import REPOSITORY, once

CLAIMED = ("3.11", "3.12", "3.13", "3.14")
NOT_CODE = {
    "hopperd/py.typed",
    "hopperd/reference.toml",
    "hopperd/systemd/hopperd.service",
    "hopperd/systemd/hopperd@.service",
    "hopperd/systemd/hopperd.service.d/10-back-off.conf",
    "hopperd/systemd/sysusers.d/hopperd.conf",
    "hopperd/systemd/tmpfiles.d/hopperd.conf",
}
SDIST_TOPS = {"daemon", "config", "tests", "docs", "deploy", "README.md", "CHANGELOG.md", "LICENSE", "pyproject.toml"}

pytestmark = [pytest.mark.timeout(900), pytest.mark.xdist_group("packages")]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return once(tmp_path_factory, "dist", _build)


def _build(folder: Path) -> None:
    """Both by the build backend itself, from what git does not ignore."""
    source = folder / "source"
    source.mkdir()
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=REPOSITORY,
        capture_output=True,
        check=True,
    ).stdout
    for name in filter(None, os.fsdecode(listed).split("\0")):
        if (REPOSITORY / name).is_file():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(REPOSITORY / name, source / name)
    build = "import sys, hatchling.build as b; b.build_wheel(sys.argv[1]); b.build_sdist(sys.argv[1])"
    subprocess.run([sys.executable, "-c", build, str(folder)], cwd=source, check=True, stdout=subprocess.DEVNULL)


def _names(built: Path) -> set[str]:
    with zipfile.ZipFile(next(built.glob("*.whl"))) as wheel:
        return set(wheel.namelist())


def test_the_wheel_holds_the_package_its_data_and_nothing_else(built: Path) -> None:
    names = {name for name in _names(built) if ".dist-info/" not in name}
    source = built / "source" / "daemon"
    package = {str(path.relative_to(source)) for path in (source / "hopperd").rglob("*") if path.is_file()}
    assert names == package | NOT_CODE
    odd = {name for name in names - NOT_CODE if not name.endswith(".py") and "/static/" not in name}
    assert not odd, "besides code, only page files belong into the package"
    meta = {name.partition(".dist-info/")[2] for name in _names(built) if ".dist-info/" in name}
    assert meta == {"METADATA", "WHEEL", "RECORD", "entry_points.txt", "licenses/LICENSE"}


def test_the_source_distribution_holds_what_builds_tests_and_documents_it(built: Path) -> None:
    with tarfile.open(next(built.glob("*.tar.gz"))) as archive:
        names = {name.split("/", 1)[1] for name in archive.getnames()}
    assert {name.split("/")[0] for name in names} == SDIST_TOPS | {"PKG-INFO", ".gitignore"}
    assert not [name for name in names if name.endswith(".pyc") or "__pycache__" in name]
    assert "deploy/container/Containerfile" in names
    assert "deploy/requirements.txt" in names


def test_the_version_stands_in_one_place(built: Path) -> None:
    from hopperd import __version__

    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    assert project["dynamic"] == ["version"]
    assert next(built.glob("*.whl")).name.startswith(f"hopperd-{__version__}-")


def test_every_python_we_claim_is_among_the_classifiers() -> None:
    classifiers = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]["classifiers"]
    prefix = "Programming Language :: Python :: "
    assert tuple(line.removeprefix(prefix) for line in classifiers if line.startswith(prefix)) == CLAIMED


@pytest.mark.parametrize("version", CLAIMED)
def test_the_wheel_works_in_a_clean_environment_on(version: str, built: Path, tmp_path: Path) -> None:
    python = _python(version)
    if python is None:
        pytest.skip(f"this machine has no Python {version}")
    wheel = next(built.glob("*.whl"))
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("HOPPERD_", "PYTHON"))}
    subprocess.run([python, "-m", "venv", "--without-pip", str(tmp_path / "venv")], check=True, env=clean)
    pip = [sys.executable, "-m", "pip", "--python", str(tmp_path / "venv/bin/python")]
    pip += ["-q", "--disable-pip-version-check", "install"]
    pinned = [
        "--no-compile",
        "--only-binary=:all:",
        "--require-hashes",
        "-r",
        str(REPOSITORY / "deploy/requirements.txt"),
    ]
    done = subprocess.run([*pip, *pinned], env=clean, capture_output=True, text=True)
    assert done.returncode == 0, f"the pinned set does not install on {version}: {done.stderr[-1500:]}"
    subprocess.run([*pip, "--no-deps", str(wheel)], check=True, env=clean)

    def hopperd(*arguments: str) -> str:
        command = [str(tmp_path / "venv/bin/hopperd"), *arguments]
        ran = subprocess.run(command, cwd=tmp_path, env=clean, capture_output=True, text=True, timeout=180)
        assert ran.returncode == 0, ran.stdout + ran.stderr
        return ran.stdout

    told = hopperd("--version")
    assert f"Python {version}." in told
    assert "SQLite 3." in told
    assert "aiohttp 3." in told
    assert hopperd("config") == (REPOSITORY / "config/hopperd.toml").read_text().rstrip() + "\n"
    dry = ["--dry-run", "--folder", "/srv/x", "--service", "us", "--application-id", "1"]
    assert "[Service]" in hopperd("install-service", *dry)
    if version == CLAIMED[0]:
        assert "2 of 2 delivered" in hopperd("demo", "--files", "2", "--dir", str(tmp_path / "demo"))


@pytest.mark.long
def test_pipx_installs_the_wheel_and_what_it_installs_delivers(built: Path, tmp_path: Path) -> None:
    """Long, for it installs all dependencies once more."""
    pipx = shutil.which("pipx")
    if pipx is None:
        pytest.skip("needs pipx, which this machine lacks")
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("HOPPERD_", "PYTHON"))}
    homes = {"PIPX_HOME": str(tmp_path / "home"), "PIPX_BIN_DIR": str(tmp_path / "bin")}
    pins = f"--constraint={_without_hashes(tmp_path)}"
    command = [pipx, "install", f"--python={sys.executable}", f"--pip-args={pins}", str(next(built.glob("*.whl")))]
    done = subprocess.run(command, env={**clean, **homes}, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    demo = [str(tmp_path / "bin/hopperd"), "demo", "--files", "1", "--dir", str(tmp_path / "demo")]
    ran = subprocess.run(demo, env=clean, capture_output=True, text=True, timeout=180)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "1 of 1 delivered" in ran.stdout


def _without_hashes(folder: Path) -> Path:
    """The pinned set as constraints, which may carry no hashes."""
    lines = (REPOSITORY / "deploy/requirements.txt").read_text().splitlines()
    plain = folder / "constraints.txt"
    plain.write_text("".join(line.rstrip(" \\") + "\n" for line in lines if not line.startswith(" ")))
    return plain


def _python(version: str) -> str | None:
    """A Python of this version that really starts."""
    places = [shutil.which(f"python{version}"), *map(str, Path.home().glob(f".pyenv/versions/{version}*/bin/python"))]
    for place in filter(None, places):
        told = subprocess.run([place, "-c", "import venv, sys; print(sys.version)"], capture_output=True, text=True)
        if told.returncode == 0 and told.stdout.startswith(f"{version}."):
            return place
    return None
