"""What a tree of processes used, read from a /proc made for the purpose and from the real one."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

from prometheus_client import CollectorRegistry

from server.declaring import Maker
from server.hostmetrics import PARTS, HostMetrics
from server.usage import Usage

TICKS = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")


class Proc:
    """A /proc that says what a test wants."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.registry = CollectorRegistry()
        self.metrics = HostMetrics(Maker(self.registry))
        (root / "self").mkdir()

    def put(
        self, number: int, parent: int, *program: str, own: float = 0, reaped: float = 0, pages: int = 0
    ) -> None:
        """A process; its times in seconds."""
        folder = self.root / str(number)
        folder.mkdir(exist_ok=True)
        (folder / "cmdline").write_bytes(
            b"\0".join(word.encode() for word in program) + b"\0" * bool(program)
        )
        fields = ["S", parent, 0, 0, 0, 0, 0, 0, 0, 0, 0, int(own * TICKS), 0, 0, int(reaped * TICKS)]
        fields += [20, 0, 1, 0, number * 10, 1 << 30, pages, 0]
        (folder / "stat").write_text(f"{number} (a) b) {' '.join(map(str, fields))}\n")

    def end(self, number: int) -> None:
        shutil.rmtree(self.root / str(number))

    def cpu(self) -> dict[str, float]:
        """CPU seconds by part, but for the parts without."""
        return self._all("kohort_processes_cpu_seconds_total")

    def resident(self) -> dict[str, float]:
        return self._all("kohort_processes_resident_bytes")

    def _all(self, name: str) -> dict[str, float]:
        found = {part: self.registry.get_sample_value(name, {"part": part}) for part in PARTS}
        return {part: round(value, 2) for part, value in found.items() if value}


def test_each_process_counts_for_what_it_runs(tmp_path: Path) -> None:
    proc = Proc(tmp_path)
    proc.put(1, 0, "init", own=99, pages=99)
    proc.put(10, 1, "python", "-m", "server", own=5, reaped=7, pages=1)
    proc.put(11, 10, "python", "-m", "server.worker", own=1, pages=2)
    proc.put(12, 11, "python", "-m", "server.child", own=30, pages=3)
    proc.put(13, 12, "nvcc", own=2, pages=4)
    proc.put(14, 10, "python", "-m", "server.intake", own=3, pages=5)
    proc.put(20, 1, "python", "-m", "server.worker", own=50, pages=6)
    usage = Usage(proc.metrics, "server", 10, tmp_path)
    usage.look()
    assert proc.cpu() == {"server": 5, "worker": 1, "training": 32, "parsing": 3}
    assert proc.resident() == {"server": PAGE, "worker": 2 * PAGE, "training": 7 * PAGE, "parsing": 5 * PAGE}
    usage.look()
    assert proc.cpu() == {"server": 5, "worker": 1, "training": 32, "parsing": 3}, "nothing happened"


def test_what_ended_stays_counted_and_is_counted_once(tmp_path: Path) -> None:
    proc = Proc(tmp_path)
    proc.put(10, 1, "python", "-m", "server", own=5)
    proc.put(11, 10, "python", "-m", "server.worker", own=1)
    proc.put(12, 11, "python", "-m", "server.child", own=30)
    usage = Usage(proc.metrics, "server", 10, tmp_path)
    usage.look()
    proc.end(12)  # after four more seconds
    proc.put(11, 10, "python", "-m", "server.worker", own=1, reaped=34)
    usage.look()
    assert proc.cpu() == {"server": 5, "worker": 1, "training": 34}
    assert proc.resident() == {}
    proc.put(10, 1, "python", "-m", "server", own=6, reaped=2)  # a parser that nobody saw
    usage.look()
    assert proc.cpu() == {"server": 6, "worker": 1, "training": 34, "parsing": 2}
    proc.end(11)  # and its whole life becomes its parent's
    proc.put(10, 1, "python", "-m", "server", own=6, reaped=2 + 35)
    usage.look()
    assert proc.cpu() == {"server": 6, "worker": 1, "training": 34, "parsing": 2}


def test_a_worker_that_dies_with_its_child_counts_nothing_twice_nor_backwards(tmp_path: Path) -> None:
    proc = Proc(tmp_path)
    proc.put(10, 1, "python", "-m", "server", own=5)
    proc.put(11, 10, "python", "-m", "server.worker", own=1)
    proc.put(12, 11, "python", "-m", "server.child", own=3600)
    usage = Usage(proc.metrics, "server", 10, tmp_path)
    usage.look()
    proc.end(11)
    proc.end(12)
    proc.put(10, 1, "python", "-m", "server", own=5, reaped=1)  # the child ended by itself
    usage.look()
    assert proc.cpu() == {"server": 5, "worker": 1, "training": 3600}
    proc.put(11, 10, "python", "-m", "server.worker", own=1)
    usage.look()
    assert proc.cpu() == {"server": 5, "worker": 2, "training": 3600}, (
        "the number is another's now? no: a new life"
    )


def test_one_that_ended_and_waits_for_its_parent_is_still_known(tmp_path: Path) -> None:
    proc = Proc(tmp_path)
    proc.put(10, 1, "python", "-m", "server", own=5)
    proc.put(14, 10, "python", "-m", "server.intake", own=1)
    usage = Usage(proc.metrics, "server", 10, tmp_path)
    usage.look()
    proc.put(14, 10, own=2)
    proc.put(15, 10, own=3)  # which nobody saw alive
    usage.look()
    assert proc.cpu() == {"server": 5, "parsing": 5}


def test_the_real_kernel_says_the_same() -> None:
    registry = CollectorRegistry()
    metrics = HostMetrics(Maker(registry))
    usage = Usage(metrics, "worker")
    burn = "import time\nwhile time.process_time() < 0.3: pass"
    usage.look()
    before = registry.get_sample_value("kohort_processes_cpu_seconds_total", {"part": "training"}) or 0.0
    subprocess.run([sys.executable, "-c", burn], check=True, timeout=60)
    usage.look()

    def value(name: str, part: str) -> float:
        return registry.get_sample_value(name, {"part": part}) or 0.0

    assert value("kohort_processes_cpu_seconds_total", "training") - before >= 0.2
    counted, began = value("kohort_processes_cpu_seconds_total", "worker"), time.process_time()
    while time.process_time() - began < 0.2:
        pass
    usage.look()
    assert value("kohort_processes_cpu_seconds_total", "worker") - counted >= 0.1
    assert value("kohort_processes_resident_bytes", "worker") > 10 << 20
