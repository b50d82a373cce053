"""Peers of another environment beside ours: asked over a pipe, so that both can take turns."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from benchmarks.measure import ROOT, Told

NO_ENVIRONMENT = "not measured: no environment of peers (make bench PEERS=…)"


class Peers:
    """The process of `benchmarks.peer_worker`; without an environment it holds no model and says why.

    Args:
        environment: a virtual environment with what requirements/peers.txt lists.
        table: a Parquet file.
        rows: how many of its rows the models are fitted on.
        discrete: its discrete columns.
        folder: for the log.
        command: another interpreter's command line, for tests.
    """

    def __init__(
        self,
        environment: Path,
        table: Path,
        rows: int,
        discrete: Sequence[str],
        folder: Path,
        command: Sequence[str] = (),
    ) -> None:
        self.models: list[str] = []
        """Those that can be asked."""
        self.missing: dict[str, str] = {}
        """Why the others cannot; "" stands for all."""
        self._popen: subprocess.Popen[str] | None = None
        python = environment / "bin" / "python"
        if not command and not python.exists():
            self.missing[""] = NO_ENVIRONMENT
            return
        columns = folder / "discrete.json"
        columns.write_text(json.dumps(list(discrete)))
        words = list(command) or [str(python), "-W", "ignore", "-m", "benchmarks.peer_worker"]
        with (folder / "peers.log").open("w") as log:
            self._popen = subprocess.Popen(
                [*words, str(table), str(rows), str(columns)],
                cwd=ROOT,
                env={k: v for k, v in os.environ.items() if k != "PYTHONPATH"},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )

    def wait(self) -> None:
        """Until every model was fitted or has failed."""
        if self._popen is None:
            return
        while "ready" not in (told := self._told()):
            if "failed" in told:
                self.missing[told["model"]] = f"not measured: fitting failed ({told['failed']})"
            elif "ended" in told:
                self.missing[""] = f"not measured: {told['ended']}"
                break
            else:
                self.models.append(told["model"])

    def candidate(self, model: str, rows: int, threads: int) -> Callable[[], Told]:
        """A callable for `benchmarks.measure.interleave`. It raises RuntimeError once the process has ended."""

        def run() -> Told:
            assert self._popen is not None
            assert self._popen.stdin is not None
            with suppress(BrokenPipeError):  # that it ended is told below
                self._popen.stdin.write(json.dumps({"model": model, "rows": rows, "threads": threads}) + "\n")
                self._popen.stdin.flush()
            told = self._told()
            if "rows" not in told:
                raise RuntimeError(f"{model}: {told}")
            return Told(told["rows"], told["cpu"], told["wall"])

        return run

    def why(self, model: str) -> str:
        """Why a model is missing."""
        return self.missing.get(model) or self.missing.get("") or "not measured: unknown to the peers' worker"

    def _told(self) -> dict[str, Any]:
        assert self._popen is not None
        assert self._popen.stdout is not None
        line = self._popen.stdout.readline()
        if not line:
            return {"ended": f"the peers' process ended with {self._popen.wait()}"}
        told: dict[str, Any] = json.loads(line)
        return told

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._popen is None:
            return
        if self._popen.stdin is not None:
            with suppress(BrokenPipeError):  # what an ended process never read
                self._popen.stdin.close()
        try:
            self._popen.wait(10)
        except subprocess.TimeoutExpired:
            self._popen.kill()
            self._popen.wait()
