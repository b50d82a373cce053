"""Processes that end with their parent, slots that one process holds, and what a kernel says of a death.

Standard library only: the training child imports this before anything else.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any, NoReturn

_PR_SET_PDEATHSIG = 1
_POLL_SECONDS = 0.1
_NICE = 10
ORPHANED = 70
"""The exit status of a process whose parent went away."""


def die_with_parent(parent: int) -> None:
    """Asks the kernel for SIGKILL when the parent dies (Linux; elsewhere the lifeline does).

    The kernel means the *thread* that started this process: parents start
    processes from threads that live as long as they want them to.

    Args:
        parent: the process that should be the parent; where it already is not,
            this process ends here.
    """
    if sys.platform == "linux":
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
            raise OSError(ctypes.get_errno(), "prctl")
    if os.getppid() != parent:
        os._exit(ORPHANED)


def give_way() -> None:
    """Lowers this process's priority for good: long work takes the time that those who wait leave.

    Where cores are contested a server gets nine tenths of one; else nothing changes,
    nor where a sandbox forbids it.
    """
    with contextlib.suppress(OSError):
        os.nice(_NICE)


def watch_lifeline(lifeline: IO[bytes], on_line: Callable[[bytes], None], on_end: Callable[[], None]) -> None:
    """Reads the pipe from the parent in a thread: lines are messages, its end is the parent's."""

    def watch() -> None:
        for line in lifeline:
            on_line(line)
        on_end()

    threading.Thread(target=watch, name="lifeline", daemon=True).start()


def vanish() -> None:
    """Ends this process and its process group at once, with nothing flushed."""
    if os.getpgrp() == os.getpid():
        os.killpg(os.getpgrp(), signal.SIGKILL)
    os._exit(ORPHANED)


def supervised(run: Callable[[dict[str, Any]], int]) -> NoReturn:
    """The main function of a process that a supervisor keeps.

    The first line of standard input is a JSON object that configures it, with the
    supervisor's process id as `parent`; the end of standard input ends it, and so
    does the supervisor's death.

    Args:
        run: given the object; its result is the exit status.
    """
    lifeline = sys.stdin.buffer
    line = lifeline.readline()
    if not line:
        vanish()
    values: dict[str, Any] = json.loads(line)
    die_with_parent(values.pop("parent"))
    watch_lifeline(lifeline, lambda _: None, vanish)
    code = run(values)
    sys.stderr.flush()
    os._exit(code)  # a daemon thread reads standard input


def start_supervised(
    module: str, values: Mapping[str, Any], stderr: IO[bytes] | None = None
) -> subprocess.Popen[bytes]:
    """Starts `module`, whose main function is `supervised`; holds its lifeline.

    Call it on a thread that lives as long as the process may: the kernel's death
    signal goes out when the *thread* ends. What `values` hold is in no command line.
    Raises OSError.
    """
    process = subprocess.Popen(
        [sys.executable, "-m", module],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=stderr,
        env=child_environment(),
        process_group=0,  # a Ctrl-C at the terminal is for the parent, which then asks it to leave
    )
    assert process.stdin is not None
    # One that is gone already has a status that tells.
    with contextlib.suppress(BrokenPipeError):
        process.stdin.write(json.dumps({**values, "parent": os.getpid()}).encode() + b"\n")
        process.stdin.flush()
    return process


def hang_up(process: subprocess.Popen[bytes]) -> None:
    """Lets go of the lifeline of a process that `start_supervised` started."""
    assert process.stdin is not None
    with contextlib.suppress(OSError):
        process.stdin.close()


def stop_group(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    """Signals a process that leads its group, and all of the group."""
    if process.returncode is None:
        try:
            os.killpg(process.pid, number)
        except ProcessLookupError:
            return


def bury(process: subprocess.Popen[bytes], grace_s: float) -> int:
    """Waits for a process that leads its group, ends what is left of the group, and gives the status.

    One that outlives the grace is killed. It is looked at before it is reaped:
    until then nobody else can be given its number.
    """
    end = time.monotonic() + grace_s
    while os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT | os.WNOHANG) is None:
        if time.monotonic() >= end:
            stop_group(process, signal.SIGKILL)
        time.sleep(_POLL_SECONDS / 10)
    stop_group(process, signal.SIGKILL)
    return process.wait()


def host_id(locks: Path) -> str:
    """Names those that compete for the same locks: one machine until its next boot, one directory."""
    boot = Path("/proc/sys/kernel/random/boot_id")
    started = boot.read_text(encoding="ascii").strip() if boot.exists() else ""
    folder = locks.stat()
    return f"{socket.gethostname()}/{started}/{folder.st_dev:x}-{folder.st_ino:x}"


class SlotLock:
    """A lock on one slot of this machine that the kernel releases however its holder dies.

    Args:
        folder: the directory of locks.
        slot: such as ``cuda:0``.
        role: who holds it; the worker and its child each lock in their own name.
    """

    def __init__(self, folder: Path, slot: str, role: str) -> None:
        name = f"{socket.gethostname()}-{slot}-{role}.lock".replace(":", "-").replace("/", "-")
        self._path = folder / name
        self._descriptor: int | None = None

    def acquire(self, give_up: Callable[[], bool] = lambda: False) -> bool:
        """Waits until the slot is free; False when `give_up` says so first."""
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        # Not inherited by programs this process starts: it is free when this process ends.
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if give_up():
                    os.close(descriptor)
                    return False
                time.sleep(_POLL_SECONDS)
            else:
                self._descriptor = descriptor
                return True

    def release(self) -> None:
        """Lets the next one in."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def child_environment() -> dict[str, str]:
    """This process's environment, with the application importable from wherever it runs."""
    root = str(Path(__file__).resolve().parents[1])
    paths = [root, *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(dict.fromkeys(paths)), "PYTHONUNBUFFERED": "1"}


def oom_kills() -> int | None:
    """How often the kernel killed for memory in this process's control group; None where it does not say.

    Source: Linux, Documentation/admin-guide/cgroup-v2.rst (memory.events) and
    cgroup-v1/memory.rst (memory.oom_control).
    """
    try:
        groups = Path("/proc/self/cgroup").read_text(encoding="utf-8").splitlines()
    except OSError:
        return None
    for line in groups:
        _, controllers, path = line.split(":", 2)
        relative = path.strip().lstrip("/")
        if controllers == "":
            candidates = [Path("/sys/fs/cgroup") / relative / "memory.events"]
        elif "memory" in controllers.split(","):
            candidates = [Path("/sys/fs/cgroup/memory") / relative / "memory.oom_control"]
        else:
            continue
        for candidate in candidates:
            try:
                facts = dict(row.split()[:2] for row in candidate.read_text(encoding="ascii").splitlines())
                return int(facts["oom_kill"])
            except (OSError, KeyError, ValueError):
                continue
    return None


def is_full(error: OSError) -> bool:
    """Whether an error says that a disk or quota is full."""
    return error.errno in (errno.ENOSPC, errno.EDQUOT)
