"""The synchronous client."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import timedelta
from typing import Any

import grpc

from kohort.calls import DEFAULT, Timeout
from kohort.channel import CallMetadata, Extra, Token, credentials, endpoint, options
from kohort.config import DEFAULT_KEEPALIVE, DEFAULT_RETRY, DEFAULT_TIMEOUTS, TLS, KeepAlive, Retry, Timeouts
from kohort.dataset import Dataset
from kohort.job import Job, job_handle
from kohort.jobrequests import train_request
from kohort.modelcalls import ModelCalls
from kohort.operations import Operations
from kohort.release import Alert, EvaluationOptions
from kohort.resources import Capabilities, Inferred, JobState
from kohort.schema import Schema, SchemaOverrides, TableSchema
from kohort.transport import Transport
from kohort.uploads import DEFAULT_TABLE, Data, UploadOptions, dataset_name, name_of


class Client(ModelCalls):
    """A connection to a Kohort server. Safe to use from several threads; close it when done.

    Nothing is sent before the first call. Calls that cannot harm are repeated
    (see `Retry`), broken streams resume by themselves, and every timeout covers
    all of that.

    Example:
        >>> with Client("localhost:50051") as client:  # doctest: +SKIP
        ...     job = client.train(patients, trainer="ctgan", epochs=50)
        ...     model = job.result(progress=True)
        ...     synthetic = model.sample(1000, seed=7)

    Args:
        target: host:port; the port is 50051 when left out.
        token: a bearer token (white space around it is left out), or a function that gives the
            current one for each call.
        tls: how to recognise the server; True for the system's authorities, False
            for plaintext. By default TLS, except on this machine's own addresses.
        retry: when calls are tried again.
        keepalive: pings that notice a dead connection.
        timeouts: how long calls may take.
        metadata: sent with every call.

    Raises:
        ValueError: the target is a URL or empty.
        OSError: a certificate file cannot be read.
    """

    def __init__(
        self,
        target: str = "localhost:50051",
        *,
        token: Token | None = None,
        tls: TLS | bool | None = None,
        retry: Retry = DEFAULT_RETRY,
        keepalive: KeepAlive = DEFAULT_KEEPALIVE,
        timeouts: Timeouts = DEFAULT_TIMEOUTS,
        metadata: Extra | None = None,
    ) -> None:
        where = endpoint(target, tls)
        settings = options(tls, keepalive, timeouts)
        if where.secure:
            channel = grpc.secure_channel(where.target, credentials(tls), options=settings)
        else:
            channel = grpc.insecure_channel(where.target, options=settings)
        self.target = where.target
        self._operations = Operations(retry, timeouts)
        self._transport = Transport(channel, where, CallMetadata(token, metadata))

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Closes the connection; safe to repeat. Jobs go on."""
        self._transport.close()

    def capabilities(self, *, timeout: Timeout = DEFAULT) -> Capabilities:
        """What the server can do: trainers and their parameters, limits, formats, devices, your roles."""
        return self._transport.run(self._operations.capabilities(timeout))

    # Datasets

    def upload(
        self,
        data: Data,
        *,
        table: str = DEFAULT_TABLE,
        schema: Schema | TableSchema | None = None,
        subject_key: str = "",
        display_name: str = "",
        labels: Mapping[str, str] | None = None,
        expires_in: timedelta | None = None,
        delete_after_training: bool = False,
        request_id: str | None = None,
        timeout: Timeout = DEFAULT,
    ) -> Dataset:
        """Hands tables in.

        Args:
            data: a DataFrame or Arrow table, several of them by table name, or
                the path of a .csv, .parquet or .xlsx file, which is sent as it is.
            table: the table's name, where `data` gives none.
            schema: what is known of columns and keys; the server infers the rest.
            subject_key: the column that identifies the patient.
            display_name: for people.
            labels: for programs.
            expires_in: when the server deletes the rows; by default after 7 days.
            delete_after_training: delete the rows once a model has been trained on them.
            request_id: a UUID that makes repeats of this very upload safe; by
                default a fresh one covers the tries of this call.
            timeout: seconds for all tries.

        Raises:
            InvalidRequest: the data breaks a rule; `violations` name the columns.
            ValueError: a file of another kind.
            OSError: the file cannot be read.
        """
        said = UploadOptions(
            table, schema, subject_key, display_name, labels, expires_in, delete_after_training, request_id
        )
        return Dataset(self, self._transport.run(self._operations.upload(data, said, timeout)))

    def dataset(self, name: str, *, timeout: Timeout = DEFAULT) -> Dataset:
        """The dataset of that name. Raises NotFound."""
        return Dataset(self, self._transport.run(self._operations.dataset(name, timeout)))

    def datasets(self, *, timeout: Timeout = DEFAULT) -> Iterator[Dataset]:
        """All datasets, newest first; pages are fetched as needed, each within the timeout."""
        for info in self._transport.iterate(self._operations.datasets(timeout)):
            yield Dataset(self, info)

    def infer_schema(
        self,
        dataset: Dataset | str,
        overrides: SchemaOverrides | None = None,
        *,
        timeout: Timeout = DEFAULT,
    ) -> Inferred:
        """The schema that training would use under these overrides, and what to look at first."""
        return self._transport.run(self._operations.infer(name_of(dataset), overrides, timeout))

    def delete_dataset(self, dataset: Dataset | str, *, timeout: Timeout = DEFAULT) -> tuple[str, ...]:
        """Deletes the rows now; lineage stays. Returns the names of the models made from them.

        Raises:
            FailedPrecondition: DATASET_IN_USE, a job needs it.
        """
        return self._transport.run(self._operations.delete_dataset(name_of(dataset), timeout))

    # Jobs

    def train(
        self,
        data: Dataset | Data,
        trainer: str | None = None,
        *,
        parameters: Mapping[str, Any] | None = None,
        seed: int | None = None,
        overrides: SchemaOverrides | None = None,
        min_patients: int | None = None,
        max_rows_per_patient: int | None = None,
        weight_patients_equally: bool = False,
        holdout: float | None = None,
        validation: float | None = None,
        device: str = "",
        max_runtime: float | None = None,
        evaluation: EvaluationOptions | str | None = None,
        alerts: Iterable[Alert] = (),
        display_name: str = "",
        labels: Mapping[str, str] | None = None,
        request_id: str | None = None,
        timeout: Timeout = DEFAULT,
        **more_parameters: Any,
    ) -> Job:
        """Starts a job and returns as soon as the server has stored it.

        Args:
            data: a dataset or its name ("datasets/..."), or anything that `upload` takes.
            trainer: a trainer of `capabilities`; by default the server's.
            parameters: of the trainer.
            seed: makes training repeatable on one machine.
            overrides: changes to the dataset's schema for this job.
            min_patients: values that fewer patients share are never learned as such.
            max_rows_per_patient: at most so many rows of one patient are learned.
            weight_patients_equally: whether every patient counts the same, however many rows are theirs.
            holdout: the share of the patients kept aside for evaluation alone.
            validation: the share of the patients for early stopping.
            device: a device kind or slot of `capabilities`.
            max_runtime: seconds that the job may run, all attempts together.
            evaluation: how the model is evaluated before it is published: options, or "none",
                "standard" or "full"; by default as the server does.
            alerts: what to watch while fitting; at most 16.
            display_name: for people; the model takes it over.
            labels: for programs; the model takes them over.
            request_id: a UUID that makes repeats of this very request safe.
            timeout: seconds for storing the job (not for running it).
            **more_parameters: further parameters of the trainer, such as ``epochs=50``.

        Raises:
            InvalidRequest: a parameter, an override or the data breaks a rule.
            FailedPrecondition: IDENTIFIER_UNACKNOWLEDGED and others.
            Overloaded: the queue is full.
        """
        name = dataset_name(data) or self.upload(data, display_name=display_name, labels=labels).name
        request = train_request(
            name,
            trainer,
            {**(parameters or {}), **more_parameters},
            seed=seed,
            overrides=overrides,
            min_patients=min_patients,
            max_rows_per_patient=max_rows_per_patient,
            weight_patients_equally=weight_patients_equally,
            holdout=holdout,
            validation=validation,
            device=device,
            max_runtime=max_runtime,
            evaluation=evaluation,
            alerts=alerts,
            display_name=display_name,
            labels=labels,
            request_id=request_id,
        )
        return Job(self, self._transport.run(self._operations.train(request, timeout)))

    def job(self, name: str, *, timeout: Timeout = DEFAULT) -> Job:
        """Attaches to a job, from any process; the result of an evaluation is its report. Raises NotFound."""
        return job_handle(self, self._transport.run(self._operations.job(name, timeout)))

    def jobs(self, states: Iterable[JobState | str] = (), *, timeout: Timeout = DEFAULT) -> Iterator[Job]:
        """The jobs in these states, by default all, newest first; pages are fetched as needed."""
        for info in self._transport.iterate(self._operations.jobs(states, timeout)):
            yield job_handle(self, info)
