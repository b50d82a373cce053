"""The Helm chart: rendered for each example, held to Kubernetes' schemas and to the server's settings."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from examples.local_server import ROOT
from server.settings import Settings
from tests.deploy import kubeschemas, tools

CHART = ROOT / "deploy" / "helm" / "kohort"
EXAMPLES = sorted(CHART.glob("ci/*-values.yaml"))
NEWEST = next(reversed([v for m, v, _ in kubeschemas.pins() if m == "k8s.io/kubernetes"]))
# Compiling helm for the first time takes minutes.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

Objects = list[dict[str, Any]]


@pytest.fixture(scope="module")
def helm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tools.build("helm", tmp_path_factory.mktemp("helm"))


@pytest.fixture(scope="module")
def rendered(helm: Path) -> dict[str, str]:
    found = {}
    for values in EXAMPLES:
        done = tools.run(
            helm, "template", "kohort", CHART, "-n", "synthetic", "-f", values, "--kube-version", NEWEST
        )
        assert done.returncode == 0, done.stderr
        found[values.name] = done.stdout
    return found


@pytest.fixture(scope="module")
def objects(rendered: dict[str, str]) -> dict[str, Objects]:
    return {name: [o for o in yaml.safe_load_all(text) if o] for name, text in rendered.items()}


def of(objects: Objects, kind: str, name: str = "") -> dict[str, Any]:
    (found,) = [o for o in objects if o["kind"] == kind and (not name or o["metadata"]["name"] == name)]
    return found


def pods(objects: Objects) -> Iterator[tuple[str, dict[str, Any]]]:
    for thing in objects:
        if thing["kind"] == "Deployment":
            yield thing["metadata"]["name"], thing["spec"]["template"]["spec"]
        elif thing["kind"] == "Pod":
            yield thing["metadata"]["name"], thing["spec"]


@pytest.mark.parametrize("values", EXAMPLES, ids=lambda path: path.name)
def test_lints(helm: Path, values: Path) -> None:
    done = tools.run(helm, "lint", CHART, "--strict", "-f", values, "--kube-version", NEWEST)
    assert done.returncode == 0, done.stdout + done.stderr


def test_holds_to_the_schemas_of_kubernetes_and_the_operators(
    rendered: dict[str, str], tmp_path: Path
) -> None:
    kubeconform = tools.build("kubeconform", tmp_path)
    versions = kubeschemas.write(tmp_path / "schemas")
    assert len(versions) == 2

    def check(schemas: Path, text: str) -> dict[str, Any]:
        location = f"{schemas}/{{{{.ResourceKind}}}}{{{{.KindSuffix}}}}.json"
        done = tools.run(
            kubeconform,
            "-strict",
            "-summary",
            "-output=json",
            f"-schema-location={location}",
            "-",
            given=text,
        )
        return dict(json.loads(done.stdout))

    for schemas in versions:
        for name, text in rendered.items():
            told = check(schemas, text)
            summary = told["summary"]
            assert summary["valid"] > 8, name
            assert summary["invalid"] == summary["errors"] == summary["skipped"] == 0, told["resources"]
        # It can fail: an unknown field, a wrong type, a missing one; in a custom kind too.
        for right, wrong in (
            ("readOnlyRootFilesystem:", "readOnlyRootFileSystem:"),
            ("maxUnavailable: 0", "maxUnavailable: [0]"),
            ("  selector:\n    matchLabels:", "  selektor:\n    matchLabels:"),
            ("jobLabel:", "jobLabels:"),
        ):
            text = rendered["cluster-values.yaml"]
            assert right in text
            assert check(schemas, text.replace(right, wrong))["summary"]["invalid"] > 0, wrong


def test_every_setting_is_the_servers(objects: dict[str, Objects]) -> None:
    for name, things in objects.items():
        for pod, spec in pods(things):
            for container in spec["containers"]:
                names = [e["name"] for e in container.get("env", [])]
                assert len(names) == len(set(names)), f"{name}: {pod} sets one twice"
                asked = {n.removeprefix("KOHORT_").lower() for n in names if n.startswith("KOHORT_")}
                assert asked <= set(Settings.model_fields), f"{name}: {pod}"


def test_the_server_takes_what_it_is_given(
    objects: dict[str, Objects], monkeypatch: pytest.MonkeyPatch
) -> None:
    for things in objects.values():
        for pod, spec in pods(things):
            (container,) = spec["containers"]
            with monkeypatch.context() as patch:
                for entry in container.get("env", []):
                    # A reference to a secret is the database's.
                    patch.setenv(entry["name"], entry.get("value", "postgresql+psycopg://k:s@db:5432/kohort"))
                settings = Settings()
            mounts = {m["mountPath"] for m in container["volumeMounts"]}
            files = [getattr(settings, n) for n in Settings.model_fields if n.endswith(("_file", "_ca"))]
            files += [settings.tls_certificate, settings.tls_key]
            inside = [str(f) for f in files if f and str(f).startswith("/run/kohort")]
            assert all(any(f.startswith(m + "/") for m in mounts) for f in inside), pod
            if pod == "kohort-server":
                assert container["image"].endswith("-cpu"), "it checks what trainers are asked"
                assert len(inside) >= 3
                assert (settings.host, settings.metrics_host) == ("0.0.0.0", "0.0.0.0")
                ports = {p["name"]: p["containerPort"] for p in container["ports"]}
                assert ports == {"grpc": settings.port, "metrics": settings.metrics_port}
                drain = settings.drain_delay_seconds + settings.drain_grace_seconds
                end = settings.cancel_grace_seconds + settings.terminate_grace_seconds
                assert spec["terminationGracePeriodSeconds"] > drain + end
            elif "-worker-" in pod:
                assert "/var/lib/kohort" in mounts
                assert container["args"][0] == "worker"


def test_pods_are_restricted(objects: dict[str, Objects]) -> None:
    uid = next(
        int(line.split("=")[1])
        for line in (ROOT / "deploy" / "Dockerfile").read_text().splitlines()
        if line.startswith("ARG UID=")
    )
    for things in objects.values():
        for _, spec in pods(things):
            assert spec["automountServiceAccountToken"] is False
            # KOHORT_PORT=tcp://… of a service would be read as the setting.
            assert spec["enableServiceLinks"] is False
            security = spec["securityContext"]
            assert security["runAsNonRoot"]
            assert security["runAsUser"] == security["runAsGroup"] == security["fsGroup"] == uid
            assert security["seccompProfile"] == {"type": "RuntimeDefault"}
            for container in spec["containers"]:
                own = container["securityContext"]
                assert own["readOnlyRootFilesystem"]
                assert own["allowPrivilegeEscalation"] is False
                assert own["capabilities"] == {"drop": ["ALL"]}
                assert {"requests", "limits"} <= set(container["resources"])
                assert "memory" in container["resources"]["limits"]


def test_gpu_workers_ask_for_their_gpu(objects: dict[str, Objects]) -> None:
    spec = of(objects["gpu-values.yaml"], "Deployment", "kohort-worker-gpu")["spec"]["template"]["spec"]
    (container,) = spec["containers"]
    assert container["resources"]["limits"]["nvidia.com/gpu"] == 1
    assert container["image"].endswith("-cuda")
    assert "cuda:0" in container["args"]
    assert spec["tolerations"][0]["key"] == "nvidia.com/gpu"
    scaled = of(objects["gpu-values.yaml"], "ScaledObject")["spec"]
    assert scaled["scaleTargetRef"]["name"] == "kohort-worker-gpu"
    assert scaled["minReplicaCount"] == 0
    assert "kohort_jobs{" in scaled["triggers"][0]["metadata"]["query"]


def test_selectors_find_their_pods(objects: dict[str, Objects]) -> None:
    for things in objects.values():
        labels = [
            o["spec"]["template"]["metadata"]["labels"]
            if o["kind"] == "Deployment"
            else o["metadata"]["labels"]
            for o in things
            if o["kind"] in ("Deployment", "Pod")
        ]
        for thing in things:
            spec = thing.get("spec", {})
            selector = spec.get("podSelector", spec.get("selector", {}))
            wanted = selector.get("matchLabels", selector) if thing["kind"] != "ServiceMonitor" else {}
            if wanted:
                found = [one for one in labels if wanted.items() <= one.items()]
                assert found, f"{thing['kind']} {thing['metadata']['name']} selects nothing"
            if thing["kind"] == "ServiceMonitor":
                services = [o["metadata"]["labels"] for o in things if o["kind"] == "Service"]
                wanted = selector["matchLabels"]
                assert sum(wanted.items() <= one.items() for one in services) == 1
                job = thing["spec"]["jobLabel"]
                assert {one[job] for one in services} == {"kohort"}, "the job that rules and panels name"


def test_the_test_reaches_the_front_ends_wherever_clients_are(objects: dict[str, Objects]) -> None:
    things = objects["cluster-values.yaml"]
    (rule,) = of(things, "NetworkPolicy", "kohort-server")["spec"]["ingress"]
    own = [peer["podSelector"]["matchLabels"] for peer in rule["from"] if peer.get("podSelector")]
    (pod,) = (thing for thing in things if thing["kind"] == "Pod")
    assert any(wanted.items() <= pod["metadata"]["labels"].items() for wanted in own)


def test_alert_rules_and_dashboards_are_the_repositorys(objects: dict[str, Objects]) -> None:
    shipped = of(objects["cluster-values.yaml"], "PrometheusRule")["spec"]["groups"]
    written = [
        group
        for path in sorted((ROOT / "deploy" / "prometheus" / "rules").glob("*.yml"))
        if path.name != "monitoring.yml"
        for group in yaml.safe_load(path.read_text())["groups"]
    ]
    assert shipped == written
    shown = {
        name: text
        for o in objects["cluster-values.yaml"]
        if o["kind"] == "ConfigMap"
        for name, text in o["data"].items()
    }
    folder = ROOT / "deploy" / "grafana" / "dashboards"
    assert shown == {path.name: path.read_text() for path in folder.glob("*.json")}
    assert len(shown) >= 6


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        (["tls.existingSecret="], "asks for TLS"),
        (["identities.existingSecret="], "identities"),
        (["database.existingSecret="], "PostgreSQL"),
        (["blobs.url="], "bucket"),
        (["keys.existingSecret="], "same keys"),
        (["singleNode.enabled=true"], "singleNode"),
        (["settings.port=1"], "invalid propertyName 'port'"),
        (["server.replica=3"], "replica"),
        (["identities.files={identities.json}"], "demandClientCertificates"),
    ],
)
def test_refuses_what_cannot_run(helm: Path, changes: list[str], why: str) -> None:
    flags = [flag for change in changes for flag in ("--set", change)]
    values = CHART / "ci" / "gpu-values.yaml"
    done = tools.run(helm, "template", "x", CHART, "-f", values, "--kube-version", NEWEST, *flags)
    assert done.returncode != 0
    assert why in done.stderr
