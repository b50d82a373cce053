"""Machines of one host: namespaces of their own for network, processes, names, mounts and memory.

A `Machine` is a process in fresh namespaces that nothing names, neither in `/run/netns` nor in
`/etc/netns`: it reads a pipe of ours, and when the pipe ends (because we end, however we end) so does
it, and with it, by the kernel's hand, every process, address, mount and shared memory of the machine.
Machines are joined by a `Switch`, a bridge on a machine of its own: the host's network knows nothing.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

import psutil

SUBNET = "10.77.0"
"""Of all addresses, each of which exists on its machine alone."""
_NOBODY = "02:00:00:00:00:01"
"""A hardware address that no machine has: what is sent there is lost without a word."""
_NAMESPACES = ("--net", "--mount", "--uts", "--ipc", "--pid")


def missing() -> str:
    """What this host lacks to make machines; empty where it lacks nothing."""
    if os.geteuid() != 0:
        return "needs root for network namespaces"
    for tool in ("ip", "unshare", "nsenter", "setpriv"):
        if shutil.which(tool) is None:
            return f"needs {tool}"
    probe = subprocess.run(
        ["unshare", *_NAMESPACES, "--fork", "--mount-proc", "ip", "link", "add", "kd0", "type", "bridge"],
        check=False,
        capture_output=True,
    )
    return "needs a kernel that lets root make namespaces and bridges" if probe.returncode else ""


class Process:
    """A program on a machine."""

    def __init__(self, popen: subprocess.Popen[bytes]) -> None:
        self.popen = popen
        self._entered: psutil.Process | None = None

    def _inner(self) -> psutil.Process:
        """The program itself: nsenter waits for it outside."""
        if self._entered is None:
            while not (below := psutil.Process(self.popen.pid).children()):
                if self.popen.poll() is not None:
                    raise psutil.NoSuchProcess(self.popen.pid)
            self._entered = below[0]
        return self._entered

    @property
    def runs(self) -> bool:
        """Whether it has not ended."""
        return self.popen.poll() is None

    def below(self) -> list[psutil.Process]:
        """What it has started and what that has."""
        try:
            return self._inner().children(recursive=True)
        except psutil.NoSuchProcess:
            return []

    def signal(self, number: signal.Signals) -> None:
        """Sends the program itself, and nothing that it started, a signal."""
        self._inner().send_signal(number)
        if number == signal.SIGCONT:
            self.popen.send_signal(number)  # nsenter stops together with what it waits for

    def tell(self, line: str) -> None:
        """One line to its standard input."""
        assert self.popen.stdin is not None
        self.popen.stdin.write(line.encode() + b"\n")
        self.popen.stdin.flush()

    def finish(self, seconds: float = 120) -> int:
        """The end of its standard input, of which it ends by itself; the exit status."""
        assert self.popen.stdin is not None
        self.popen.stdin.close()
        return self.popen.wait(seconds)

    def kill(self) -> None:
        """kill -9."""
        if self.runs:
            self._inner().kill()
        self.popen.wait(30)

    def end(self, seconds: float = 60) -> int:
        """SIGTERM; the exit status."""
        if self.runs:
            self._inner().terminate()
        return self.popen.wait(seconds)


class Machine:
    """One machine, from `with` to its end.

    Args:
        name: its host name.
        number: the last part of its address.
    """

    def __init__(self, name: str, number: int) -> None:
        self.name, self.number = name, number
        self.address = f"{SUBNET}.{number}"
        self._init = 0
        self._keeper: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self._keeper = subprocess.Popen(
            # Not exec'ed, since the first process of a machine has orphans to bury: a shell that waits does.
            [
                *("unshare", *_NAMESPACES, "--fork", "--kill-child", "--mount-proc"),
                *("sh", "-c", "echo; cat > /dev/null; exit 0"),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert self._keeper.stdout is not None
        self._keeper.stdout.readline()
        self._init = psutil.Process(self._keeper.pid).children()[0].pid
        self.do("hostname", self.name)
        self.do("mount", "-t", "tmpfs", "none", "/dev/shm")
        self.do("ip", "link", "set", "lo", "up")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._keeper is not None
        self._keeper.kill()  # and, by --kill-child, all that is there
        self._keeper.wait(30)
        for pipe in (self._keeper.stdin, self._keeper.stdout):
            assert pipe is not None
            pipe.close()

    @property
    def outside(self) -> tuple[str, ...]:
        """What puts a command on this machine's network while it stays a process of the host."""
        return ("nsenter", "--target", str(self._init), "--net", "--uts", "--")

    @property
    def _inside(self) -> tuple[str, ...]:
        return ("nsenter", "--target", str(self._init), *_NAMESPACES, "--")

    def do(self, *command: str, user: str = "", timeout: float = 120) -> str:
        """Runs a command to its end; what it printed.

        Raises:
            RuntimeError: it failed; with what it said.
        """
        whole = [*self._inside, *_as(user), *command]
        done = subprocess.run(whole, capture_output=True, text=True, check=False, timeout=timeout)
        if done.returncode:
            raise RuntimeError(f"{self.name}: {command[0]} failed: {done.stderr[-2000:]}")
        return done.stdout

    def start(
        self,
        command: Sequence[str],
        log: IO[Any] | int,
        environment: Mapping[str, str],
        cwd: Path,
        *,
        hears: bool = False,
    ) -> Process:
        """Starts a program; `hears`: it takes lines from `Process.tell`."""
        return Process(
            subprocess.Popen(
                [*self._inside, *command],
                stdin=subprocess.PIPE if hears else subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=dict(environment),
                cwd=cwd,
            )
        )

    def knows(self, hosts: Mapping[str, Sequence[str]], scratch: Path) -> None:
        """Gives it a hosts file: names and, in the order in which they are tried, their addresses."""
        lines = ["127.0.0.1 localhost"]
        lines += [f"{address} {name}" for name, addresses in hosts.items() for address in addresses]
        file = scratch / f"hosts-{self.name}"
        file.write_text("\n".join(lines) + "\n", encoding="ascii")
        self.do("mount", "--bind", str(file), "/etc/hosts")

    def talks_to(self, other: Machine) -> bool:
        """Whether a TCP connection to the other is open.

        Source: Linux, Documentation/networking/proc_net_tcp.rst.
        """
        number = "".join(f"{int(part):02X}" for part in reversed(other.address.split(".")))
        established = "01"
        for family in ("tcp", "tcp6"):  # a socket for both families shows IPv4 in the latter
            lines = Path(f"/proc/{self._init}/net/{family}").read_text(encoding="ascii").splitlines()[1:]
            for _, _, remote, state, *_ in map(str.split, lines):
                if remote.partition(":")[0].endswith(number) and state == established:
                    return True
        return False

    def programs(self) -> list[psutil.Process]:
        """All that runs there, but for what keeps the machine up."""
        namespace = Path(f"/proc/{self._init}/ns/pid").readlink()
        init = psutil.Process(self._init)
        keeping = {init.pid, *(child.pid for child in init.children() if child.name() == "cat")}
        found = []
        for process in psutil.process_iter():
            try:
                here = Path(f"/proc/{process.pid}/ns/pid").readlink() == namespace
                if here and process.pid not in keeping and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process)
            except (OSError, psutil.Error):
                continue  # it ended just now
        return found

    def loses(self, other: Machine) -> None:
        """From now on what it sends to the other is lost without a word."""
        self.do(
            *("ip", "neigh", "replace", other.address, "lladdr", _NOBODY),
            *("dev", "eth0", "nud", "permanent"),
        )

    def finds(self, other: Machine) -> None:
        """Ends `loses`."""
        self.do("ip", "neigh", "flush", "to", other.address, "dev", "eth0", "nud", "permanent")


