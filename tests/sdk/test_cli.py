"""The command, run as people run it, against the fake server."""

import json
import os
import subprocess
import sys

import pytest
from fake_parts import CODE, Fault

import kohort
from kohort.v1 import schema_pb2, training_pb2


def test_help_and_version(cli):
    code, out, _ = cli("--help")
    assert code == 0
    commands = "capabilities upload infer datasets delete train watch jobs cancel models sample complete"
    assert all(name in out for name in (*commands.split(), "download", "import", "load"))
    assert cli("--version") == (0, f"kohort {kohort.__version__}\n", "")


def test_it_runs_as_a_module_and_as_a_script(fake):
    command = [sys.executable, "-m", "kohort.cli", "-s", fake.target, "--json", "capabilities"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)["default_trainer"] == "copula"


def test_capabilities(cli):
    code, out, _ = cli("capabilities")
    assert code == 0
    assert "copula (default)" in out
    assert "epochs" in out
    assert "\nConditions: " in out


def test_json_may_stand_anywhere(cli):
    for arguments in (("--json", "capabilities"), ("capabilities", "--json")):
        assert json.loads(cli(*arguments)[1])["trainers"][0]["parameters"][0]["default"] == 300


def test_upload_and_infer(cli, fake, rows):
    code, out, err = cli("upload", rows, "--table", "heart", "--subject-key", "age", "--label", "a=b")
    assert (code, out.splitlines()[0]) == (0, "datasets/1")
    assert "NO_SUBJECT_KEY" in err
    header = fake.uploads[0].header
    assert (dict(header.labels), header.schema.tables[0].subject_key) == ({"a": "b"}, "age")
    assert json.loads(cli("infer", "datasets/1", "--json", "--drop", "age", "--kind", "sex=category")[1])[
        "findings"
    ]
    sent = fake.requests("InferSchema")[0].schema_overrides.columns
    assert [(c.column, c.handling, c.kind) for c in sent] == [("age", 2, 0), ("sex", 0, 4)]
    assert "datasets/1" in cli("datasets")[1]


def test_fakes_are_asked_for_by_kind(cli, fake, rows):
    cli("upload", rows)
    assert cli("infer", "datasets/1", "--fake", "contact=email")[0] == 0
    sent = fake.requests("InferSchema")[0].schema_overrides.columns
    assert [(c.column, c.fake, c.handling) for c in sent] == [("contact", "email", 0)]
    code, _, err = cli("train", "datasets/1", "--fake", "contact=blood")
    assert code != 0
    assert "email" in err


def test_constraints_and_weights_are_asked_for(cli, fake, rows, tmp_path):
    cli("upload", rows)
    more = tmp_path / "rules.json"
    more.write_text('[{"range": {"column": "age", "maximum": "120"}}, {"one_hot": {"columns": ["a", "b"]}}]')
    asked = ("--constraint", '{"order": {"low": "start", "high": "end"}}', "--constraint", f"@{more}")
    code, _, _ = cli("train", "datasets/1", "--detach", "--weight-patients-equally", *asked)
    assert code == 0
    sent = fake.requests("Train")[0]
    assert sent.weight_patients_equally
    (table,) = sent.schema_overrides.tables
    assert [rule.WhichOneof("rule") for rule in table.constraints] == ["order", "range", "one_hot"]
    assert table.constraints[1].range.maximum == "120"
    assert not table.constraints[1].range.HasField("minimum")
    for wrong in ("{}", "nonsense", '{"order": {"low": "start"}}', "@absent.json", '{"range": ["age"]}'):
        assert cli("infer", "datasets/1", "--constraint", wrong)[0] == 2


def test_train_uploads_follows_and_names_the_model(cli, fake, rows):
    code, out, err = cli(
        "train", rows, "-t", "ctgan", "-p", "epochs=5", "-p", "dims=[1,2]", "-p", "how=x", "--seed", 3
    )
    assert code == 0
    assert "model: models/one" in out
    assert "fitting" in err
    (request,) = fake.requests("Train")
    assert kohort.wire.struct_from_proto(request.parameters) == {"epochs": 5, "dims": [1, 2], "how": "x"}
    assert (request.dataset, request.trainer, request.seed) == ("datasets/1", "ctgan", 3)


def test_train_tells_what_a_person_should_know_of_the_model(cli, fake):
    rare = [schema_pb2.Finding(reason="RARE", message=f"m{i}", table="t", column=f"c{i}") for i in range(6)]
    lost = schema_pb2.Finding(reason="LONGITUDINAL_STRUCTURE_LOST", message="lost", table="t")
    events = [training_pb2.JobEvent(warning=f) for f in (*rare, lost, lost)]
    for sequence, event in enumerate(events, 1):
        event.sequence = sequence
    fake.add_job("jobs/1", *events)
    _, _, err = cli("train", "datasets/1")
    assert "! RARE t, 6 columns: c0, c1, c2, c3, c4, c5 (--json" in err
    assert err.count("! LONGITUDINAL_STRUCTURE_LOST t: lost\n") == 1


