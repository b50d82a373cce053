"""A model of every kind of column that a real server can train."""

import csv
from datetime import datetime, timedelta
from pathlib import Path

import grpc
from readers import ROOT, read_here

from kohort.v1 import training_pb2, training_pb2_grpc

WARDS = ("Zürich – Öst", "日本語", "Ward A", "")


def write_patients(file: Path) -> None:
    """The heart patients with columns of the kinds they lack."""
    with (ROOT / "tests" / "data" / "heart.csv").open(newline="") as source:
        rows = list(csv.DictReader(source))
    for i, row in enumerate(rows):
        moment = datetime(2795, 6, 30, 12, 0, 0) + timedelta(hours=7 * i, microseconds=i)
        row["ward"] = WARDS[i % len(WARDS)]
        row["smoker"] = ("true", "false", "")[i % 3]
        row["weight"] = f"{55 + i % 40}.{i % 10}{i % 7}"
        row["admitted"] = str(moment.date())
        row["discharged"] = moment.isoformat() if i % 5 else ""
    with file.open("w", newline="") as target:
        writer = csv.DictWriter(target, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def train(address: str, file: Path) -> str:
    """Trains the copula on a CSV file; the name of the model."""
    upload = read_here("upload", address, file, "heart")
    assert upload.status == 0, upload.result
    request = training_pb2.TrainRequest(dataset=upload.result["dataset"], trainer="copula", seed=1)
    job = training_pb2.Job()
    with grpc.insecure_channel(address) as channel:
        for message in training_pb2_grpc.TrainingServiceStub(channel).Train(request, timeout=300):
            if message.update.HasField("job"):
                job = message.update.job
    assert job.state == training_pb2.JOB_STATE_SUCCEEDED, job.error
    return job.model
