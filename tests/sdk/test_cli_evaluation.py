"""The commands about evaluations, reports, policies and releases, against the fake server."""

import json

import pytest
from fake_evaluation import LOCKED, PAGE, report_of
from fake_parts import CODE, Fault

from kohort.v1 import release_pb2, training_pb2


def lock(fake, name="models/one"):
    fake.models[name].release.CopyFrom(
        release_pb2.Release(state=LOCKED.state, verdict=LOCKED, report="reports/1")
    )


def test_the_commands_are_named_by_the_help(cli):
    out = cli("--help")[1]
    assert all(f" {name} " in out for name in ("evaluate", "report", "policy", "release"))
    assert all(name in cli("report", "--help")[1] for name in ("list", "show", "download", "delete"))


def test_evaluate_prints_verdict_summary_and_headlines(cli, fake):
    code, out, err = cli("evaluate", "models/one", "--profile", "full", "--target", "died", "--quasi", "age")
    assert code == 0
    lines = out.splitlines()
    assert lines[0] == "reports/1 of models/one, standard, 41 s"
    assert lines[1] == "OPEN: its rows may leave"
    assert lines[3:6] == ["It looks real.", "It is of use.", "It tells little of its patients."]
    table = [line.split("  ") for line in lines if line.startswith(("metric", "utility_ratio"))]
    assert [[cell.strip() for cell in row if cell.strip()] for row in table] == [
        ["metric", "of", "value", "interval", "real rows", "n"],
        ["utility_ratio", "target died", "0.950", "0.900 … 1.000", "1.000", "500"],
        ["utility_ratio", "target ill", "0.900", "0.850 … 0.950", "1.000", "500"],
    ]
    assert "ks_complement" not in out
    assert "jobs/5: fitting" in err
    assert "! left out: shadow_models: of the profile full" in err
    options = fake.requests("Evaluate")[0].options
    assert options.profile == release_pb2.EVALUATION_PROFILE_FULL
    assert (list(options.targets), list(options.quasi_identifiers)) == (["died"], ["age"])


@pytest.mark.parametrize(("text", "seconds"), [("90", 90), ("90s", 90), ("10m", 600), ("1.5h", 5400)])
def test_time_budgets_have_units(cli, fake, text, seconds):
    assert cli("evaluate", "models/one", "--time-budget", text)[0] == 0
    assert fake.requests("Evaluate")[0].options.time_budget.seconds == seconds


def test_evaluate_stores_the_report_in_both_formats(cli, fake, tmp_path):
    files = (tmp_path / "r.html", tmp_path / "r.json")
    code, _, err = cli("evaluate", "models/one", "-o", files[0], "--out", files[1])
    assert code == 0
    assert all(f"wrote {file}" in err for file in files)
    assert files[0].read_bytes() == PAGE
    assert [r.format for r in fake.requests("DownloadReport")] == [1, 2]


def test_rows_made_elsewhere_are_evaluated(cli, fake, rows):
    code, _, _ = cli("evaluate", "--synthetic", rows, "--real", "datasets/7", "--holdout", rows)
    assert code == 0
    (request,) = fake.requests("Evaluate")
    assert request.dataset == "datasets/7"
    assert {request.synthetic_dataset, request.holdout_dataset} == {"datasets/1", "datasets/2"}


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("models/one", "--synthetic", "datasets/1"),
        ("--synthetic", "datasets/1"),
        ("--synthetic", "no-such-file.csv", "--real", "datasets/1"),
        ("models/one", "--profile", "thorough"),
        ("models/one", "--time-budget", "soon"),
        ("models/one", "-o", "report.pdf"),
        ("models/one", "-o", "no-such-folder/report.html"),
    ],
)
def test_what_makes_no_sense_is_refused_before_anything_is_sent(cli, fake, arguments):
    assert cli("evaluate", *arguments)[0] == 2
    assert not fake.calls


def test_a_locked_verdict_is_loud_and_fails_only_where_asked(cli, fake):
    fake.reports["reports/1"] = report_of(model="models/one", verdict=LOCKED)
    code, out, _ = cli("evaluate", "models/one")
    assert code == 0
    assert "LOCKED: its rows must not leave\n  privacy: An attack tells patients apart.\n" in out
    assert cli("evaluate", "models/one", "--fail-if-locked")[0] == 3
    fake.reports["reports/1"] = report_of()
    assert cli("evaluate", "models/one", "--fail-if-locked")[0] == 0


