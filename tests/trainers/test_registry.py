from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from kohort.problem import Problem
from trainers import registry

ROOT = Path(__file__).resolve().parents[2]


def run(program: str, **environment: str) -> str:
    """The standard output of a fresh interpreter."""
    inherited = {k: v for k, v in os.environ.items() if k != registry.ENVIRONMENT}
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        env={**inherited, **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_built_in_trainers_come_first() -> None:
    known = list(registry.trainers())
    assert known[0] == "argn"
    assert known[-1] == "dummy"


def test_the_default_is_the_preferred_trainer_where_it_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "PREFERRED", "dummy")
    assert registry.default_trainer() == "dummy"
    monkeypatch.setattr(registry, "PREFERRED", "none")
    assert registry.default_trainer() == "argn"


def test_a_dropped_in_trainer_is_found() -> None:
    assert registry.trainer("dummy").info.display_name == "Independent columns"


def test_an_unknown_trainer_is_named_with_the_known_ones() -> None:
    with pytest.raises(Problem, match="copula") as caught:
        registry.trainer("tarot")
    assert caught.value.reason == "UNKNOWN_TRAINER"
    assert caught.value.violations[0].field == "trainer"


@pytest.mark.parametrize("value", ["dummy", "dummy=", "=dummy_trainer:DummyTrainer", "dummy=dummy_trainer"])
def test_a_malformed_environment_is_refused(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv(registry.ENVIRONMENT, value)
    with pytest.raises(ValueError, match=registry.ENVIRONMENT):
        registry.trainers()


@pytest.mark.parametrize(
    "value", ["dummy=json:loads", "dummy=json:JSONDecoder", "other=dummy_trainer:DummyTrainer"]
)
def test_what_is_no_trainer_of_that_name_is_refused(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv(registry.ENVIRONMENT, value)
    with pytest.raises(ValueError, match=r"is no trainer|is not called"):
        registry.trainers()


def test_register_adds_to_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(registry.ENVIRONMENT)
    monkeypatch.setattr(registry, "_SPECS", dict(registry._SPECS))
    registry.register("dummy", "dummy_trainer:DummyTrainer")
    assert "dummy" in registry.trainers()
    registry.register("dummy", "dummy_trainer:DummyTrainer", needs=("no_such_package",))
    assert "dummy" not in registry.trainers()


def test_infos_are_read_without_heavy_libraries() -> None:
    program = """
import json, sys
from trainers import registry
infos = [trainer.info for trainer in registry.trainers().values()]
assert all(info.parameters is not None and info.description for info in infos)
heavy = {"torch", "sklearn", "ctgan", "rdt", "pandas", "onnx", "onnxruntime", "grpc", "google.protobuf"}
print(json.dumps([sorted(info.name for info in infos), sorted(heavy & set(sys.modules))]))
"""
    names, heavy = json.loads(run(program))
    assert set(names) >= {"auto", "copula", "ctgan"}
    assert heavy == []


BLOCKER = """
import importlib.abc, json, sys
class Blocker(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {packages}:
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Blocker())
from trainers import registry
print(json.dumps([list(registry.trainers()), registry.default_trainer()]))
"""


@pytest.mark.parametrize(
    ("missing", "absent", "present"),
    [
        ({"ctgan"}, {"ctgan"}, {"auto", "copula"}),
        ({"torch"}, {"argn", "ctgan", "tvae"}, {"auto", "copula"}),
        ({"scipy"}, {"auto", "copula", "tabddpm"}, {"independent"}),
        ({"safetensors"}, {"argn", "ctgan", "medgan", "tabddpm"}, {"arf", "auto", "copula"}),
        ({"sklearn"}, {"arf", "ctgan", "tvae"}, {"argn", "auto", "copula"}),
        ({"onnx"}, {"argn", "arf", "copula", "dummy", "independent"}, set()),
    ],
)
def test_a_trainer_whose_package_is_missing_is_absent(
    missing: set[str], absent: set[str], present: set[str]
) -> None:
    names, default = json.loads(run(BLOCKER.format(packages=missing)))
    assert not absent & set(names)
    assert present <= set(names)
    assert default == ("argn" if "argn" in names else next(iter(names), ""))
