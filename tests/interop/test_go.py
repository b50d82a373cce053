"""The Go module: its own tests under the race detector, its style, its generated code and its dependencies.

A linter and the plugins of protoc are tools of a module of their own, clients/go/tools,
so that what users depend on stays small.
"""

import filecmp
import os
import subprocess
import sys
from pathlib import Path

import pytest
from drivers import GO, alone, command, need

# Builds download what they need the first time.
pytestmark = [pytest.mark.interop, pytest.mark.timeout(900)]

TOOL = ("go", "tool", "-modfile=tools/go.mod")


def test_the_tests_pass_under_the_race_detector() -> None:
    """Examples and documentation are among them. The detector needs cgo, and that a C compiler."""
    need("go")
    need("gcc")
    with alone():
        command("env", "CGO_ENABLED=1", "go", "test", "-race", "-count=1", "./...", cwd=GO)


def test_the_code_is_formatted() -> None:
    need("gofmt")
    found = subprocess.run(["gofmt", "-l", "."], cwd=GO, capture_output=True, text=True, check=True)
    assert found.stdout == ""


def test_vet_and_staticcheck_find_nothing() -> None:
    need("go")
    with alone():
        command("go", "vet", "./...", cwd=GO)
        command(*TOOL, "staticcheck", "-checks", "inherit,ST1020,ST1021,ST1022", "./...", cwd=GO)


def test_the_generated_code_is_fresh(tmp_path: Path) -> None:
    need("go")
    buf = Path(sys.executable).with_name("buf")
    with alone():
        command(buf, "generate", "--template", "buf.gen.go.yaml", "--output", tmp_path, cwd=GO)
    fresh, committed = tmp_path / "kohort" / "v1", GO / "kohort" / "v1"
    names = sorted(path.name for path in committed.iterdir())
    assert sorted(path.name for path in fresh.iterdir()) == names
    assert filecmp.cmpfiles(fresh, committed, names, shallow=False) == (names, [], [])


@pytest.mark.parametrize("module", [GO, GO / "tools"], ids=["client", "tools"])
def test_the_module_is_tidy(module: Path) -> None:
    need("go")
    with alone():
        command("go", "mod", "tidy", "-diff", cwd=module)
        command("go", "mod", "verify", cwd=module)


def test_users_depend_on_grpc_and_protobuf_alone() -> None:
    need("go")
    listed = subprocess.run(
        ["go", "list", "-deps", "-f", "{{with .Module}}{{.Path}}{{end}}", "./kohort"],
        cwd=GO, capture_output=True, text=True, check=True, env={**os.environ, "CGO_ENABLED": "0"},
    )  # fmt: skip
    assert set(listed.stdout.split()) <= {
        "github.com/kohort-health/kohort/clients/go",
        "golang.org/x/net",
        "golang.org/x/sys",
        "golang.org/x/text",
        "google.golang.org/genproto/googleapis/rpc",
        "google.golang.org/grpc",
        "google.golang.org/protobuf",
    }
