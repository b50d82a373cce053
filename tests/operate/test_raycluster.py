"""The Ray cluster for Kubernetes says what the code says."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from server.settings import Settings

ROOT = Path(__file__).resolve().parents[2]
CLUSTER, DISPATCHER = yaml.safe_load_all((ROOT / "deploy/ray/raycluster.yaml").read_text())


def pods() -> dict[str, dict[str, Any]]:
    found = {"head": CLUSTER["spec"]["headGroupSpec"]} | {
        group["groupName"]: group for group in CLUSTER["spec"]["workerGroupSpecs"]
    }
    return found | {"dispatcher": DISPATCHER["spec"]}


def containers() -> list[dict[str, Any]]:
    return [
        container
        for pod in pods().values()
        for key in ("initContainers", "containers")
        for container in pod["template"]["spec"].get(key, [])
    ]


def test_its_variables_are_settings() -> None:
    given = {v["name"]: v for c in containers() for v in c.get("env", []) if v["name"].startswith("KOHORT_")}
    assert given
    for name in given:
        assert name.removeprefix("KOHORT_").lower() in Settings.model_fields, name
    values = {n.removeprefix("KOHORT_").lower(): v["value"] for n, v in given.items() if "value" in v}
    Settings(**values)


def test_the_cluster_has_the_ray_that_the_image_has() -> None:
    locked = re.search(r"^ray==(\S+)", (ROOT / "requirements/work.txt").read_text(), re.MULTILINE)
    assert locked is not None
    assert CLUSTER["spec"]["rayVersion"] == locked[1]
    assert len({c["image"] for c in containers()}) == 1


def test_its_parts_find_each_other() -> None:
    name = CLUSTER["metadata"]["name"]
    (dispatcher,) = DISPATCHER["spec"]["template"]["spec"]["containers"]
    variables = {v["name"]: v for v in dispatcher["env"]}
    assert variables["KOHORT_RAY_ADDRESS"]["value"] == f"ray://{name}-head-svc:10001"
    assert variables["RAY_AUTH_TOKEN"]["valueFrom"]["secretKeyRef"]["name"] == name
    (gpu,) = CLUSTER["spec"]["workerGroupSpecs"]
    (worker,) = gpu["template"]["spec"]["containers"]
    assert str(worker["livenessProbe"]["tcpSocket"]["port"]) == gpu["rayStartParams"]["node-manager-port"]
    assert variables["KOHORT_RAY_CPUS_PER_JOB"]["value"] == worker["resources"]["requests"]["cpu"]
    for pod in pods().values():
        spec = pod["template"]["spec"]
        volumes = {volume["name"] for volume in spec.get("volumes", [])}
        mounted = {m["name"] for c in spec["containers"] for m in c.get("volumeMounts", [])}
        assert mounted <= volumes
        assert spec["securityContext"]["runAsNonRoot"]
