"""The manifests for several nodes, without a cluster: the API's schemas, and what makes several of them safe."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from hopperd.ledger.store import Store
from hopperd.pipeline.job import Hold
from hopperd.settings import load
from tests.deploy.root_fs import REPOSITORY
from tests.support import postgres
from tests.support.stores import NOW, new_job, opened

yaml = pytest.importorskip("yaml", reason="needs PyYAML")
FOLDER = REPOSITORY / "deploy" / "kubernetes" / "nodes"
VERSION = "1.29"


def _documents() -> list[dict[str, Any]]:
    return [each for path in sorted(FOLDER.glob("*.yaml")) for each in yaml.safe_load_all(path.read_text()) if each]


def _one(kind: str) -> dict[str, Any]:
    (found,) = [each for each in _documents() if each["kind"] == kind]
    return found


def _pod() -> dict[str, Any]:
    pod: dict[str, Any] = _one("Deployment")["spec"]["template"]["spec"]
    return pod


@pytest.mark.parametrize("document", _documents(), ids=lambda each: f"{each['kind']}-{each['metadata']['name']}")
def test_a_manifest_is_what_the_api_takes(document: dict[str, Any]) -> None:
    if document["apiVersion"] == "keda.sh/v1alpha1":
        assert document["kind"] in ("ScaledObject", "TriggerAuthentication")
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the validator's own imports
        validate = pytest.importorskip("kubernetes_validate", reason="needs kubernetes-validate")
    validate.validate(document, VERSION, strict=True)


def test_there_are_several_and_an_upgrade_takes_none_away() -> None:
    spec = _one("Deployment")["spec"]
    assert spec["replicas"] > 1
    assert spec["strategy"]["rollingUpdate"]["maxUnavailable"] == 0
    assert _one("PodDisruptionBudget")["spec"]["maxUnavailable"] == 1


def test_each_has_a_state_folder_of_its_own_and_all_have_the_same_invoices() -> None:
    volumes = {volume["name"]: volume for volume in _pod()["volumes"]}
    assert "emptyDir" in volumes["state"]
    claim = _one("PersistentVolumeClaim")
    assert volumes["invoices"]["persistentVolumeClaim"]["claimName"] == claim["metadata"]["name"]
    assert claim["spec"]["accessModes"] == ["ReadWriteMany"]


def test_it_is_the_single_manifest_but_for_what_several_need() -> None:
    single = yaml.safe_load_all((FOLDER.parent / "hopperd.yaml").read_text())
    (deployment,) = [each for each in single if each["kind"] == "Deployment"]
    assert _pod()["containers"] == deployment["spec"]["template"]["spec"]["containers"]
    assert _pod()["securityContext"] == deployment["spec"]["template"]["spec"]["securityContext"]


def test_the_configuration_in_the_manifest_loads(tmp_path: Path) -> None:
    written = _one("ConfigMap")["data"]["hopperd.toml"].replace("/run/secrets/hopperd", str(tmp_path))
    for name in ("main", "web-read", "ledger"):
        (tmp_path / name).write_text("a-token-that-is-long-enough")
        (tmp_path / name).chmod(0o600)
    (tmp_path / "hopperd.toml").write_text(written)
    settings = load(tmp_path / "hopperd.toml", environ={})
    assert settings.ledger is not None
    ports = [one["port"] for rule in _one("NetworkPolicy")["spec"]["egress"] for one in rule["ports"]]
    assert 5432 in ports
    assert set(_one("Secret")["stringData"]) == {"main", "web-read", "ledger"}


@pytest.mark.asyncio
async def test_the_scaling_rule_counts_what_can_move_by_itself(tmp_path: Path) -> None:
    (trigger,) = _one("ScaledObject")["spec"]["triggers"]
    store = Store.open_shared(tmp_path, postgres.server().database())
    for number in range(5):
        await opened(store, new_job(number))
    hold = Hold(reason="person", what="held", do="", since=NOW)
    await opened(store, new_job(9, hold=hold))
    counted = await store._read(lambda c: c.execute(text(trigger["metadata"]["query"])).scalar())
    await store.close()
    assert counted == 5


def test_the_compose_file_has_two_nodes_with_nothing_in_common_but_ledger_and_folders() -> None:
    services = yaml.safe_load((REPOSITORY / "deploy/container/compose-nodes.yaml").read_text())["services"]
    nodes = [service for name, service in services.items() if name in ("one", "other")]
    assert len({node["environment"]["HOPPERD_NODE"] for node in nodes}) == 2
    assert len({node["environment"]["HOPPERD_LEDGER"] for node in nodes}) == 1
    for node in nodes:
        assert any(mount.startswith("/var/lib/hopperd") for mount in node["tmpfs"]), "a state folder of its own"
        assert node["read_only"] is True
        assert node["cap_drop"] == ["ALL"]
