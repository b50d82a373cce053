"""A server that speaks the contract, keeps everything in memory and fails on demand."""

from __future__ import annotations

import hashlib
import threading
from collections import defaultdict, deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from types import SimpleNamespace

import grpc
import numpy as np
from fake_evaluation import Evaluation
from fake_parts import CODE, PATIENTS, ROWS, SEXES, VISITS, Fault, find, listen, paged, rows_of, two_tables_of

from kohort import wire
from kohort.columns import (
    Array,
    ContentDigest,
    encode_dictionary_chunks,
    encode_record_batch,
)
from kohort.schema import Finding, Schema
from kohort.v1 import capabilities_pb2 as cap
from kohort.v1 import capabilities_pb2_grpc as cap_grpc
from kohort.v1 import dataset_pb2 as ds
from kohort.v1 import dataset_pb2_grpc as ds_grpc
from kohort.v1 import evaluation_pb2_grpc as ev_grpc
from kohort.v1 import sampling_pb2 as sa
from kohort.v1 import sampling_pb2_grpc as sa_grpc
from kohort.v1 import table_pb2
from kohort.v1 import training_pb2 as tr
from kohort.v1 import training_pb2_grpc as tr_grpc


class Fake:
    """State and behaviour; `with Fake() as fake` serves at `fake.target`."""

    def __init__(self, credentials=None):
        self.calls = []
        self.faults = defaultdict(deque)
        self.uploads = []
        self.datasets = {}
        self.jobs = {}
        self.models = {}
        self.bundle = b"bundle" * 400_000
        self.batch_units = 10
        self.seed = 99
        self.fingerprint = "cpu-1"
        self.drawn_per_unit = 1
        self.training_rows = 0
        self.tamper = None
        self.pool = ThreadPoolExecutor(16)
        self.server = grpc.server(self.pool, options=[("grpc.so_reuseport", 0)])
        ds_grpc.add_DatasetServiceServicer_to_server(Datasets(self), self.server)
        tr_grpc.add_TrainingServiceServicer_to_server(Training(self), self.server)
        sa_grpc.add_SamplingServiceServicer_to_server(Sampling(self), self.server)
        ev_grpc.add_EvaluationServiceServicer_to_server(Evaluation(self), self.server)
        cap_grpc.add_CapabilitiesServiceServicer_to_server(Capabilities(self), self.server)
        self.target = f"localhost:{listen(self.server, credentials)}"
        self.add_model("models/one", Schema((ROWS,)))
        self.add_model("models/two", Schema((PATIENTS, VISITS)))

    def __enter__(self):
        self.server.start()
        return self

    def __exit__(self, *_):
        self.server.stop(0).wait(5)
        self.pool.shutdown(wait=False)

    def fail(self, method, *faults):
        self.faults[method].extend(faults)

    def begin(self, method, context, request=None):
        """Notes a call; gives its fault, raised at once where it comes before any message."""
        metadata = dict(context.invocation_metadata())
        known = SimpleNamespace(
            method=method, metadata=metadata, request=request, left=context.time_remaining()
        )
        known.ended = threading.Event()
        context.add_callback(known.ended.set)
        self.calls.append(known)
        fault = self.faults[method].popleft() if self.faults[method] else None
        if fault is not None and fault.after == 0 and fault.code is not None:
            fault.abort(context)
        return fault

    def requests(self, method):
        return [c.request for c in self.calls if c.method == method]

    def stream(self, method, context, request, messages):
        """The messages, up to where the fault of this call cuts them."""
        fault = self.begin(method, context, request)
        for sent, message in enumerate(messages):
            if fault is not None and sent == fault.after:
                if fault.code is None:
                    return
                fault.abort(context)
            yield message

    def add_model(self, name, schema):
        digest = hashlib.sha256(name.encode()).digest()
        self.models[name] = sa.Model(
            name=name,
            schema=wire.schema_to_proto(schema),
            trainer="copula",
            content_digest=digest,
            size_bytes=len(self.bundle),
            unit="row",
            privacy=sa.PrivacyStatement(min_patients_per_value=5, statement="No differential privacy."),
        )

    def add_job(self, name, *updates, **fields):
        """A job with its history: events in order, `job` as its last state."""
        fields = {"state": tr.JOB_STATE_SUCCEEDED, "model": "models/one", "trainer": "copula", **fields}
        self.jobs[name] = SimpleNamespace(job=tr.Job(name=name, **fields), events=list(updates))

    def finished_job(self, name="jobs/1", epochs=3, **fields):
        events = [tr.JobEvent(phase_started=tr.PhaseStarted(phase="fitting"))]
        for epoch in range(1, epochs + 1):
            made = tr.Progress(
                step=epoch,
                total_steps=epochs,
                losses={"loss": 1 / epoch},
                rows_per_second=10,
                gradient_norm=0.25,
            )
            events.append(tr.JobEvent(progress=made))
        for sequence, event in enumerate(events, 1):
            event.sequence, event.attempt = sequence, 1
        self.add_job(name, *events, **fields)


