"""The training child: one process, one job, one slot. Started as ``python -m server.child`` by a worker.

It imports no transport, no database and no protobuf, talks in lines of JSON
(`server.protocol`), and dies with its worker. What it prints on standard output
goes to standard error: the channel to the worker is a descriptor of its own.
"""

from __future__ import annotations

import faulthandler
import importlib
import os
import sys
import threading
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO, Protocol

from server.processes import SlotLock, die_with_parent, give_way, is_full, vanish, watch_lifeline
from server.protocol import ChildSpec, to_line

# numpy and torch read these when they are imported, which comes later. Waiting
# threads that spin take the cores from everything else.
_ENVIRONMENT = {"OMP_WAIT_POLICY": "PASSIVE", "KMP_BLOCKTIME": "0"}
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")
_PROGRESS_SECONDS = 0.1


class Reporter(Protocol):
    """What the work is handed: how to report, and whether to stop."""

    def phase(self, name: str) -> None:
        """A step begins."""

    def progress(self, values: dict[str, Any], *, last: bool = False) -> None:
        """Fitting went on; some of many reports are left out, never the last."""

    def warn(self, finding: dict[str, str]) -> None:
        """Something a person should know: a `Finding` as JSON."""

    def made(self, result: dict[str, Any]) -> None:
        """What to publish should the rest of the work take too long, or more memory than there is."""

    def should_stop(self) -> bool:
        """Whether a stop was asked for."""


Entry = Callable[[ChildSpec, Reporter], dict[str, Any] | None]
"""Does the work; returns the fields of the result, None when it was stopped."""


class _Channel:
    """The way up to the worker, and the wish to stop that came down."""

    def __init__(self, up: BinaryIO) -> None:
        self._up = up
        self._turn = threading.Lock()
        self._progress_at = -_PROGRESS_SECONDS
        self.stop = threading.Event()

    def send(self, kind: str, **fields: Any) -> None:
        line = to_line({"type": kind, **fields})
        with self._turn:
            self._up.write(line)
            self._up.flush()

    def phase(self, name: str) -> None:
        self.send("phase", phase=name)

    def progress(self, values: dict[str, Any], *, last: bool = False) -> None:
        now = time.monotonic()
        if last or now - self._progress_at >= _PROGRESS_SECONDS:
            self._progress_at = now
            self.send("progress", progress=values)

    def warn(self, finding: dict[str, str]) -> None:
        self.send("warning", finding=finding)

    def made(self, result: dict[str, Any]) -> None:
        self.send("made", **result)

    def should_stop(self) -> bool:
        return self.stop.is_set()

    def say_alive(self, every_s: float) -> None:
        def say() -> None:
            while True:
                time.sleep(every_s)
                self.send("alive")

        threading.Thread(target=say, name="alive", daemon=True).start()


def main() -> None:
    """Runs the job whose specification is the first line of standard input."""
    faulthandler.enable()
    channel = _Channel(os.fdopen(os.dup(1), "wb", buffering=0))
    os.dup2(2, 1)
    down = sys.stdin.buffer
    line = down.readline()
    if not line:
        vanish()
    spec = ChildSpec.from_line(line)
    die_with_parent(spec.parent)
    watch_lifeline(down, lambda _: channel.stop.set(), vanish)
    _prepare(spec)
    channel.say_alive(spec.alive_s)
    # Another child in this slot can only be one whose worker died just now.
    lock = SlotLock(Path(spec.lock_folder), spec.slot, "child")
    if lock.acquire(channel.should_stop):
        kind, fields = _work(spec, channel)
    else:
        kind, fields = "stopped", {}
    channel.send(kind, **fields)
    # Not sys.exit: a daemon thread reads standard input, and libraries' exit
    # handlers have nothing left to save.
    sys.stderr.flush()
    os._exit(0)


def _work(spec: ChildSpec, channel: _Channel) -> tuple[str, dict[str, Any]]:
    """The type and fields of the result. An exception's text may quote a cell, so only its type goes up."""
    try:
        module, _, name = spec.entry.partition(":")
        entry: Entry = getattr(importlib.import_module(module), name)
        result = entry(spec, channel)
    except MemoryError:
        return "problem", _problem("OUT_OF_MEMORY", "training needs more memory than there is")
    except OSError as error:
        if is_full(error):
            return "problem", _problem("STORAGE_FULL", "the disk has no room left")
        return "crash", _crash(error)
    except Exception as error:
        if type(error).__name__ == "OutOfMemoryError":  # torch's, which is not imported here
            return "problem", _problem("OUT_OF_MEMORY", "training needs more device memory than there is")
        reason, message = getattr(error, "reason", None), getattr(error, "message", None)
        if isinstance(reason, str) and isinstance(message, str):  # kohort.problem.Problem
            violations = getattr(error, "violations", ())
            return "problem", _problem(reason, message, violations[0].field if violations else "")
        return "crash", _crash(error)
    return ("stopped", {}) if result is None else ("done", result)


def _problem(reason: str, message: str, column: str = "") -> dict[str, Any]:
    return {"reason": reason, "message": message, "column": column}


def _crash(error: BaseException) -> dict[str, Any]:
    frames = [f"{frame.name}:{frame.lineno}" for frame in traceback.extract_tb(error.__traceback__)[-12:]]
    return {"exception": type(error).__name__, "frames": frames}


def _prepare(spec: ChildSpec) -> None:
    os.environ.update(_ENVIRONMENT)
    os.environ.update(dict.fromkeys(_THREADS, str(spec.threads)))
    kind, _, index = spec.slot.partition(":")
    # A GPU slot sees its GPU alone, under number 0; a CPU slot sees none.
    os.environ["CUDA_VISIBLE_DEVICES"] = index if kind == "cuda" else ""
    os.umask(0o077)
    give_way()


if __name__ == "__main__":
    main()
