"""Evaluation as its users see it: in training and on its own, and what a locked model does and does not."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
from google.protobuf import json_format

import kohort
from kohort.v1 import evaluation_pb2
from tests.e2e.harness import Server, training_child

COPYING = "copying=tests.e2e.copying_trainer:CopyingTrainer,slow=tests.e2e.slow_trainer:SlowTrainer"
SURVEY = Path(__file__).resolve().parents[2] / "benchmarks" / "data" / "cdc_diabetes_62k.parquet"
TARGET = "Diabetes_binary"


@pytest.fixture(scope="module")
def evaluating(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("evaluating")
    # Which patients are held out is this key's to say: always the same, so that no verdict is by chance.
    key = folder / "patients"
    key.touch(mode=0o600)
    key.write_bytes(bytes(range(32)))
    environment = {
        "KOHORT_TRAINERS": COPYING,
        "KOHORT_EVALUATION_PROFILE": "standard",
        "KOHORT_PATIENT_KEY_FILE": str(key),
    }
    server = Server(folder, env=environment).start()
    yield server
    server.stop()


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, pd.DataFrame]:
    """Rows to learn from, of others, and of others again."""
    rows = pd.read_parquet(SURVEY).sample(6000, random_state=5)
    return {"real": rows[:3000], "holdout": rows[3000:4500], "others": rows[4500:6000]}


@pytest.fixture(scope="module")
def survey(evaluating: Server, parts: dict[str, pd.DataFrame]) -> str:
    with evaluating.client() as client:
        return client.upload(parts["real"], table="survey").name


OPTIONS = kohort.EvaluationOptions(targets=(TARGET,), protected=("Sex",), quasi_identifiers=("Age", "Sex"))


@pytest.fixture(scope="module")
def honest(evaluating: Server, survey: str) -> str:
    with evaluating.client() as client:
        return client.train(survey, trainer="bayesian-network", seed=1, evaluation=OPTIONS).result().name


@pytest.fixture(scope="module")
def copied(evaluating: Server, survey: str) -> str:
    with evaluating.client() as client:
        return client.train(survey, trainer="copying", seed=1, evaluation=OPTIONS).result().name


def test_a_trained_model_comes_with_its_report(evaluating: Server, honest: str, tmp_path: Path) -> None:
    with evaluating.client() as client:
        release = client.model(honest).info.release
        assert release is not None
        report = client.report(release.report)
        assert report.info.model == honest
        assert len(report.info.summary) == 3
        assert report.info.counts.holdout_patients > 400
        assert not [out for out in report.info.left_out if "defect" in out.reason], report.info.left_out
        ratio = report.info.metric("utility_ratio", target=TARGET)
        assert ratio.headline
        assert 0.8 < (ratio.value or 0) < 1.1
        assert release.state in (kohort.ReleaseState.OPEN, kohort.ReleaseState.OPEN_WITH_WARNING)
        page = report.download(tmp_path / "report.html").read_text()
        assert page.lower().startswith("<!doctype html>")
        assert "<script" not in page
        raw = json.loads(report.download(tmp_path / "report.json", format="json").read_text())
        message = json_format.ParseDict(raw, evaluation_pb2.Report())
        assert len(message.metrics) == len(report.info.metrics)
        assert [f.name for f in message.figures if f.name.startswith("marginal:")]
    with contextlib.closing(sqlite3.connect(evaluating.data / "var" / "kohort.db")) as database:
        query = "SELECT size_bytes FROM reports WHERE id = ?"
        ((noted,),) = database.execute(query, (release.report.removeprefix("reports/"),)).fetchall()
    assert noted == sum((tmp_path / f"report.{kind}").stat().st_size for kind in ("html", "json"))


def test_a_model_that_copies_is_locked_until_a_custodian_decides(evaluating: Server, copied: str) -> None:
    with evaluating.client() as client:
        release = client.model(copied).info.release
        assert release is not None
        assert release.state is kohort.ReleaseState.LOCKED
        assert {"identical_match_excess"} <= {one.rule.metric for one in release.verdict.privacy}
        with pytest.raises(kohort.ModelLocked, match="identical_match_excess"):
            client.sample(copied, 10, seed=1)
        with pytest.raises(kohort.ModelLocked):
            client.model(copied).download(Path("never.kohort"))
        assert not Path("never.kohort").exists()
        client.override_release(copied, kohort.ReleaseState.OPEN_WITH_WARNING, "only for a test in the house")
        assert len(client.sample(copied, 10, seed=1)) == 10
        client.override_release(copied, None, "the test is over, back to the policy")
        with pytest.raises(kohort.ModelLocked):
            client.sample(copied, 10, seed=1)


@pytest.mark.slow
def test_a_policy_decides_at_once_about_every_model(evaluating: Server, copied: str) -> None:
    with evaluating.client() as client:
        policy = client.release_policy()
        try:
            client.update_release_policy(kohort.ReleasePolicy(rules=(), min_holdout_patients=1))
            assert len(client.sample(copied, 10, seed=1)) == 10
        finally:
            client.update_release_policy(None)
        assert client.release_policy().rules == policy.rules
        with pytest.raises(kohort.ModelLocked):
            client.sample(copied, 10, seed=1)


@pytest.mark.slow
def test_rows_made_elsewhere_are_judged_like_a_models(
    evaluating: Server, parts: dict[str, pd.DataFrame]
) -> None:
    with evaluating.client() as client:
        made = pd.concat([parts["real"][:200], parts["others"]])
        options = {"targets": (TARGET,), "seed": 3}
        report = client.evaluate(
            synthetic=made,
            dataset=parts["real"],
            holdout=parts["holdout"],
            **options,  # type: ignore[arg-type]
        )
        assert report.info.verdict.state is kohort.ReleaseState.LOCKED
        alone = client.evaluate(synthetic=parts["others"], dataset=parts["real"], **options)  # type: ignore[arg-type]
        assert alone.info.verdict.state is kohort.ReleaseState.INCONCLUSIVE
        assert "held out" in alone.info.verdict.inconclusive


def test_rows_of_another_table_are_refused_by_column(
    evaluating: Server, parts: dict[str, pd.DataFrame]
) -> None:
    with evaluating.client() as client:
        with pytest.raises(kohort.RpcError) as refused:
            client.evaluate(synthetic=parts["others"].drop(columns=["BMI"]), dataset=parts["real"])
        assert refused.value.reason == "SCHEMAS_DIFFER"
        assert "BMI" in str(refused.value)


@pytest.mark.slow
def test_the_same_seed_gives_the_same_report(evaluating: Server, honest: str) -> None:
    with evaluating.client() as client:
        first, second = (client.evaluate(honest, targets=(TARGET,), seed=9) for _ in range(2))
        assert first.name != second.name
        assert first.info.metrics == second.info.metrics


def await_evaluating(job: kohort.Job) -> None:
    phases = (event.detail.phase for event in job.events() if isinstance(event.detail, kohort.PhaseStarted))
    assert "evaluating" in phases


@pytest.mark.slow
def test_a_killed_child_evaluates_again(evaluating: Server, honest: str) -> None:
    with evaluating.client() as client:
        job = client.start_evaluation(honest, targets=(TARGET,))
        await_evaluating(job)
        training_child(evaluating).kill()
        assert job.result().info.model == honest
        assert job.refresh().attempt == 2


@pytest.mark.slow
def test_a_cancelled_evaluation_leaves_no_report(evaluating: Server, honest: str) -> None:
    with evaluating.client() as client:
        before = len(list(client.reports(model=honest)))
        job = client.start_evaluation(honest, targets=(TARGET,))
        await_evaluating(job)
        job.cancel()
        with pytest.raises(kohort.JobCancelled):
            job.result()
        assert len(list(client.reports(model=honest))) == before


def test_an_alert_stops_the_training_of_what_copies(evaluating: Server, survey: str) -> None:
    metric = "membership_inference_attack_success"
    stop = kohort.Alert(metric, 0.6, action=kohort.AlertAction.STOP_TRAINING)
    with evaluating.client() as client:
        before = len(list(client.models()))
        job = client.train(survey, trainer="copying", seed=1, alerts=[stop])
        with pytest.raises(kohort.JobFailed) as failed:
            job.result()
        assert failed.value.reason == "ALERT_STOPPED_TRAINING"
        assert metric in str(failed.value)
        assert len(list(client.models())) == before


@pytest.mark.slow
def test_an_alert_is_told_once_and_training_goes_on(evaluating: Server, survey: str) -> None:
    told = kohort.Alert("loss", 0.2, below=True, action=kohort.AlertAction.NOTIFY)
    with evaluating.client() as client:
        job = client.train(survey, trainer="copying", seed=1, epochs=20, alerts=[told], evaluation="none")
        job.result()
        raised = [
            event.detail
            for event in job.events()
            if isinstance(event.detail, kohort.Finding) and event.detail.reason == "ALERT_RAISED"
        ]
        assert len(raised) == 1
        assert "loss" in raised[0].message


def test_an_alert_that_could_never_be_raised_is_refused(evaluating: Server, survey: str) -> None:
    stop = kohort.AlertAction.STOP_TRAINING
    with evaluating.client() as client:
        reported = kohort.Alert("membership_inference_auc", 0.6, action=stop)
        with pytest.raises(kohort.InvalidRequest, match="membership_inference_attack_success"):
            client.train(survey, trainer="copying", alerts=[reported])
        watched = kohort.Alert("membership_inference_attack_success", 0.6, action=stop)
        job = client.train(survey, trainer="copying", alerts=[watched], validation=0.01)
        with pytest.raises(kohort.JobFailed, match="validation patients"):
            job.result()
