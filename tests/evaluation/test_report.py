"""The report as JSON: the protobuf's own parser reads it."""

from __future__ import annotations

import base64
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from google.protobuf import json_format

from evaluators.reporting import overview, report_json
from evaluators.results import Family, Figure, FigureKind, Series
from kohort.v1 import evaluation_pb2, release_pb2
from tests.evaluation.report_example import ABOUT, DEFINITIONS, evaluation, figures, metrics, report


def parsed(value: dict[str, Any]) -> evaluation_pb2.Report:
    return json_format.ParseDict(value, evaluation_pb2.Report())


def test_a_report_is_the_message_of_the_contract() -> None:
    message = parsed(report())
    assert (message.name, message.model, message.job) == ("reports/6f1c2a", "models/heart", "jobs/91")
    assert message.create_time.ToDatetime(UTC) == datetime(2026, 3, 1, 10, 20, 30, tzinfo=UTC)
    assert message.content_digest == bytes(range(32))
    assert (message.duration.seconds, message.duration.nanos) == (3, 250_000_000)
    assert message.counts.holdout_patients == 121
    assert message.options.profile == release_pb2.EVALUATION_PROFILE_STANDARD
    assert list(message.options.quasi_identifiers) == ["age", "sex"]
    assert message.options.time_budget.seconds == 120
    assert len(message.metrics) == len(metrics())
    assert len(message.definitions) == len(DEFINITIONS)
    assert len(message.summary) == 3
    assert message.versions["numpy"]


def test_every_field_of_a_report_is_filled() -> None:
    message = parsed(
        report_json(
            evaluation(), ABOUT | {"synthetic_dataset": "datasets/a", "holdout_dataset": "datasets/b"}
        )
    )
    assert {field.name for field, _ in message.ListFields()} == {
        field.name for field in evaluation_pb2.Report.DESCRIPTOR.fields
    }


def test_a_verdict_keeps_its_rules() -> None:
    verdict = parsed(report()).verdict
    assert verdict.state == release_pb2.RELEASE_STATE_INCONCLUSIVE
    assert {broken.rule.metric for broken in verdict.quality} == {
        "pair_similarity",
        "c2st_auc",
        "utility_ratio",
    }
    ratio = next(broken.rule for broken in verdict.quality if broken.rule.metric == "pair_similarity")
    assert ratio.below
    assert ratio.threshold == 0.9
    assert ratio.reference == release_pb2.RULE_REFERENCE_RATIO
    assert ratio.effect == release_pb2.RULE_EFFECT_WARN


def test_gaps_of_pictures_are_nan_and_undefined_values_are_unset() -> None:
    picture = Figure(
        "x", Family.FIDELITY, "x", FigureKind.BARS, (Series("a", [1.0, float("nan")]),), ("u", "v")
    )
    undefined = replace(metrics()[0], value=float("nan"))
    message = parsed(report_json(evaluation([undefined], [picture]), {}))
    assert message.figures[0].series[0].y[1] != message.figures[0].series[0].y[1]
    assert not message.metrics[0].HasField("value")


def test_losses_become_a_picture_of_at_most_a_few_hundred_points() -> None:
    losses = [{"step": step, "loss": 1 / (step + 1), "gradient_norm": 9.0} for step in range(5000)]
    message = parsed(report_json(evaluation(), {"losses": losses}))
    curves, norms = (f for f in message.figures if f.name.startswith("training:"))
    assert (curves.name, [s.name for s in curves.series]) == ("training:losses", ["loss"])
    assert norms.name == "training:gradient_norm"
    assert len(curves.series[0].x) <= 401
    assert curves.series[0].x[-1] == 4999


def test_a_loss_said_at_some_steps_only_keeps_its_steps() -> None:
    losses = [{"step": 1, "loss": 3.0}, {"step": 2, "loss": 2.0, "validation": 2.5}]
    curves = report_json(evaluation(), {"losses": losses})["figures"][0]["series"]
    assert curves[1] == {"name": "validation", "x": [2.0], "y": [2.5]}


def test_an_evaluation_without_results_is_a_report() -> None:
    message = parsed(report_json(evaluation([], [], holdout=0), {}))
    assert not message.metrics
    assert len(message.summary) == 3


def test_an_overview_lacks_what_is_long() -> None:
    value = report()
    assert set(value) - set(overview(value)) == {"definitions", "metrics", "figures"}


def test_times_and_digests_may_be_given_as_they_are() -> None:
    when = datetime(2026, 3, 1, 12, tzinfo=UTC)
    value = report_json(
        evaluation(), {"create_time": when, "content_digest": base64.b64encode(b"x" * 32).decode()}
    )
    assert value["create_time"] == "2026-03-01T12:00:00Z"
    assert parsed(value).content_digest == b"x" * 32


def test_a_report_says_nothing_of_what_it_does_not_know() -> None:
    with pytest.raises(ValueError, match="tenant"):
        report_json(evaluation(), {"tenant": "a"})


def test_the_example_draws_every_kind_of_picture() -> None:
    assert {figure.kind for figure in figures()} == set(FigureKind)
