"""Where a long fit can go on after its worker was lost: safetensors and JSON, never pickle."""

from __future__ import annotations

import hashlib
import json
import os
import struct
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from kohort.schema import Finding
from trainers.base import FitRequest, Hooks

EVERY_SECONDS = 30.0
"""What a lost worker may cost."""

Arrays = Mapping[str, npt.NDArray[Any]]


@dataclass(frozen=True, eq=False)
class State:
    """What a fit can go on from: weights and optimisers as arrays, counters as JSON values."""

    arrays: Arrays
    values: Mapping[str, Any] = field(default_factory=dict)


class Checkpoint:
    """``{name}.json`` and the ``.safetensors`` file it names, in the directory of the hooks.

    The arrays are written first, to a file of their own; replacing the JSON
    file then is the one step by which the new state takes the old one's place.
    Without a directory nothing is kept.

    Args:
        hooks: the directory, and who to tell when the disk is full.
        name: of the files.
        identity: all that must be equal for a saved state to be of this run,
            as a JSON value; a state of another run is ignored.
    """

    def __init__(self, hooks: Hooks, name: str, identity: Any) -> None:
        self._hooks = hooks
        self._folder, self._name = hooks.checkpoints, name
        self._identity = json.dumps(identity, sort_keys=True)
        self._saved = time.monotonic()
        self._full = False

    @classmethod
    def of(cls, request: FitRequest, hooks: Hooks, name: str, *arrays: npt.NDArray[Any]) -> Checkpoint:
        """Of the run of trainer `name` with these parameters and this seed over these encoded rows."""
        identity = [name, dict(request.parameters), request.seed, request.equal_patients, digest(*arrays)]
        return cls(hooks, name, identity)

    @property
    def due(self) -> bool:
        """Whether it is time to save again."""
        return self._folder is not None and time.monotonic() - self._saved >= EVERY_SECONDS

    def load(self) -> State | None:
        """The saved state of this run; None where there is none that can be read."""
        from safetensors import SafetensorError
        from safetensors.numpy import load_file

        if self._folder is None:
            return None
        try:
            told = json.loads((self._folder / f"{self._name}.json").read_bytes())
            if told["identity"] != self._identity:
                return None
            # One name of our own, not whatever path the file holds.
            return State(load_file(self._folder / Path(str(told["arrays"])).name), told["values"])
        except (OSError, ValueError, KeyError, TypeError, struct.error, SafetensorError):
            return None

    def save(self, state: State) -> None:
        """Replaces the saved state in one step; a full disk is a warning, since fitting can go on without."""
        from safetensors.numpy import save

        if self._folder is None:
            return
        self._saved = time.monotonic()
        data = save({name: np.asarray(array, order="C") for name, array in state.arrays.items()})
        # Named by what is in it: a state that is saved twice is one file.
        arrays = self._folder / f"{self._name}-{hashlib.sha256(data).hexdigest()[:16]}.safetensors"
        told = {"identity": self._identity, "values": dict(state.values), "arrays": arrays.name}
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            _replace(arrays, data)
            _replace(self._folder / f"{self._name}.json", json.dumps(told).encode())
            for old in self._folder.glob(f"{self._name}-*.safetensors"):
                if old != arrays:
                    old.unlink(missing_ok=True)
        except OSError:
            if not self._full:
                message = "no checkpoint could be written: a lost worker would begin anew"
                self._hooks.warn(Finding("STORAGE_FULL", message))
            self._full = True


def digest(*arrays: npt.NDArray[Any]) -> str:
    """What tells arrays apart, as hexadecimal."""
    found = hashlib.sha256()
    for array in arrays:
        found.update(f"{array.shape} {array.dtype}".encode())
        found.update(np.ascontiguousarray(array).data)
    return found.hexdigest()


def _replace(path: Path, data: bytes) -> None:
    """Writes a file that is there whole or not at all, even after a loss of power. Raises OSError."""
    temporary = None
    try:
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".", delete=False) as file:
            temporary = Path(file.name)
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError:
        if temporary is not None:
            temporary.unlink(missing_ok=True)
        raise
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
