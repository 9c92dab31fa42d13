"""A Debian root file system of our own making, with hopperd installed as its documents say.

What does not depend on our code (Debian itself, the wheels of the pinned set) is made once per machine and kept in the
user's cache; what does is made once per run, in the run's own temporary folder. What cannot be had here is a skip that
says why, remembered so that it is tried once only.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
RELEASE = "bookworm"
PACKAGES = "systemd,systemd-sysv,dbus,python3,python3-venv,ca-certificates,acl"
DEBIAN_SECONDS = 540
PINNED = REPOSITORY / "deploy" / "requirements.txt"
BUILD = REPOSITORY / "deploy" / "requirements-build.txt"
UNUSED_DAYS = 14


def once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], None]) -> Path:
    """A folder that `make` fills, shared by every worker of this run."""
    base = _shared(factory)
    target, made, skipped = base / name, base / f"{name}.made", base / f"{name}.skipped"
    with _locked(base / f"{name}.lock"):
        if skipped.exists():
            pytest.skip(skipped.read_text())
        if not made.exists():
            shutil.rmtree(target, ignore_errors=True)
            target.mkdir()
            try:
                make(target)
            except pytest.skip.Exception as reason:
                skipped.write_text(str(reason))
                raise
            made.touch()
    return target


def kept(factory: pytest.TempPathFactory, name: str, key: str, make: Callable[[Path], None]) -> Path:
    """As `once`, but kept on this machine from run to run for as long as `key` stays the same and somebody uses it."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "hopperd-tests"
    cache.mkdir(mode=0o700, parents=True, exist_ok=True)
    target = cache / f"{name}-{hashlib.sha256(key.encode()).hexdigest()[:16]}"

    def find_or_make(told: Path) -> None:
        with _locked(cache / f"{name}.lock"):
            _forget_the_unused(cache, name)
            if not target.exists():
                half = target.with_name(f"{target.name}.half")
                shutil.rmtree(half, ignore_errors=True)
                half.mkdir()
                try:
                    make(half)
                    half.rename(target)
                finally:
                    shutil.rmtree(half, ignore_errors=True)
            os.utime(target)
        (told / "path").write_text(str(target))

    return Path((once(factory, name, find_or_make) / "path").read_text())


def _forget_the_unused(cache: Path, name: str) -> None:
    for old in cache.glob(f"{name}-????????????????"):
        if old.stat().st_mtime < time.time() - UNUSED_DAYS * 86_400:
            shutil.rmtree(old)


def _shared(factory: pytest.TempPathFactory) -> Path:
    """The temporary folder of the whole run, whatever worker asks."""
    base = factory.getbasetemp()
    return base.parent if os.environ.get("PYTEST_XDIST_WORKER") else base


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def needs(*programs: str) -> None:
    """Skip unless we are root and have these programs."""
    if os.geteuid() != 0:
        pytest.skip(f"needs root, to run {', '.join(programs)}")
    missing = [program for program in programs if shutil.which(program) is None]
    if missing:
        pytest.skip(f"needs {', '.join(missing)}, which this machine lacks")


def debian(factory: pytest.TempPathFactory) -> Path:
    """A minimal Debian with systemd and Python. Not to be changed: copy it."""
    needs("mmdebstrap", "apt-get")
    return kept(factory, "debian", f"{RELEASE} {PACKAGES}", _make_debian)


def _make_debian(root: Path) -> None:
    told = subprocess.run(
        ["apt-get", "indextargets", "--format", "$(REPO_URI) $(CODENAME) $(COMPONENT)", "Created-By: Packages"],
        capture_output=True,
        text=True,
        check=False,
    )
    mirrors = [line.split()[0] for line in told.stdout.splitlines() if line.split()[1:] == [RELEASE, "main"]]
    if not mirrors:
        pytest.skip(f"no package source of Debian {RELEASE} is configured here")
    options = ["--quiet", "--variant=minbase", "--format=directory", f"--include={PACKAGES}"]
    # apt's own user may not look into the cache of root.
    command = ["mmdebstrap", *options, '--aptopt=APT::Sandbox::User "root"', RELEASE, str(root), mirrors[0]]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=DEBIAN_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        pytest.skip(f"mmdebstrap did not end within {DEBIAN_SECONDS} s")
    if done.returncode != 0:
        pytest.skip(f"mmdebstrap does not work here: {done.stdout[-300:]}{done.stderr[-300:]}")


def wheels(factory: pytest.TempPathFactory) -> Path:
    """The wheels of the pinned set and of what builds our own, for the Python of that Debian."""
    return kept(factory, "wheels", PINNED.read_text() + BUILD.read_text(), _download)


def _download(folder: Path) -> None:
    options = ["--only-binary=:all:", "--python-version", "3.11", "--no-deps", "--dest", str(folder)]
    files = [part for path in (PINNED, BUILD) for part in ("-r", str(path))]
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "-q"]
    done = subprocess.run([*pip, "download", *options, *files], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.skip(f"the pinned wheels cannot be had here: {done.stderr[-300:]}")


def _with_pinned_set(factory: pytest.TempPathFactory) -> Path:
    """That Debian with the pinned set in /opt/hopperd."""
    base, packages = debian(factory), wheels(factory)

    def install(root: Path) -> None:
        copy_tree(base, root)
        shutil.copytree(packages, root / "wheels")
        shutil.copy(PINNED, root / "wheels")
        run_in(root, f"python3 -m venv /opt/hopperd && {PIP} --require-hashes -r /wheels/requirements.txt")
        shutil.rmtree(root / "wheels")

    return kept(factory, "debian-pinned", f"{base} {packages} {PIP}", install)


PIP = "/opt/hopperd/bin/pip -q --disable-pip-version-check install --no-index --find-links /wheels"


def with_hopperd(factory: pytest.TempPathFactory, root: Path) -> None:
    """Fill `root` with that Debian and hopperd in /opt/hopperd, from the wheel."""
    copy_tree(_with_pinned_set(factory), root)
    (root / "wheels").mkdir()
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "-q"]
    build = ["wheel", "--no-build-isolation", "--no-deps", "--wheel-dir", str(root / "wheels"), str(REPOSITORY)]
    subprocess.run([*pip, *build], check=True)
    run_in(root, f"{PIP} --no-deps hopperd")
    shutil.rmtree(root / "wheels")


def copy_tree(source: Path, target: Path) -> None:
    subprocess.run(["cp", "-a", "--reflink=auto", f"{source}/.", str(target)], check=True)


def run_in(root: Path, script: str) -> None:
    """A shell script inside a root file system."""
    environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root", "LANG": "C.UTF-8"}
    done = subprocess.run(
        ["chroot", str(root), "sh", "-c", script], capture_output=True, text=True, env=environment, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
