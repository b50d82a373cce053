"""Evaluations and releases between the wire and plain values: nothing is lost, nothing is unknown."""

from dataclasses import fields
from datetime import timedelta

import pytest
from fake_evaluation import report_of

import kohort
from kohort import evaluationwire
from kohort.release import EvaluationOptions, ReleasePolicy, ReleaseRule
from kohort.resources import to_json
from kohort.v1 import evaluation_pb2, release_pb2

RULES = (
    ReleaseRule("membership_inference_auc", "privacy", 0.6, "lock", "lower"),
    ReleaseRule("c2st_auc", "quality", -0.3, "warn", "upper", "difference", below=True),
    ReleaseRule("pair_similarity", "quality", 0.9, "warn", reference="ratio", below=True),
)


@pytest.mark.parametrize(
    "options",
    [
        EvaluationOptions(),
        EvaluationOptions("none"),
        EvaluationOptions("full", ("a",), ("b", "c"), ("d",), ("e",), 0, 90.5),
    ],
)
def test_options_survive_the_wire(options):
    assert evaluationwire.options_from_proto(evaluationwire.options_to_proto(options)) == options


def test_a_time_budget_may_be_a_timedelta():
    message = evaluationwire.options_to_proto(EvaluationOptions(time_budget=timedelta(minutes=2)))
    assert evaluationwire.options_from_proto(message).time_budget == 120


@pytest.mark.parametrize("rules", [(), RULES])
def test_a_policy_survives_the_wire_and_json(rules):
    policy = ReleasePolicy(rules, 7, require_report=True, lock_inconclusive=True, etag="3")
    assert evaluationwire.policy_from_proto(evaluationwire.policy_to_proto(policy)) == policy
    assert ReleasePolicy.from_json(to_json(policy)) == policy


@pytest.mark.parametrize(
    ("plain", "message"),
    [
        (kohort.Alert, release_pb2.Alert),
        (kohort.BrokenRule, release_pb2.BrokenRule),
        (kohort.EvaluationCounts, evaluation_pb2.EvaluationCounts),
        (kohort.EvaluationOptions, release_pb2.EvaluationOptions),
        (kohort.Figure, evaluation_pb2.Figure),
        (kohort.Interval, evaluation_pb2.Interval),
        (kohort.LeftOut, evaluation_pb2.LeftOut),
        (kohort.Metric, evaluation_pb2.Metric),
        (kohort.MetricInfo, evaluation_pb2.MetricInfo),
        (kohort.Release, release_pb2.Release),
        (kohort.ReleaseOverride, release_pb2.ReleaseOverride),
        (kohort.ReleasePolicy, release_pb2.ReleasePolicy),
        (kohort.ReleaseRule, release_pb2.ReleaseRule),
        (kohort.ReportInfo, evaluation_pb2.Report),
        (kohort.Series, evaluation_pb2.Series),
        (kohort.Verdict, release_pb2.Verdict),
    ],
)
def test_values_have_every_field_of_their_message(plain, message):
    assert {field.name for field in fields(plain)} == set(message.DESCRIPTOR.fields_by_name)


def test_every_value_of_the_contracts_enums_is_known():
    for found in (evaluationwire.PROFILES, evaluationwire.STATES, evaluationwire.ACTIONS):
        assert found.read(999) == "unspecified"
    enums = {**release_pb2.DESCRIPTOR.enum_types_by_name, **evaluation_pb2.DESCRIPTOR.enum_types_by_name}
    for name, enum in enums.items():
        if name != "ReportFormat":
            plain = getattr(kohort, name)
            prefix = enum.values[0].name.removesuffix("UNSPECIFIED")
            assert {v.name for v in enum.values} == {prefix + v.name for v in plain}, name


def test_a_report_keeps_what_was_sent():
    message = report_of(model="models/1", labels={"ward": "7"})
    report = evaluationwire.report_from_proto(message)
    assert (report.model, report.labels, report.duration) == ("models/1", {"ward": "7"}, 41)
    assert (report.counts.training_patients, report.counts.synthetic_rows) == (70, 80)
    assert report.create_time.timestamp() == 1_700_000_000
    assert report.options.profile is kohort.EvaluationProfile.STANDARD
    assert report.definitions[0].target is None
    assert report.metrics[0].detail == {"target": "died"}
    assert [m.where for m in report.metrics] == ["target died", "target ill", "", "bmi", "key"]
    assert (report.figures[0].y_min, report.figures[0].y_max) == (0, None)
    assert report.left_out[0].part == "shadow_models"
    assert report.content_digest == "00" * 32


@pytest.mark.parametrize(
    ("text", "alert"),
    [
        ("loss>3", kohort.Alert("loss", 3)),
        (" loss < -1.5e-3 : notify ", kohort.Alert("loss", -0.0015, below=True)),
        ("a_b>0.6:STOP_TRAINING", kohort.Alert("a_b", 0.6, action="stop_training")),
    ],
)
def test_alerts_are_read_from_texts(text, alert):
    assert kohort.Alert.parse(text) == alert
