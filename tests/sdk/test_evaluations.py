"""Evaluating, reports and releases, on both clients."""

import math
import warnings

import pandas as pd
import pytest
from fake_evaluation import BROKEN, LOCKED, OPEN, PAGE, RULE, report_of
from fake_parts import CODE, Fault

import kohort
from kohort import Alert, EvaluationOptions, ReleaseRule, ReleaseState
from kohort.v1 import release_pb2, training_pb2

ROWS = pd.DataFrame({"age": [61, 70], "sex": pd.Categorical(["f", "m"])})
STANDARD = release_pb2.EVALUATION_PROFILE_STANDARD


def test_a_model_is_evaluated_and_its_report_read(client, fake):
    seen = []
    report = client.evaluate(
        "models/one",
        profile="full",
        targets=["died"],
        protected=["sex"],
        seed=0,
        time_budget=600,
        progress=lambda job: seen.append(job.progress),
    )
    (request,) = fake.requests("Evaluate")
    assert (request.model, request.dataset, request.holdout_dataset) == ("models/one", "", "")
    assert request.options.profile == release_pb2.EVALUATION_PROFILE_FULL
    assert (list(request.options.targets), list(request.options.protected)) == (["died"], ["sex"])
    assert (request.options.seed, request.options.time_budget.seconds) == (0, 600)
    assert request.options.HasField("seed")
    assert [p.step for p in seen if p][:2] == [1, 2]
    assert report.name == "reports/1"
    assert report.model == "models/one"
    assert report.summary[0] == "It looks real."
    assert report.verdict.state is ReleaseState.OPEN
    assert report.info.options.time_budget == 120
    assert math.isnan(report.info.figures[0].series[0].y[1])


def test_a_handle_of_a_model_evaluates_itself(client, fake):
    report = client.model("models/one").evaluate(profile="standard", dataset="datasets/1")
    assert report.metric("utility_ratio", target="died").value == 0.95
    assert fake.requests("Evaluate")[0].dataset == "datasets/1"


def test_options_are_kept_and_keywords_replace_them(client, fake):
    said = EvaluationOptions("full", targets=["died"], time_budget=60)
    client.evaluate("models/one", options=said, targets=["ill"])
    client.evaluate("models/one", options="standard")
    first, second = (r.options for r in fake.requests("Evaluate"))
    assert list(first.targets) == ["ill"]
    assert first.time_budget.seconds == 60
    assert second.profile == STANDARD
    assert not second.HasField("seed")
    assert not second.HasField("time_budget")


def test_a_broken_stream_attaches_again_under_the_same_request_id(client, fake):
    fake.fail("Evaluate", Fault(), Fault(after=0))
    fake.fail("Status", Fault(after=2), Fault(None, after=1))
    assert client.evaluate("models/one").name == "reports/1"
    ids = {r.request_id for r in fake.requests("Evaluate")}
    assert (len(fake.requests("Evaluate")), len(ids)) == (3, 1)
    assert [r.after_sequence for r in fake.requests("Status")] == [0, 1, 1]


def test_a_server_that_answers_with_the_report_alone_is_understood(client, fake):
    fake.finished_job("jobs/6", model="", kind=training_pb2.JOB_KIND_EVALUATE, report="reports/1")
    fake.reports["reports/1"] = report_of()
    fake.reports["reports/1"].job = "jobs/6"
    fake.only_report = True
    job = client.start_evaluation("models/one")
    assert job.name == "jobs/6"
    assert job.result().name == "reports/1"


def test_rows_made_elsewhere_are_uploaded_and_compared(client, fake, rows):
    report = client.evaluate(
        synthetic=ROWS, dataset=rows, holdout=ROWS, subject_key="age", display_name="theirs"
    )
    assert report.name == "reports/1"
    (request,) = fake.requests("Evaluate")
    assert request.WhichOneof("subject") == "synthetic_dataset"
    assert request.display_name == "theirs"
    by_name = {f"datasets/{i}": u for i, u in enumerate(fake.uploads, 1)}
    assert set(by_name) == {request.synthetic_dataset, request.dataset, request.holdout_dataset}
    keys = {name: u.header.schema.tables[0].subject_key for name, u in by_name.items()}
    assert (keys[request.dataset], keys[request.holdout_dataset]) == ("age", "age")
    assert keys[request.synthetic_dataset] == ""
    assert by_name[request.dataset].files == {"table": rows.read_bytes()}


def test_only_what_is_not_there_yet_is_uploaded(client, fake):
    real = client.upload(ROWS)
    client.evaluate(synthetic=ROWS, dataset=real, holdout="datasets/9", table="heart")
    assert [u.header.schema.tables[0].name for u in fake.uploads] == ["table", "heart"]
    (request,) = fake.requests("Evaluate")
    assert (request.dataset, request.holdout_dataset) == (real.name, "datasets/9")


