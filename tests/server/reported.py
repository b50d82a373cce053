"""Models with reports, put straight into the store of a running server."""

from __future__ import annotations

import json
import uuid
from pathlib import Path
from typing import Any

from google.protobuf import json_format

from evaluators.gate import Evidence
from kohort.bundle import read_bundle
from kohort.v1 import evaluation_pb2, release_pb2, sampling_pb2
from server.app import Server
from server.blobs import LocalBlobStore, report_key
from server.identities import ROLES, create_token
from server.records import JobRecord, ModelRecord, Principal, ReportRecord
from server.store import Store
from tests.core.support import add_dataset, add_job, model_of
from tests.runtime.parts import bundle_bytes
from tests.server.conftest import Stubs

BAD = {"membership_inference_auc": 0.9}
"""What the default policy locks."""


def report_message(**changes: Any) -> evaluation_pb2.Report:
    """A report with something of everything."""
    return evaluation_pb2.Report(
        format=1,
        summary=["It looks like the real rows.", "One can work with them.", "They tell too much."],
        counts=evaluation_pb2.EvaluationCounts(training_rows=200, holdout_rows=50, holdout_patients=1000),
        definitions=[evaluation_pb2.MetricInfo(name="ks_complement", title="Kolmogorov–Smirnov")],
        metrics=[
            evaluation_pb2.Metric(
                name="ks_complement",
                columns=["age"],
                value=0.93,
                interval=evaluation_pb2.Interval(low=0.9, high=0.95, level=0.95, method="bootstrap"),
            )
        ],
        figures=[
            evaluation_pb2.Figure(
                name="marginal:age",
                kind=evaluation_pb2.FIGURE_KIND_LINES,
                series=[evaluation_pb2.Series(name="real", x=[1.0, 2.0], y=[float("nan"), 0.5])],
            )
        ],
        left_out=[evaluation_pb2.LeftOut(part="shadow_models", reason="part of the full profile only")],
        **changes,
    )


class Reporter:
    """A worker that publishes what it is told, into the store and the blobs of a server."""

    def __init__(self, database: str, data_dir: Path) -> None:
        self.store = Store(database)
        self.blobs = LocalBlobStore(data_dir / "blobs")
        self.scratch = data_dir
        self.store.workers.register("w", "cpu:0", "cpu", "test")

    def close(self) -> None:
        self.store.close()

    def claim(self) -> JobRecord:
        job = self.store.leases.claim("w", "cpu:0", "cpu", 60)
        assert job is not None
        return job

    def train(self, job: JobRecord, found: Evidence | None) -> tuple[str, str]:
        """Ends a training with the handmade bundle; the ids of model and report."""
        model = self.model(job)
        report = None if found is None else self.report(job, model.id, found)
        self.store.leases.publish(job.id, job.attempt, "w", model, report)
        return model.id, report.id if report else ""

    def evaluate(self, job: JobRecord, found: Evidence, message: evaluation_pb2.Report | None = None) -> str:
        """Ends an evaluation; the id of the report."""
        assert job.spec.subject is not None
        report = self.report(job, job.spec.subject.model, found, message)
        self.store.leases.publish(job.id, job.attempt, "w", None, report)
        return report.id

    def model(self, job: JobRecord) -> ModelRecord:
        data = bundle_bytes()
        key = f"models/{job.tenant}/{uuid.uuid4().hex}/1/bundle.kohort"
        self._put(key, data)
        bundle = read_bundle(data)
        return model_of(
            job,
            schema=bundle.program().schema,
            blob_key=key,
            bundle_digest=bundle.digest,
            size_bytes=len(data),
        )

    def report(
        self, job: JobRecord, model: str, found: Evidence, message: evaluation_pb2.Report | None = None
    ) -> ReportRecord:
        identifier = uuid.uuid4().hex
        keys = [report_key(job.tenant, identifier, 1, f"report.{kind}") for kind in ("json", "html")]
        full = json_format.MessageToDict(message or report_message(), preserving_proto_field_name=True)
        self._put(keys[0], json.dumps(full).encode())
        self._put(keys[1], b"<!doctype html><title>Report</title>")
        subject = job.spec.subject
        return ReportRecord(
            id=identifier,
            tenant=job.tenant,
            principal=job.principal,
            model=model,
            synthetic_dataset=subject.synthetic_dataset if subject else "",
            dataset=job.spec.dataset,
            holdout_dataset=subject.holdout_dataset if subject else "",
            job=job.id,
            display_name=job.spec.display_name,
            labels=job.spec.labels,
            overview={k: v for k, v in full.items() if k not in ("definitions", "metrics", "figures")},
            evidence=found.to_json(),
            json_key=keys[0],
            html_key=keys[1],
            create_time=0.0,
        )

    def _put(self, key: str, data: bytes) -> None:
        source = self.scratch / uuid.uuid4().hex
        source.write_bytes(data)
        self.blobs.put(key, source)
        source.unlink()


