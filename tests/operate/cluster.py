"""A real Ray cluster of one node, on a loopback address, with a token of its own."""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

import psutil

from tests.core.support import free_ports

_MARK = "KOHORT_TEST_CLUSTER"
_HOST, _OTHER_HOST = "127.0.0.2", "127.0.0.3"  # Ray replaces 127.0.0.1 by the machine's own address


class Cluster:
    """`start` and `kill`, as often as wanted, at one address.

    Ray's head listens on every interface; who has no token is refused.

    Args:
        environment: of the node: what its workers need to know.
        cpus: that Ray gives out.
    """

    def __init__(self, environment: Mapping[str, str], cpus: int = 2) -> None:
        self._cpus = cpus
        self._port, self._client_port = free_ports(2, _HOST)
        token = secrets.token_hex(32)
        self.access = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": token}
        """The variables that whoever connects needs."""
        # A socket's path is short: not below pytest's folders.
        self._folder = Path(tempfile.mkdtemp(prefix="kohort-ray-", dir="/tmp"))
        self._environment = {
            **os.environ,
            **environment,
            **self.access,
            "RAY_USAGE_STATS_ENABLED": "0",
            _MARK: token,
        }

    @property
    def address(self) -> str:
        return f"{_HOST}:{self._port}"

    def start(self) -> None:
        """The head, which runs jobs as well, but has no GPU."""
        self._start(
            *("--head", "--node-ip-address", _HOST, "--port", self._port, "--include-dashboard", "false"),
            *("--num-cpus", self._cpus, "--num-gpus", 0, "--ray-client-server-port", self._client_port),
            *("--temp-dir", self._folder),
        )

    def add_gpu_node(self) -> None:
        """A further node. Ray believes in the GPU that it is told of."""
        self._start(
            "--address", self.address, "--node-ip-address", _OTHER_HOST, "--num-gpus", 1, "--num-cpus", 1
        )

    def remove_gpu_node(self) -> None:
        """kill -9 of that node."""
        for process in self.processes():
            try:
                node = "raylet" in process.name() and f"--node_ip_address={_OTHER_HOST}" in process.cmdline()
                below = process.children(recursive=True) if node else []
                for one in [process, *below] if node else []:
                    one.kill()
            except psutil.NoSuchProcess:
                continue

    def _start(self, *options: object) -> None:
        command = [Path(sys.executable).parent / "ray", "start", *options, "--disable-usage-stats"]
        command += ["--object-store-memory", 80_000_000, "--include-log-monitor", "false"]
        done = subprocess.run(
            [*map(str, command)],
            env=self._environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=180,
        )
        assert done.returncode == 0, done.stdout.decode() + done.stderr.decode()

    def processes(self) -> list[psutil.Process]:
        """All that the cluster consists of and all it started."""
        found: dict[int, psutil.Process] = {}
        for process in psutil.process_iter():
            try:
                if process.environ().get(_MARK) == self._environment[_MARK]:
                    # A process that renamed itself has written over its environment.
                    found |= {p.pid: p for p in (process, *process.children(recursive=True))}
            except psutil.Error:
                continue
        return list(found.values())

    def kill(self) -> None:
        """kill -9 of everything, until nothing is left."""
        while found := self.processes():
            for process in found:
                try:
                    process.kill()
                except psutil.NoSuchProcess:
                    continue
            psutil.wait_procs(found, timeout=10)

    def close(self) -> None:
        self.kill()
        shutil.rmtree(self._folder, ignore_errors=True)

    def said(self) -> str:
        """What the workers of the node wrote."""
        logs = sorted(self._folder.glob("session_*/logs/worker-*.err"))
        return "\n".join(f"== {path.name}\n{path.read_text(errors='replace')}" for path in logs)
