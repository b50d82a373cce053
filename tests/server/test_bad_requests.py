"""What a client can get wrong, by family; each with the reason and the field that it is told.

Names, paging, parameters, overrides, sample ranges, request ids, bundles;
test_bad_uploads.py has the rest.
"""

from __future__ import annotations

import math
from typing import Any

import pytest
from google.protobuf import duration_pb2

from kohort.v1 import dataset_pb2, sampling_pb2, schema_pb2, training_pb2
from tests.runtime import parts
from tests.server import bad
from tests.server.bad import INVALID, UUID, Case, bundle, csv, override, parameter, sample, train
from tests.server.conftest import Start, Stubs, fails

GOOD = parts.bundle_bytes()
MAGIC = parts.manifest(program={**parts.manifest().program, "name": "magic"})
RANDOM = parts.graph_bytes(v0="RandomUniformLike")
KEYLESS = schema_pb2.SchemaOverrides(tables=[schema_pb2.TableOverride(subject_key="nope")])


def damage(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 0xFF]) + data[at + 1 :]


def get(kind: str, name: str) -> Any:
    request = {
        "jobs": lambda b: b.stubs.training.GetJob(training_pb2.GetJobRequest(name=name)),
        "models": lambda b: b.stubs.sampling.GetModel(sampling_pb2.GetModelRequest(name=name)),
        "datasets": lambda b: b.stubs.datasets.GetDataset(dataset_pb2.GetDatasetRequest(name=name)),
    }
    return request[kind]


def jobs(**fields: Any) -> Any:
    return lambda b: b.stubs.training.ListJobs(training_pb2.ListJobsRequest(**fields))


def status(**fields: Any) -> Any:
    return lambda b: b.stubs.training.Status(training_pb2.StatusRequest(**fields))


