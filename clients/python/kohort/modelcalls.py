"""What the synchronous client does with models."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Unpack

from kohort.calls import DEFAULT, Timeout
from kohort.dataset import Dataset
from kohort.job import EvaluationJob, ProgressHook
from kohort.jobrequests import Subject
from kohort.model import Model
from kohort.partial import Rows
from kohort.release import EvaluationKeywords, EvaluationOptions, merged
from kohort.report import Report
from kohort.reportcalls import ReportCalls
from kohort.sampling import Collector, SampleBatch
from kohort.uploads import DEFAULT_TABLE, Data, name_of
from kohort.wishes import Limits, Wishes, asked

if TYPE_CHECKING:
    import pandas as pd


class ModelCalls(ReportCalls):
    """The part of `kohort.Client` that is about models."""

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
            ModelLocked: the release policy, or a custodian, keeps its rows in the house.
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

        Raises:
            ModelLocked: the release policy, or a custodian, keeps it in the house.
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

    def start_evaluation(
        self,
        model: Model | str | None = None,
        *,
        synthetic: Dataset | Data | None = None,
        dataset: Dataset | Data | None = None,
        holdout: Dataset | Data | None = None,
        options: EvaluationOptions | str | None = None,
        table: str = DEFAULT_TABLE,
        subject_key: str = "",
        display_name: str = "",
        labels: Mapping[str, str] | None = None,
        request_id: str | None = None,
        timeout: Timeout = DEFAULT,
        **keywords: Unpack[EvaluationKeywords],
    ) -> EvaluationJob:
        """Starts an evaluation, as `evaluate`, and returns as soon as the server has stored it.

        `timeout` is in seconds for storing it, uploads not included.
        """
        subject = Subject(
            None if model is None else name_of(model), synthetic, dataset, holdout, table, subject_key
        )
        started = self._operations.evaluate(
            subject, merged(options, keywords), display_name, labels, request_id, timeout
        )
        return EvaluationJob(self, self._transport.run(started))

    def evaluate(
        self,
        model: Model | str | None = None,
        *,
        synthetic: Dataset | Data | None = None,
        dataset: Dataset | Data | None = None,
        holdout: Dataset | Data | None = None,
        options: EvaluationOptions | str | None = None,
        table: str = DEFAULT_TABLE,
        subject_key: str = "",
        display_name: str = "",
        labels: Mapping[str, str] | None = None,
        request_id: str | None = None,
        progress: ProgressHook = False,
        timeout: float | None = None,
        **keywords: Unpack[EvaluationKeywords],
    ) -> Report:
        """Measures a model, or rows made elsewhere, against real patients. Needs the role custodian.

        Datasets are names ("datasets/..."), handles, or anything that `upload` takes.
        The evaluation lives apart from this call, as any job: a lost connection
        changes nothing, and `client.job(name).report()` waits for it again.

        Args:
            model: a model or its name; of one that was trained here the server knows the real rows
                and those held out. Or give `synthetic`.
            synthetic: rows made elsewhere; `dataset` then says what they were made from.
            dataset: the real rows that the generator learned from.
            holdout: real patients whom it never saw: without them attacks have no control, and the
                verdict is INCONCLUSIVE at best.
            options: options, or the name of a profile ("standard", "full").
            table: the name of tables that are uploaded.
            subject_key: the column that identifies the patient, of real rows that are uploaded.
            display_name: for people.
            labels: for programs.
            request_id: a UUID that makes repeats of this very request safe, where nothing is
                uploaded; by default a fresh one covers the tries of this call.
            progress: as `Job.wait`.
            timeout: seconds to wait for the report; the evaluation goes on when they are over.
            **keywords: in place of what `options` say: profile, targets, quasi_identifiers,
                sensitive, protected, seed, time_budget.

        Raises:
            InvalidRequest: an option, such as a column that is not there.
            FailedPrecondition: SCHEMAS_DIFFER, TOO_FEW_PATIENTS, DATASET_EXPIRED and others.
            Overloaded: TOO_MANY_EVALUATIONS; `retry_after` says when there is the next.
            JobFailed, JobCancelled: the evaluation ended without a report.
        """
        job = self.start_evaluation(
            model,
            synthetic=synthetic,
            dataset=dataset,
            holdout=holdout,
            options=options,
            table=table,
            subject_key=subject_key,
            display_name=display_name,
            labels=labels,
            request_id=request_id,
            **keywords,
        )
        return job.result(progress=progress, timeout=timeout)