class Capabilities(cap_grpc.CapabilitiesServiceServicer):
    def __init__(self, fake):
        self.fake = fake

    def GetCapabilities(self, request, context):
        self.fake.begin("GetCapabilities", context, request)
        trainer = cap.TrainerInfo(name="copula", display_name="Gaussian copula", description="Fast.")
        epochs = trainer.parameters.add(name="epochs", type=cap.PARAMETER_TYPE_INTEGER, minimum=1)
        epochs.default_value.number_value = 300
        return cap.GetCapabilitiesResponse(
            api_version="v1",
            server_version="0.1.0",
            trainers=[trainer],
            default_trainer="copula",
            upload_formats=[ds.UPLOAD_FORMAT_COLUMNS, ds.UPLOAD_FORMAT_CSV],
            devices=[cap.Device(name="cpu:0", kind="cpu", available=True)],
            caller=cap.Caller(tenant="local", roles=["admin"]),
        )


class Datasets(ds_grpc.DatasetServiceServicer):
    def __init__(self, fake):
        self.fake = fake

    def UploadDataset(self, requests, context):
        fault = self.fake.begin("UploadDataset", context)
        header = next(requests).header
        schema = wire.schema_from_proto(header.schema)
        upload = SimpleNamespace(
            header=header, schema=schema, batches=[], files=defaultdict(bytes), messages=0
        )
        dictionaries = wire.Dictionaries()
        for request in requests:
            upload.messages += 1
            if fault is not None and upload.messages == fault.after:
                fault.abort(context)
            assert request.ByteSize() < 4 << 20
            match request.WhichOneof("part"):
                case "dictionary":
                    dictionaries.add(request.dictionary)
                case "batch":
                    batch = wire.decode_batch(request.batch, schema.table(request.batch.table), dictionaries)
                    wire.check_digest(batch, request.batch.digest)
                    upload.batches.append(batch)
                case "chunk":
                    upload.files[request.chunk.table] += request.chunk.data
        self.fake.uploads.append(upload)
        name = f"datasets/{len(self.fake.uploads)}"
        self.fake.datasets[name] = ds.Dataset(
            name=name, schema=header.schema, display_name=header.display_name
        )
        self.fake.datasets[name].findings.append(wire.finding_to_proto(Finding("NO_SUBJECT_KEY", "fake")))
        return ds.UploadDatasetResponse(dataset=self.fake.datasets[name])

    def GetDataset(self, request, context):
        self.fake.begin("GetDataset", context, request)
        return ds.GetDatasetResponse(
            dataset=find(self.fake.datasets, request.name, "DATASET_NOT_FOUND", context)
        )

    def InferSchema(self, request, context):
        self.fake.begin("InferSchema", context, request)
        found = find(self.fake.datasets, request.dataset, "DATASET_NOT_FOUND", context)
        return ds.InferSchemaResponse(schema=found.schema, findings=found.findings)

    def ListDatasets(self, request, context):
        self.fake.begin("ListDatasets", context, request)
        page, token = paged(self.fake.datasets.values(), request)
        return ds.ListDatasetsResponse(datasets=page, next_page_token=token)

    def DeleteDataset(self, request, context):
        self.fake.begin("DeleteDataset", context, request)
        find(self.fake.datasets, request.name, "DATASET_NOT_FOUND", context)
        return ds.DeleteDatasetResponse(models=["models/one"])


