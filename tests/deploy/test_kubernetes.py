"""The manifests, without a cluster: against the API's own schemas where there are any, and against what we promise."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import pytest

from tests.deploy.root_fs import REPOSITORY

yaml = pytest.importorskip("yaml", reason="needs PyYAML")
FOLDER = REPOSITORY / "deploy" / "kubernetes"
VERSION = "1.29"
OUR_OWN = {"ServiceMonitor"}


def _documents() -> list[dict[str, Any]]:
    return [each for path in sorted(FOLDER.glob("*.yaml")) for each in yaml.safe_load_all(path.read_text()) if each]


def _one(kind: str) -> dict[str, Any]:
    (found,) = [each for each in _documents() if each["kind"] == kind]
    return found


@pytest.mark.parametrize("document", _documents(), ids=lambda each: f"{each['kind']}-{each['metadata']['name']}")
def test_a_manifest_is_what_the_api_takes(document: dict[str, Any]) -> None:
    if document["kind"] in OUR_OWN:
        assert document["apiVersion"] == "monitoring.coreos.com/v1"
        assert set(document["spec"]) == {"selector", "endpoints"}
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the validator's own imports
        validate = pytest.importorskip("kubernetes_validate", reason="needs kubernetes-validate")
    validate.validate(document, VERSION, strict=True)


def _pod() -> dict[str, Any]:
    pod: dict[str, Any] = _one("Deployment")["spec"]["template"]["spec"]
    return pod


def test_there_is_one_replica_and_never_two_for_a_moment() -> None:
    spec = _one("Deployment")["spec"]
    assert (spec["replicas"], spec["strategy"]) == (1, {"type": "Recreate"})


def test_the_pod_fits_the_restricted_profile() -> None:
    pod = _pod()
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert pod["automountServiceAccountToken"] is False
    for container in pod["containers"]:
        context = container["securityContext"]
        assert context["allowPrivilegeEscalation"] is False
        assert context["readOnlyRootFilesystem"] is True
        assert context["capabilities"] == {"drop": ["ALL"]}
        assert container["resources"]["limits"]["memory"]
    kinds = {kind for volume in pod["volumes"] for kind in volume if kind != "name"}
    assert kinds <= {"configMap", "emptyDir", "persistentVolumeClaim", "secret"}


def test_the_pod_runs_as_the_user_of_the_image() -> None:
    text = (REPOSITORY / "deploy/container/Containerfile").read_text()
    context = _pod()["securityContext"]
    assert f"USER {context['runAsUser']}:{context['runAsGroup']}" in text


def test_everything_that_is_named_exists() -> None:
    pod = _pod()
    (container,) = pod["containers"]
    assert {mount["name"] for mount in container["volumeMounts"]} == {volume["name"] for volume in pod["volumes"]}
    names = {(each["kind"], each["metadata"]["name"]) for each in _documents()}
    for volume in pod["volumes"]:
        if "persistentVolumeClaim" in volume:
            assert ("PersistentVolumeClaim", volume["persistentVolumeClaim"]["claimName"]) in names
    assert ("Secret", "hopperd-tokens") in names
    ports = {port["name"] for port in container["ports"]}
    probes = [container[name] for name in ("startupProbe", "livenessProbe", "readinessProbe")]
    assert {probe["httpGet"]["port"] for probe in probes if "httpGet" in probe} <= ports


def test_the_configuration_in_the_manifest_loads(tmp_path: Path) -> None:
    from hopperd.settings import load

    text = _one("ConfigMap")["data"]["hopperd.toml"].replace("/run/secrets/hopperd", str(tmp_path))
    for name in ("main", "web-read"):
        (tmp_path / name).write_text("a-token-that-is-long-enough")
        (tmp_path / name).chmod(0o600)
    (tmp_path / "hopperd.toml").write_text(text)
    settings = load(tmp_path / "hopperd.toml", environ={})
    mounts = [mount["mountPath"] for mount in _pod()["containers"][0]["volumeMounts"]]
    assert str(settings.state) in mounts
    assert all(str(folder.inbox).startswith("/srv/invoices/") for folder in settings.folders)


def test_pod_grace_is_longer_than_an_orderly_stop() -> None:
    from hopperd.settings.models import Document

    assert _pod()["terminationGracePeriodSeconds"] >= Document.model_fields["stop_seconds"].default + 20
