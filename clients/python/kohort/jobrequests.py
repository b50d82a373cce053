"""The requests that start jobs."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from kohort import evaluationwire, wire
from kohort.release import Alert, EvaluationOptions
from kohort.schema import SchemaOverrides
from kohort.v1 import evaluation_pb2, training_pb2


def train_request(
    dataset: str,
    trainer: str | None,
    parameters: Mapping[str, Any],
    *,
    seed: int | None,
    overrides: SchemaOverrides | None,
    min_patients: int | None,
    max_rows_per_patient: int | None,
    weight_patients_equally: bool,
    holdout: float | None,
    validation: float | None,
    device: str,
    max_runtime: float | None,
    display_name: str,
    labels: Mapping[str, str] | None,
    request_id: str | None,
    evaluation: EvaluationOptions | str | None = None,
    alerts: Iterable[Alert] = (),
) -> training_pb2.TrainRequest:
    """The request to train. Raises TypeError for a parameter of a type that cannot be sent."""
    request = training_pb2.TrainRequest(
        request_id=request_id or str(uuid.uuid4()),
        dataset=dataset,
        trainer=trainer or "",
        seed=seed,
        min_patients_per_value=min_patients or 0,
        max_rows_per_patient=max_rows_per_patient or 0,
        weight_patients_equally=weight_patients_equally,
        holdout_fraction=holdout,
        validation_fraction=validation,
        device=device,
        display_name=display_name,
        labels=labels,
        alerts=[evaluationwire.alert_to_proto(alert) for alert in alerts],
    )
    try:
        request.parameters.CopyFrom(wire.struct_to_proto(parameters))
    except ValueError as error:
        raise TypeError("parameters must be numbers, strings, booleans or lists of them") from error
    if overrides is not None:
        request.schema_overrides.CopyFrom(wire.overrides_to_proto(overrides))
    if max_runtime is not None:
        request.max_runtime.CopyFrom(wire.duration_to_proto(max_runtime))
    if evaluation is not None:
        said = EvaluationOptions.of(evaluation)
        request.evaluation.CopyFrom(evaluationwire.options_to_proto(said))
    return request


@dataclass(frozen=True)
class Subject:
    """What is evaluated against what.

    Datasets are names, handles, or anything that `upload` takes.

    Raises:
        TypeError: neither or both of a model and synthetic rows, or no real rows beside the latter.
    """

    model: str | None
    synthetic: Any = None
    dataset: Any = None
    holdout: Any = None
    table: str = "table"
    """The name of tables that are uploaded."""
    subject_key: str = ""
    """Of real rows that are uploaded."""

    def __post_init__(self) -> None:
        if (self.model is None) == (self.synthetic is None):
            raise TypeError("evaluate either a model or synthetic rows (synthetic=...)")
        if self.synthetic is not None and self.dataset is None:
            raise TypeError("synthetic rows are compared with real ones: give dataset=...")

    @property
    def datasets(self) -> Mapping[str, Any]:
        """Those that are given, by what they are; real rows first."""
        all_three = {"dataset": self.dataset, "holdout": self.holdout, "synthetic": self.synthetic}
        return {role: data for role, data in all_three.items() if data is not None}


def evaluate_request(
    model: str | None,
    datasets: Mapping[str, str],
    options: EvaluationOptions,
    *,
    display_name: str,
    labels: Mapping[str, str] | None,
    request_id: str | None,
) -> evaluation_pb2.EvaluateRequest:
    """The request to evaluate a model or a dataset of synthetic rows; datasets as in `Subject.datasets`."""
    request = evaluation_pb2.EvaluateRequest(
        request_id=request_id or str(uuid.uuid4()),
        dataset=datasets.get("dataset", ""),
        holdout_dataset=datasets.get("holdout", ""),
        options=evaluationwire.options_to_proto(options),
        display_name=display_name,
        labels=labels,
    )
    if model is None:
        request.synthetic_dataset = datasets["synthetic"]
    else:
        request.model = model
    return request
