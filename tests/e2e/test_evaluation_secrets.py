"""What one patient alone has leaves no trace of an evaluation, and what is deleted is gone from the disk."""

from __future__ import annotations

import re
import urllib.request
from pathlib import Path

import grpc
import numpy as np
import pandas as pd
import pytest
from google.protobuf import text_format
from google.protobuf.message import Message

import kohort
from examples.local_server import ROOT
from kohort.v1 import sampling_pb2, sampling_pb2_grpc, training_pb2, training_pb2_grpc
from tests.e2e.harness import Server

SECRET = "Zzunique"
NUMBERS = ("98765.432", "1811-02-03", "777777")
LISTENS = re.compile(r"metrics_port[\"'= :]+(\d+)")


def planted() -> pd.DataFrame:
    """Six hundred people, of whom the first alone has a ward, an outcome, a score, a count and a date."""
    rng = np.random.default_rng(5)
    rows = pd.read_parquet(ROOT / "benchmarks" / "data" / "cdc_diabetes_62k.parquet").sample(
        600, random_state=1
    )
    rows = rows[["BMI", "Sex", "Age"]].reset_index(drop=True)
    rows["ward"] = rng.choice(["north", "south", "west"], 600)
    rows["score"] = np.round(rng.normal(50, 10, 600), 3)
    rows["visits"] = rng.integers(0, 4, 600)
    born = pd.Timestamp("1960-01-01") + pd.to_timedelta(rng.integers(0, 9000, 600), unit="D")
    rows["born"] = [one.date().isoformat() for one in born]
    rows["outcome"] = rng.choice(["alive", "dead"], 600, p=[0.7, 0.3])
    own = {"ward": f"{SECRET}Ward", "outcome": f"{SECRET}Outcome", "score": float(NUMBERS[0])}
    for column, value in {**own, "born": NUMBERS[1], "visits": int(NUMBERS[2])}.items():
        rows.loc[0, column] = value
    return rows


def told(server: Server, model: str) -> str:
    """What any caller may read: the model, all jobs and their events, the metrics page; and the log."""
    with grpc.insecure_channel(server.address) as channel:
        jobs = training_pb2_grpc.TrainingServiceStub(channel)
        models = sampling_pb2_grpc.SamplingServiceStub(channel)
        listed = jobs.ListJobs(training_pb2.ListJobsRequest())
        parts: list[Message] = [models.GetModel(sampling_pb2.GetModelRequest(name=model)), listed]
        for job in listed.jobs:
            parts += list(jobs.Status(training_pb2.StatusRequest(job=job.name)))
    (port,) = set(LISTENS.findall(server.log()))
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as page:
        metrics = page.read().decode()
    texts = [text_format.MessageToString(part, as_utf8=True) for part in parts]
    return "\n".join([*texts, metrics, server.log()])


@pytest.mark.slow
def test_what_one_patient_has_is_told_nowhere_and_deleted_reports_are_gone(tmp_path: Path) -> None:
    with Server(tmp_path) as server, server.client() as client:
        dataset = client.upload(planted(), table="people")
        options = kohort.EvaluationOptions(
            profile="standard", targets=("outcome", "score"), protected=("ward",), quasi_identifiers=("born",)
        )
        model = client.train(dataset.name, trainer="bayesian-network", seed=1, evaluation=options).result()
        again = client.evaluate(model.name, targets=("visits",), protected=("outcome",))
        files = {kind: again.download(tmp_path / f"again.{kind}", format=kind) for kind in ("json", "html")}
        said = told(server, model.name) + "".join(path.read_text() for path in files.values())
        assert "evaluating" in said, "events were read"
        for secret in (SECRET, *NUMBERS):
            # Digits behind a point are those of some other number, and ids are hexadecimal.
            found = re.search(rf"(?<![0-9a-f.]){re.escape(secret)}", said)
            assert not found, said[max(0, found.start() - 200) : found.end() + 50]
        few = client.upload(planted().assign(patient=np.arange(600) % 3), table="few", subject_key="patient")
        with pytest.raises(kohort.JobFailed) as refused:
            client.evaluate(synthetic=planted(), dataset=few)
        assert "at least 5 patients" in str(refused.value)
        stored = tmp_path / "var" / "blobs" / "reports"
        assert len([path for path in stored.rglob("*") if path.is_file()]) == 4
        client.delete_dataset(dataset)
        assert not [path for path in stored.rglob("*") if path.is_file()]
        assert list(client.reports()) == []
