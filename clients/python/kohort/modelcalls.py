"""What the synchronous client does with models."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Unpack

from kohort.calls import DEFAULT, Timeout
from kohort.model import Model
from kohort.operations import Operations
from kohort.partial import Rows
from kohort.sampling import Collector, SampleBatch
from kohort.transport import Transport
from kohort.uploads import name_of
from kohort.wishes import Limits, Wishes, asked

if TYPE_CHECKING:
    import pandas as pd


class ModelCalls:
    """The part of `kohort.Client` that is about models."""

    _operations: Operations
    _transport: Transport

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