def test_what_cannot_be_evaluated_is_refused_before_anything_is_sent(client, fake):
    with pytest.raises(TypeError, match="either a model or synthetic"):
        client.evaluate()
    with pytest.raises(TypeError, match="either a model or synthetic"):
        client.evaluate("models/one", synthetic=ROWS)
    with pytest.raises(TypeError, match="dataset="):
        client.evaluate(synthetic=ROWS)
    with pytest.raises(ValueError, match="none, standard, full"):
        client.evaluate("models/one", profile="thorough")
    with pytest.raises(TypeError, match="nonsense"):
        client.evaluate("models/one", nonsense=1)
    with pytest.raises(TypeError, match="targets takes a list"):
        client.evaluate("models/one", targets="died")
    assert not fake.calls


def test_an_evaluation_that_failed_raises_for_its_job(client, fake):
    error = training_pb2.JobError(reason="EVALUATION_FAILED", message="it broke")
    failed = {"state": training_pb2.JOB_STATE_FAILED, "kind": training_pb2.JOB_KIND_EVALUATE}
    fake.add_job("jobs/5", error=error, model="", **failed)
    with pytest.raises(kohort.JobFailed) as caught:
        client.evaluate("models/one")
    assert caught.value.reason == "EVALUATION_FAILED"
    assert not fake.requests("GetReport")


def test_a_limit_of_evaluations_is_told_at_once_when_the_wait_is_long(client, fake):
    fake.fail("Evaluate", Fault(CODE.RESOURCE_EXHAUSTED, "m", "TOO_MANY_EVALUATIONS", retry_after=7200))
    with pytest.raises(kohort.Overloaded) as caught:
        client.evaluate("models/one")
    assert caught.value.retry_after == 7200
    assert len(fake.requests("Evaluate")) == 1


def test_a_limit_that_ends_soon_is_waited_for(client, fake):
    fake.fail("Evaluate", Fault(CODE.RESOURCE_EXHAUSTED, "m", "QUEUE_FULL", retry_after=0.05))
    assert client.evaluate("models/one").name == "reports/1"


def test_an_evaluation_is_attached_to_by_its_job(client, fake):
    job = client.start_evaluation("models/one")
    assert job.info.kind is kohort.JobKind.EVALUATE
    again = client.job(job.name)
    assert again.result().name == again.report().name == "reports/1"
    assert "EvaluationJob jobs/5" in repr(next(iter(client.jobs())))


def test_a_training_gives_model_and_report(client, fake):
    fake.reports["reports/1"] = report_of()
    fake.finished_job(report="reports/1")
    job = client.train("datasets/1", evaluation="full", alerts=[Alert("loss", 9, action="stop_training")])
    (request,) = fake.requests("Train")
    assert request.evaluation.profile == release_pb2.EVALUATION_PROFILE_FULL
    (alert,) = request.alerts
    assert (alert.metric, alert.threshold, alert.below) == ("loss", 9, False)
    assert alert.action == release_pb2.ALERT_ACTION_STOP_TRAINING
    assert job.result().name == "models/one"
    assert job.report().name == "reports/1"


def test_a_training_without_an_evaluation_has_no_report(client, fake):
    with pytest.raises(kohort.NotFound, match="not evaluated"):
        client.train("datasets/1").report()
    assert not fake.requests("Train")[0].HasField("evaluation")


def test_reports_are_listed_by_model_and_deleted(client, fake):
    fake.reports = {f"reports/{i}": report_of(f"reports/{i}", model=f"models/{i % 2}") for i in range(5)}
    assert [r.name for r in client.reports(model="models/1")] == ["reports/1", "reports/3"]
    listed = list(client.reports())
    assert len(listed) == 5
    assert not listed[0].metrics
    assert client.report("reports/0").metrics
    listed[0].delete()
    with pytest.raises(kohort.NotFound) as caught:
        client.delete_report("reports/0")
    assert caught.value.reason == "REPORT_NOT_FOUND"


def test_a_report_is_stored_whole_after_cuts(client, fake, tmp_path):
    fake.reports["reports/1"] = report_of()
    fake.fail("DownloadReport", Fault(after=2), Fault(after=0))
    seen = []
    path = client.report("reports/1").download(tmp_path / "r.html", progress=lambda *p: seen.append(p))
    assert path.read_bytes() == PAGE
    assert seen[-1] == (len(PAGE), len(PAGE))
    client.download_report("reports/1", tmp_path / "r.json")
    client.download_report("reports/1", tmp_path / "r.txt", format="json")
    assert [r.format for r in fake.requests("DownloadReport")] == [1, 1, 1, 2, 2]
    with pytest.raises(ValueError, match="html or json"):
        client.download_report("reports/1", tmp_path / "r.pdf", format="pdf")


def test_an_altered_report_leaves_no_file(client, fake, tmp_path):
    fake.reports["reports/1"] = report_of()
    fake.tamper = lambda message: setattr(message.header, "sha256", bytes(32))
    (tmp_path / "r.html").write_text("before")
    with pytest.raises(kohort.IntegrityError):
        client.download_report("reports/1", tmp_path / "r.html")
    assert [p.name for p in tmp_path.iterdir()] == ["r.html"]
    assert (tmp_path / "r.html").read_text() == "before"


