"""One attempt of one job: a spawned child, watched from its first line to its last breath.

The child reports; this side forwards to the store, passes a wish to stop down,
and makes the child go when it does not: message, SIGTERM, SIGKILL.
"""

from __future__ import annotations

import contextvars
import queue
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import IO, Any

import structlog

from server.processes import bury, child_environment, oom_kills, stop_group
from server.protocol import MAX_LINE_BYTES, RESULTS, ChildSpec, from_line, to_line

log = structlog.get_logger(log="worker")

_TICK_SECONDS = 0.1
# Lines of a crash report that hold code and no data; all other lines stay unread.
_HARMLESS = re.compile(
    rb"(Fatal Python error: [A-Za-z ]+|(Current thread|Thread) 0x[0-9a-f]+.*:|"
    rb'  File "[^"]+", line \d+ in \S+|Killed|Segmentation fault|Aborted)\s*'
)


class Why(StrEnum):
    """Why a child was asked to stop."""

    CANCEL = "cancel"
    RUNTIME = "runtime"
    LEAVING = "leaving"
    LOST = "lost"


@dataclass(frozen=True)
class Grace:
    """How long a child may take to stop: from the message to SIGTERM, from there to SIGKILL."""

    message_s: float = 10.0
    terminate_s: float = 5.0


@dataclass(frozen=True)
class Ended:
    """How a child ended: its last message (None when it died without one), why it was stopped, its status."""

    result: Mapping[str, Any] | None
    why: Why | None
    status: int
    out_of_memory: bool
    """The kernel killed for memory in this control group while the child ran, and killed the child."""


class Attempt:
    """Runs a child to its end.

    Args:
        spec: what the child is to do.
        on_message: takes every message but the result.
        should_stop: asked ten times a second by two threads; why to stop, or None.
        grace: of the ladder.
        silence_s: a child that says nothing for so long is dead or stuck.
    """

    def __init__(
        self,
        spec: ChildSpec,
        on_message: Callable[[Mapping[str, Any]], None],
        should_stop: Callable[[], Why | None],
        grace: Grace,
        silence_s: float,
    ) -> None:
        self._spec, self._on_message, self._should_stop = spec, on_message, should_stop
        self._grace, self._silence_s = grace, silence_s
        self._lines: queue.Queue[bytes | None] = queue.Queue(maxsize=1000)
        self._why: Why | None = None
        self._stop_at = 0.0
        self._rung = 0
        self._lost = False

    def run(self) -> Ended:
        """Starts the child and returns when it is gone. Exceptions of `on_message` end it first."""
        killed_before = oom_kills()
        child = subprocess.Popen(
            [sys.executable, "-m", "server.child"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=child_environment(),
            process_group=0,
        )
        assert child.stdin is not None
        assert child.stdout is not None
        assert child.stderr is not None
        readers = [_thread(self._read, child.stdout), _thread(_log_harmless, child.stderr, self._spec.job)]
        over = threading.Event()
        guard = _thread(self._guard, child, over)
        for thread in (*readers, guard):
            thread.start()
        result: Mapping[str, Any] | None = None
        try:
            _say(child.stdin, self._spec.to_line())
            result = self._follow(child)
        finally:
            if result is None:
                stop_group(child, signal.SIGKILL)
            over.set()
            guard.join()  # once it is buried the child's number may be another's
            status = bury(child, self._grace.terminate_s)
            self._drain()
            for reader in readers:
                reader.join()
            for pipe in (child.stdin, child.stdout, child.stderr):
                _close(pipe)
        ours = self._lost or self._rung == 2
        killed = status == -signal.SIGKILL and not ours and (oom_kills() or 0) > (killed_before or 0)
        return Ended(result, Why.LOST if self._lost else self._why, status, killed)

    def _follow(self, child: subprocess.Popen[bytes]) -> Mapping[str, Any] | None:
        """The result, None when the child died without."""
        heard = time.monotonic()
        while True:
            try:
                line = self._lines.get(timeout=_TICK_SECONDS)
            except queue.Empty:
                pass
            else:
                if line is None:
                    return None
                heard = time.monotonic()
                message = from_line(line)
                if message is not None and message["type"] in RESULTS:
                    return message
                if message is not None:
                    self._on_message(message)
            self._climb(child)
            if time.monotonic() - heard > self._silence_s:
                log.warning("child silent", job=self._spec.job, attempt=self._spec.attempt)
                return None

    def _climb(self, child: subprocess.Popen[bytes]) -> None:
        """The ladder: from the wish to the signal that no process survives."""
        now = time.monotonic()
        if self._why is None:
            why = self._should_stop()
            if why is None or why is Why.LOST:
                return
            self._why, self._stop_at = why, now
            self._tell(why)
            assert child.stdin is not None
            _say(child.stdin, to_line({"stop": True}))
        if self._rung == 0 and now - self._stop_at >= self._grace.message_s:
            self._rung = 1
            stop_group(child, signal.SIGTERM)
        if self._rung == 1 and now - self._stop_at >= self._grace.message_s + self._grace.terminate_s:
            self._rung = 2
            stop_group(child, signal.SIGKILL)

    def _guard(self, child: subprocess.Popen[bytes], over: threading.Event) -> None:
        """Kills the child when its job is lost: another worker may run it already.

        On a thread of its own, because the one that follows the child may be
        waiting for a store that does not answer, which is how leases get lost.
        """
        while not over.wait(_TICK_SECONDS):
            if self._should_stop() is Why.LOST:
                self._lost = True
                self._tell(Why.LOST)
                stop_group(child, signal.SIGKILL)
                return

    def _tell(self, why: Why) -> None:
        log.info("child stopping", job=self._spec.job, attempt=self._spec.attempt, why=why.value)

    def _read(self, pipe: IO[bytes]) -> None:
        while line := pipe.readline(MAX_LINE_BYTES):
            self._lines.put(line)
        self._lines.put(None)

    def _drain(self) -> None:
        """Lets the reader end, whatever it still holds."""
        while True:
            try:
                if self._lines.get(timeout=1.0) is None:
                    return
            except queue.Empty:
                return


def _thread(work: Callable[..., None], *arguments: object) -> threading.Thread:
    """A thread with the trace id of this one in its log lines."""
    context = contextvars.copy_context()  # each its own: one cannot be entered twice at once
    return threading.Thread(target=context.run, args=(work, *arguments), daemon=True)


def _say(pipe: IO[bytes], line: bytes) -> None:
    try:
        pipe.write(line)
        pipe.flush()
    except OSError:
        return  # it died; its last line or status tells


def _close(pipe: IO[bytes]) -> None:
    try:
        pipe.close()
    except OSError:
        return


def _log_harmless(pipe: IO[bytes], job: str) -> None:
    """Drains standard error. Libraries quote data in warnings, so only lines of known shape are logged."""
    lines = 0
    while line := pipe.readline(MAX_LINE_BYTES):
        lines += 1
        if _HARMLESS.fullmatch(line):
            log.warning("child stderr", job=job, line=line.decode("ascii", "replace").strip())
    if lines:
        log.info("child stderr lines", job=job, lines=lines)
