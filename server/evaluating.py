"""An evaluation in the child: tables are compared and judged, and the report is written.

Imports what evaluates only when it is called: a worker without those libraries
still trains.
"""

from __future__ import annotations

import json
import time
from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kohort.bundle import read_bundle
from kohort.problem import Problem
from kohort.schema import Finding, Schema
from server.comparing import drawn, like, real_parts, whole
from server.protocol import REPORT_HTML, REPORT_JSON, ChildSpec
from server.records import EvaluationSpec, JobOptions
from tables.infer import physicalise_all
from tables.statistics import patient_count
from tables.store import read_tableset
from trainers.base import Stopped

if TYPE_CHECKING:
    from evaluators.case import Options
    from evaluators.run import Subject
    from server.child import Reporter

_LIBRARIES = ("jinja2", "scipy", "sklearn", "xgboost")


def available() -> bool:
    """Whether what evaluates is installed."""
    try:
        return all(find_spec(name) is not None for name in _LIBRARIES)
    except ImportError:
        return False


def write_report(
    subject: Subject,
    spec: ChildSpec,
    reporter: Reporter,
    about: Mapping[str, Any],
    losses: Sequence[Mapping[str, float]] = (),
) -> dict[str, Any]:
    """Evaluates and writes both files; the fields of a result's "report".

    Args:
        subject: what is compared.
        spec: how, and where to write.
        reporter: told the part under way as progress.
        about: what the report says of itself, see `evaluators.reporting`.
        losses: per epoch the step and the losses of training, where they are known.

    Raises:
        Problem: the options name what is not there; TOO_FEW_PATIENTS.
        trainers.base.Stopped: when a stop was asked for.
    """
    k = spec.options["min_patients"]
    if patient_count(subject.train.single().subjects()) < k:
        raise Problem("TOO_FEW_PATIENTS", f"an evaluation needs at least {k} patients")
    from evaluators.gate import Policy
    from evaluators.report.page import render
    from evaluators.reporting import overview, report_json
    from evaluators.run import Watch, evaluate

    options = _options(spec)

    def part(name: str, done: int, total: int) -> None:
        told = {"step": done, "total_steps": total, "losses": {}, "rows_per_second": 0.0, "eta_s": None}
        reporter.progress(told, last=done == total)

    evaluation = evaluate(subject, options, Policy.from_json(spec.policy), Watch(part, reporter.should_stop))
    now = datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    said = {"name": f"reports/{spec.report}", "create_time": now, "losses": list(losses), **about}
    report = report_json(evaluation, said)
    folder = Path(spec.report_folder)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / REPORT_JSON).write_text(json.dumps(report, ensure_ascii=False), encoding="utf-8")
    (folder / REPORT_HTML).write_text(render(report), encoding="utf-8")
    return {"overview": overview(report), "evidence": evaluation.evidence.to_json()}


def _options(spec: ChildSpec) -> Options:
    from evaluators.case import Options, Profile

    asked = EvaluationSpec(**spec.evaluation)
    options = Options(
        profile=Profile(asked.profile.lower()),
        targets=tuple(asked.targets),
        quasi_identifiers=tuple(asked.quasi_identifiers),
        sensitive=tuple(asked.sensitive),
        protected=tuple(asked.protected),
        seed=asked.seed,
        seconds=asked.seconds,
        threads=spec.threads,
        min_patients=spec.options["min_patients"],
    )
    if spec.run_until is None:
        return options
    # What does not fit is left out and named: a model is not lost for its report.
    return replace(options, seconds=max(0.0, min(options.budget, spec.run_until - time.monotonic())))


def report_on_model(
    spec: ChildSpec, reporter: Reporter, losses: Sequence[Mapping[str, float]]
) -> dict[str, Any]:
    """Compares a bundle with the tables behind it; see `write_report`.

    Raises:
        Problem: of the data or the options.
    """
    schema, options = Schema.from_json(spec.schema), JobOptions(**spec.options)
    train, holdout = real_parts(
        physicalise_all(read_tableset(Path(spec.dataset_folder)), schema),
        bytes.fromhex(spec.split_salt),
        options,
        spec.seed,
    )
    if spec.holdout_folder:
        holdout = whole(like(spec.holdout_folder, schema), options, spec.seed)
    bundle = read_bundle(spec.model_bundle or spec.bundle)
    if reporter.should_stop():
        raise Stopped
    synthetic = drawn(bundle, max(table.num_rows for table in train), spec.evaluation["seed"])
    from evaluators.run import Subject
    from server.refitting import refit_of

    refit = refit_of(
        bundle.manifest.trainer, bundle.manifest.parameters, options, spec.device, reporter.should_stop
    )
    findings = tuple(Finding(**finding) for finding in spec.findings)
    digest = b64encode(bundle.manifest.content_digest).decode()
    subject = Subject(train, synthetic, holdout, refit, findings)
    return write_report(subject, spec, reporter, {**spec.about, "content_digest": digest}, losses)


def report_on_tables(spec: ChildSpec, reporter: Reporter) -> dict[str, Any]:
    """Compares rows made elsewhere with the tables behind them; see `write_report`.

    Raises:
        Problem: SCHEMAS_DIFFER; of the data or the options.
    """
    schema, options = Schema.from_json(spec.schema), JobOptions(**spec.options)
    train = whole(physicalise_all(read_tableset(Path(spec.dataset_folder)), schema), options, spec.seed)
    synthetic = whole(like(spec.synthetic_folder, schema), options, spec.seed)
    holdout = whole(like(spec.holdout_folder, schema), options, spec.seed) if spec.holdout_folder else None
    findings = tuple(Finding(**finding) for finding in spec.findings)
    from evaluators.run import Subject

    return write_report(Subject(train, synthetic, holdout, None, findings), spec, reporter, spec.about)


def incomplete(error: Exception | None) -> Finding:
    """What a person is told whose model was published without a report; None: the libraries lack."""
    if isinstance(error, Problem):
        why = error.message
    else:  # an exception's text may quote a cell
        why = f"it raised {type(error).__name__}" if error else "its libraries are not installed here"
    return Finding("EVALUATION_INCOMPLETE", f"the model was not evaluated: {why}")