def test_a_finished_job_is_told_in_order(cli, fake):
    queued, running = training_pb2.JOB_STATE_QUEUED, training_pb2.JOB_STATE_RUNNING
    changes = [
        training_pb2.JobEvent(state_changed=training_pb2.StateChanged(state=s)) for s in (queued, running)
    ]
    fitting = training_pb2.JobEvent(phase_started=training_pb2.PhaseStarted(phase="fitting"))
    for sequence, event in enumerate((*changes, fitting), 1):
        event.sequence = sequence
    fake.add_job("jobs/9", *changes, fitting, phase="publishing")
    _, _, err = cli("watch", "jobs/9")
    assert [line.removeprefix("jobs/9: ") for line in err.splitlines()] == [
        "queued",
        "running",
        "fitting",
        "succeeded",
    ]


def test_interrupted(cli, monkeypatch):
    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("kohort.client.Client.models", stop)
    code, _, err = cli("models")
    assert code == 130
    assert "Jobs go on" in err


def test_an_identifier_is_refused_with_the_options_that_help(cli, fake):
    fake.fail("Train", Fault(CODE.FAILED_PRECONDITION, "m", "IDENTIFIER_UNACKNOWLEDGED"))
    code, _, err = cli("train", "datasets/1")
    assert code == 3
    assert all(option in err for option in ("--drop", "--kind", "--acknowledge"))


def test_train_as_json_gives_events_and_then_the_job(cli):
    code, out, _ = cli("--json", "train", "datasets/1")
    lines = [json.loads(line) for line in out.splitlines()]
    assert code == 0
    assert [e["sequence"] for e in lines[:-1]] == [1, 2, 3, 4]
    assert lines[0]["detail"] == {"kind": "PhaseStarted", "phase": "fitting"}
    assert lines[1]["detail"]["losses"] == {"loss": 1.0}
    assert lines[-1]["state"] == "succeeded"


def test_train_detached_does_not_follow(cli, fake):
    assert cli("train", "datasets/1", "--detach")[0] == 0
    assert not fake.requests("Status")


def test_a_failed_and_a_cancelled_job_have_codes_of_their_own(cli, fake):
    error = training_pb2.JobError(reason="TRAINING_DIVERGED", message="losses are not finite")
    fake.add_job("jobs/7", state=training_pb2.JOB_STATE_FAILED, error=error, model="")
    fake.add_job("jobs/8", state=training_pb2.JOB_STATE_CANCELLED, model="")
    code, _, err = cli("watch", "jobs/7")
    assert code == 7
    assert "TRAINING_DIVERGED" in err
    assert cli("watch", "jobs/8")[0] == 8


def test_jobs_and_cancel(cli, fake):
    fake.finished_job("jobs/1")
    assert "jobs/1" in cli("jobs", "--state", "succeeded")[1]
    assert cli("jobs", "--state", "failed", "--json")[1] == "[]\n"
    assert "cancelling" in cli("cancel", "jobs/1")[1]


def test_models_download_import_delete(cli, fake, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert "models/two" in cli("models")[1]
    assert cli("download", "models/one")[:2] == (0, "one.kohort\n")
    assert (tmp_path / "one.kohort").read_bytes() == fake.bundle
    assert cli("import", "one.kohort")[1].startswith("models/imported")
    assert cli("delete", "models/one", "--yes")[0] == 0
    assert cli("delete", "models/one", "--yes")[0] == 4
    assert cli("delete", "something")[0] == 2


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        (Fault(CODE.INVALID_ARGUMENT, "m", "INVALID_REQUEST"), 3),
        (Fault(CODE.NOT_FOUND, "m", "MODEL_NOT_FOUND"), 4),
        (Fault(CODE.UNAUTHENTICATED, "m", "UNAUTHENTICATED"), 5),
        (Fault(CODE.PERMISSION_DENIED, "m", "PERMISSION_DENIED"), 5),
        (Fault(CODE.RESOURCE_EXHAUSTED, "m", "QUEUE_FULL"), 6),
        (Fault(CODE.RESOURCE_EXHAUSTED, "m", "LIMIT_EXCEEDED"), 3),
        (Fault(CODE.INTERNAL, "m", "INTERNAL"), 1),
    ],
)
def test_exit_codes(cli, fake, fault, code):
    fake.fail("ListModels", fault, fault)
    assert cli("models")[0] == code
    got, _, err = cli("models", "--json")
    told = json.loads(err)
    assert (got, told["exit_code"], told["error"]["reason"]) == (code, code, fault.reason)


def test_usage_errors(cli):
    assert cli("nonsense")[0] == 2
    assert cli("sample")[0] == 2
    assert cli("train", "no-such-file.csv")[0] == 2
    assert cli("train", "datasets/1", "-p", "epochs")[0] == 2
    assert cli("infer", "datasets/1", "--kind", "a=nonsense")[0] == 2


def test_nobody_listens(cli):
    code, _, err = cli("--server", "localhost:1", "models")
    assert code == 6
    assert "Nothing listens on localhost:1" in err


def test_the_token_comes_from_the_environment_or_a_file(cli, fake, tmp_path, monkeypatch):
    monkeypatch.setenv("KOHORT_TOKEN", "of-env")
    cli("models")
    (tmp_path / "token").write_text("of-file\n")
    cli("--token-file", tmp_path / "token", "models")
    assert [c.metadata["authorization"] for c in fake.calls] == ["Bearer of-env", "Bearer of-file"]


def test_without_its_packages_the_command_says_what_to_install(tmp_path):
    (tmp_path / "typer.py").write_text("raise ModuleNotFoundError('no', name='typer')")
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    command = [sys.executable, "-m", "kohort.cli", "models"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 1
    assert "pip install 'kohort[cli]'" in done.stderr
