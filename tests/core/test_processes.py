"""Locks, lifelines and messages between processes."""

from __future__ import annotations

import dataclasses
import json
import math
import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from server.processes import SlotLock, child_environment, give_way, host_id, oom_kills
from server.protocol import ChildSpec, from_line, to_line
from tests.core.workers import gone

HOLDER = """
import sys, time
from pathlib import Path
from server.processes import SlotLock
assert SlotLock(Path(sys.argv[1]), "cuda:0", "child").acquire()
print("held", flush=True)
time.sleep(600)
"""


def test_the_kernel_frees_the_slot_of_a_killed_process(tmp_path: Path) -> None:
    command = [sys.executable, "-c", HOLDER, str(tmp_path)]
    holder = subprocess.Popen(command, stdout=subprocess.PIPE, env=child_environment())
    assert holder.stdout is not None
    assert holder.stdout.readline() == b"held\n"
    mine = SlotLock(tmp_path, "cuda:0", "child")
    assert not mine.acquire(lambda: True)
    assert SlotLock(tmp_path, "cuda:1", "child").acquire(lambda: True)
    holder.kill()
    assert mine.acquire()
    assert not SlotLock(tmp_path, "cuda:0", "child").acquire(lambda: True)
    mine.release()
    assert SlotLock(tmp_path, "cuda:0", "child").acquire(lambda: True)
    holder.wait()
    holder.stdout.close()


PARENT = """
import os, subprocess, sys, time
child = "import os, sys, time; from server.processes import *; {how}; "
child += "print(os.getpid(), flush=True); time.sleep(600)"
subprocess.Popen([sys.executable, "-c", child, str(os.getpid())], stdin=subprocess.PIPE)
time.sleep(600)
"""


def child_of_a_killed_parent(how: str) -> None:
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT.format(how=how)], stdout=subprocess.PIPE, env=child_environment()
    )
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    assert psutil.pid_exists(child)
    parent.kill()
    parent.wait()
    gone(child)
    parent.stdout.close()


def test_a_child_dies_with_its_parent_by_the_kernel() -> None:
    child_of_a_killed_parent("die_with_parent(int(sys.argv[1]))")


def test_a_child_dies_with_its_parent_by_the_lifeline() -> None:
    child_of_a_killed_parent("watch_lifeline(sys.stdin.buffer, lambda _: None, vanish)")


def test_a_child_that_starts_as_an_orphan_ends() -> None:
    program = "from server.processes import die_with_parent; die_with_parent(1); print('lives')"
    ended = subprocess.run(
        [sys.executable, "-c", program], env=child_environment(), capture_output=True, check=False
    )
    assert (ended.returncode, ended.stdout) == (70, b"")


def test_a_worker_without_a_supervisor_ends_at_once() -> None:
    for module in ("server.worker", "server.child", "server.intake"):
        process = subprocess.Popen(
            [sys.executable, "-m", module],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            env=child_environment(),
            process_group=0,
        )
        assert process.wait(60) in (70, -signal.SIGKILL)


def test_messages() -> None:
    line = to_line({"type": "progress", "losses": {"g": math.nan, "d": [1.0, math.inf]}, "text": "é\n"})
    assert line.count(b"\n") == 1
    assert json.loads(line) == {"type": "progress", "losses": {"g": None, "d": [1.0, None]}, "text": "é\n"}
    assert from_line(line) == json.loads(line)
    for noise in (b"", b"warning: MRN 1", b"[1]", b'{"type": "other"}', b'{"no": 1}', b"\xff"):
        assert from_line(noise) is None


def test_a_specification_survives_the_pipe() -> None:
    texts = {f.name: f.name for f in dataclasses.fields(ChildSpec)}
    others = {"parent": 1, "attempt": 2, "parameters": {"a": [1]}, "schema": {}, "seed": -(2**63)}
    numbers = {"options": {}, "alive_s": 1.0, "threads": 1}
    spec = ChildSpec(**(texts | others | numbers))  # type: ignore[arg-type]
    assert ChildSpec.from_line(spec.to_line()) == spec


def test_facts_of_this_machine(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    assert host_id(tmp_path) == host_id(tmp_path) != host_id(tmp_path / "other")
    kills = oom_kills()
    assert kills is None or kills >= 0


def test_long_work_gives_way_to_the_server() -> None:
    command = "from server.processes import give_way; import os; give_way(); print(os.nice(0))"
    told = subprocess.run(
        [sys.executable, "-c", command], env=child_environment(), capture_output=True, text=True, check=True
    )
    assert int(told.stdout) == min(19, os.nice(0) + 10)


def test_where_no_priority_may_change_work_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(increment: int) -> int:
        raise PermissionError

    monkeypatch.setattr(os, "nice", forbidden)
    give_way()