FAMILIES: dict[str, list[Case]] = {
    "names": [
        ("no collection", get("jobs", "abc"), INVALID, "name"),
        ("another collection", get("models", "jobs/a"), INVALID, "name"),
        ("a path", get("datasets", "datasets/../x"), INVALID, "name"),
        ("empty", status(), INVALID, "job"),
        ("too long", status(job="jobs/" + "a" * 65), INVALID, "job"),
        ("nobody's job", get("jobs", "jobs/a"), "JOB_NOT_FOUND", ""),
        ("nobody's model", sample(), "MODEL_NOT_FOUND", ""),
        ("nobody's dataset", train(dataset="datasets/a"), "DATASET_NOT_FOUND", ""),
        ("a model's name for a dataset", train(dataset="models/a"), INVALID, "dataset"),
    ],
    "paging": [
        ("negative", jobs(page_size=-1), INVALID, "page_size"),
        ("garbage", jobs(page_token="é!"), "INVALID_PAGE_TOKEN", "page_token"),
        ("another's token", jobs(page_token="AAAA"), "INVALID_PAGE_TOKEN", "page_token"),
        ("no state", jobs(states=[0]), INVALID, "states"),
        ("a later state", jobs(states=[77]), INVALID, "states"),
        ("before the first", status(job="jobs/a", after_sequence=-1), INVALID, "after_sequence"),
    ],
    "parameters": [
        ("unknown trainer", train(trainer="gan-9000"), "UNKNOWN_TRAINER", "trainer"),
        ("unknown parameter", parameter(3, "epochz"), "INVALID_PARAMETER", "parameters.epochz"),
        ("a list", parameter([1, 2]), "INVALID_PARAMETER", "parameters.shrinkage"),
        ("a struct", parameter({"a": 1}), "INVALID_PARAMETER", "parameters.shrinkage"),
        ("null", parameter(None), "INVALID_PARAMETER", "parameters.shrinkage"),
        ("unknown device", train(device="tpu"), "UNKNOWN_DEVICE", "device"),
        ("unknown slot", train(device="cuda:9"), "UNKNOWN_DEVICE", "device"),
        ("one patient", train(min_patients_per_value=1), INVALID, "min_patients_per_value"),
        ("negative rows", train(max_rows_per_patient=-1), INVALID, "max_rows_per_patient"),
        ("all held out", train(holdout_fraction=0.9), INVALID, "holdout_fraction"),
        ("not a number", train(validation_fraction=math.nan), INVALID, "validation_fraction"),
        ("no time", train(max_runtime=duration_pb2.Duration()), INVALID, "max_runtime"),
        ("negative seed", train(seed=-1), INVALID, "seed"),
        ("long name", train(display_name="x" * 201), INVALID, "display_name"),
        ("control character", train(display_name="a\nb"), INVALID, "display_name"),
        ("many labels", train(labels={str(i): "" for i in range(33)}), INVALID, "labels"),
        ("long label", train(labels={"a": "x" * 64}), INVALID, "labels"),
        ("empty label", train(labels={"": "x"}), INVALID, "labels"),
    ],
    "overrides": [
        ("unknown column", override(column="nope"), "UNKNOWN_COLUMN", "heart.nope"),
        ("unknown table", override(table="nope", column="age"), "UNKNOWN_TABLE", "*"),
        ("no column", override(), "UNKNOWN_COLUMN", "heart."),
        ("unknown subject key", train(schema_overrides=KEYLESS), "UNKNOWN_COLUMN", "heart.nope"),
    ],
    "sample ranges": [
        ("negative start", sample(start_unit=-1), "UNIT_OUT_OF_RANGE", "start_unit"),
        ("negative count", sample(unit_count=-5), "UNIT_OUT_OF_RANGE", "unit_count"),
        ("past the end", sample(start_unit=2**53 - 1, unit_count=2), "UNIT_OUT_OF_RANGE", "unit_count"),
        ("overflow", sample(start_unit=2**63 - 1, unit_count=2**63 - 1), "UNIT_OUT_OF_RANGE", "start_unit"),
        ("too many", sample(unit_count=10**9 + 1), "LIMIT_EXCEEDED", "unit_count"),
        ("negative batch", sample(max_batch_rows=-1), INVALID, "max_batch_rows"),
        ("long fingerprint", sample(runtime_fingerprint="x" * 300), INVALID, "runtime_fingerprint"),
        ("unknown format", sample(format=9), "FORMAT_UNSUPPORTED", "format"),
    ],
    "request ids": [
        ("no UUID", train(request_id="1"), INVALID, "request_id"),
        ("a path", csv(request_id="../../etc/passwd"), INVALID, "request_id"),
        ("braces", bundle(GOOD, request_id="{" + UUID + "}"), INVALID, "request_id"),
    ],
    "bundles": [
        ("no zip", bundle(b"x" * 1000), "BUNDLE_INVALID", "*"),
        ("nothing", bundle(b""), "BUNDLE_INVALID", "*"),
        ("cut", bundle(GOOD[: len(GOOD) // 2]), "BUNDLE_INVALID", "*"),
        ("damaged", bundle(damage(GOOD, len(GOOD) // 2)), "BUNDLE_INVALID", "*"),
        ("unknown program", bundle(parts.bundle_bytes(MAGIC), True), "PROGRAM_UNKNOWN", "*"),
        ("forbidden", bundle(parts.bundle_bytes(graph=RANDOM), True), "OPERATOR_FORBIDDEN", "*"),
        ("unsigned", bundle(GOOD), "BUNDLE_UNTRUSTED", ""),
        ("too large", bundle(b"x" * 200_001), "LIMIT_EXCEEDED", "data"),
        ("another digest", bundle(GOOD, sha256=b"x" * 32), "DIGEST_MISMATCH", "header.sha256"),
        ("a short digest", bundle(GOOD, sha256=b"x"), INVALID, "sha256"),
    ],
}


@pytest.mark.parametrize("family", FAMILIES)
async def test_family(start: Start, family: str) -> None:
    await bad.judge(await bad.set_up(start), FAMILIES[family])


async def test_a_request_id_is_for_one_request(stubs: Stubs) -> None:
    await stubs.upload(b"a,b\n" + b"1,2\n" * 30, "t", request_id=UUID)
    await stubs.import_model(request_id=UUID)  # An id counts per kind of request.
    for again in (
        stubs.upload(b"a,b\n" + b"1,3\n" * 30, "t", request_id=UUID),
        stubs.upload(b"a,b\n" + b"1,2\n" * 30, "t", request_id=UUID, display_name="x"),
        stubs.import_model(request_id=UUID, display_name="x"),
    ):
        assert (await fails(again)).reason == "REQUEST_ID_REUSED"