class House:
    """A server of two tenants with a caller of every role: `**house.ann("custodian")` goes with a call."""

    def __init__(self, server: Server, stubs: Stubs, tokens: dict[tuple[str, str], str]) -> None:
        self.server, self.stubs = server, stubs
        self.worker = Reporter(server.settings.database, server.settings.data_dir)
        self._tokens = tokens

    @staticmethod
    def tokens(file: Path) -> dict[tuple[str, str], str]:
        """Tokens by tenant and role."""
        return {
            (tenant, role): create_token(file, tenant, f"{role}-{tenant}", [role])
            for tenant in ("a", "b")
            for role in ROLES
        }

    def ann(self, role: str, tenant: str = "a") -> dict[str, Any]:
        """Keyword arguments that make a call one of this role."""
        return {"metadata": (("authorization", f"Bearer {self._tokens[tenant, role]}"),)}

    def dataset(self, tenant: str = "a", **changes: Any) -> str:
        """A dataset without bytes; its name."""
        return f"datasets/{add_dataset(self.worker.store, tenant=tenant, **changes)}"

    def model(self, found: Evidence | None, dataset: str = "") -> tuple[str, str]:
        """A trained model of tenant a with such a report; the names of both."""
        made = dataset or self.dataset()
        add_job(self.worker.store, made.removeprefix("datasets/"), Principal("a", "trainer-a"))
        model, report = self.worker.train(self.worker.claim(), found)
        return f"models/{model}", f"reports/{report}" if report else ""

    async def release(self, model: str, role: str = "viewer") -> release_pb2.Release:
        """What the model says of its release."""
        request = sampling_pb2.GetModelRequest(name=model)
        return (await self.stubs.sampling.GetModel(request, **self.ann(role))).model.release

    def sample(self, model: str, role: str = "generator", **fields: Any) -> Any:
        """A small sample."""
        request = sampling_pb2.SampleRequest(model=model, unit_count=10, seed=1, **fields)
        return self.stubs.sampling.Sample(request, **self.ann(role))

    async def override(self, model: str, state: Any, reason: str = "looked at the report") -> Any:
        """A custodian's decision."""
        request = evaluation_pb2.OverrideReleaseRequest(model=model, state=state, reason=reason)
        return await self.stubs.evaluation.OverrideRelease(request, **self.ann("custodian"))

    def evaluate(self, role: str = "custodian", tenant: str = "a", **fields: Any) -> Any:
        """A stream of Evaluate."""
        request = evaluation_pb2.EvaluateRequest(**fields)
        return self.stubs.evaluation.Evaluate(request, **self.ann(role, tenant))

    async def report(self, name: str, role: str = "custodian", tenant: str = "a") -> evaluation_pb2.Report:
        """One report."""
        request = evaluation_pb2.GetReportRequest(name=name)
        response = await self.stubs.evaluation.GetReport(request, **self.ann(role, tenant))
        report: evaluation_pb2.Report = response.report
        return report
