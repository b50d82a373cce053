"""The Go module: generated code and dependencies as they should be."""

import filecmp
from pathlib import Path

import pytest
from drivers import GO, ROOT, command, need

pytestmark = [pytest.mark.interop, pytest.mark.timeout(600)]


def test_the_go_code_is_fresh(tmp_path: Path) -> None:
    need("go")
    buf = ROOT / ".venv" / "bin" / "buf"
    command(buf, "generate", "--template", "buf.gen.go.yaml", "--output", tmp_path, cwd=GO)
    fresh, committed = tmp_path / "kohort" / "v1", GO / "kohort" / "v1"
    names = sorted(path.name for path in committed.iterdir())
    assert sorted(path.name for path in fresh.iterdir()) == names
    assert filecmp.cmpfiles(fresh, committed, names, shallow=False) == (names, [], [])


def test_the_go_module_is_tidy() -> None:
    need("go")
    command("go", "vet", "./...", cwd=GO)
    command("go", "mod", "tidy", "-diff", cwd=GO)
    command("go", "mod", "verify", cwd=GO)
