"""Installation without a network: a wheelhouse is filled, and all the rest happens where there is none."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from tests.core.support import unavailable

ROOT = Path(__file__).resolve().parents[2]
# The wheels are hundreds of megabytes, where no cache has them.
pytestmark = pytest.mark.timeout(1500)

# What docs/operations.md tells the operator to do, then a server and a client of it; all on loopback.
INSTALL = """
set -euo pipefail
ip link set lo up
cd "$1"
sha256sum --check --quiet SHA256SUMS
"$3" -m venv "$2/kohort"
"$2/kohort/bin/pip" install --quiet --no-index --find-links . --no-deps --require-hashes -r lock.txt
"$2/kohort/bin/pip" check
cd "$2"
exec "$2/kohort/bin/python" -c "$4"
"""
SERVE = """
import errno, pathlib, socket, subprocess, sys, time

try:  # an address that nobody has (RFC 5737)
    socket.create_connection(("192.0.2.1", 443), 2)
except OSError as error:
    assert error.errno == errno.ENETUNREACH, error
else:
    raise AssertionError("there is a network here")

import kohort

command = [sys.executable, "-m", "server", "--port", "0", "--metrics-port", "0", "--devices", ""]
server = subprocess.Popen([*command, "--address-file", "address", "--log-level", "warning"])
try:
    address, end = pathlib.Path("address"), time.monotonic() + 60
    while not address.exists():
        assert server.poll() is None and time.monotonic() < end, "the server did not start"
        time.sleep(0.1)
    with kohort.Client(address.read_text().strip()) as client:
        found = client.capabilities()
    assert pathlib.Path(kohort.__file__).is_relative_to(sys.prefix), kohort.__file__
    print("capabilities of", found.server_version)
finally:
    server.terminate()
    assert server.wait(60) == 0
"""


@pytest.fixture(scope="module")
def wheelhouse(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("airgap") / "wheelhouse"
    done = subprocess.run(
        [ROOT / "tools" / "wheelhouse.sh", folder],
        env={**os.environ, "PYTHON": sys.executable},
        capture_output=True,
        text=True,
        check=False,
        timeout=900,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.mark.slow
def test_an_installation_without_a_network(wheelhouse: Path, tmp_path: Path) -> None:
    alone = ["unshare", "--net", "--map-root-user"]
    if shutil.which("ip") is None or subprocess.run([*alone, "true"], check=False).returncode:
        unavailable("needs unshare, network namespaces and ip")
    plain = {k: v for k, v in os.environ.items() if not k.startswith(("PIP_", "PYTHON", "KOHORT_"))}
    command = [*alone, "bash", "-c", textwrap.dedent(INSTALL), "airgap"]
    done = subprocess.run(
        [*command, wheelhouse, tmp_path, sys.executable, SERVE],
        env=plain,
        capture_output=True,
        text=True,
        check=False,
        timeout=400,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "capabilities of" in done.stdout


@pytest.mark.slow
def test_the_wheelhouse_holds_what_its_lists_say(wheelhouse: Path) -> None:
    wheels = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in wheelhouse.glob("*.whl")}
    locked = (wheelhouse / "lock.txt").read_text()
    assert len(locked.splitlines()) == len(wheels)
    assert all(digest in locked for digest in wheels.values())
    assert {path.name for path in wheelhouse.iterdir()} == {*wheels, "lock.txt", "SHA256SUMS"}
    assert {name.split("-")[0] for name in wheels} >= {"kohort", "kohort_server", "grpcio", "psycopg_binary"}
    assert not any(name.startswith(("torch-", "nvidia_cu")) for name in wheels), "a serving node has no torch"


def test_it_fills_no_directory_that_holds_something(tmp_path: Path) -> None:
    (tmp_path / "mine").touch()
    done = subprocess.run(
        [ROOT / "tools" / "wheelhouse.sh", tmp_path], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "not empty" in done.stderr
    assert [p.name for p in tmp_path.iterdir()] == ["mine"]
