"""Stands in for the training of a child: `mode` of its parameters says what happens."""

from __future__ import annotations

import ctypes
import errno
import hashlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from server.child import Reporter
from server.protocol import ChildSpec

SECRET = "MRN-4711"


def run(spec: ChildSpec, reporter: Reporter) -> dict[str, Any] | None:
    parameters = spec.parameters
    _note(spec, os.getpid())
    reporter.phase("fitting")
    match parameters.get("mode", "train"):
        case "raise":
            raise ValueError(f"cannot convert {SECRET}")
        case "problem":
            from kohort.problem import Problem

            raise Problem.at("COLUMN_UNSUPPORTED", "heart.age", "no category is shared by 5 patients")
        case "memory":
            raise MemoryError
        case "full":
            raise OSError(errno.ENOSPC, f"no room for {SECRET}")
        case "exit":
            os._exit(3)
        case "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        case "segfault":
            ctypes.string_at(0)
        case "noisy":
            print(f"printed {SECRET}")
            sys.stderr.write(f"warned {SECRET}\n")
            os.write(1, f"raw {SECRET}, without an end".encode())
            os.write(2, b"x" * 300_000)
        case "deaf":
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            reporter.progress({"step": 1, "total_steps": 2, "losses": {}, "rows_per_second": 0.0}, last=True)
            time.sleep(600)
        case "evaluating":
            reporter.made(_result(spec, spec.attempt))
            reporter.phase("evaluating")
            while not reporter.should_stop():
                time.sleep(0.01)
            return None
        case "exporting":
            reporter.phase("exporting")
        case "best":
            reporter.warn({"reason": "STOPPED_EARLY", "message": "", "table": "", "column": ""})
        case "grandchild":
            helper = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
            _note(spec, helper.pid)
        case "modules":
            return _result(spec, sorted({name.partition(".")[0] for name in sys.modules}))
        case "environment":
            names = ("OMP_NUM_THREADS", "OMP_WAIT_POLICY", "CUDA_VISIBLE_DEVICES")
            found = {name: os.environ.get(name) for name in names}
            return _result(spec, found | {"device": spec.device, "nice": os.nice(0)})
    return _train(spec, reporter)


def _note(spec: ChildSpec, pid: int) -> None:
    with Path(spec.checkpoints, "pids").open("a") as file:
        file.write(f"{pid}\n")


def _train(spec: ChildSpec, reporter: Reporter) -> dict[str, Any] | None:
    mark = Path(spec.checkpoints, "step")
    first = int(mark.read_text()) if mark.exists() else 0
    steps = int(spec.parameters.get("steps", 3))
    hold = int(spec.parameters.get("hold", 0))
    for step in range(first, steps):
        # What is to happen to a first attempt happens while it waits here, however slow the machine is.
        while hold == step > 0 == first and not (mark.with_name("go").exists() or reporter.should_stop()):
            time.sleep(0.01)
        if reporter.should_stop():
            return None
        time.sleep(float(spec.parameters.get("step_s", 0.02)))
        draft = mark.with_suffix(".new")  # a kill may come at any moment
        draft.write_text(str(step + 1))
        draft.replace(mark)
        losses = {"g": 1.0 / (step + 1), "d": float("nan")}
        values = {"step": step + 1, "total_steps": steps, "losses": losses, "rows_per_second": 10.0}
        reporter.progress(values, last=True)
    reporter.warn({"reason": "NO_DIFFERENTIAL_PRIVACY", "message": "none", "table": "", "column": ""})
    return _result(spec, spec.attempt)


def _result(spec: ChildSpec, privacy: Any) -> dict[str, Any]:
    data = b"bundle" * int(spec.parameters.get("size", 1))
    Path(spec.bundle).write_bytes(data)
    return {
        "schema": spec.schema,
        "content_digest": "02" * 32,
        "bundle_digest": hashlib.sha256(data).hexdigest(),
        "size_bytes": len(data),
        "trainer": spec.trainer,
        "parameters": spec.parameters,
        "program": "single_pass/1",
        "unit": "row",
        "verified": False,
        "privacy": {"fact": privacy},
        "findings": [],
        "abilities": None,
    }