def test_metrics_are_found_by_name_column_and_detail(client, fake):
    report = client.evaluate("models/one")
    metric = report.metric("utility_ratio", target="ill")
    assert (metric.value, metric.interval.low, metric.baseline) == (0.9, pytest.approx(0.85), 1.0)
    assert report.metric("ks_complement", "bmi").null_value == 1.0
    assert report.metric("ks_complement", "key").value is None
    assert report.metric("column_similarity").baseline is None
    with pytest.raises(KeyError, match="target died; target ill"):
        report.metric("utility_ratio")
    with pytest.raises(KeyError, match="not of that"):
        report.metric("utility_ratio", target="other")
    with pytest.raises(KeyError, match="has no nonsense"):
        report.metric("nonsense")


def test_the_frame_of_metrics_has_one_row_each(client, fake):
    frame = client.evaluate("models/one").metrics_frame()
    assert len(frame) == 5
    assert list(frame["name"][:2]) == ["utility_ratio"] * 2
    assert list(frame["family"][:3]) == ["utility", "utility", ""]
    assert list(frame["detail"][:2]) == ["target=died", "target=ill"]
    assert frame["value"].dtype == "float64"
    assert frame["value"].isna().tolist() == [False] * 4 + [True]
    assert frame["headline"].tolist() == [True, True, True, False, False]
    fake.reports["reports/2"] = kohort.v1.evaluation_pb2.Report(name="reports/2")
    empty = client.report("reports/2").metrics_frame()
    assert list(empty.columns) == list(frame.columns)
    assert len(empty) == 0


def test_a_policy_is_read_changed_and_reset(client, fake):
    policy = client.release_policy()
    assert str(policy.rules[0]) == "lower end of membership_inference_auc > 0.6"
    stricter = kohort.ReleasePolicy(
        (
            *policy.rules,
            ReleaseRule("column_similarity", "quality", 0.9, "warn", reference="ratio", below=True),
        ),
        min_holdout_patients=50,
        lock_inconclusive=True,
        etag=policy.etag,
    )
    kept = client.update_release_policy(stricter)
    assert (kept.rules, kept.min_holdout_patients, kept.lock_inconclusive) == (stricter.rules, 50, True)
    assert kept.updated_by == "me"
    with pytest.raises(kohort.Conflict) as caught:
        client.update_release_policy(stricter)
    assert caught.value.reason == "ETAG_MISMATCH"
    assert len(client.update_release_policy(None).rules) == 1


def test_a_release_is_overridden_and_taken_back(client, fake):
    fake.models["models/one"].release.CopyFrom(
        release_pb2.Release(state=LOCKED.state, verdict=LOCKED, report="reports/1")
    )
    release = client.model("models/one").info.release
    assert (release.state, release.report, release.override) == (ReleaseState.LOCKED, "reports/1", None)
    (broken,) = release.verdict.broken
    assert (broken.where, broken.message) == (BROKEN.where, BROKEN.message)
    assert broken.rule.threshold == RULE.threshold
    opened = client.override_release("models/one", "open", "The board of ethics agreed.")
    assert opened.state is ReleaseState.OPEN
    assert (opened.override.reason, opened.override.principal) == ("The board of ethics agreed.", "me")
    assert client.override_release("models/one", None, "It was a mistake.").state is ReleaseState.LOCKED
    assert client.model("models/two").info.release is None


def test_a_locked_model_is_refused_by_its_name(client, fake, tmp_path):
    rules = {"rules": "linkability_risk,membership_inference_auc"}
    locked = Fault(CODE.FAILED_PRECONDITION, "the policy locks it", "MODEL_LOCKED", metadata=rules)
    fake.fail("Sample", locked)
    fake.fail("DownloadModel", locked)
    with pytest.raises(kohort.ModelLocked, match="the policy locks it") as caught:
        client.sample("models/one", 3)
    with pytest.raises(kohort.ModelLocked):
        client.download("models/one", tmp_path / "m.kohort")
    assert caught.value.rules == ("linkability_risk", "membership_inference_auc")
    assert issubclass(kohort.ModelLocked, kohort.FailedPrecondition)


@pytest.mark.parametrize("state", ["open", "inconclusive", "open_with_warning"])
def test_only_a_warning_of_the_policy_warns_and_only_once(client, fake, state):
    number = release_pb2.ReleaseState.Value(f"RELEASE_STATE_{state.upper()}")
    fake.models["models/one"].release.state = number
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        frames = [client.sample("models/one", 3) for _ in range(2)]
    assert len(caught) == (state == "open_with_warning")
    assert all(w.category is kohort.ReleaseWarning and "models/one" in str(w.message) for w in caught)
    assert frames[0].attrs["kohort"]["release_state"] == state


def test_a_verdict_that_opens_breaks_nothing(client, fake):
    fake.reports["reports/1"] = report_of(verdict=OPEN)
    assert client.report("reports/1").verdict.broken == ()