class Switch(Machine):
    """The machine that joins the others."""

    def __init__(self) -> None:
        super().__init__("switch", 0)

    def __enter__(self) -> Self:
        super().__enter__()
        self._ip("link", "add", "br0", "type", "bridge")
        self._ip("link", "set", "br0", "up")
        return self

    def join(self, machine: Machine) -> None:
        """Plugs a cable in at either end."""
        port = f"port{machine.number}"
        self._ip(*("link", "add", port, "type", "veth", "peer", "name", "eth0", "netns", str(machine._init)))
        self._ip("link", "set", port, "master", "br0", "up")
        machine.do("ip", "addr", "add", f"{machine.address}/24", "dev", "eth0")
        machine.do("ip", "link", "set", "eth0", "up")

    def unplug(self, machine: Machine) -> None:
        """Pulls the machine's cable."""
        self._ip("link", "set", f"port{machine.number}", "down")

    def plug(self, machine: Machine) -> None:
        """Puts it back."""
        self._ip("link", "set", f"port{machine.number}", "up")

    def _ip(self, *command: str) -> None:
        # From the host's processes: another machine is named by its number there.
        subprocess.run([*self.outside, "ip", *command], check=True, timeout=60)


def cut(one: Machine, other: Machine) -> ExitStack:
    """Cuts the way between two machines; `close` mends it."""
    mending = ExitStack()
    for near, far in ((one, other), (other, one)):
        near.loses(far)
        mending.callback(near.finds, far)
    return mending


def _as(user: str) -> tuple[str, ...]:
    return ("setpriv", f"--reuid={user}", f"--regid={user}", "--init-groups") if user else ()
