"""One job where Ray placed it: in Ray's process only a few lines, beside it the ordinary worker.

Ray is told a kind of device and the id of a worker, and never more: where the
database, the objects and the keys are, the node knows from its own settings
(``KOHORT_…``), as a machine with a standing worker does.
"""

from __future__ import annotations

import contextlib
import signal
import subprocess
from typing import Any

from server.processes import bury, hang_up, start_supervised, stop_group, supervised

_LOOK_SECONDS = 0.2


def place(kind: str, worker: str) -> int:
    """The task: has a worker of this node run one job of the queue; the worker's exit status.

    Ray ends a task by an exception here (cancelled: the worker is asked to leave,
    and its job goes back to the queue) or by killing this process (its driver or its
    node is gone: the worker ends with it, and its lease runs out). So what Ray counts
    as free is free.

    Args:
        kind: ``cpu`` or ``cuda``; of the latter Ray has set one GPU aside.
        worker: the id it is known by to whoever asked.
    """
    slot = "cpu:*" if kind == "cpu" else f"cuda:{_own_gpu()}"
    process = start_supervised("server.placed", {"slot": slot, "id": worker})
    try:
        while True:
            try:
                return _wait(process)
            except KeyboardInterrupt:  # Ray's way to cancel, perhaps more than once
                stop_group(process, signal.SIGTERM)
    finally:
        if process.returncode is None:
            bury(process, 0.0)
        hang_up(process)


def _wait(process: subprocess.Popen[bytes]) -> int:
    # In short steps: Ray's exception is raised between them.
    while True:
        with contextlib.suppress(subprocess.TimeoutExpired):
            return process.wait(_LOOK_SECONDS)


def _own_gpu() -> str:
    import ray

    (gpu,) = ray.get_runtime_context().get_accelerator_ids()["GPU"]
    return str(gpu)


def _serve(values: dict[str, Any]) -> int:
    from server.settings import from_flags
    from server.worker import serve, worker_config

    return serve(worker_config(from_flags([]), values["slot"], id=values["id"], once=True))


if __name__ == "__main__":
    supervised(_serve)
