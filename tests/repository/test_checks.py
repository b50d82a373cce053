"""The checks of the repository, run as tests so that CI has one summary."""

import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("target", ["lint", "types", "verify-proto"])
def test_make(target: str) -> None:
    run = subprocess.run(["make", target], cwd=ROOT, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
