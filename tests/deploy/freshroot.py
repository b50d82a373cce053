"""A fresh root of Debian with nothing in it but Python: what `python:3.11-slim-bookworm` stands on."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

from tests.core.support import unavailable

SUITE = "bookworm"
PACKAGES = "ca-certificates,python3,python3-venv"


def possible() -> None:
    """Skips, or fails in continuous integration, where no root can be made."""
    for tool in ("debootstrap", "unshare", "chroot", "setpriv", "dpkg-deb"):
        if shutil.which(tool) is None:
            unavailable(f"{tool} is not here")
    if os.geteuid() != 0:
        unavailable("a root directory of one's own takes root")


def make(root: Path) -> None:
    """Debian's own tool gets the packages; they are unpacked, not configured: that suffices for files."""
    made = subprocess.run(
        ["debootstrap", "--foreign", "--variant=minbase", f"--include={PACKAGES}", SUITE, root, mirror()],
        capture_output=True,
        text=True,
        timeout=400,
    )
    assert made.returncode == 0, made.stdout[-2000:] + made.stderr[-2000:]
    for package in sorted((root / "var/cache/apt/archives").glob("*.deb")):
        files = subprocess.run(
            ["dpkg-deb", "--fsys-tarfile", package], capture_output=True, check=True
        ).stdout
        subprocess.run(["tar", "-x", "--keep-directory-symlink", "-C", root], input=files, check=True)
        package.unlink()
    shutil.rmtree(root / "debootstrap")
    for name in ("proc", "sys"):
        if (root / name).is_symlink():  # so made where debootstrap takes this machine for a container
            (root / name).unlink()
        (root / name).mkdir(exist_ok=True)
    for name in ("passwd", "group"):
        shutil.copy(root / "usr/share/base-passwd" / f"{name}.master", root / "etc" / name)
    subprocess.run(["chroot", root, "/sbin/ldconfig"], check=True)


def mirror() -> str:
    """Where this machine's apt gets the suite from."""
    sources = [*Path("/etc/apt").glob("sources.list"), *sorted(Path("/etc/apt/sources.list.d").glob("*"))]
    for path in sources:
        text = path.read_text()
        found = re.search(r"^URIs:\s*(\S+)", text, re.M) or re.search(
            r"^deb\s+(?:\[.*?\]\s*)?(\S+)", text, re.M
        )
        if found:
            return found[1]
    return unavailable("apt knows no mirror here")
