"""Files with secrets, named by settings."""

from __future__ import annotations

from pathlib import Path


def read_secret(path: Path, setting: str) -> str:
    """The text of such a file; its owner and group may read it, as Kubernetes mounts secrets.

    Args:
        path: the file.
        setting: that names it, for the error.

    Raises:
        ValueError: every user of the machine may read or write it.
        OSError: it cannot be read.
        UnicodeDecodeError: it is no UTF-8.
    """
    if path.stat().st_mode & 0o007:
        raise ValueError(f"{setting} must not be open to all users of the machine: chmod o=")
    return path.read_text(encoding="utf-8")
