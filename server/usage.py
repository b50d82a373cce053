"""CPU seconds and memory of a process and all below it, by what they are for; from Linux's /proc.

What a process used is counted when it is looked at, and the rest when its parent
has reaped it: the kernel adds the times of a child to its parent's then, so that
a parser that lived between two looks counts too, and nothing is counted twice.
Source: Linux, man page proc_pid_stat(5).
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from server.hostmetrics import PARTS, HostMetrics

_PROGRAMS = {
    b"server.worker": "worker",
    b"server.dispatcher": "worker",
    b"server.child": "training",
    b"server.intake": "parsing",
}
_CHILDREN = {"server": "parsing", "worker": "training", "training": "training", "parsing": "parsing"}
"""What a child is for that left no trace but its times."""


@dataclass(frozen=True)
class _Process:
    number: int
    parent: int
    started: int
    """Ticks since boot: with the number it names a process for good."""
    own: int
    """Ticks that it ran."""
    reaped: int
    """Ticks that its children ran whose end it has heard."""
    pages: int

    @property
    def key(self) -> tuple[int, int]:
        return self.number, self.started


@dataclass(frozen=True)
class _Seen:
    process: _Process
    part: str
    parent: tuple[int, int] | None


class Usage:
    """Looks at the processes; blocking.

    Args:
        metrics: where it goes.
        part: what the process at the root is for.
        root: its number, by default this one's.
        proc: where the kernel tells of processes.
    """

    def __init__(
        self, metrics: HostMetrics, part: str, root: int | None = None, proc: Path = Path("/proc")
    ) -> None:
        self._metrics, self._part, self._proc = metrics, part, proc
        self._root = os.getpid() if root is None else root
        self._seen: dict[tuple[int, int], _Seen] = {}
        self._tick = 1 / os.sysconf("SC_CLK_TCK")
        self._page = os.sysconf("SC_PAGE_SIZE")

    def look(self) -> None:
        """Counts once. Raises OSError where there is no /proc."""
        now = self._tree()
        ticks, pages = Counter[str](), Counter[str]()
        gone = Counter[tuple[int, int]]()
        for key, seen in self._seen.items():
            if key not in now:
                gone[self._heir(seen, now)] += seen.process.own + seen.process.reaped
        for key, seen in now.items():
            process, before = seen.process, self._seen.get(key)
            pages[seen.part] += process.pages
            if before is not None:
                ticks[seen.part] += process.own - before.process.own
                reaped = process.reaped - before.process.reaped - gone[key]
            else:
                ticks[seen.part] += process.own
                # What the root's children did before anybody looked was counted by nobody and is not ours.
                reaped = 0 if seen.parent is None else process.reaped
            ticks[_CHILDREN[seen.part]] += max(0, reaped)
        self._seen = now
        for part in PARTS:
            self._metrics.resident.labels(part).set(pages[part] * self._page)
            self._metrics.cpu_seconds.labels(part).inc(max(0, ticks[part]) * self._tick)

    def _heir(self, seen: _Seen, now: Mapping[tuple[int, int], _Seen]) -> tuple[int, int]:
        """The process above that still runs: the times of one that ended are, or will be, among its own."""
        while seen.parent is not None and seen.parent not in now and seen.parent in self._seen:
            seen = self._seen[seen.parent]
        return seen.parent or seen.process.key

    def _tree(self) -> dict[tuple[int, int], _Seen]:
        """The root and all below it."""
        processes = self._processes()
        below: dict[int, list[_Process]] = {}
        for process in processes.values():
            below.setdefault(process.parent, []).append(process)
        root = processes[self._root]
        found = {root.key: _Seen(root, self._part, None)}
        waiting = [root]
        while waiting:
            parent = waiting.pop()
            for child in below.get(parent.number, []):
                part = self._part_of(child, found[parent.key].part)
                found[child.key] = _Seen(child, part, parent.key)
                waiting.append(child)
        return found

    def _part_of(self, process: _Process, parents: str) -> str:
        try:
            command = (self._proc / str(process.number) / "cmdline").read_bytes()
        except OSError:
            command = b""
        if not command:  # it has ended, and waits for its parent to hear
            known = self._seen.get(process.key)
            return known.part if known else _CHILDREN[parents]
        programs = (_PROGRAMS[word] for word in command.split(b"\0") if word in _PROGRAMS)
        return next(programs, parents)

    def _processes(self) -> dict[int, _Process]:
        found = {}
        for folder in self._proc.iterdir():
            if folder.name.isdecimal():
                try:
                    line = (folder / "stat").read_bytes()
                except OSError:  # it ended meanwhile
                    continue
                found[int(folder.name)] = _read(int(folder.name), line)
        return found


def _read(number: int, line: bytes) -> _Process:
    # The name in brackets may hold blanks and brackets itself.
    fields = line[line.rindex(b")") + 2 :].split()
    parent, own, reaped, started, pages = (
        int(fields[1]),
        int(fields[11]) + int(fields[12]),
        int(fields[13]) + int(fields[14]),
        int(fields[19]),
        int(fields[21]),
    )
    return _Process(number, parent, started, own, reaped, max(0, pages))
