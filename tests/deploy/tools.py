"""The Go tools that deploy/tools pins, built where Go is."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from examples.local_server import ROOT
from tests.core.support import unavailable

FOLDER = ROOT / "deploy" / "tools"
NAMES = {
    "helm": "helm.sh/helm/v3/cmd/helm",
    "kubeconform": "github.com/yannh/kubeconform/cmd/kubeconform",
    "compose": "github.com/compose-spec/compose-go/v2/cmd",
}


def build(name: str, folder: Path) -> Path:
    """A tool's binary; compiling helm takes minutes where Go's cache is empty."""
    if shutil.which("go") is None:
        unavailable("Go is not here")
    here = subprocess.run(["go", "env", "GOVERSION"], cwd=FOLDER, capture_output=True, text=True)
    if here.returncode:
        unavailable(here.stderr.strip())  # too old, and not allowed to fetch another
    binary = folder / name
    done = subprocess.run(
        ["go", "build", "-o", binary, NAMES[name]], cwd=FOLDER, capture_output=True, text=True, timeout=1500
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return binary


def run(
    binary: Path, *arguments: str | Path, given: str = "", cwd: Path = ROOT
) -> subprocess.CompletedProcess[str]:
    """Runs a tool without this machine's own settings of Kohort."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("KOHORT_")}
    return subprocess.run(
        [binary, *arguments],
        input=given,
        capture_output=True,
        text=True,
        cwd=cwd,
        env=environment,
        timeout=120,
    )
