"""What a worker and its training child say to each other: one JSON object a line.

Down: the specification first, then at most ``{"stop": true}``; the end of the
pipe means that the worker is gone. Up: messages with a `type` of `MESSAGES`,
the last of them a result. Nothing is pickled, and nothing holds a cell.
Standard library only.
"""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, field
from typing import Any

RESULTS = frozenset({"done", "stopped", "problem", "crash"})
MESSAGES = frozenset({"alive", "phase", "progress", "warning", "made"}) | RESULTS
MAX_LINE_BYTES = 16 << 20
PHASES = ("preparing", "fitting", "exporting", "verifying", "evaluating", "publishing")
"""What a child may say it does, and last what its worker does with the result."""
REPORT_JSON, REPORT_HTML = "report.json", "report.html"
"""The files of a report, in `ChildSpec.report_folder`."""


@dataclass(frozen=True)
class ChildSpec:
    """All that a child needs to know; paths are absolute."""

    parent: int
    """The process id of the worker."""
    entry: str
    """``module:function`` that does the work, see `server.run_job`."""
    slot: str
    device: str
    """A torch device."""
    lock_folder: str
    job: str
    attempt: int
    model: str
    """The id that the model will have."""
    tenant: str
    dataset: str
    dataset_digest: str
    """Hexadecimal."""
    split_salt: str
    """Hexadecimal, see `server.lineage.split_salt`."""
    dataset_folder: str
    bundle: str
    """The file to write."""
    checkpoints: str
    trainer: str
    parameters: dict[str, Any]
    schema: dict[str, Any]
    """The effective schema as JSON."""
    seed: int
    options: dict[str, Any]
    fit_until: float | None = None
    """By this machine's monotonic clock, when fitting has to be over; None: never."""
    signing_key_file: str = ""
    run_until: float | None = None
    """By the same clock, when all of it has to be over; None: never."""
    evaluation: dict[str, Any] = field(default_factory=lambda: {"profile": "NONE"})
    """`server.records.EvaluationSpec`."""
    alerts: list[dict[str, Any]] = field(default_factory=list)
    """`server.records.Alert`, each."""
    policy: dict[str, Any] = field(default_factory=dict)
    """`evaluators.gate.Policy` as JSON."""
    report: str = ""
    """The id that the report will have."""
    report_folder: str = ""
    """Where to write it."""
    about: dict[str, Any] = field(default_factory=dict)
    """What the report says of itself, see `evaluators.reporting`."""
    findings: list[dict[str, str]] = field(default_factory=list)
    """Of the schema, each `kohort.schema.Finding` as JSON: they name the quasi-identifiers."""
    model_bundle: str = ""
    """EVALUATE: the model's bundle, or empty."""
    synthetic_folder: str = ""
    """EVALUATE: the tables made elsewhere, or empty."""
    holdout_folder: str = ""
    """EVALUATE: the hold-out that came apart, or empty."""
    losses: list[dict[str, float]] = field(default_factory=list)
    """EVALUATE: of the model's training, per epoch its step and losses."""
    alive_s: float = 5.0
    """How often the child says that it lives."""
    threads: int = 1

    def to_line(self) -> bytes:
        """The first line down."""
        return to_line(asdict(self))

    @classmethod
    def from_line(cls, line: bytes) -> ChildSpec:
        """The inverse of `to_line`."""
        return cls(**json.loads(line))


def to_line(message: dict[str, Any]) -> bytes:
    """One message. Numbers that JSON does not know become null."""
    return json.dumps(_finite(message), ensure_ascii=True, allow_nan=False).encode() + b"\n"


def from_line(line: bytes) -> dict[str, Any] | None:
    """A message from below; None for what is none."""
    try:
        message = json.loads(line)
    except ValueError:
        return None
    return message if isinstance(message, dict) and message.get("type") in MESSAGES else None


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(k): _finite(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(v) for v in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
