"""Who may call what: the table, tokens that come and go, tenants that do not see each other."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from kohort.problem import Problem
from kohort.v1 import capabilities_pb2, dataset_pb2, sampling_pb2, training_pb2
from server import identities
from server.auth import PERMISSIONS, ROLES, authorise
from server.identities import Certificates, Tokens, create_token
from server.records import Principal
from server.rpcmetrics import SERVICES
from tests.server.conftest import Start, Stubs, fails

METHODS = {
    f"/{service.full_name}/{method.name}": method for service in SERVICES for method in service.methods
}


def test_the_table_covers_every_rpc_and_nothing_else() -> None:
    assert set(PERMISSIONS) == set(METHODS)
    assert all(roles and roles <= set(ROLES) for roles in PERMISSIONS.values())
    assert all("admin" in roles for roles in PERMISSIONS.values())


def test_what_is_not_in_the_table_is_refused_to_everybody() -> None:
    with pytest.raises(Problem, match="PERMISSION_DENIED"):
        authorise("/kohort.v1.TrainingService/NoSuchCall", Principal("t", "n", frozenset(ROLES)))


@pytest.mark.parametrize(
    ("role", "call", "allowed"),
    [
        ("viewer", "SamplingService/Sample", False),
        ("viewer", "TrainingService/Status", True),
        ("generator", "SamplingService/Sample", True),
        ("generator", "SamplingService/DownloadModel", False),
        ("generator", "TrainingService/Train", False),
        ("trainer", "TrainingService/Train", True),
        ("trainer", "DatasetService/UploadDataset", True),
        ("custodian", "DatasetService/DeleteDataset", True),
        ("custodian", "TrainingService/Train", False),
    ],
)
def test_roles(role: str, call: str, allowed: bool) -> None:
    principal = Principal("t", "n", frozenset({role}))
    if allowed:
        authorise(f"/kohort.v1.{call}", principal)
    else:
        with pytest.raises(Problem, match="PERMISSION_DENIED"):
            authorise(f"/kohort.v1.{call}", principal)


def bearer(token: str) -> dict[str, Any]:
    return {"metadata": (("authorization", f"Bearer {token}"),)}


async def test_every_rpc_asks_for_an_identity(start: Start, tmp_path: Path) -> None:
    create_token(tmp_path / "tokens.json", "a", "ann", ["viewer"])
    _, stubs = await start(tokens_file=tmp_path / "tokens.json")
    for path, method in METHODS.items():
        kind = {(False, False): "unary_unary", (False, True): "unary_stream", (True, False): "stream_unary"}[
            method.client_streaming, method.server_streaming
        ]
        call = getattr(stubs.channel, kind)(path)
        failed = await fails(call(iter([b""]) if method.client_streaming else b""))
        assert (failed.code, failed.reason) == (grpc.StatusCode.UNAUTHENTICATED, "UNAUTHENTICATED"), path
    health: Any = health_pb2_grpc.HealthStub(stubs.channel)
    assert (
        await health.Check(health_pb2.HealthCheckRequest())
    ).status == health_pb2.HealthCheckResponse.SERVING


@pytest.mark.parametrize(
    "header",
    ["", "Bearer", "Bearer x", "Basic YWJj", "Bearer kohort_000000000000_" + "A" * 43],
)
async def test_identities_that_do_not_hold(start: Start, tmp_path: Path, header: str) -> None:
    create_token(tmp_path / "tokens.json", "a", "ann", ["viewer"])
    _, stubs = await start(tokens_file=tmp_path / "tokens.json")
    metadata = (("authorization", header),)
    failed = await fails(
        stubs.capabilities.GetCapabilities(capabilities_pb2.GetCapabilitiesRequest(), metadata=metadata)
    )
    assert failed.code is grpc.StatusCode.UNAUTHENTICATED


async def test_roles_are_denied_before_existence(start: Start, tmp_path: Path) -> None:
    viewer = bearer(create_token(tmp_path / "tokens.json", "a", "vic", ["viewer"]))
    _, stubs = await start(tokens_file=tmp_path / "tokens.json")
    failed = await fails(stubs.sampling.Sample(sampling_pb2.SampleRequest(model="models/none"), **viewer))
    assert (failed.code, failed.reason) == (grpc.StatusCode.PERMISSION_DENIED, "PERMISSION_DENIED")
    caller = (
        await stubs.capabilities.GetCapabilities(capabilities_pb2.GetCapabilitiesRequest(), **viewer)
    ).caller
    assert (caller.tenant, list(caller.roles)) == ("a", ["viewer"])


async def test_tenants_do_not_see_each_other(start: Start, tmp_path: Path) -> None:
    file = tmp_path / "tokens.json"
    ours, theirs = (bearer(create_token(file, tenant, "x", ["trainer"])) for tenant in ("a", "b"))
    _, stubs = await start(tokens_file=file)
    dataset, job, model = await _own(stubs, ours)
    for mine, other in ((ours, False), (theirs, True)):
        for call, reason in (
            (stubs.datasets.GetDataset(dataset_pb2.GetDatasetRequest(name=dataset), **mine), "DATASET"),
            (stubs.datasets.InferSchema(dataset_pb2.InferSchemaRequest(dataset=dataset), **mine), "DATASET"),
            (stubs.training.GetJob(training_pb2.GetJobRequest(name=job), **mine), "JOB"),
            (stubs.sampling.GetModel(sampling_pb2.GetModelRequest(name=model), **mine), "MODEL"),
        ):
            if other:
                failed = await fails(call)
                assert (failed.code, failed.reason) == (grpc.StatusCode.NOT_FOUND, f"{reason}_NOT_FOUND")
            else:
                await call
    for call, reason in (
        (stubs.training.Train(training_pb2.TrainRequest(dataset=dataset), **theirs), "DATASET"),
        (stubs.training.Status(training_pb2.StatusRequest(job=job), **theirs), "JOB"),
        (stubs.training.Cancel(training_pb2.CancelRequest(job=job), **theirs), "JOB"),
        (stubs.sampling.Sample(sampling_pb2.SampleRequest(model=model, unit_count=1), **theirs), "MODEL"),
        (stubs.sampling.DownloadModel(sampling_pb2.DownloadModelRequest(name=model), **theirs), "MODEL"),
        (stubs.sampling.DeleteModel(sampling_pb2.DeleteModelRequest(name=model), **theirs), "MODEL"),
        (stubs.datasets.DeleteDataset(dataset_pb2.DeleteDatasetRequest(name=dataset), **theirs), "DATASET"),
    ):
        assert (await fails(call)).reason == f"{reason}_NOT_FOUND"
    lists = (
        (await stubs.datasets.ListDatasets(dataset_pb2.ListDatasetsRequest(), **theirs)).datasets,
        (await stubs.training.ListJobs(training_pb2.ListJobsRequest(), **theirs)).jobs,
        (await stubs.sampling.ListModels(sampling_pb2.ListModelsRequest(), **theirs)).models,
    )
    assert not any(lists)


async def _own(stubs: Stubs, mine: dict[str, Any]) -> tuple[str, str, str]:
    from tests.runtime.parts import bundle_bytes
    from tests.server.conftest import HEART

    head = dataset_pb2.UploadHeader(format=dataset_pb2.UPLOAD_FORMAT_CSV)
    upload = [
        dataset_pb2.UploadDatasetRequest(header=head),
        dataset_pb2.UploadDatasetRequest(chunk=dataset_pb2.FileChunk(data=HEART.read_bytes())),
    ]
    dataset = (await stubs.datasets.UploadDataset(iter(upload), **mine)).dataset.name
    stream = stubs.training.Train(training_pb2.TrainRequest(dataset=dataset), **mine)
    job = (await stream.read()).update.job.name
    stream.cancel()
    parts = [
        sampling_pb2.ImportModelRequest(header=sampling_pb2.ImportHeader()),
        sampling_pb2.ImportModelRequest(data=bundle_bytes()),
    ]
    return dataset, job, (await stubs.sampling.ImportModel(iter(parts), **mine)).model.name


def test_a_token_is_kept_only_as_a_hash(tmp_path: Path) -> None:
    file = tmp_path / "new" / "tokens.json"
    token = create_token(file, "ward", "ann", ["viewer", "trainer"])
    assert token.split("_", 2)[2] not in file.read_text()
    assert file.stat().st_mode & 0o077 == 0
    assert Tokens(file).find(token) == Principal("ward", "ann", frozenset({"viewer", "trainer"}))
    assert Tokens(file).find(token[:-1] + ("A" if token[-1] != "A" else "B")) is None


def test_tokens_expire(tmp_path: Path) -> None:
    file = tmp_path / "tokens.json"
    old = create_token(file, "t", "old", ["viewer"], expires=time.time() - 1)
    new = create_token(file, "t", "new", ["viewer"], expires=time.time() + 3600)
    assert Tokens(file).find(old) is None
    assert Tokens(file).find(new) is not None


def test_tokens_are_revoked_without_restart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr(identities.time, "monotonic", lambda: now)
    file = tmp_path / "tokens.json"
    token = create_token(file, "t", "n", ["viewer"])
    tokens = Tokens(file)
    file.write_text(json.dumps({"tokens": []}))
    now += 2
    assert tokens.find(token) is None
    file.write_text("{half")
    now += 2
    assert tokens.find(token) is None, "a broken file keeps what held last"


@pytest.mark.parametrize(
    "content", ["", "[]", '{"tokens": [{}]}', '{"tokens": [{"id": "x", "sha256": "zz"}]}']
)
def test_a_tokens_file_of_another_shape_is_refused(tmp_path: Path, content: str) -> None:
    file = tmp_path / "tokens.json"
    file.write_text(content)
    file.chmod(0o600)
    with pytest.raises(ValueError, match=r"tokens_file|Expecting|hex"):
        Tokens(file)


def test_a_tokens_file_open_to_others_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "tokens.json"
    create_token(file, "t", "n", ["viewer"])
    file.chmod(0o604)
    with pytest.raises(ValueError, match="chmod"):
        Tokens(file)


@pytest.mark.parametrize(
    ("tenant", "name", "roles"), [("", "n", ["viewer"]), ("t", "a b", ["viewer"]), ("t", "n", ["root"])]
)
def test_a_token_for_nobody_is_not_made(tmp_path: Path, tenant: str, name: str, roles: list[str]) -> None:
    with pytest.raises(Problem, match="INVALID_REQUEST"):
        create_token(tmp_path / "tokens.json", tenant, name, roles)
    assert not (tmp_path / "tokens.json").exists()


def test_certificates_map_uris(tmp_path: Path) -> None:
    file = tmp_path / "identities.json"
    file.write_text(
        json.dumps(
            {"certificates": {"spiffe://h/lab": {"tenant": "h", "name": "lab", "roles": ["generator"]}}}
        )
    )
    assert Certificates(file).find("spiffe://h/lab") == Principal("h", "lab", frozenset({"generator"}))
    assert Certificates(file).find("spiffe://h/other") is None