def test_evaluate_as_json_gives_events_and_then_the_report(cli, fake):
    code, out, _ = cli("evaluate", "models/one", "--json")
    lines = [json.loads(line) for line in out.splitlines()]
    assert code == 0
    assert [e["sequence"] for e in lines[:-1]] == [1, 2, 3]
    report = lines[-1]
    assert report["verdict"]["state"] == "open"
    assert report["metrics"][0]["interval"]["method"] == "bootstrap"
    assert report["figures"][0]["series"][0]["y"] == [3.0, None]


def test_a_failed_evaluation_has_the_code_of_failed_jobs(cli, fake):
    error = training_pb2.JobError(reason="EVALUATION_FAILED", message="it broke")
    fake.add_job("jobs/5", state=training_pb2.JOB_STATE_FAILED, error=error, model="")
    code, _, err = cli("evaluate", "models/one")
    assert code == 7
    assert "EVALUATION_FAILED" in err
    code, out, _ = cli("evaluate", "models/one", "--json")
    assert (code, json.loads(out.splitlines()[-1])["state"]) == (7, "failed")


def test_a_limit_of_evaluations_says_when_to_come_back(cli, fake):
    limit = Fault(CODE.RESOURCE_EXHAUSTED, "evaluated often", "TOO_MANY_EVALUATIONS", retry_after=3600)
    fake.fail("Evaluate", limit)
    code, _, err = cli("evaluate", "models/one")
    assert code == 6
    assert "try again in 3600 s" in err


def test_evaluate_detached_does_not_follow(cli, fake):
    assert cli("evaluate", "models/one", "--detach")[0] == 0
    assert not fake.requests("Status")


def test_training_says_how_to_evaluate_and_what_to_watch(cli, fake):
    lock(fake)
    fake.finished_job(report="reports/1")
    alert = "membership_inference_attack_success>0.6:stop_training"
    asked = ("--evaluation", "full", "--protected", "sex", "--time-budget", "5m")
    code, out, _ = cli("train", "datasets/1", *asked, "--alert", alert, "--alert", "loss<1e-3")
    assert code == 0
    (request,) = fake.requests("Train")
    assert request.evaluation.profile == release_pb2.EVALUATION_PROFILE_FULL
    assert (list(request.evaluation.protected), request.evaluation.time_budget.seconds) == (["sex"], 300)
    told = [(a.metric, a.threshold, a.below, a.action) for a in request.alerts]
    assert told == [
        ("membership_inference_attack_success", 0.6, False, release_pb2.ALERT_ACTION_STOP_TRAINING),
        ("loss", 0.001, True, release_pb2.ALERT_ACTION_NOTIFY),
    ]
    assert "report: reports/1" in out
    assert "LOCKED: its rows must not leave" in out
    assert cli("train", "datasets/1", "--detach")[0] == 0
    assert not fake.requests("Train")[1].HasField("evaluation")
    assert cli("train", "datasets/1", "--evaluation", "some")[0] == 2
    for wrong in ("loss", "loss>", "loss>high", "loss=3", "loss>3:explode"):
        assert cli("train", "datasets/1", "--alert", wrong)[0] == 2


