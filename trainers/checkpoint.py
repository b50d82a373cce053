"""Where a long fit can go on after its worker was lost: plain arrays, never pickle."""

from __future__ import annotations

import json
import os
import tempfile
import time
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from kohort.schema import Finding
from trainers.base import Hooks

EVERY_SECONDS = 30.0
"""What a lost worker may cost."""

Arrays = Mapping[str, npt.NDArray[Any]]


class Checkpoint:
    """One ``.npz`` file in the directory that the hooks name; without one, nothing is kept.

    Args:
        hooks: the directory, and who to tell when the disk is full.
        name: the file's name without its ending.
        identity: all that must be equal for a saved state to be of this run,
            as a JSON value; a state of another run is ignored.
    """

    def __init__(self, hooks: Hooks, name: str, identity: Any) -> None:
        self._hooks = hooks
        self._path: Path | None = hooks.checkpoints / f"{name}.npz" if hooks.checkpoints else None
        self._identity = json.dumps(identity, sort_keys=True)
        self._saved = time.monotonic()
        self._full = False

    @property
    def due(self) -> bool:
        """Whether it is time to save again."""
        return self._path is not None and time.monotonic() - self._saved >= EVERY_SECONDS

    def load(self) -> dict[str, npt.NDArray[Any]] | None:
        """The saved state of this run; None where there is none that can be read."""
        if self._path is None or not self._path.exists():
            return None
        try:
            with np.load(self._path, allow_pickle=False) as file:
                state = {name: file[name] for name in file.files}
        except (OSError, ValueError, EOFError, zipfile.BadZipFile):
            return None
        return state if str(state.pop("identity", "")) == self._identity else None

    def save(self, state: Arrays) -> None:
        """Replaces the saved state in one step; a full disk is a warning, since fitting can go on without."""
        if self._path is None:
            return
        self._saved = time.monotonic()
        temporary = None
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile(dir=self._path.parent, delete=False) as file:
                temporary = Path(file.name)
                np.savez(file, allow_pickle=False, identity=np.array(self._identity), **state)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(self._path)
        except OSError:
            if temporary is not None:
                temporary.unlink(missing_ok=True)
            if not self._full:
                message = "no checkpoint could be written: a lost worker would begin anew"
                self._hooks.warn(Finding("STORAGE_FULL", message))
            self._full = True
