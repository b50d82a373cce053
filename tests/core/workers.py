"""Workers and servers as processes of their own, to be stopped, paused and killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
import uuid
from dataclasses import asdict
from pathlib import Path
from typing import Any

import psutil

from server.blobs import LocalBlobStore
from server.layout import DataDir
from server.processes import child_environment, start_supervised
from server.records import JobRecord
from server.store import Store
from server.worker import WorkerConfig
from tests.core.support import add_dataset, add_job, lives, until

ENTRY = "tests.core.fake_pipeline:run"


class Bench:
    """A data directory, its stores, and the processes that were started on it."""

    def __init__(self, root: Path, url: str) -> None:
        self.folders = DataDir(root)
        self.folders.prepare()
        self.url = url
        self.store = Store(url)
        self.store.migrate()
        self.blobs = LocalBlobStore(self.folders.blobs)
        self.log = root / "log"
        self._processes: list[subprocess.Popen[bytes]] = []

    def config(self, slot: str = "cpu:0", **changes: Any) -> WorkerConfig:
        """Impatient, so that tests are short."""
        fields: dict[str, Any] = {
            "data_dir": str(self.folders.root),
            "database_url": self.url,
            "slot": slot,
            "lease_s": 30.0,
            "heartbeat_s": 0.2,
            "poll_s": 0.05,
            "cancel_grace_s": 0.5,
            "terminate_grace_s": 0.5,
            "entry": ENTRY,
        }
        return WorkerConfig(**(fields | changes))

    def worker(self, slot: str = "cpu:0", **changes: Any) -> subprocess.Popen[bytes]:
        """A worker whose lifeline this process holds."""
        with self.log.open("ab") as log:
            config = self.config(slot, **changes)
            process = start_supervised(config.module, asdict(config), stderr=log)
        self._processes.append(process)
        return process

    def server(self, *configs: WorkerConfig) -> subprocess.Popen[bytes]:
        """A process that keeps workers by a `Supervisor`, as the server does."""
        program = textwrap.dedent(
            """
            import json, signal, sys, threading
            from server.supervisor import Supervisor
            from server.worker import WorkerConfig
            supervisor = Supervisor([WorkerConfig(**c) for c in json.loads(sys.argv[1])], stop_s=20)
            asked = threading.Event()
            signal.signal(signal.SIGTERM, lambda *_: asked.set())
            supervisor.start()
            asked.wait()
            supervisor.stop()
            """
        )
        command = [sys.executable, "-c", program, json.dumps([asdict(c) for c in configs])]
        with self.log.open("ab") as log:
            process = subprocess.Popen(command, stderr=log, env=child_environment(), process_group=0)
        self._processes.append(process)
        return process

    def job(self, mode: str = "train", *, tenant: str = "north", **changes: Any) -> JobRecord:
        """A queued job of the fake pipeline on stored bytes; other arguments are its parameters."""
        spec = {k: changes.pop(k) for k in ("max_runtime_s", "device_filter") if k in changes}
        prefix = f"datasets/{tenant}/{uuid.uuid4().hex}"
        source = self.folders.root / "table"
        source.write_bytes(b"cells")
        self.blobs.put(f"{prefix}/table.arrow", source)
        source.unlink()
        dataset = add_dataset(self.store, tenant=tenant, blob_prefix=prefix)
        return add_job(self.store, dataset, parameters={"mode": mode, **changes}, **spec)

    def get(self, job: JobRecord) -> JobRecord:
        """The job as it is now."""
        return self.store.jobs.get(job.tenant, job.id)

    def ended(self, job: JobRecord) -> JobRecord:
        """The job once it is over."""
        return until(
            lambda: (now := self.get(job)).state.terminal and now, f"the end of the job\n{self.said()}"
        )

    def steps(self, job: JobRecord, at_least: int = 1) -> None:
        """Waits until the job has made progress."""
        until(
            lambda: ((self.get(job).progress or {}).get("step") or 0) >= at_least, "progress", say=self.said
        )

    def let_go(self, job: JobRecord) -> None:
        """Ends the wait of a job's first attempt at the step that its parameter `hold` says."""
        (self.folders.checkpoints / job.id / "1" / "go").touch()

    def pause(self, worker: subprocess.Popen[bytes]) -> None:
        """Stops a worker, but not while it writes to SQLite: nobody else could as long as it is stopped."""
        with self.store._database.write():
            worker.send_signal(signal.SIGSTOP)
            until(lambda: psutil.Process(worker.pid).status() == psutil.STATUS_STOPPED, "the pause")

    def pids(self, job: JobRecord, at_least: int = 1) -> list[int]:
        """The processes that worked on a job, in order."""

        def look() -> list[int]:
            found = sorted(self.folders.checkpoints.glob(f"{job.id}/*/pids"))
            pids = [int(pid) for path in found[-1:] for pid in path.read_text().split()]
            return pids if len(pids) >= at_least else []

        found = until(look, "a child", say=self.said)
        assert isinstance(found, list)
        return found

    def said(self) -> str:
        """The log of all processes."""
        return self.log.read_text() if self.log.exists() else ""

    def close(self) -> None:
        """Ends what still runs."""
        for process in self._processes:
            if process.stdin is not None:
                process.stdin.close()
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGCONT)
                process.kill()
            process.wait(30)
        self.store.close()


def gone(*pids: int) -> None:
    """Waits until none of the processes runs."""
    until(lambda: not any(lives(pid) for pid in pids), "processes to end")
