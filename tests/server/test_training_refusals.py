"""What Train refuses before a job exists: full queues, too few patients, identifiers, ill-fitting kinds."""

from __future__ import annotations

import grpc

from kohort.v1 import schema_pb2, training_pb2
from tests.server.conftest import Start, Stubs, fails


async def test_full_queues_say_when_to_come_back(start: Start) -> None:
    for limits, reason in (
        ({"max_queued_jobs": 1}, "QUEUE_FULL"),
        ({"max_jobs_per_principal": 1}, "TOO_MANY_JOBS"),
    ):
        _, stubs = await start(**limits)
        dataset = await stubs.upload()
        request = training_pb2.TrainRequest(dataset=dataset.name)
        assert (await stubs.training.Train(request).read()).update.HasField("job")
        failed = await fails(stubs.training.Train(request))
        assert (failed.code, failed.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, reason)
        assert failed.retry_after is not None
        assert failed.retry_after > 0


async def test_too_few_patients_are_refused_early(stubs: Stubs) -> None:
    small = b"age,sex\n" + b"".join(b"%d,%d\n" % (40 + i % 3, i % 2) for i in range(12))
    dataset = await stubs.upload(small, "small")
    failed = await fails(
        stubs.training.Train(training_pb2.TrainRequest(dataset=dataset.name, min_patients_per_value=50))
    )
    assert (failed.code, failed.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "TOO_FEW_PATIENTS")


async def test_identifiers_are_learned_only_when_acknowledged(stubs: Stubs) -> None:
    data = b"email,age\n" + b"".join(b"p%d@example.org,%d\n" % (i % 9, 40 + i % 9) for i in range(90))
    dataset = await stubs.upload(data, "people")
    assert "IDENTIFIER_REGENERATED" in {finding.reason for finding in dataset.findings}
    request = training_pb2.TrainRequest(dataset=dataset.name)
    job = (await stubs.training.Train(request).read()).update.job
    email = job.schema.tables[0].columns[0]
    assert (email.handling, email.fake) == (schema_pb2.HANDLING_REGENERATE, "email")
    request.schema_overrides.columns.add(
        column="email", kind=schema_pb2.COLUMN_KIND_CATEGORY, handling=schema_pb2.HANDLING_MODEL
    )
    failed = await fails(stubs.training.Train(request))
    assert (failed.code, failed.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "IDENTIFIER_UNACKNOWLEDGED")
    assert failed.fields == ("people.email",)
    request.schema_overrides.columns[0].handling = schema_pb2.HANDLING_DROP
    job = (await stubs.training.Train(request).read()).update.job
    columns = {c.name: c.handling for c in job.schema.tables[0].columns}
    assert columns["email"] == schema_pb2.HANDLING_DROP


async def test_a_kind_that_cells_do_not_fit_is_refused_before_a_job_exists(start: Start) -> None:
    _, stubs = await start(devices="")
    dataset = await stubs.upload(b"age\n" + b"61\n62\n" * 20, table="t")
    override = schema_pb2.ColumnOverride(table="t", column="age", kind=schema_pb2.COLUMN_KIND_DATE)
    overrides = schema_pb2.SchemaOverrides(columns=[override])
    refused = await fails(
        stubs.training.Train(training_pb2.TrainRequest(dataset=dataset.name, schema_overrides=overrides))
    )
    assert (refused.reason, refused.fields) == ("VALUE_NOT_OF_KIND", ("t.age",))
    assert not (await stubs.training.ListJobs(training_pb2.ListJobsRequest())).jobs
