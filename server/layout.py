"""Where things are in the data directory of a machine."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class DataDir:
    """The data directory. All of it is readable by its owner alone."""

    root: Path
    patient_key_file: Path | None = None
    """Where the key of patient hashes is kept, if elsewhere."""

    @property
    def blobs(self) -> Path:
        """Of `LocalBlobStore`."""
        return self.root / "blobs"

    @property
    def slots(self) -> Path:
        """Locks."""
        return self.root / "slots"

    @property
    def scratch(self) -> Path:
        """Per job and attempt: what ends with the attempt."""
        return self.root / "scratch"

    @property
    def checkpoints(self) -> Path:
        """Per job and attempt: what ends with the job."""
        return self.root / "checkpoints"

    @property
    def patient_key(self) -> Path:
        """The key of patient hashes, see `server.lineage`."""
        return self.patient_key_file or self.root / "keys" / "patients"

    def prepare(self) -> None:
        """Makes the directories."""
        for folder in (self.root, self.blobs, self.slots, self.scratch, self.checkpoints):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if self.root.stat().st_uid == os.geteuid():
            self.root.chmod(0o700)  # it may have been there

    def open_scratch(self, job: str, attempt: int) -> Path:
        """An empty directory for an attempt."""
        folder = self.scratch / job / str(attempt)
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(mode=0o700, parents=True)
        return folder

    def close_scratch(self, job: str, attempt: int) -> None:
        """Removes it."""
        shutil.rmtree(self.scratch / job / str(attempt), ignore_errors=True)
        try:
            (self.scratch / job).rmdir()
        except OSError:
            return  # another attempt has its own there

    def open_checkpoints(self, job: str, attempt: int) -> Path:
        """The checkpoints of an attempt: a copy of the latest before it.

        A copy, because the child of a paused worker may still write to its own.
        """
        folder = self.checkpoints / job / str(attempt)
        shutil.rmtree(folder, ignore_errors=True)
        before = sorted((int(p.name) for p in (self.checkpoints / job).glob("[0-9]*")), reverse=True)
        try:
            if before:
                shutil.copytree(self.checkpoints / job / str(before[0]), folder)
        except OSError:  # written to while it was read: begin anew
            shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if before:
            self.forget_checkpoints(job, before[0])
        return folder

    def latest_checkpoints(self, job: str, before: int) -> int:
        """The latest attempt before one that left a checkpoint on this machine, 0 where none did."""
        attempts = (self.checkpoints / job).glob("[0-9]*")
        return max((int(p.name) for p in attempts if int(p.name) < before and any(p.iterdir())), default=0)

    def forget_checkpoints(self, job: str, before: int) -> None:
        """Removes those of the attempts before one."""
        for path in (self.checkpoints / job).glob("[0-9]*"):
            if int(path.name) < before:
                shutil.rmtree(path, ignore_errors=True)

    def close_checkpoints(self, job: str) -> None:
        """Removes those of all attempts."""
        shutil.rmtree(self.checkpoints / job, ignore_errors=True)
