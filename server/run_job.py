"""What the training child does: tables in, bundle out.

Prepares, fits, exports, verifies. It runs in the child and imports rooms below
the server only; nothing here knows a worker, a lease or a store.
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kohort.bundle import read_bundle
from kohort.programs import SampleSpec
from kohort.schema import Finding, Schema
from server import evaluating
from server.abilities import abilities
from server.alerts import Alerts
from server.child import Reporter
from server.preparing import prepare
from server.protocol import ChildSpec
from server.records import JobOptions
from tables.infer import physicalise_all
from tables.split import SplitRule
from tables.statistics import patient_count
from tables.store import read_tableset
from tables.tableset import TableSet
from trainers.auto import delegate
from trainers.base import FitRequest, Hooks, Progress, Stopped
from trainers.registry import trainer as trainer_of

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

# Those that were used, of the ones that a result can depend on.
_LIBRARIES = {
    "ctgan": "ctgan",
    "numpy": "numpy",
    "onnx": "onnx",
    "onnxruntime": "onnxruntime",
    "scipy": "scipy",
    "sklearn": "scikit-learn",
    "torch": "torch",
}
_NOT_PRIVATE = (
    "Trained without differential privacy. Values of fewer than {k} patients are not reproduced as such; "
    "beyond that nothing is guaranteed, and the model counts as personal data of the patients behind it."
)


def run_job(spec: ChildSpec, reporter: Reporter) -> dict[str, Any] | None:
    """Trains and writes the bundle; the fields of the result, None when it was stopped.

    Raises:
        Problem: of the data, the training or the parity of the export.
    """
    try:
        return _run(spec, reporter)
    except Stopped:
        return None


def _run(spec: ChildSpec, reporter: Reporter) -> dict[str, Any]:
    findings: list[Finding] = []

    def warn(finding: Finding) -> None:
        if finding not in findings:
            findings.append(finding)
            reporter.warn(finding.to_json())

    schema = Schema.from_json(spec.schema)
    end = math.inf if spec.fit_until is None else spec.fit_until
    forecast = _Forecast(reporter, end)
    hooks = Hooks(
        progress=forecast,
        should_stop=reporter.should_stop,
        phase=forecast.phase,
        warn=warn,
        checkpoints=Path(spec.checkpoints),
        seconds_left=lambda: end - time.monotonic(),
    )
    hooks.phase("preparing")
    trainer = trainer_of(spec.trainer)
    request, rule = _prepare(spec, schema, warn)
    hooks.check()
    hooks.phase("fitting")
    trainer, request = delegate(trainer, request, hooks)
    forecast.rows = sum(table.num_rows for table in request.train)
    # Not among the findings that a bundle holds: when an alert is looked at depends on the clock.
    alerts = Alerts(spec.alerts, request, lambda finding: reporter.warn(finding.to_json()))

    def progress(made: Progress) -> None:
        forecast(made)
        alerts.take(made)

    generator = trainer.fit(request, replace(hooks, progress=progress, watch=alerts.watch))
    alerts.done(generator)
    hooks.check()
    hooks.phase("exporting")
    # Brings onnx and protobuf, which a training has no use for.
    from exporters.publish import export_bundle

    k = spec.options["min_patients"]
    if not trainer.info.differential_privacy:
        warn(Finding("NO_DIFFERENTIAL_PRIVACY", "the model was trained without differential privacy"))
    written = export_bundle(
        generator,
        schema,
        trainer.info,
        request.parameters,
        spec.seed,
        {
            "differentially_private": False,
            "epsilon": None,
            "delta": None,
            "min_patients_per_value": k,
            "statement": _NOT_PRIVATE.format(k=k),
        },
        findings,
        _lineage(spec, rule, request.train),
        spec.bundle,
        _signing_key(spec),
        # Exporting was said; the worker publishes: what comes third here only writes the file.
        phase=lambda name: hooks.phase(name) if name == "verifying" else None,
    )
    learned = {"trainer": trainer.info.name, "parameters": dict(request.parameters)}
    learned |= _result(Path(spec.bundle), written.digest, spec)
    return learned | {"report": _evaluate(spec, hooks, reporter, forecast, learned)}


def _evaluate(
    spec: ChildSpec, hooks: Hooks, reporter: Reporter, forecast: _Forecast, learned: dict[str, Any]
) -> dict[str, Any] | None:
    """The report on what was exported; None where none was asked for, or none can be made.

    A model is not lost for its report: without one the release policy decides.
    """
    if spec.evaluation["profile"] == "NONE":
        return None
    if not evaluating.available():
        hooks.warn(evaluating.incomplete(None))
        return None
    hooks.check()
    reporter.made(learned)
    hooks.phase("evaluating")
    try:
        # Read again: until now nothing of the hold-out was to be had.
        return evaluating.report_on_model(spec, reporter, forecast.losses)
    except Stopped:
        raise
    except Exception as error:
        hooks.warn(evaluating.incomplete(error))
        return None


def _prepare(
    spec: ChildSpec, schema: Schema, warn: Callable[[Finding], None]
) -> tuple[FitRequest, SplitRule]:
    """What the trainer is given, and the rule that kept the hold-out from it."""
    tables = physicalise_all(read_tableset(Path(spec.dataset_folder)), schema)
    options = JobOptions(**spec.options)
    prepared = prepare(tables, bytes.fromhex(spec.split_salt), options, spec.seed)
    for finding in prepared.findings:
        warn(finding)
    for table in prepared.train:
        if patient_count(table.subjects()) < table.num_rows:
            lost = "rows of one patient are modelled one by one; what ties them together is not learned"
            warn(Finding("LONGITUDINAL_STRUCTURE_LOST", lost, table.schema.name))
    request = FitRequest(
        train=prepared.train,
        validation=prepared.validation,
        parameters=spec.parameters,
        seed=spec.seed,
        min_patients=options.min_patients,
        device=spec.device,
        equal_patients=options.equal_patients,
    )
    return request, prepared.rule


def _lineage(spec: ChildSpec, rule: SplitRule, train: TableSet) -> dict[str, Any]:
    # A bundle travels: with the salt, whoever knows a patient's key could tell the patient's side.
    split = {name: value for name, value in rule.to_json().items() if name != "salt"}
    return {
        "dataset": spec.dataset,
        "dataset_digest": spec.dataset_digest,
        "job": spec.job,
        "attempt": spec.attempt,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": {name: version(name) for module, name in _LIBRARIES.items() if module in sys.modules},
        "split": split,
        # What `augmentation_factor` multiplies, and the minimum-cohort rule of another server.
        "training": {
            "rows": sum(table.num_rows for table in train),
            "patients": max(patient_count(table.subjects()) for table in train),
        },
    }


def _signing_key(spec: ChildSpec) -> Ed25519PrivateKey | None:
    from exporters.bundle import load_signing_key

    return load_signing_key(Path(spec.signing_key_file).read_bytes()) if spec.signing_key_file else None


def _result(path: Path, digest: bytes, spec: ChildSpec) -> dict[str, Any]:
    """Read back from the file, and sampled from: what is published is what was written, and works."""
    bundle = read_bundle(path)
    program = bundle.program()
    next(iter(program.units(SampleSpec(spec.seed), 0, 1)), None)
    return {
        "schema": program.schema.to_json(),
        "content_digest": bundle.manifest.content_digest.hex(),
        "bundle_digest": digest.hex(),
        "size_bytes": path.stat().st_size,
        "program": bundle.manifest.program_name,
        "unit": program.unit,
        "verified": bool(spec.signing_key_file),
        "privacy": dict(bundle.manifest.privacy),
        "findings": [finding.to_json() for finding in bundle.manifest.findings],
        "abilities": abilities(bundle),
    }


class _Forecast:
    """Passes reports on, with the time left: from the pace since the first, but no more than is allowed."""

    def __init__(self, reporter: Reporter, end: float) -> None:
        self._reporter, self._end = reporter, end
        self.losses: list[dict[str, float]] = []
        """Per epoch its step and losses."""
        self.rows = 0
        self._first: tuple[int, float] | None = None
        self._phase_at = time.monotonic()

    def phase(self, name: str) -> None:
        self._phase_at = time.monotonic()
        self._reporter.phase(name)

    def __call__(self, progress: Progress) -> None:
        now = time.monotonic()
        self.losses.append({"step": progress.step, **progress.losses})
        eta: float | None = None
        if self._first is None:
            self._first = (progress.step, now)
            if progress.step == progress.total_steps and not progress.rows_per_second:
                # No epochs: it went through the rows once.
                speed = self.rows / max(1e-3, now - self._phase_at)
                progress = replace(progress, rows_per_second=speed)
        elif progress.total_steps and progress.step > self._first[0]:
            pace = (now - self._first[1]) / (progress.step - self._first[0])
            eta = max(0.0, min(pace * (progress.total_steps - progress.step), self._end - now))
        self._reporter.progress(asdict(progress) | {"eta_s": eta}, last=progress.step == progress.total_steps)
