"""The container: built without an engine from a base of our own, run without root on a read-only root file system."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.deploy.root_fs import REPOSITORY, debian, needs, once, wheels

FOLDER = REPOSITORY / "deploy" / "container"
USER = "64000:64000"
MOST_BYTES = 190_000_000

pytestmark = [pytest.mark.timeout(1200), pytest.mark.xdist_group("root-fs")]


def test_the_containerfile_has_no_findings_of_its_linter() -> None:
    linter = shutil.which("hadolint") or shutil.which("hadolint", path=str(Path(sys.executable).parent))
    if linter is None:
        pytest.skip("needs hadolint, which this machine lacks")
    done = subprocess.run([linter, "--no-color", str(FOLDER / "Containerfile")], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_compose_file_keeps_hopperd_as_narrow_as_the_image_allows() -> None:
    yaml = pytest.importorskip("yaml", reason="needs PyYAML")
    services = yaml.safe_load((FOLDER / "compose.yaml").read_text())["services"]
    for service in services.values():
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
    for volume in services["hopperd"]["volumes"]:
        source = volume.split(":")[0]
        if source.endswith((".toml", ".token")):
            assert (FOLDER / source).is_file(), f"{source} is mounted and does not exist"


# ---------------------------------------------------------------------------------------------------- a real build


class Image:
    """One built image: its configuration, and its files mounted."""

    def __init__(self, folder: Path) -> None:
        self.root = Path((folder / "mounted").read_text())
        self.config: dict[str, Any] = json.loads((folder / "config.json").read_text())

    def command(self, *arguments: str) -> list[str]:
        return [*self.config["Entrypoint"], *(arguments or self.config["Cmd"])]


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Image]:
    needs("buildah", "unshare", "chroot")
    base, packages = debian(tmp_path_factory), wheels(tmp_path_factory)
    yield Image(once(tmp_path_factory, "image", lambda folder: _build(folder, base, packages)))


def _build(folder: Path, base: Path, packages: Path) -> None:
    def buildah(*arguments: str) -> str:
        places = ["--root", str(folder / "storage"), "--runroot", str(folder / "run"), "--storage-driver", "vfs"]
        environment = {**os.environ, "BUILDAH_ISOLATION": "chroot", "TMPDIR": str(folder)}
        done = subprocess.run(["buildah", *places, *arguments], capture_output=True, text=True, env=environment)
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
        return done.stdout.strip().splitlines()[-1] if done.stdout.strip() else ""

    scratch = buildah("from", "scratch")
    subprocess.run(["cp", "-a", f"{base}/.", buildah("mount", scratch)], check=True)
    buildah("commit", "-q", "--rm", scratch, "localhost/base")
    (folder / "pip.conf").write_text("[global]\nno-index = true\nfind-links = /wheels\n")
    buildah(
        *("bud", "--isolation", "chroot", "--layers=false", "--build-arg", "BASE=localhost/base"),
        *("--secret", f"id=pip.conf,src={folder / 'pip.conf'}", "--volume", f"{packages}:/wheels:ro"),
        *("-f", str(FOLDER / "Containerfile"), "-t", "localhost/hopperd", str(REPOSITORY)),
    )
    made = buildah("from", "--pull-never", "localhost/hopperd")
    described = subprocess.run(
        ["buildah", "--root", str(folder / "storage"), "--runroot", str(folder / "run"), "--storage-driver", "vfs",
         "inspect", "--type", "image", "localhost/hopperd"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    (folder / "config.json").write_text(json.dumps(json.loads(described.stdout)["OCIv1"]["config"]))
    (folder / "mounted").write_text(buildah("mount", made))


def _start(image: Image, volume: Path, *arguments: str) -> subprocess.Popen[str]:
    """As an engine would: process 1 of its own, the image's user, a read-only root, /tmp and one volume writable."""
    uid, _, gid = image.config["User"].partition(":")
    for folder in (volume, volume / "invoices", volume / "state"):
        folder.mkdir(exist_ok=True)
        os.chown(folder, int(uid), int(gid))
    root = image.root
    script = f"""
    set -e
    mount --make-rprivate / && mount --bind {root} {root} && mount -o remount,bind,ro {root}
    mount -t proc proc {root}/proc && mount -t tmpfs tmpfs {root}/tmp && mount --bind /dev {root}/dev
    mount --bind {volume}/invoices {root}/srv/invoices && mount --bind {volume}/state {root}/var/lib/hopperd
    exec chroot --userspec={uid}:{gid} {root} "$@"
    """
    variables = dict(line.split("=", 1) for line in image.config["Env"])
    return subprocess.Popen(
        ["unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-c", script, "sh", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={"HOME": "/tmp", "LANG": "C.UTF-8", **variables},
    )


def _process_1(outside: subprocess.Popen[str]) -> int:
    return int(Path(f"/proc/{outside.pid}/task/{outside.pid}/children").read_text().split()[0])


@pytest.mark.long
def test_the_demo_in_the_image_delivers_without_root_on_a_read_only_root(image: Image, tmp_path: Path) -> None:
    with _start(image, tmp_path / "v", *image.command("demo", "--dir", "/srv/invoices/demo", "--files", "3")) as demo:
        said, _ = demo.communicate(timeout=180)
    assert demo.returncode == 0, said
    assert "3 of 3 delivered" in said
    assert len(list((tmp_path / "v/invoices/demo/out").glob("*.xlsx"))) == 3
    owners = {path.stat().st_uid for path in (tmp_path / "v/invoices/demo").rglob("*")}
    assert owners == {64000}


@pytest.mark.long
def test_signals_reach_the_daemon_as_process_1_and_its_health_is_told(image: Image, tmp_path: Path) -> None:
    volume = tmp_path / "v"
    (volume / "invoices").mkdir(parents=True)
    text = (FOLDER / "hopperd.toml").read_text().replace("/run/secrets/main", "/srv/invoices/token")
    (volume / "invoices/hopperd.toml").write_text(text.replace('path = "/srv/invoices"', 'path = "/srv/invoices/us"'))
    (volume / "invoices/token").write_text("demo-token")
    os.chown(volume / "invoices/token", 64000, 64000)
    arguments = image.command("run", "--config", "/srv/invoices/hopperd.toml")
    with _start(image, volume, *arguments) as daemon:
        try:
            _wait_for(lambda: (volume / "state/control.sock").exists())
            inside = _process_1(daemon)
            uids = [
                line.split()[1:] for line in Path(f"/proc/{inside}/status").read_text().splitlines() if "Uid:" in line
            ]
            assert uids == [["64000"] * 4]
            assert Path(f"/proc/{inside}/cmdline").read_bytes().split(b"\0")[1].endswith(b"/hopperd"), (
                "no shell between"
            )
            command = _health_command().replace("hopperd status", "hopperd status --config /srv/invoices/hopperd.toml")
            health = [
                "nsenter",
                "-t",
                str(inside),
                "-m",
                "-p",
                "-r",
                "--setuid",
                "64000",
                "--setgid",
                "64000",
                "sh",
                "-c",
            ]
            done = subprocess.run([*health, command], env={"PATH": "/opt/hopperd/bin:/usr/bin:/bin"})
            assert done.returncode == 0, "the health check must hold while it runs"
            os.kill(inside, signal.SIGTERM)
            said, _ = daemon.communicate(timeout=60)
        finally:
            with contextlib.suppress(ProcessLookupError):
                daemon.kill()
    assert '"event": "stopped"' in said
    assert daemon.returncode == 0


def _health_command() -> str:
    """From the file: images in the OCI format do not carry the line; engines that build in their own format do."""
    lines = (FOLDER / "Containerfile").read_text().partition("HEALTHCHECK")[2].splitlines()
    shell, _, command = json.loads(lines[1].strip().removeprefix("CMD "))
    assert shell == "sh"
    return str(command)


def _wait_for(happened: Any, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < deadline, f"did not happen within {seconds} s"
        time.sleep(0.05)


@pytest.mark.long
def test_the_image_holds_hopperd_and_no_tool_to_build_or_install_with(image: Image) -> None:
    assert image.config["User"] == USER
    assert image.config["Labels"]["org.opencontainers.image.title"] == "hopperd"
    ours = image.root / "opt/hopperd"
    packages = {path.name.split("-")[0].lower() for path in ours.rglob("*.dist-info")}
    assert not packages & {"pip", "setuptools", "wheel", "hatchling", "uv", "pytest"}
    assert not (image.root / "source").exists()
    assert not (image.root / "wheel").exists()
    assert not (image.root / "build").exists()
    size = sum(path.lstat().st_size for path in ours.rglob("*") if not path.is_dir())
    print(f"/opt/hopperd: {size / 1e6:.0f} MB")
    assert size <= MOST_BYTES, f"{size / 1e6:.0f} MB is more than the documents say"