def test_reports_are_listed_shown_stored_and_deleted(cli, fake, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    fake.reports = {
        "reports/1": report_of(model="models/one", verdict=LOCKED),
        "reports/2": report_of("reports/2", synthetic_dataset="datasets/3"),
    }
    listed = cli("report", "list")[1].splitlines()
    assert [line.split()[0] for line in listed] == ["report", "reports/1", "reports/2"]
    assert "LOCKED" in listed[1]
    assert "datasets/3" in listed[2]
    assert [r["name"] for r in json.loads(cli("report", "list", "--model", "models/one", "--json")[1])] == [
        "reports/1"
    ]
    shown, everything = cli("report", "show", "reports/1")[1], cli("report", "show", "reports/1", "--all")[1]
    assert "column_similarity" in shown
    assert "ks_complement" not in shown
    assert "ks_complement" in everything
    assert "- Nobody tried everything." in everything
    assert cli("report", "download", "reports/1")[:2] == (0, "1.html\n")
    assert (tmp_path / "1.html").read_bytes() == PAGE
    assert cli("report", "download", "reports/1", "-o", "a.txt")[0] == 2
    assert cli("report", "delete", "reports/1", "--yes")[0] == 0
    assert cli("report", "show", "reports/1")[0] == 4
    assert cli("delete", "reports/2", "--yes")[0] == 0


def test_the_policy_is_written_edited_and_set(cli, fake, tmp_path):
    code, out, _ = cli("policy", "show")
    assert code == 0
    assert "lower end of membership_inference_auc > 0.6" in out
    file = tmp_path / "policy.json"
    policy = json.loads(cli("policy", "show", "--json")[1])
    policy["rules"].append(
        {"metric": "utility_ratio", "kind": "quality", "threshold": 1, "below": True, "effect": "warn"}
    )
    policy["lock_inconclusive"] = True
    file.write_text(json.dumps(policy))
    code, out, _ = cli("policy", "set", file)
    assert code == 0
    assert "utility_ratio < 1" in out
    assert "a model of which nothing is known is LOCKED" in out
    kept = fake.policy.rules[1]
    assert (kept.metric, kept.below, kept.statistic, kept.effect) == ("utility_ratio", True, 1, 1)
    code, _, err = cli("policy", "set", file)
    assert code == 3
    assert "ETAG_MISMATCH" in err
    assert cli("policy", "reset", "--yes")[0] == 0
    assert len(fake.policy.rules) == 1


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[]", "must be an object"),
        ("{}", "rules is missing"),
        ('{"rules": {}}', "rules must be a list"),
        ('{"rules": [{"metric": "a"}]}', "rules[0]: effect is missing"),
        ('{"rules": [], "lock": true}', "lock is unknown"),
        ('{"rules": [], "min_holdout_patients": true}', "min_holdout_patients must be a whole number"),
        ('{"rules": [], "require_report": 1}', "require_report must be true or false"),
        (
            '{"rules": [{"metric": "a", "kind": "privacy", "threshold": "1", "effect": "lock"}]}',
            "threshold must be a number",
        ),
        (
            '{"rules": [{"metric": "a", "kind": "secrecy", "threshold": 1, "effect": "lock"}]}',
            "kind is none of privacy, quality",
        ),
        ("no json", "Expecting value"),
    ],
)
def test_a_policy_that_is_none_is_refused_with_what_is_wrong(cli, fake, tmp_path, text, said):
    (tmp_path / "policy.json").write_text(text)
    code, _, err = cli("policy", "set", tmp_path / "policy.json")
    assert code == 2
    assert said in err.replace("\n", " ")
    assert not fake.calls


def test_a_policy_may_be_yaml(cli, fake, tmp_path):
    file = tmp_path / "policy.yaml"
    file.write_text("rules: []\nmin_holdout_patients: 7\n")
    assert cli("policy", "set", file)[0] == 0
    assert fake.policy.min_holdout_patients == 7
    file.write_text("rules: [")
    code, _, err = cli("policy", "set", file)
    assert code == 2
    assert "policy.yaml" in err.replace("\n", "")


def test_a_release_is_shown_and_overridden(cli, fake):
    lock(fake)
    code, out, _ = cli("release", "models/one")
    assert code == 0
    assert out.splitlines()[:2] == ["models/one, by reports/1", "LOCKED: its rows must not leave"]
    assert cli("release", "models/one", "--override", "open")[0] == 2
    assert cli("release", "models/one", "--override", "ajar", "--reason", "Because of this.")[0] == 2
    assert cli("release", "models/one", "--reason", "Because of this.")[0] == 2
    opened = cli("release", "models/one", "--override", "warn", "--reason", "The board agreed.")[1]
    assert "OPEN WITH WARNING: " in opened
    assert "decided by me: The board agreed." in opened
    assert "the policy says LOCKED" in opened
    assert "OPEN_WITH_WARNING" in cli("models")[1]
    back = cli("release", "models/one", "--override", "none", "--reason", "It was wrong.", "--json")[1]
    assert json.loads(back)["override"] is None
    assert cli("release", "models/none")[0] == 4


def test_a_locked_model_says_what_helps(cli, fake):
    fake.fail("Sample", Fault(CODE.FAILED_PRECONDITION, "locked", "MODEL_LOCKED"))
    code, _, err = cli("sample", "models/one", 3)
    assert code == 3
    assert "--override" in err


def test_a_sample_of_a_model_with_a_warning_says_so_beside_the_rows(cli, fake, tmp_path):
    fake.models["models/one"].release.state = release_pb2.RELEASE_STATE_OPEN_WITH_WARNING
    file = tmp_path / "rows.csv"
    code, _, err = cli("sample", "models/one", 3, "-o", file)
    assert code == 0
    assert err.count("breaks a rule of the release policy") == 1
    assert json.loads((tmp_path / "rows.csv.provenance.json").read_text())["release_state"] == (
        "open_with_warning"
    )
