"""What Dockerfile and chart say of the application is what the application says of itself."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

from examples.local_server import ROOT
from server.settings import Settings
from tests.deploy.dockerfile import ignored, instructions, stages

DOCKERFILE = ROOT / "deploy" / "Dockerfile"
CHART = ROOT / "deploy" / "helm" / "kohort"
APP = tomllib.loads((ROOT / "pyproject.toml").read_text())


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch) -> Settings:
    for name in [name for name in os.environ if name.startswith("KOHORT_")]:
        monkeypatch.delenv(name)
    return Settings()


def said(word: str) -> list[str]:
    return [rest for found, rest in instructions(DOCKERFILE.read_text()) if found == word]


def test_the_dockerfile_lints() -> None:
    binary = Path(sys.executable).with_name("hadolint")
    done = subprocess.run([binary, "--failure-threshold=style", DOCKERFILE], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_one_version() -> None:
    version = APP["project"]["version"]
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert chart["appVersion"] == version
    assert f"VERSION={version}" in said("ARG")


def test_the_dockerfile_sets_real_settings(settings: Settings) -> None:
    text = " ".join(said("ENV"))
    names = {word.split("=")[0] for word in text.split() if word.startswith("KOHORT_")}
    assert names == {"KOHORT_DATA_DIR", "KOHORT_DEVICES"}
    assert {n.removeprefix("KOHORT_").lower() for n in names} <= set(Settings.model_fields)
    assert said("VOLUME") == ["/var/lib/kohort"]
    assert "KOHORT_DATA_DIR=/var/lib/kohort" in text
    assert said("EXPOSE") == [f"{settings.port} {settings.metrics_port}"]


def test_the_dockerfile_is_the_least_it_can_be() -> None:
    text = DOCKERFILE.read_text()
    found = stages(text)
    for target in ("serve", "cpu", "cuda"):
        steps = found[target].steps
        assert [rest for word, rest in steps if word == "USER"] == ["${UID}:${UID}"]
        assert found[target].parent == "runtime"
    assert set(said("ARG")) >= {"UID=10001"}
    assert said("STOPSIGNAL") == ["SIGTERM"]
    assert "://" not in text, "no address of a registry"
    assert "apt-get" not in text
    assert "curl" not in text


def test_the_context_holds_the_application_and_no_more() -> None:
    packages = {Path(*name.split(".")) for name in APP["tool"]["setuptools"]["packages"]}
    for folder in packages:
        assert not ignored(ROOT, ROOT / folder / "__init__.py"), folder
    for kept in ("README.md", "pyproject.toml", "requirements/serve.txt", "deploy/image/check.sh"):
        assert not ignored(ROOT, ROOT / kept), kept
        assert (ROOT / kept).is_file()
    assert not ignored(ROOT, ROOT / "clients/python/kohort/v1/dataset_pb2.py")
    for left in ("tests/conftest.py", ".git/config", "var/kohort.db", "clients/java/pom.xml", "out/x.csv"):
        assert ignored(ROOT, ROOT / left), left
    assert ignored(ROOT, ROOT / "server/__pycache__/app.pyc")


def test_the_scripts_are_shell_without_bashisms() -> None:
    for script in (ROOT / "deploy" / "image").glob("*.sh"):
        assert os.access(script, os.X_OK), script.name
        text = script.read_text()
        assert text.startswith("#!/bin/sh\n")
        assert "\nset -eu\n" in text
        subprocess.run(["dash", "-n", script], check=True)
        if shellcheck := shutil.which("shellcheck"):
            subprocess.run([shellcheck, script], check=True)
