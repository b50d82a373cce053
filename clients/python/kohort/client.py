"""The synchronous client."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

import grpc

from kohort.calls import DEFAULT, Timeout
from kohort.channel import CallMetadata, Extra, Token, credentials, endpoint, options
from kohort.config import DEFAULT_KEEPALIVE, DEFAULT_RETRY, DEFAULT_TIMEOUTS, TLS, KeepAlive, Retry, Timeouts
from kohort.dataset import Dataset
from kohort.job import Job
from kohort.model import Model
from kohort.operations import Operations, train_request
from kohort.partial import Rows
from kohort.resources import Capabilities, Inferred, JobState
from kohort.sampling import Collector, SampleBatch
from kohort.schema import Schema, SchemaOverrides, TableSchema
from kohort.transport import Transport
from kohort.uploads import DEFAULT_TABLE, Data, UploadOptions, dataset_name, name_of
from kohort.wishes import Limits, Wishes, asked

if TYPE_CHECKING:
    import pandas as pd


class Client:
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
        token: a bearer token, or a function that gives the current one for each call.
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
            display_name=display_name,
            labels=labels,
            request_id=request_id,
        )
        return Job(self, self._transport.run(self._operations.train(request, timeout)))

    def job(self, name: str, *, timeout: Timeout = DEFAULT) -> Job:
        """Attaches to a job, from any process. Raises NotFound."""
        return Job(self, self._transport.run(self._operations.job(name, timeout)))

    def jobs(self, states: Iterable[JobState | str] = (), *, timeout: Timeout = DEFAULT) -> Iterator[Job]:
        """The jobs in these states, by default all, newest first; pages are fetched as needed."""
        for info in self._transport.iterate(self._operations.jobs(states, timeout)):
            yield Job(self, info)

    # Models

    def model(self, name: str, *, timeout: Timeout = DEFAULT) -> Model:
        """The model of that name. Raises NotFound."""
        return Model(self, self._transport.run(self._operations.model(name, timeout)))

    def models(self, *, timeout: Timeout = DEFAULT) -> Iterator[Model]:
        """All models, newest first; pages are fetched as needed, each within the timeout."""
        for info in self._transport.iterate(self._operations.models(timeout)):
            yield Model(self, info)

    def delete_model(self, model: Model | str, *, timeout: Timeout = DEFAULT) -> None:
        """Deletes a model. Raises NotFound, also when it was deleted before."""
        self._transport.run(self._operations.delete_model(name_of(model), timeout))

    def sample(
        self,
        model: Model | str,
        n: int | None = None,
        *,
        seed: int | None = None,
        start: int = 0,
        timeout: Timeout = DEFAULT,
        **wishes: Unpack[Wishes],
    ) -> pd.DataFrame:
        """Synthetic rows as a frame, in the types that the training data had.

        Unit i of (model, seed, limits) is always the same: `start` goes on where an
        earlier sample of the same seed ended. `frame.attrs["kohort"]` says where
        the rows come from, the seed included, and how much of what was drawn they are.

        Args:
            model: a model or its name.
            n: units: patients where the model models patients, else rows; or give
                `augmentation_factor`.
            seed: makes the sample repeatable; by default the server draws one.
            start: the first unit.
            timeout: seconds for all of it.
            wishes: see `Wishes`: conditions, rebalance, temperature, top_p,
                max_attempts, augmentation_factor.

        Raises:
            NotFound: no such model.
            ConditionUnsupported: the model cannot do what is asked.
            CohortTooSmall: too few training patients met the conditions.
            ConditionUnsatisfied: a unit could not be drawn in `max_attempts`;
                `sample_batches` gives the rows before it.
            IntegrityError: the stream was incomplete or altered.
            ValueError: the model has several tables; use `sample_tables`.
        """
        rows = Collector(single=True)
        for batch in self.sample_batches(model, n, seed=seed, start=start, timeout=timeout, **wishes):
            rows.add(batch)
        return rows.frame()

    def sample_tables(
        self,
        model: Model | str,
        n: int | None = None,
        *,
        seed: int | None = None,
        start: int = 0,
        timeout: Timeout = DEFAULT,
        **wishes: Unpack[Wishes],
    ) -> dict[str, pd.DataFrame]:
        """Synthetic rows as one frame per table of the model; otherwise as `sample`."""
        rows = Collector()
        for batch in self.sample_batches(model, n, seed=seed, start=start, timeout=timeout, **wishes):
            rows.add(batch)
        return rows.frames()

    def sample_batches(
        self,
        model: Model | str,
        n: int | None = None,
        *,
        seed: int | None = None,
        start: int = 0,
        max_batch_rows: int = 0,
        timeout: Timeout = DEFAULT,
        **wishes: Unpack[Wishes],
    ) -> Iterator[SampleBatch]:
        """Synthetic rows batch by batch as they arrive, for more than fits in memory.

        The server waits while the reader is busy. Each batch has the digest it came
        with; the iteration ends without an error only when all n units came.

        Args:
            model: a model or its name.
            n: units.
            seed: makes the sample repeatable.
            start: the first unit.
            max_batch_rows: at most so many rows per batch; 0 lets the server choose.
            timeout: seconds for all of it, the reader's own time included.
            wishes: as `sample`.
        """
        wanted = asked(n, seed, start, max_batch_rows, **wishes)
        sample = self._operations.sample(name_of(model), wanted, timeout)
        yield from self._transport.iterate(sample)

    def complete(
        self,
        model: Model | str,
        rows: Rows,
        *,
        seed: int | None = None,
        start: int = 0,
        timeout: Timeout = DEFAULT,
        **limits: Unpack[Limits],
    ) -> pd.DataFrame:
        """Rows with their open (null) cells filled by the model; all others come back exactly.

        Row i is unit `start` + i. Columns that are not there are made as a whole.
        Large tables travel in several requests.

        Args:
            model: a model of one table that can complete rows, or its name.
            rows: a DataFrame, an Arrow table or the path of a CSV file, any columns of the model.
            seed: makes the result repeatable.
            start: the unit of the first row.
            timeout: seconds for all of it.
            limits: see `Limits`: conditions, rebalance, temperature, top_p, max_attempts.

        Raises:
            InvalidRequest: a column or value that the model cannot hold.
            ConditionUnsupported, CohortTooSmall, ConditionUnsatisfied, IntegrityError: as `sample`.
        """
        found = Collector(single=True)
        for batch in self.complete_batches(model, rows, seed=seed, start=start, timeout=timeout, **limits):
            found.add(batch)
        return found.frame()

    def complete_batches(
        self,
        model: Model | str,
        rows: Rows,
        *,
        seed: int | None = None,
        start: int = 0,
        timeout: Timeout = DEFAULT,
        **limits: Unpack[Limits],
    ) -> Iterator[SampleBatch]:
        """`complete`, batch by batch as they arrive."""
        completion = self._operations.complete(name_of(model), rows, seed, start, limits, timeout)
        yield from self._transport.iterate(completion)

    def download(
        self,
        model: Model | str,
        path: str | Path,
        *,
        progress: Callable[[int, int], None] | None = None,
        timeout: Timeout = DEFAULT,
    ) -> Path:
        """Stores a model's bundle as a file, whole and verified or not at all.

        Args:
            model: a model or its name.
            path: the file, replaced if it exists.
            progress: called with bytes so far and in all.
            timeout: seconds for all tries.
        """
        download = self._operations.download(name_of(model), Path(path), progress, timeout)
        return self._transport.run(download)

    def import_model(
        self,
        path: str | Path,
        *,
        display_name: str = "",
        labels: Mapping[str, str] | None = None,
        request_id: str | None = None,
        timeout: Timeout = DEFAULT,
    ) -> Model:
        """Publishes a bundle file on the server, which checks it first.

        Raises:
            InvalidRequest: BUNDLE_INVALID, OPERATOR_FORBIDDEN or PROGRAM_UNKNOWN.
            FailedPrecondition: BUNDLE_UNTRUSTED, nobody whom the server trusts signed it.
        """
        sent = self._operations.import_model(path, display_name, labels, request_id, timeout)
        return Model(self, self._transport.run(sent))
