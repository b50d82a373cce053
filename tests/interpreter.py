"""A Python of its own, for what a test must not have imported."""

from __future__ import annotations

import subprocess
import sys


def python(code: str, *arguments: str) -> str:
    """Runs code; gives what it prints."""
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