class Training(tr_grpc.TrainingServiceServicer):
    def __init__(self, fake):
        self.fake = fake

    def updates(self, name, after, context):
        kept = find(self.fake.jobs, name, "JOB_NOT_FOUND", context)
        early = tr.Job()
        early.CopyFrom(kept.job)
        if kept.events:
            early.state = tr.JOB_STATE_RUNNING
        yield tr.JobUpdate(sequence=after, job=early)
        for event in kept.events:
            if event.sequence > after:
                after = event.sequence
                yield tr.JobUpdate(sequence=after, event=event)
        yield tr.JobUpdate(sequence=after, heartbeat=tr.Heartbeat())
        yield tr.JobUpdate(sequence=after, job=kept.job)

    def Train(self, request, context):
        fault = self.fake.begin("Train", context, request)
        name = "jobs/1"
        if name not in self.fake.jobs:
            self.fake.finished_job(name)
        for update in self.updates(name, 0, context):
            if fault is not None and fault.code is not None:
                fault.abort(context)
            yield tr.TrainResponse(update=update)

    def Status(self, request, context):
        updates = self.updates(request.job, request.after_sequence, context)
        responses = (tr.StatusResponse(update=u) for u in updates)
        yield from self.fake.stream("Status", context, request, responses)

    def Cancel(self, request, context):
        self.fake.begin("Cancel", context, request)
        kept = find(self.fake.jobs, request.job, "JOB_NOT_FOUND", context)
        stopping = tr.Job()
        stopping.CopyFrom(kept.job)
        stopping.state = tr.JOB_STATE_CANCELLING
        yield tr.CancelResponse(update=tr.JobUpdate(job=stopping))
        # A reader of the first message alone must not have to wait for more.
        ended = threading.Event()
        context.add_callback(ended.set)
        ended.wait(20)

    def GetJob(self, request, context):
        self.fake.begin("GetJob", context, request)
        return tr.GetJobResponse(job=find(self.fake.jobs, request.name, "JOB_NOT_FOUND", context).job)

    def ListJobs(self, request, context):
        self.fake.begin("ListJobs", context, request)
        jobs = [j.job for j in self.fake.jobs.values() if not request.states or j.job.state in request.states]
        page, token = paged(jobs, request)
        return tr.ListJobsResponse(jobs=page, next_page_token=token)


