"""Reading what a stranger sent, in a process of its own that may neither hang nor eat the memory.

`parse_upload` and `infer_schema` block: call them from a thread. The work is
`server.intake`, a process that ends with this one.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import structlog

from kohort.problem import Problem, Violation
from kohort.schema import Finding, Schema, SchemaOverrides
from server.processes import bury, child_environment, stop_group

log = structlog.get_logger(log="parsing")

_TICK_SECONDS = 0.02
_ANSWER_BYTES = 64 << 20


@dataclass(frozen=True)
class Bounds:
    """What a parser may use."""

    seconds: float = 600.0
    memory_bytes: int = 8 << 30
    """Of address space for the tables, beyond what the libraries take."""


@dataclass(frozen=True)
class Upload:
    """Spooled bytes and what is known of them.

    `files` holds the spooled file of each table; for ``columns`` it is one file
    under the name ``""``: each message of the stream as 4 bytes of length
    (little-endian) and a serialized `UploadDatasetRequest` (dictionary or batch).
    """

    format: str
    """``columns``, ``csv``, ``parquet`` or ``excel``."""
    files: Mapping[str, Path]
    folder: Path
    """Where to write the canonical tables; must not exist."""
    declared: Schema = field(default_factory=Schema)
    digests: Mapping[str, bytes] = field(default_factory=dict)
    """``columns``: expected content digest by table. Digests of files are the spooler's to check."""
    max_rows: int = 20_000_000
    max_columns: int = 2_000
    min_patients: int = 5
    tenant: str = ""
    patient_key: Path | None = None
    """The key of patient hashes; None makes none."""
    lineage: Path | None = None
    """Where to write the patient hashes, should the tables have a subject key."""


@dataclass(frozen=True)
class Parsed:
    """A dataset's tables, now in `Upload.folder`."""

    schema: Schema
    findings: tuple[Finding, ...]
    row_counts: dict[str, int]
    size_bytes: int
    digest: bytes
    has_lineage: bool


@dataclass(frozen=True)
class Effective:
    """The schema that training would use."""

    schema: Schema
    findings: tuple[Finding, ...]


class AbandonedError(Exception):
    """The caller gave up waiting; the parser is gone."""


def parse_upload(upload: Upload, bounds: Bounds, abandoned: threading.Event | None = None) -> Parsed:
    """Reads, checks and types the tables of an upload and writes them in canonical form.

    Raises:
        Problem: whatever is wrong with the bytes, naming table and column; LIMIT_EXCEEDED beyond the
            bounds; STORAGE_FULL. What was written by then is the caller's to remove.
        AbandonedError: `abandoned` was set.
    """
    answer = _ask(
        {
            "task": "parse",
            "format": upload.format,
            "files": {table: str(path) for table, path in upload.files.items()},
            "folder": str(upload.folder),
            "declared": upload.declared.to_json(),
            "digests": {table: digest.hex() for table, digest in upload.digests.items()},
            "max_rows": upload.max_rows,
            "max_columns": upload.max_columns,
            "min_patients": upload.min_patients,
            "tenant": upload.tenant,
            "patient_key": str(upload.patient_key or ""),
            "lineage": str(upload.lineage or ""),
        },
        bounds,
        abandoned,
        died=Problem("FILE_MALFORMED", "the bytes cannot be read in the declared format"),
    )
    return Parsed(
        schema=Schema.from_json(answer["schema"]),
        findings=tuple(Finding(**f) for f in answer["findings"]),
        row_counts=answer["row_counts"],
        size_bytes=answer["size_bytes"],
        digest=bytes.fromhex(answer["digest"]),
        has_lineage=answer["has_lineage"],
    )


def infer_schema(
    folder: Path,
    overrides: SchemaOverrides,
    min_patients: int,
    bounds: Bounds,
    *,
    trainable: bool = False,
    abandoned: threading.Event | None = None,
) -> Effective:
    """The effective schema of stored tables under overrides.

    Args:
        folder: canonical tables.
        overrides: changes to try.
        min_patients: of the thresholds.
        bounds: of the process.
        trainable: whether what cannot be trained is refused.
        abandoned: set, the parser ends.

    Raises:
        Problem: UNKNOWN_TABLE, UNKNOWN_COLUMN or INVALID_SCHEMA of an override; with `trainable`
            IDENTIFIER_UNACKNOWLEDGED or NO_USABLE_COLUMNS; LIMIT_EXCEEDED beyond the bounds.
        AbandonedError: `abandoned` was set.
    """
    answer = _ask(
        {
            "task": "infer",
            "folder": str(folder),
            "overrides": overrides.to_json(),
            "min_patients": min_patients,
            "trainable": trainable,
        },
        bounds,
        abandoned,
        died=Problem("INTERNAL", "the schema could not be inferred"),
    )
    return Effective(Schema.from_json(answer["schema"]), tuple(Finding(**f) for f in answer["findings"]))


def _ask(
    question: dict[str, Any], bounds: Bounds, abandoned: threading.Event | None, *, died: Problem
) -> dict[str, Any]:
    process = subprocess.Popen(
        [sys.executable, "-m", "server.intake"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,  # libraries quote data in warnings
        env=child_environment(),
        process_group=0,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    out = process.stdout
    answers: list[bytes] = []
    reader = threading.Thread(target=lambda: answers.append(out.read(_ANSWER_BYTES)), daemon=True)
    reader.start()
    end = time.monotonic() + bounds.seconds
    late = False
    try:
        try:
            line = json.dumps(question | {"parent": os.getpid(), "memory_bytes": bounds.memory_bytes})
            process.stdin.write(line.encode() + b"\n")
            process.stdin.flush()
        except BrokenPipeError:
            pass
        while reader.is_alive() and not late:
            reader.join(_TICK_SECONDS)
            if abandoned is not None and abandoned.is_set():
                raise AbandonedError
            late = time.monotonic() >= end
    finally:
        if reader.is_alive():
            stop_group(process, signal.SIGKILL)
        status = bury(process, 5.0)
        reader.join()
        for pipe in (process.stdin, process.stdout):
            try:
                pipe.close()
            except BrokenPipeError:
                continue
    if late:
        raise Problem("LIMIT_EXCEEDED", f"reading takes longer than {bounds.seconds:g} seconds")
    if status == -signal.SIGABRT:  # what C++ makes of an allocation that fails
        limit = bounds.memory_bytes >> 20
        raise Problem("LIMIT_EXCEEDED", f"the tables need more than {limit} MiB of memory to be read")
    return _answer(answers[0], status, died)


def _answer(line: bytes, status: int, died: Problem) -> dict[str, Any]:
    try:
        answer: dict[str, Any] = json.loads(line)
    except ValueError:
        log.warning("parser died", status=status)
        raise died from None
    if "problem" in answer:
        problem = answer["problem"]
        raise Problem(
            problem["reason"],
            problem["message"],
            violations=[Violation(**v) for v in problem["violations"]],
            metadata=problem["metadata"],
            retry_after=problem["retry_after"],
        )
    if "exception" in answer:
        log.error("parser raised", exception=answer["exception"], at=answer["frames"])
        raise Problem("INTERNAL", "the tables could not be read because of a defect of the server")
    return answer
