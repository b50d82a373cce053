"""Training and following jobs, on both clients."""

import numpy as np
import pandas as pd
import pytest
from fake_parts import CODE, Fault

import kohort
from kohort import ColumnOverride, Kind, Retry, SchemaOverrides
from kohort.progress import figures

PATIENTS = pd.DataFrame({"age": [61, 70], "sex": pd.Categorical(["f", "m"])})


def test_training_sends_what_was_said_and_uploads_first(client, fake):
    job = client.train(
        PATIENTS,
        "ctgan",
        epochs=5,
        generator_dim=[256, np.int64(256)],
        learning_rate=np.float32(0.5),
        seed=7,
        holdout=0.25,
        max_runtime=90,
        overrides=SchemaOverrides((ColumnOverride("age", kind=Kind.CATEGORY),)),
        display_name="Heart",
    )
    (request,) = fake.requests("Train")
    assert request.dataset == "datasets/1"
    assert request.trainer == "ctgan"
    sent = kohort.wire.struct_from_proto(request.parameters)
    assert sent == {"epochs": 5, "generator_dim": [256, 256], "learning_rate": 0.5}
    assert (request.seed, request.holdout_fraction, request.max_runtime.seconds) == (7, 0.25, 90)
    assert not request.HasField("validation_fraction")
    assert request.schema_overrides.columns[0].column == "age"
    assert job.name == "jobs/1"
    assert fake.uploads[0].header.display_name == "Heart"


def test_training_is_repeated_under_its_request_id(client, fake):
    dataset = client.upload(PATIENTS)
    fake.fail("Train", Fault(), Fault(after=1))
    client.train(dataset)
    ids = [r.request_id for r in fake.requests("Train")]
    assert len(ids) == 3
    assert len(set(ids)) == 1


def test_a_dataset_is_trained_on_by_name(client, fake):
    client.train("datasets/9")
    assert fake.requests("Train")[0].dataset == "datasets/9"
    assert not fake.uploads


def test_parameters_that_cannot_be_sent_are_refused(client):
    with pytest.raises(TypeError, match="parameters"):
        client.train("datasets/1", callback=object())


def test_a_job_is_awaited_with_progress(client, fake):
    fake.finished_job()
    seen = []
    info = client.job("jobs/1").wait(progress=lambda job: seen.append(job))
    assert info.state is kohort.JobState.SUCCEEDED
    reports = [job for job in seen if job.progress]
    assert [job.progress.step for job in reports] == [1, 2, 3]
    assert reports[-1].progress.gradient_norm == 0.25
    assert figures(reports[-1]).startswith("loss 0.3333  gradient 0.25  10 rows/s")
    assert seen[-2].phase == "fitting"
    assert seen[-1].state.terminal


def test_events_survive_cuts_and_come_once(client, fake):
    fake.finished_job(epochs=6)
    fake.fail("Status", Fault(after=3), Fault(after=2), Fault(after=0), Fault(None, after=1))
    events = list(client.job("jobs/1").events())
    assert [e.sequence for e in events] == list(range(1, 8))
    assert isinstance(events[0].detail, kohort.PhaseStarted)
    assert [r.after_sequence for r in fake.requests("Status")] == [0, 2, 3, 3, 3]


def test_events_after_a_sequence(client, fake):
    fake.finished_job(epochs=3)
    assert [e.sequence for e in client.job("jobs/1").events(after_sequence=2)] == [3, 4]


def test_compacted_events_are_skipped(client, fake):
    fake.finished_job(epochs=6)
    fake.fail("Status", Fault(CODE.OUT_OF_RANGE, "gone", "EVENTS_COMPACTED", metadata={"oldest": "5"}))
    assert [e.sequence for e in client.job("jobs/1").events()] == [5, 6, 7]


def test_waiting_has_a_deadline_of_its_own(client, fake):
    fake.finished_job()
    fake.fail("Status", *[Fault(after=1) for _ in range(1000)])
    with pytest.raises((kohort.DeadlineExceeded, kohort.Unavailable)):
        client.job("jobs/1").wait(timeout=0.5)


def test_patience_with_a_stream_ends(connect, fake):
    fake.finished_job()
    fake.fail("Status", Fault(after=1), *[Fault() for _ in range(1000)])
    retry = Retry(attempts=1, initial_backoff=0.05, multiplier=1, stream_patience=0.4)
    with pytest.raises(kohort.Unavailable):
        connect(fake.target, retry=retry).job("jobs/1").wait()
    assert len(fake.requests("Status")) > 1, "it is time that ends it, not the number of tries"


def test_the_result_is_the_model(client, fake):
    fake.finished_job()
    model = client.job("jobs/1").result()
    assert model.name == "models/one"
    assert len(model.sample(3, seed=1)) == 3


def test_a_failed_job_is_not_a_failed_call(client, fake):
    error = kohort.v1.training_pb2.JobError(reason="TRAINING_DIVERGED", message="losses", column="t.age")
    fake.add_job("jobs/2", state=kohort.v1.training_pb2.JOB_STATE_FAILED, error=error, model="")
    job = client.job("jobs/2")
    assert job.wait().state is kohort.JobState.FAILED
    with pytest.raises(kohort.JobFailed) as caught:
        job.result()
    assert (caught.value.reason, caught.value.column) == ("TRAINING_DIVERGED", "t.age")
    assert not isinstance(caught.value, kohort.RpcError)
    fake.add_job("jobs/3", state=kohort.v1.training_pb2.JOB_STATE_CANCELLED, model="")
    with pytest.raises(kohort.JobCancelled):
        client.job("jobs/3").result()


def test_cancelling_does_not_wait_for_the_end(client, fake):
    fake.finished_job()
    assert client.job("jobs/1").cancel().state is kohort.JobState.CANCELLING


def test_jobs_are_listed_by_state(client, fake):
    for i in range(5):
        fake.finished_job(f"jobs/{i}")
    fake.add_job("jobs/9", state=kohort.v1.training_pb2.JOB_STATE_FAILED)
    assert [j.name for j in client.jobs(["succeeded"])] == [f"jobs/{i}" for i in range(5)]
    assert len(list(client.jobs())) == 6