class Sampling(sa_grpc.SamplingServiceServicer):
    def __init__(self, fake):
        self.fake = fake

    def Sample(self, request, context):
        model = find(self.fake.models, request.model, "MODEL_NOT_FOUND", context)
        yield from self.fake.stream("Sample", context, request, self.sample(request, model, context))

    def sample(self, request, model, context):
        fake = self.fake
        if request.runtime_fingerprint not in ("", fake.fingerprint):
            Fault(CODE.FAILED_PRECONDITION, reason="RUNTIME_CHANGED").abort(context)
        seed = request.seed if request.HasField("seed") else fake.seed
        count = request.unit_count
        if request.HasField("augmentation_factor"):
            count = round(request.augmentation_factor * fake.training_rows)
        yield sa.SampleResponse(
            header=sa.SampleHeader(
                model=model.name,
                content_digest=model.content_digest,
                seed=seed,
                start_unit=request.start_unit,
                unit_count=count,
                schema=model.schema,
                runtime_fingerprint=fake.fingerprint,
                synthetic=True,
                privacy=model.privacy,
                release_state=model.release.state,
            )
        )
        schema = wire.schema_from_proto(model.schema)
        if model.name == "models/one":
            for chunk in encode_dictionary_chunks("rows", "sex", SEXES):
                yield sa.SampleResponse(dictionary=table_pb2.Dictionary.FromString(chunk))
        digest, counts = ContentDigest(schema), defaultdict(int)
        end = request.start_unit + count
        partial = wire.sample_spec_from_proto(request, schema, seed).partial
        for start in range(request.start_unit, end, fake.batch_units):
            units = min(fake.batch_units, end - start)
            group = (
                [rows_of(seed, start, units)]
                if model.name == "models/one"
                else two_tables_of(seed, start, units)
            )
            if partial is not None:
                group = [completed(group[0], partial)]
            for batch in group:
                digest.add(batch)
                counts[batch.table] += batch.row_count
                message = table_pb2.RecordBatch.FromString(encode_record_batch(batch))
                yield self.tampered(sa.SampleResponse(batch=message))
        trailer = sa.SampleTrailer(
            row_counts=counts,
            unit_count=count,
            digest=digest.digest(),
            drawn_units=count * fake.drawn_per_unit,
        )
        yield self.tampered(sa.SampleResponse(trailer=trailer))

    def tampered(self, response):
        if self.fake.tamper is not None:
            self.fake.tamper(response)
        return response

    def GetModel(self, request, context):
        self.fake.begin("GetModel", context, request)
        return sa.GetModelResponse(model=find(self.fake.models, request.name, "MODEL_NOT_FOUND", context))

    def ListModels(self, request, context):
        self.fake.begin("ListModels", context, request)
        page, token = paged(self.fake.models.values(), request)
        return sa.ListModelsResponse(models=page, next_page_token=token)

    def DeleteModel(self, request, context):
        self.fake.begin("DeleteModel", context, request)
        find(self.fake.models, request.name, "MODEL_NOT_FOUND", context)
        del self.fake.models[request.name]
        return sa.DeleteModelResponse()

    def DownloadModel(self, request, context):
        yield from self.fake.stream("DownloadModel", context, request, self.download())

    def download(self):
        data = self.fake.bundle
        info = sa.BundleInfo(size_bytes=len(data), sha256=hashlib.sha256(data).digest())
        response = sa.DownloadModelResponse(header=info)
        yield self.tampered(response)
        for start in range(0, len(data), 1 << 20):
            yield sa.DownloadModelResponse(data=data[start : start + (1 << 20)])

    def ImportModel(self, requests, context):
        self.fake.begin("ImportModel", context)
        header = next(requests).header
        data = b"".join(r.data for r in requests)
        if hashlib.sha256(data).digest() != header.sha256:
            Fault(CODE.INVALID_ARGUMENT, reason="DIGEST_MISMATCH").abort(context)
        self.fake.bundle = data
        self.fake.add_model("models/imported", Schema((ROWS,)))
        return sa.ImportModelResponse(model=self.fake.models["models/imported"])


def completed(batch, partial):
    """The rows with the cells that were handed in."""
    arrays = dict(batch.arrays)
    for name, given in partial.arrays.items():
        given = given.slice(batch.first_unit - partial.first_unit, batch.next_unit - partial.first_unit)
        both = Array.concat([given, arrays[name]])
        rows = np.arange(len(given))
        taken = both.take(np.where(given.is_valid(), rows, rows + len(given)))
        if taken.dictionary is not None:
            known = arrays[name].dictionary.index
            codes = [0 if t is None else known(t) for t in taken.strings()]
            taken = Array.make(taken.storage, codes, taken.is_valid(), arrays[name].dictionary)
        arrays[name] = taken
    return replace(batch, arrays=arrays)
