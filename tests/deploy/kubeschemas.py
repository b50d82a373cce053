"""JSON Schemas of Kubernetes' objects in the layout that kubeconform reads, out of Go modules.

Kubernetes' own OpenAPI documents and the operators' CustomResourceDefinitions
are in their modules. Fields that a schema does not know are refused, as
`kubectl --validate=strict` does.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from examples.local_server import ROOT

PINS = ROOT / "deploy" / "tools" / "schemas.txt"
_OPERATOR = "example/prometheus-operator-crd/monitoring.coreos.com_"
CUSTOM = {
    "github.com/prometheus-operator/prometheus-operator": (
        f"{_OPERATOR}servicemonitors.yaml",
        f"{_OPERATOR}prometheusrules.yaml",
    ),
    "github.com/kedacore/keda/v2": ("config/crd/bases/keda.sh_scaledobjects.yaml",),
}


def pins() -> Iterator[tuple[str, str, str]]:
    """Module, version and sum."""
    for line in PINS.read_text().splitlines():
        if line and not line.startswith("#"):
            module, version, digest = line.split()
            yield module, version, digest


def fetch(module: str, version: str, digest: str) -> Path:
    """The folder of a module, checked against its sum."""
    done = subprocess.run(
        ["go", "mod", "download", "-json", f"{module}@{version}"],
        capture_output=True,
        text=True,
        timeout=500,
        cwd=ROOT / "deploy" / "tools",
    )
    found = json.loads(done.stdout or "{}")
    assert done.returncode == 0, found.get("Error", "").splitlines()[:1]
    assert found["Sum"] == digest, f"{module} {version} is not what was pinned"
    return Path(found["Dir"])


def write(folder: Path) -> list[Path]:
    """One folder per Kubernetes version, each with the custom kinds as well; oldest first."""
    modules = [(module, version, fetch(module, version, digest)) for module, version, digest in pins()]
    versions = []
    for module, version, source in modules:
        if module == "k8s.io/kubernetes":
            versions.append(folder / version)
            versions[-1].mkdir(parents=True)
            for document in (source / "api/openapi-spec/v3").glob("*_openapi.json"):
                _built_in(json.loads(document.read_text()), versions[-1])
    for module, _, source in modules:
        for document in CUSTOM.get(module, ()):
            for target in versions:
                _custom(yaml.safe_load((source / document).read_text()), target)
    return versions


def _built_in(document: dict[str, Any], target: Path) -> None:
    schemas = document.get("components", {}).get("schemas", {})
    closed = {name: _close(schema) for name, schema in schemas.items()}
    for name, schema in closed.items():
        for kind in schema.get("x-kubernetes-group-version-kind", []):
            # Options of calls bear the names of every group.
            if kind["kind"] in name.rsplit(".", 1)[-1] and "meta.v1" not in name:
                whole = {"$ref": f"#/components/schemas/{name}", "components": {"schemas": closed}}
                _save(target, kind["kind"], kind["group"], kind["version"], whole)


def _custom(definition: dict[str, Any], target: Path) -> None:
    spec = definition["spec"]
    for version in spec["versions"]:
        schema = _close(version["schema"]["openAPIV3Schema"])
        _save(target, spec["names"]["kind"], spec["group"], version["name"], schema)


def _save(target: Path, kind: str, group: str, version: str, schema: dict[str, Any]) -> None:
    name = f"{kind}-{group.split('.')[0]}-{version}.json" if group else f"{kind}-{version}.json"
    (target / name.lower()).write_text(json.dumps(schema))


def _close(schema: Any) -> Any:
    """Refuses unknown fields wherever some are known; says in JSON Schema what OpenAPI has words for."""
    if isinstance(schema, list):
        return [_close(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    closed = {
        key: {name: _close(part) for name, part in value.items()} if key == "properties" else _close(value)
        for key, value in schema.items()
        if key not in ("default", "example", "description")
        or (key == "description" and not isinstance(value, str))
    }
    if "properties" in closed and "additionalProperties" not in closed:
        closed["additionalProperties"] = bool(closed.get("x-kubernetes-preserve-unknown-fields"))
    if closed.get("x-kubernetes-int-or-string"):
        closed.pop("type", None)
    if closed.pop("nullable", False) and isinstance(closed.get("type"), str):
        closed["type"] = [closed["type"], "null"]
    return closed
